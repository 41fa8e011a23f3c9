"""The third-party servers of the local stack: for each what to run, with which files, and how to see that it works."""
