"""What the site knows of its fleet: registry, live view, statistics, alerts, window figures."""
