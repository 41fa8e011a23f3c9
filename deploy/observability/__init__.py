"""Metrics and traces outside of our processes: rules, scrape configurations, the dashboard."""
