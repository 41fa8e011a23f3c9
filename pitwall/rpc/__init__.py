"""gRPC as every service here uses it: build a server, open a channel, know the caller, answer an error."""
