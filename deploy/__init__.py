"""How Pitwall is put on machines."""
