"""Limits of the agent in one place, each with its unit, and how they must relate."""

from typing import Final

from pitwall.domain.permit import MAX_TTL_S, MIN_TTL_S
from pitwall.domain.stop_set import POSITION_MAX_AGE_S

# Control

#: The control loop runs so often, seconds.
CONTROL_PERIOD_S: Final = 0.1
#: A verdict outlives this many missed ticks and no more; then the vehicle brakes by itself.
VERDICT_PERIODS: Final = 3
#: Without a sample younger than this, seconds, the agent drives blind and lets nothing move.
SAMPLE_MAX_AGE_S: Final = 1.0
#: A sample that claims to be from so far ahead, seconds, is of another clock than ours: it counts as none.
SAMPLE_AHEAD_S: Final = 0.5
#: Without one for longer than this, seconds, the link to the vehicle counts as lost and it waits for RESUME: as long as
#: a permit lasts by default, but no gateway's to set, because it is about what lies below the gate.
BLIND_HOLD_S: Final = 2.0
#: An own reason to stop must have been gone so long, seconds, before its stop is withdrawn.
OWN_STOP_CLEAR_S: Final = 1.0
#: A vehicle that has just started waits so long, seconds, for its first sample before it lets anybody judge it: without
#: a position every zone would latch it.
FIRST_SAMPLE_WAIT_S: Final = POSITION_MAX_AGE_S

# Drills

#: The stop of a drill must come within so many seconds of the vehicle's consent: others that are asked with it may take
#: some to answer.
DRILL_STOP_WAIT_S: Final = 15.0
#: From the end of leave to standing nothing takes longer, seconds; who does not stand by then has failed.
DRILL_LASTS_S: Final = 30.0

# Memory of one vehicle

#: Stops and releases that it keeps beyond those that hold it; the oldest go first.
REMEMBERED_RELEASES: Final = 1_000
#: From so many stops and releases on it looks what it can forget.
SET_TRIM_AT: Final = 4_000
#: Orders whose id is on its way to the disk.
MAX_PENDING_ORDERS: Final = 16
#: Answers to orders, a day's worth for all that operators do.
REMEMBERED_ANSWERS: Final = 2_000
#: Reports that wait for the stream; what the next Hello says anyway goes first.
MAX_QUEUED_REPORTS: Final = 1_000

# Readings

#: Live readings that one vehicle holds in memory, sent or not; older ones are history, fetched from the disk.
LIVE_READINGS: Final = 256
#: What is measured later than so many seconds after the stream has gone is history from the start: when the link is
#: back, what is measured then goes first.
LIVE_WITHOUT_STREAM_S: Final = 2.0
#: Readings on their way without an ack, whatever the gateway would allow.
MAX_UNACKED_READINGS: Final = 2_000
#: Bytes of the readings in one batch, whatever the gateway would allow; a gateway takes frames of 1 MiB at least.
MAX_BATCH_BYTES: Final = 768 * 1024
#: History takes at most this share of the readings on their way.
HISTORY_SHARE: Final = 0.5
#: Ranges of readings that were given up, kept until the gateway has them.
MAX_LOST_RANGES: Final = 1_000
#: Of these, told and not acknowledged; a gateway declines more than it can remember, and each may be of another boot.
MAX_LOST_UNDER_WAY: Final = 3
#: Boot epochs of history on its way without an ack: an agent that was started often has some with few readings each. A
#: gateway takes nothing of one more than it can remember, and asks the vehicle to wait, with its live readings too.
MAX_EPOCHS_UNDER_WAY: Final = 4

#: Readings of all vehicles of the process that are in memory because the disk takes none; the oldest go first.
MAX_UNSAVED_READINGS: Final = 20_000
#: Commands that wait for the outbox's thread. Beyond, a reading is lost and declared so.
OUTBOX_QUEUE: Final = 50_000
#: A database that could not be opened is tried again so often, seconds.
OUTBOX_RETRY_S: Final = 5.0
#: The same for a latch file that could not be written: it matters more.
LATCH_RETRY_S: Final = 0.5

# The stream

#: A heartbeat travels at least so often within the life of a permit.
HEARTBEATS_PER_PERMIT: Final = 5
#: The first frame down must be there after so many seconds.
SETUP_WAIT_S: Final = 5.0
#: Readings wait at most so long, seconds after Welcome, for a permit that shows that the gateway has its majority.
SETTLE_WAIT_S: Final = 5.0
#: Before a stream is left in good order, readings under way have so long, seconds, to be acknowledged.
PART_WAIT_S: Final = 0.5
#: A gateway that says nothing for so many lives of a permit is gone, whatever TCP thinks.
SILENT_PERMITS: Final = 1.5
#: Waits, seconds, between moves from one gateway without a majority to the next: first at once, then doubling.
MIN_MAJORITY_WAIT_S: Final = 1.0
MAX_MAJORITY_WAIT_S: Final = 30.0
#: Bytes of the set in a Hello; a gateway takes frames of 1 MiB.
MAX_HELLO_SET_BYTES: Final = 768 * 1024

#: Bytes of one frame down: a gateway splits a larger set.
MAX_SET_FRAME_BYTES: Final = 4 * 1024 * 1024
#: Streams that one process opens at a time to one gateway, from the first byte to Welcome: more of them would take
#: each other the time to say Hello.
OPENING_AT_ONCE: Final = 25
#: How long the end of a stream is waited for, seconds, before the next try.
CLOSE_WAIT_S: Final = 0.5

# The process

#: Statuses, orders and answers that wait for the disk.
STATE_QUEUE: Final = 20_000
#: What the disk refused of them is tried again so often, seconds.
STATE_RETRY_S: Final = 5.0
#: Vehicles that one slice of the control loop takes; slices spread over the period, so that frames get in between.
SLICE_VEHICLES: Final = 50
#: From SIGTERM to exit, seconds.
STOP_WITHIN_S: Final = 2.0

assert MIN_TTL_S / HEARTBEATS_PER_PERMIT >= CONTROL_PERIOD_S, "no heartbeat may be missing in a permit's fifth"
assert CONTROL_PERIOD_S * VERDICT_PERIODS < MIN_TTL_S
assert SAMPLE_MAX_AGE_S >= CONTROL_PERIOD_S * VERDICT_PERIODS
assert BLIND_HOLD_S >= 2 * SAMPLE_MAX_AGE_S, "jitter that is BLIND for a moment is no hold"
assert DRILL_LASTS_S >= 2 * MAX_TTL_S, "the last permit runs out, and there is time to brake"
assert 0 < HISTORY_SHARE < 1
# Acks, streams, disks and the status server have their turn one after the other.
assert PART_WAIT_S + STOP_WITHIN_S * (1 / 4 + 1 / 4 + 1 / 8) <= STOP_WITHIN_S
assert LIVE_READINGS <= MAX_UNACKED_READINGS
assert SILENT_PERMITS > 1, "a gateway may answer every other heartbeat"
assert REMEMBERED_RELEASES < SET_TRIM_AT
assert MIN_MAJORITY_WAIT_S < MAX_MAJORITY_WAIT_S
