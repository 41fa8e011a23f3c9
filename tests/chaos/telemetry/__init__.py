"""The telemetry path, broken in every place: whatever vehicles have measured is in Kafka in the end, as it was."""
