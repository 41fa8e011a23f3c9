"""What is broken while real vehicles drive and are stopped, judged by what they wrote themselves: `make chaos`."""
