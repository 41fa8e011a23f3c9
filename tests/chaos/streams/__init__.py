"""The stream jobs killed underneath, and fed by vehicles that are silent or late."""
