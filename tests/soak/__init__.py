"""The pure cores and the model of the stop path for as long as one likes. `make soak`."""
