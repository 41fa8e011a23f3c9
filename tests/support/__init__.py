"""What judges the system from outside: the plant log, Kafka, and the comparison of both."""
