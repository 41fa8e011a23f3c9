"""Mutants of the pure cores, and which of them need no killing. `make mutation`."""
