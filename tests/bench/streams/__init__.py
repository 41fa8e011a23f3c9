"""What the stream jobs take and cost, beside the same in Python."""
