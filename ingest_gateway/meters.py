"""What the gateway counts, by OpenTelemetry; see docs/observability.md for all of it.

A counter of OpenTelemetry costs half as much as everything else that a heartbeat takes here, so counts are plain
numbers (pitwall.instruments).
"""

from collections.abc import Callable, Sequence

from opentelemetry import metrics

from ingest_gateway.intake import Intake
from pitwall.domain.permit import PermitDenial
from pitwall.instruments import Tally, gauge, total

#: What becomes of a reading that arrives: exactly one of these.
OUTCOMES = ("accepted", "rejected", "duplicate", "declined")
#: Why a vehicle is asked to wait; where Kafka does not take its readings, the error's own name on top.
THROTTLES = (
    "UNACKED_READINGS",
    "KAFKA_BACKLOG",
    "READINGS_PER_SECOND",
    "BYTES_PER_SECOND",
    "FRAMES_PER_SECOND",
)
#: Why a stream is turned away before its vehicle has said anything.
TURNED_AWAY = ("DRAINING", "TOO_MANY_CONNECTS", "TOO_MANY_STREAMS", "TOO_MANY_VEHICLES")


class Meters:
    """One process's."""

    def __init__(self, meter: metrics.Meter | None = None) -> None:
        self._meter = meter or metrics.get_meter("pitwall.gateway")
        tally = self._tally
        self._readings = tally("readings", "Readings that arrived, by what became of them", outcome=OUTCOMES)
        self._rejections = tally("rejections", "Rejected readings by field and reason", field=(), reason=())
        self._backfilled = tally("readings.backfilled", "Accepted readings that are history")
        self._corrected = tally("readings.corrected", "Accepted readings whose event time was rewritten")
        self._skipped = tally("readings.skipped", "Sequence numbers jumped over; some come later, as history")
        self._lost = tally("readings.lost", "Readings that vehicles have declared lost")
        denials = [denial.name.lower() for denial in PermitDenial]
        self._permits = tally("permits", "Answers to heartbeats by denial; none: permitted", denial=denials)
        entries = ("merged", "sent", "ignored")
        self._stops = tally("stop.entries", "Stops and releases by what was done with them", outcome=entries)
        self._closed = tally("sessions.closed", "Streams that ended, by reason", reason=())
        self._links = tally("link.events", "Streams to command services, by event", event=(), command_service=())
        self._throttles = tally("throttles", "Vehicles asked to wait, by reason", reason=THROTTLES)
        self._turned_away = tally("streams.refused", "Streams turned away, by reason", reason=TURNED_AWAY)
        kinds = ("status_change_merged", "lost_range_declined", "held_back", "empty_batch")
        self._events = tally("events", "Whatever else happens at a limit, by kind", kind=kinds)

    def _tally(self, name: str, description: str, **labels: Sequence[str]) -> Tally:
        return Tally(self._meter, f"pitwall.gateway.{name}", description, labels)

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        gauge(self._meter, f"pitwall.gateway.{name}", description, read)

    def total(self, name: str, description: str, read: Callable[[], float]) -> None:
        total(self._meter, f"pitwall.gateway.{name}", description, read)

    def intake(self, intake: Intake) -> None:
        """`accepted` and `rejected` are on their way; pitwall.kafka.delivered.records counts when they arrive."""
        add = self._readings.add
        if not (intake.taken or intake.refused or intake.repeated):
            self.event("empty_batch")
        add(len(intake.taken), "accepted")
        add(len(intake.refused), "rejected")
        add(intake.repeated, "duplicate")
        self._backfilled.add(intake.backfilled)
        self._skipped.add(intake.jumped)
        self._corrected.add(intake.corrected)
        for letter in intake.refused:
            self._rejections.add(1, letter.fault.field, letter.fault.reason)

    def declined(self, count: int) -> None:
        """Readings for which there is no room now; the vehicle has been asked to wait."""
        self._readings.add(count, "declined")

    def throttled(self, reason: str) -> None:
        self._throttles.add(1, reason)

    def turned_away(self, reason: str) -> None:
        self._turned_away.add(1, reason)

    def lost(self, count: int) -> None:
        self._lost.add(count)

    def permit(self, denial: PermitDenial) -> None:
        self._permits.add(1, denial.name.lower())

    def stops(self, outcome: str, count: int) -> None:
        self._stops.add(count, outcome)

    def closed(self, reason: str) -> None:
        self._closed.add(1, reason)

    def link(self, event: str, member: str) -> None:
        self._links.add(1, event, member)

    def event(self, kind: str, count: int = 1) -> None:
        self._events.add(count, kind)
