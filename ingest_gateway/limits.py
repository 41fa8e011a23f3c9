"""Every limit of the gateway, named, with its unit. Relations between them are asserted here, at import.

What happens at each limit is said where it is enforced. Limits that a site may set are in config.py, with the same
relations checked there.
"""

from typing import Final

from pitwall.domain.permit import MAX_TTL_S, MIN_TTL_S
from pitwall.wire import MAX_NUMBER

#: Version of VehicleLinkService that this gateway speaks, and the oldest one that it still takes.
PROTOCOL_VERSION: Final = 2
OLDEST_PROTOCOL_VERSION: Final = max(1, PROTOCOL_VERSION - 1)
#: Version of GatewayLinkService that it speaks.
LINK_PROTOCOL_VERSION: Final = 1

# One frame of a vehicle

#: Of one frame up, bytes. Hello carries the vehicle's whole stop set, hence the size.
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
MAX_READINGS_PER_BATCH: Final = 100
#: Of one ReadingBatch, bytes. The vehicle is told in Welcome.
MAX_BATCH_BYTES: Final = 256 * 1024
#: Of one reading, bytes; the largest one that our own vehicles make is about 230.
MAX_READING_BYTES: Final = 2 * 1024
#: Stops and releases that one vehicle may bring in one frame.
MAX_BROUGHT: Final = 10_000
#: Progress reports in one frame of a vehicle.
MAX_PROGRESS_PER_FRAME: Final = 10_000
#: Of a monotonic clock, nanoseconds: a century without a restart.
MAX_MONOTONIC_NANOS: Final = 100 * 366 * 86_400 * 10**9
#: Characters of a text that a vehicle sends for people: cause, reason, version.
MAX_TEXT_CHARACTERS: Final = 500
#: Stops that one status report names as latched.
MAX_LATCHED: Final = 10_000

# One session

#: From the opening of a stream to its Hello, seconds.
HELLO_WITHIN_S: Final = 5.0
#: A vehicle that sends nothing for so long counts as LOST, seconds; see silent_after_s. A stream that goes counts at
#: once. As long as the default permit_ttl: what the vehicle said last permits it nothing any more.
SILENT_AFTER_S: Final = 2.0
#: Heartbeats of a vehicle in each permit_ttl, at least: the contract of VehicleLinkService.
HEARTBEATS_PER_PERMIT: Final = 5
#: How late one heartbeat may be before its vehicle counts as LOST, seconds.
HEARTBEAT_SLACK_S: Final = 0.5
#: Budget from the last word of a vehicle to LOST in Kafka, seconds.
LOST_WITHIN_S: Final = 3.0
#: A stream that stays silent for so long is closed, seconds.
CLOSE_SILENT_AFTER_S: Final = 10.0
#: How often silence is looked for, seconds.
TICK_S: Final = 0.25
#: A frame that a vehicle has not taken for so long ends its session, seconds.
WRITE_STALL_S: Final = 5.0
#: A stream with a frame that has been under way for so long is left without telling the vehicle why, seconds.
ABORT_WITHIN_S: Final = 1.0
#: Streams that one vehicle may have open at a time: its newest, and older ones that are on their way out.
MAX_STREAMS_PER_VEHICLE: Final = 4
#: Streams that one vehicle may open a second, on the average, and in a burst. An agent waits 0.2 to 2 s between two.
CONNECTS_PER_S: Final = 2.0
CONNECTS_AT_ONCE: Final = 20
#: A connection that has not done its handshake, TCP to TLS, within this is closed, seconds,
HANDSHAKE_WITHIN_S: Final = 10.0
#: and one on which no stream is open for so long. gRPC takes up to twice as long to notice.
CONNECTION_IDLE_S: Final = 15.0
#: Orders that wait for one vehicle's stream.
MAX_QUEUED_ORDERS: Final = 64
#: Orders sent whose outcome a vehicle still owes.
MAX_OWED_ORDERS: Final = 256
#: Stops whose progress is kept per session, to be told again to a command service that comes back.
MAX_KEPT_PROGRESS: Final = 1_000
#: Stops and releases in one frame down, so that no frame is larger than a vehicle takes (a zone has up to 2 KB).
MAX_SET_ENTRIES_PER_FRAME: Final = 500
#: Rejections in one ack.
MAX_REJECTIONS_PER_ACK: Final = 200
#: Ranges in one ack.
MAX_RANGES_PER_ACK: Final = 500

#: Characters of the reason that a vehicle gives for a loss; the rest is cut off. Kafka takes no record of any size.
MAX_REASON_CHARACTERS: Final = 64
#: Declared losses of one vehicle on their way to Kafka; one more is declined, and said again later. An agent has no
#: more under way.
MAX_LOSSES_IN_FLIGHT: Final = 10

# What one vehicle may send a second; the rates are the site's to set

#: So many seconds' worth of its rates may come at once.
BURST_S: Final = 1.0
#: Beyond that a vehicle is asked to wait, and what comes of so many seconds' worth more is forgiven: twice what may be
#: under way, because it may have been asked the time before with as much under way.
GRACE_S: Final = 1.0
#: The shortest Throttle, seconds.
MIN_THROTTLE_S: Final = 0.1
#: A vehicle whose stream was not read for so long in all, because it did not wait, is cut, seconds.
MAX_HELD_S: Final = 30.0
#: The least rate of bytes that may be set, a second: at it the largest frame is paid for before its vehicle counts as
#: silent.
MIN_BYTES_PER_S: Final = 1_000_000

# What is lent to vehicles that bring history

#: Readings of history in one batch that show that there is more: an agent sends less than half of a batch only where
#: there is no more.
LEND_FROM: Final = 50
#: A vehicle that has brought no history for so long has no more, seconds.
LOAN_IDLE_S: Final = 2.0

# What is remembered of a vehicle beyond its session

#: Vehicles; the least recently heard goes first, those with readings in flight never.
MAX_KNOWN_VEHICLES: Final = 10_000
#: Boot epochs of one vehicle; readings of one more are taken when all is acknowledged of one of these.
MAX_EPOCHS_PER_VEHICLE: Final = 8
#: Ranges of known identities in one boot epoch; beyond it the lower half is forgotten.
MAX_KNOWN_RANGES: Final = 1_000
#: Batches of one vehicle whose times are remembered, to tell a repeat from another reading of the same identity.
REMEMBERED_BATCHES: Final = 32
#: Withdrawals of stops that this gateway has not heard of yet.
MAX_WITHHELD_RELEASES: Final = 10_000
#: Status changes of one vehicle that wait for Kafka; beyond it the newest replaces the one before.
MAX_WAITING_CHANGES: Final = 16

# Clocks

#: A vehicle's clock that is off by more than this is corrected, seconds.
CLOCK_TOLERANCE_S: Final = 1.0
#: The least transit delay is looked for in windows of this length, seconds: long enough to see an undelayed frame,
#: short enough that two clocks do not drift apart by more than a few hundredths.
CLOCK_WINDOW_S: Final = 300.0

# The gateway as a whole

#: How long a vehicle is asked to wait when Kafka's backlog is full, seconds.
THROTTLE_S: Final = 1.0
#: Reports to a command service come no closer together than this on the average, seconds,
COALESCE_S: Final = 0.010
#: but for so many, so that the stop of one vehicle is told as it happens.
REPORTS_AT_ONCE: Final = 4
#: Those that nobody waits for may be gathered for so long, seconds.
GATHER_S: Final = 0.050
#: How long news from one command service waits before the others are told, seconds: it tells them itself, in the moment
#: in which every processor is wanted for vehicles. It never falls behind anything else on its way to them.
RELAY_S: Final = 0.020
#: Stops of which it is kept which command service brought them, the one at which somebody waits for reports.
MAX_ASKED: Final = 1_000
#: Between two pulses, seconds.
PULSE_S: Final = 0.45
#: Those of many vehicles are told in so many turns: all at once they hold the event loop for 8 ms a thousand, and a
#: stop that comes then.
PULSE_TURNS: Final = 6
#: Those of so many are told in one.
PULSES_AT_ONCE: Final = 150
#: Beats of the gateway within one lease.
BEATS_PER_LEASE: Final = 8
#: Heartbeats are answered by a frame of its own at most so often within one permit: each one of them,
PERMITS_PER_TTL: Final = 8
#: of up to so many vehicles of this gateway;
ANSWERS_ALL_OF: Final = 250
#: of more every other one. A permit then comes while three fifths of the one before are left, and not four.
PERMITS_PER_TTL_OF_MANY: Final = 3
#: A permit waits so long, and at most twice as long, for an ack to ride on, seconds. Kafka mostly answers within it.
PERMIT_RIDES_S: Final = 0.05
#: A command service that sends nothing for so long is connected to anew, seconds.
LINK_SILENT_S: Final = 5.0
#: To connect to a command service and exchange sets, seconds.
LINK_OPEN_WITHIN_S: Final = 5.0
#: Of one frame between gateway and command service, bytes: 10,000 stops, most of them zones.
MAX_LINK_FRAME_BYTES: Final = 32 * 1024 * 1024
#: Entries that wait for one command service; beyond it the link is dropped and starts again with the whole state.
MAX_LINK_BACKLOG: Final = 50_000
#: Order reports that are kept for a command service that is away; the oldest go first.
MAX_KEPT_ORDER_REPORTS: Final = 1_000
#: Stops that are released for all are forgotten after so long.
STOP_RETENTION_DAYS: Final = 90
COMPACT_EVERY_S: Final = 3_600.0
#: How long the end of the process waits for Kafka, seconds. What is not delivered then is not acknowledged.
FLUSH_S: Final = 3.0
#: Vehicles are told to move within this when the gateway stops, seconds. They leave in the first half of it, each at
#: its own moment: a thousand at a pace that the gateway which takes them in can follow.
DRAIN_S: Final = 5.0
#: Those that are left then are cut; how long their streams may take to end, seconds.
STOP_GRACE_S: Final = 1.0
#: The supervisors of local stack and compose give a gateway at least so long to end, seconds.
STOP_WITHIN_S: Final = 15.0


def silent_after_s(permit_ttl_s: float) -> float:
    """With long permits heartbeats are rare, and a vehicle that sends nothing else is not silent between two."""
    return max(SILENT_AFTER_S, permit_ttl_s / HEARTBEATS_PER_PERMIT + HEARTBEAT_SLACK_S)


#: What Kafka and its readers have of the budget, seconds.
KAFKA_S: Final = 0.2

assert silent_after_s(MAX_TTL_S) + TICK_S + KAFKA_S < LOST_WITHIN_S < CLOSE_SILENT_AFTER_S
assert MAX_READINGS_PER_BATCH * MAX_READING_BYTES <= MAX_BATCH_BYTES < MAX_FRAME_BYTES
assert 2 * LEND_FROM <= MAX_READINGS_PER_BATCH
assert TICK_S < LOAN_IDLE_S
assert PERMITS_PER_TTL_OF_MANY < HEARTBEATS_PER_PERMIT < PERMITS_PER_TTL
assert MIN_TTL_S / PERMITS_PER_TTL_OF_MANY + MIN_TTL_S / HEARTBEATS_PER_PERMIT + 2 * PERMIT_RIDES_S < MIN_TTL_S, (
    "the next permit comes while the one before lasts, however long it waits"
)
assert MAX_MONOTONIC_NANOS < MAX_NUMBER
assert TICK_S < ABORT_WITHIN_S < WRITE_STALL_S < CLOSE_SILENT_AFTER_S
assert GRACE_S + MAX_FRAME_BYTES / MIN_BYTES_PER_S < CLOSE_SILENT_AFTER_S, "held back is not silent"
assert MIN_THROTTLE_S <= BURST_S / 2
assert DRAIN_S + STOP_GRACE_S + FLUSH_S < STOP_WITHIN_S
assert 0.4 <= PULSE_S <= 0.5
