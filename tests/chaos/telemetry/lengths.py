"""How long the long things last. PITWALL_TEST_FULL=1, which `make chaos FULL=1` sets, has them last as at a site."""

import os

FULL = bool(os.environ.get("PITWALL_TEST_FULL"))

#: Without any gateway, at 1 Hz, seconds.
AWAY_S = 600.0 if FULL else 120.0
#: Kafka hung. Longer than every time-out on the way, of which librdkafka's 10 s for a request is the longest.
HANGS_S = (60.0,) * 5 if FULL else (15.0, 15.0, 15.0, 15.0, 60.0)
#: Kafka killed, and started again so long after; by the supervisor, as soon as it may, where it is 0.
DEAD_S = (60.0,) * 5 if FULL else (0.0,) * 5
#: For all that has waited for Kafka to come: five minutes of it, or two and a half.
COMPLETE_AFTER_KAFKA_S = 240.0 if FULL else 60.0
