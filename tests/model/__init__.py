"""The stop path, whole and simulated: the classes that run in production, on a network and clocks that a seed drives.

`python -m tests.model` runs many seeds. What is pure runs as it is; what is not (gRPC, disks, threads, event loops) has
a shim of a few lines in `agents`, `gateways` and `commands`. `properties` says what must hold; `faults` tries to break
it.
"""
