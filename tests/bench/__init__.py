"""Figures on the real path. `make bench` prints them; nothing here passes or fails."""
