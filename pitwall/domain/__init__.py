"""The rules of the system as plain objects: standard library only, no I/O, time passed in."""
