"""The plant: simulated and replayed vehicles below the vehicle interface, in a process of their own."""
