"""Bytes on the vehicle socket: there and back, in any pieces, and nothing broken gets through."""

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.fleet import MAX_FLEET
from edge_agent.vehicle import DRIVE_FAULT, LOCAL_STOP_BUTTON, VehicleSample, Verdict
from edge_agent.vehicle_wire import (
    MAX_CAUSE_BYTES,
    MAX_FRAME_BYTES,
    QUANTITY_NAMES,
    BrokenFrame,
    FrameKind,
    FrameReader,
    fault_bits,
    frame,
    hello,
    pack_sample,
    pack_verdict,
    read_hello,
    read_refused,
    read_samples,
    read_verdicts,
    refused,
    samples,
    verdicts,
    welcome,
)
from pitwall.domain.vehicle_state import VehicleStatus

INDEXES = st.integers(0, MAX_FLEET - 1)
VERDICTS = st.builds(
    Verdict,
    may_move=st.booleans(),
    deadline_s=st.floats(allow_nan=False),
    status=st.sampled_from(VehicleStatus),
    cause=st.text(max_size=40),
    boot_epoch=st.integers(0, 2**64 - 1),
    sequence=st.integers(0, 2**64 - 1),
    slowing=st.booleans(),
)
QUANTITIES = st.tuples(*[st.one_of(st.just(math.nan), st.floats(allow_nan=False))] * len(QUANTITY_NAMES))


def only(data: bytes) -> tuple[FrameKind, memoryview]:
    ((kind, body),) = FrameReader().feed(data)
    return kind, body


@given(st.lists(st.tuples(INDEXES, VERDICTS), max_size=20))
def test_verdicts_arrive_as_they_were_sent(sent: list[tuple[int, Verdict]]) -> None:
    kind, body = only(verdicts([pack_verdict(index, verdict) for index, verdict in sent]))
    assert kind is FrameKind.VERDICTS
    assert list(read_verdicts(body)) == sent


@given(st.lists(st.tuples(INDEXES, st.booleans(), st.booleans(), st.floats(0, 1e9), QUANTITIES), max_size=20))
def test_samples_arrive_as_they_were_sent_and_unknown_is_absence(
    sent: list[tuple[int, bool, bool, float, tuple[float, ...]]],
) -> None:
    records = [pack_sample(index, braking, button, now_s, values) for index, braking, button, now_s, values in sent]
    kind, body = only(samples(records))
    assert kind is FrameKind.SAMPLES
    for (index, braking, button, now_s, values), (found, sample) in zip(sent, read_samples(body), strict=True):
        assert found == index
        assert (sample.braking, sample.measured_s) == (braking, now_s)
        assert sample.faults == ({LOCAL_STOP_BUTTON} if button else set())
        for name, value in zip(QUANTITY_NAMES, values, strict=True):
            assert getattr(sample, name) == (None if math.isnan(value) else value)


@pytest.mark.parametrize("cause", ["ä" * 150, "x" * 199 + "é", "x" * 5_000])
def test_a_long_cause_is_cut_between_characters(cause: str) -> None:
    verdict = Verdict(False, 0.0, VehicleStatus.IDLE, cause, 1, 1)
    ((_, read),) = read_verdicts(only(verdicts([pack_verdict(0, verdict)]))[1])
    assert cause.startswith(read.cause)
    assert MAX_CAUSE_BYTES - 4 <= len(read.cause.encode()) <= MAX_CAUSE_BYTES


@given(data=st.data())
def test_frames_come_whole_however_the_bytes_are_cut(data: st.DataObject) -> None:
    bodies = data.draw(st.lists(st.binary(max_size=60), max_size=10))
    stream = b"".join(frame(FrameKind.SAMPLES, body) for body in bodies)
    reader, found = FrameReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        piece, stream = stream[:size], stream[size:]
        found += [bytes(body) for _, body in reader.feed(piece)]
    assert found == bodies


def test_greetings_arrive_as_they_were_sent() -> None:
    kind, body = only(hello(["A-01", "B-02"]))
    assert (kind, read_hello(body)) == (FrameKind.HELLO, ("A-01", "B-02"))
    kind, body = only(refused("no such vehicle"))
    assert (kind, read_refused(body)) == (FrameKind.REFUSED, "no such vehicle")
    assert only(welcome())[0] is FrameKind.WELCOME


def test_a_fleet_of_the_largest_size_fits_into_a_frame() -> None:
    record = pack_verdict(MAX_FLEET - 1, Verdict(True, 0.0, VehicleStatus.IDLE, "x" * 500, 2**64 - 1, 2**64 - 1))
    assert len(verdicts([record] * MAX_FLEET)) < MAX_FRAME_BYTES
    assert len(samples([pack_sample(0, True, 1, 0.0, (0.0,) * len(QUANTITY_NAMES))] * MAX_FLEET)) < MAX_FRAME_BYTES


def test_a_frame_that_the_peer_would_refuse_is_not_made() -> None:
    with pytest.raises(BrokenFrame, match="SAMPLES frame of"):
        frame(FrameKind.SAMPLES, b"x" * MAX_FRAME_BYTES)


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("an empty frame", struct.pack("<IB", 0, 1)),
        ("a frame too long", struct.pack("<IB", MAX_FRAME_BYTES + 1, 1)),
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n"),
        ("an unknown kind", struct.pack("<IB", 1, 99)),
        ("kind 0", struct.pack("<IB", 1, 0)),
    ],
)
def test_a_broken_stream_is_refused(what: str, data: bytes) -> None:
    with pytest.raises(BrokenFrame):
        list(FrameReader().feed(data))


def test_an_unfinished_frame_is_all_that_is_held() -> None:
    reader = FrameReader()
    whole = frame(FrameKind.SAMPLES, b"x" * 1_000)
    assert len(list(reader.feed(whole * 3 + whole[:500]))) == 3
    assert len(reader._rest) == 500


GOOD = pack_verdict(0, Verdict(True, 0.0, VehicleStatus.IDLE, "why", 1, 1))


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("cut within the record", GOOD[:10]),
        ("cut within the cause", GOOD[:-1]),
        ("an unknown status", GOOD[:3] + b"\x63" + GOOD[4:]),
        ("rubbish behind", GOOD + b"\x00"),
    ],
)
def test_broken_verdicts_are_refused(what: str, body: bytes) -> None:
    with pytest.raises(BrokenFrame):
        list(read_verdicts(memoryview(body)))


@pytest.mark.parametrize(
    "body",
    [
        b"\x00",
        pack_sample(0, True, 0, 0.0, (0.0,) * 16)[:-1],
        pack_sample(0, True, 200, 0.0, (0.0,) * 16),
        pack_sample(0, True, 0, math.nan, (0.0,) * 16),
        pack_sample(0, True, 0, math.inf, (0.0,) * 16),
    ],
)
def test_broken_samples_are_refused(body: bytes) -> None:
    with pytest.raises(BrokenFrame):
        list(read_samples(memoryview(body)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "lacks version or vehicle_ids"),
        ({"version": 1}, "lacks"),
        ([1], "lacks"),
        ({"version": 2, "vehicle_ids": ["A"]}, "speaks version 2, the plant version 1"),
        ({"version": 1, "vehicle_ids": []}, "1 to 5000 vehicles"),
        ({"version": 1, "vehicle_ids": [7]}, "1 to 5000 vehicles"),
        ({"version": 1, "vehicle_ids": ["A"] * (MAX_FLEET + 1)}, "1 to 5000 vehicles"),
    ],
)
def test_a_bad_hello_is_refused(content: object, told: str) -> None:
    with pytest.raises(BrokenFrame, match=told):
        read_hello(memoryview(json.dumps(content).encode()))


def test_a_hello_that_is_no_json_is_refused() -> None:
    with pytest.raises(BrokenFrame, match="no JSON"):
        read_hello(memoryview(b"{"))
    with pytest.raises(BrokenFrame, match="reason"):
        read_refused(memoryview(b"{}"))


def test_a_fault_that_the_socket_cannot_carry_is_an_error_and_not_lost() -> None:
    assert (fault_bits([LOCAL_STOP_BUTTON]), fault_bits([DRIVE_FAULT, LOCAL_STOP_BUTTON])) == (1, 3)
    with pytest.raises(ValueError, match="not in tuple"):
        fault_bits(["ENGINE_FIRE"])


def test_position_is_unknown_when_either_coordinate_is() -> None:
    known = VehicleSample(0.0, False, latitude_degrees=-24.0, longitude_degrees=-69.0).position
    assert known is not None
    assert (known.latitude_degrees, known.longitude_degrees) == (-24.0, -69.0)
    assert VehicleSample(0.0, False, latitude_degrees=-24.0).position is None
    assert VehicleSample(0.0, False, longitude_degrees=-69.0).position is None
