"""Into Kafka and back: what a delivery report sets free, and what a failure does."""

from collections.abc import Callable, Iterable

import pytest
from confluent_kafka import KafkaError
from haul.telemetry.v1.telemetry_pb2 import StatusChange

from ingest_gateway import sink
from ingest_gateway.acks import Known
from ingest_gateway.dead_letters import MAX_LETTER_BYTES
from ingest_gateway.effects import Lost
from ingest_gateway.intake import take_in
from ingest_gateway.record import VehicleRecord
from ingest_gateway.sink import RENEW_S, RESERVED_ROOM, Sink
from ingest_gateway.tickets import Ticket
from pitwall.kafka import Delivery, NoRoom
from tests.unit.ingest_gateway.builders import EPOCH, VEHICLE, at, batch, reading

REFUSED = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
PURGED = KafkaError(KafkaError._PURGE_QUEUE)


class FakeBridge:
    """Keeps what is produced until the test reports on it."""

    def __init__(self, report: Callable[[list[Delivery[Ticket]]], None]) -> None:
        self._report = report
        self.room = 10_000
        self.trouble = None
        self.broken = False
        self.produced: list[tuple[str, str, bytes, dict[str, bytes]]] = []
        self.tokens: list[tuple[Ticket, bytes]] = []
        self.together: dict[Ticket, int] = {}

    @property
    def in_flight(self) -> int:
        return len(self.tokens)

    def produce(
        self, topic: str, key: str, value: bytes, token: Ticket, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        if self.room <= 0:
            raise NoRoom
        self._hand_over(topic, key, value, token, headers)

    def produce_all(self, topic: str, key: str, values: list[bytes], token: Ticket) -> int:
        taken = values[: self.room]
        for value in taken:
            self._hand_over(topic, key, value, token, None)
        self.together[token] = len(taken)
        return len(taken)

    def _hand_over(
        self, topic: str, key: str, value: bytes, token: Ticket, headers: list[tuple[str, bytes]] | None
    ) -> None:
        self.room -= 1
        self.produced.append((topic, key, value, dict(headers or [])))
        self.tokens.append((token, value))

    def report(self, *errors: KafkaError | None) -> None:
        """On the oldest ones, one for each."""
        done, self.tokens = self.tokens[: len(errors)], self.tokens[len(errors) :]
        told: list[Delivery[Ticket]] = []
        for (token, value), error in zip(done, errors, strict=True):
            told += self._told(token, value, error)
        self._report(told)

    def _told(self, token: Ticket, value: bytes, error: KafkaError | None) -> list[Delivery[Ticket]]:
        """As a bridge does it."""
        if token not in self.together:
            return [Delivery(token, error)]
        failed = [] if error is None else [Delivery(token, error, value)]
        self.together[token] -= 1
        return failed if self.together[token] else [*failed, Delivery(token, None)]


class Listener:
    def __init__(self) -> None:
        self.due: list[str] = []
        self.again: list[tuple[str, str]] = []
        self.settled: list[tuple[str, bool]] = []
        self.lost = 0

    def acks_due(self, vehicle_ids: Iterable[str]) -> None:
        self.due += vehicle_ids

    def offer_again(self, vehicle_id: str, reason: str) -> None:
        self.again.append((vehicle_id, reason))

    def readings_lost(self, count: int) -> None:
        self.lost += count

    def status_settled(self, vehicle_id: str, *, delivered: bool) -> None:
        self.settled.append((vehicle_id, delivered))


class Rig:
    def __init__(self) -> None:
        self.bridges: list[FakeBridge] = []
        self.listener = Listener()
        self.record = VehicleRecord(VEHICLE)
        self.sink = Sink("gateway-1", self._open)  # type: ignore[arg-type]
        self.sink.listen(self.listener)

    def _open(self, report: Callable[[list[Delivery[Ticket]]], None]) -> FakeBridge:
        self.bridges.append(FakeBridge(report))
        return self.bridges[-1]

    @property
    def bridge(self) -> FakeBridge:
        return self.bridges[-1]

    def take(self, *speeds: float) -> int:
        """Readings from 1 on, with these speeds."""
        made = (reading(number, 0.0, speed_kph=speed) for number, speed in enumerate(speeds, 1))
        return self.sink.take(take_in(batch(*made).reading_batch, self.record, at(1)), self.record)

    def acked(self) -> list[tuple[int, int]]:
        ack = self.record.acks.next_ack()
        return [(each.first, each.last) for each in ack.ranges] if ack else []


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_good_ones_go_to_telemetry_and_bad_ones_to_the_dead_letters_with_where_why_and_when(rig: Rig) -> None:
    rig.take(1.0, -1.0)
    good, bad = rig.bridge.produced
    assert good[:2] == ("vehicle-telemetry", VEHICLE)
    assert good[3] == {}
    assert bad[:2] == ("dead-letter-topic", VEHICLE)
    headers = {name: value.decode() for name, value in bad[3].items()}
    assert headers["ce_id"] == f"{VEHICLE}:{EPOCH}:2"
    assert (headers["ce_type"], headers["content-type"]) == ("haul.telemetry.v1.Reading", "application/protobuf")
    assert (headers["dl_where"], headers["dl_reason"], headers["dl_field"]) == (
        "ingest_gateway/gateway-1",
        "OUT_OF_RANGE",
        "speed_kph",
    )
    assert "-1 km/h" in headers["dl_message"]
    assert headers["dl_time"]


def test_only_what_has_its_report_is_acknowledged_and_a_batch_when_it_has_them_all(rig: Rig) -> None:
    rig.take(1.0, 1.0, -1.0)
    assert rig.acked() == []
    rig.bridge.report(None)
    assert rig.acked() == []
    assert rig.listener.due == []
    rig.bridge.report(None)
    assert rig.acked() == [(1, 2)]
    assert rig.listener.due == [VEHICLE]
    rig.bridge.report(None)
    assert rig.acked() == [(3, 3)]


def test_one_that_is_refused_for_good_is_unknown_again_and_asked_for(rig: Rig) -> None:
    rig.take(1.0, 1.0, 1.0)
    rig.bridge.report(None, REFUSED, None)
    assert rig.acked() == [(1, 1), (3, 3)]
    assert rig.listener.again == [(VEHICLE, "MSG_SIZE_TOO_LARGE")]
    assert rig.record.acks.known(EPOCH, 2) is Known.NEW
    assert len(rig.bridges) == 1


def test_a_vehicle_of_which_many_fail_together_is_asked_once(rig: Rig) -> None:
    rig.take(1.0, 1.0, 1.0)
    rig.bridge.report(PURGED, PURGED, REFUSED)
    assert rig.listener.again == [(VEHICLE, "_PURGE_QUEUE")]
    assert rig.record.acks.in_flight == 0


def test_a_broken_producer_is_made_anew_once_and_the_old_ones_records_are_asked_for(rig: Rig) -> None:
    rig.take(1.0, 1.0)
    first = rig.bridge
    first.broken = True
    first.report()
    first.report(PURGED)
    first.report(PURGED)
    assert len(rig.bridges) == 2
    assert len(rig.listener.again) == 2
    rig.take(1.0, 1.0)
    rig.bridge.report(None, None)
    assert rig.acked() == [(1, 2)]


def test_one_that_breaks_again_at_once_is_made_anew_when_something_is_offered_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(sink, "boottime_s", lambda: now_s)
    for _ in range(2):
        rig.bridge.broken = True
        rig.bridge.report()
    assert len(rig.bridges) == 2
    assert rig.sink.has_room(1)
    assert len(rig.bridges) == 2
    now_s += RENEW_S
    assert rig.sink.has_room(1)
    assert len(rig.bridges) == 3


def test_a_refused_reading_of_any_size_fits_among_the_dead_letters(rig: Rig) -> None:
    huge = reading(1, vehicle_id="x" * 2_000_000)
    rig.sink.take(take_in(batch(huge).reading_batch, rig.record, at(1)), rig.record)
    _, _, letter, headers = rig.bridge.produced[-1]
    assert letter == huge.SerializeToString()[: len(letter)]
    assert len(letter) == MAX_LETTER_BYTES
    assert headers["dl_message"].decode().endswith(f"the first 900000 of {huge.ByteSize()} bytes")


def test_what_does_not_fit_after_all_is_unknown_again(rig: Rig) -> None:
    rig.bridge.room = 1
    assert rig.take(1.0, 1.0, -1.0) == 2
    assert rig.record.acks.in_flight == 1
    assert rig.record.acks.known(EPOCH, 2) is Known.NEW
    assert rig.record.acks.known(EPOCH, 3) is Known.NEW


def test_readings_leave_room_for_what_is_rarer(rig: Rig) -> None:
    rig.bridge.room = RESERVED_ROOM + 5
    assert rig.sink.has_room(5)
    assert not rig.sink.has_room(6)


def test_a_declared_loss_is_acknowledged_when_it_is_a_durable_dead_letter(rig: Rig) -> None:
    assert rig.sink.lost(Lost(EPOCH, 5, 9, "OUTBOX_FULL", b"bytes"), rig.record)
    topic, _, value, headers = rig.bridge.produced[0]
    assert (topic, value) == ("dead-letter-topic", b"bytes")
    assert headers["dl_reason"] == b"OUTBOX_FULL"
    assert b"5 readings" in headers["dl_message"]
    assert (rig.acked(), rig.listener.lost) == ([], 0)
    rig.bridge.report(None)
    assert (rig.acked(), rig.listener.lost) == ([(5, 9)], 5)


@pytest.mark.parametrize(("error", "delivered"), [(None, True), (REFUSED, False)])
def test_a_status_change_says_what_became_of_it(rig: Rig, error: KafkaError | None, delivered: bool) -> None:
    assert rig.sink.status(StatusChange(vehicle_id=VEHICLE, change_id="c"))
    assert rig.bridge.produced[0][0] == "vehicle-status-change"
    rig.bridge.report(error)
    assert rig.listener.settled == [(VEHICLE, delivered)]


def test_a_declared_loss_is_in_flight_until_kafka_has_said_what_became_of_it(rig: Rig) -> None:
    for error in (None, REFUSED):
        assert rig.sink.lost(Lost(EPOCH, 5, 9, "OUTBOX_FULL", b"bytes"), rig.record)
        assert rig.record.acks.losses_in_flight == 1
        rig.bridge.report(error)
        assert rig.record.acks.losses_in_flight == 0
    assert rig.listener.again == [(VEHICLE, "MSG_SIZE_TOO_LARGE")]
    rig.bridge.room = 0
    assert not rig.sink.lost(Lost(EPOCH, 5, 9, "OUTBOX_FULL", b"bytes"), rig.record)
    assert rig.record.acks.losses_in_flight == 0


def test_no_room_is_said_and_nothing_is_kept(rig: Rig) -> None:
    rig.bridge.room = 0
    assert not rig.sink.status(StatusChange(vehicle_id=VEHICLE))
    assert not rig.sink.lost(Lost(EPOCH, 1, 1, "R", b""), rig.record)
    assert rig.sink.in_flight == 0
