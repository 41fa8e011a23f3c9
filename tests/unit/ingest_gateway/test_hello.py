"""The first frame: what is refused, with which code, naming what."""

import math
from collections.abc import Callable

import pytest
from haul.link.v1.vehicle_link_service_pb2 import Hello

from ingest_gateway.effects import Code, Illegal
from ingest_gateway.hello import SessionKey, read_hello
from ingest_gateway.limits import MAX_LATCHED, MAX_MONOTONIC_NANOS, MAX_TEXT_CHARACTERS, PROTOCOL_VERSION
from ingest_gateway.validation import MAX_TIMESTAMP_S
from pitwall import wire
from tests.unit.ingest_gateway.builders import EPOCH, OTHER, VEHICLE, delta, hello, release, stop

Change = Callable[[Hello], object]


def bring(*entries: object) -> Change:
    return lambda said: said.stop_set.CopyFrom(wire.set_to_proto(delta(*entries)))  # type: ignore[arg-type]


def put(name: str, value: object) -> Change:
    return lambda said: setattr(said, name, value)


ROWS: list[tuple[str, Change, Code, str, list[str]]] = [
    ("another vehicle", put("vehicle_id", OTHER), Code.PERMISSION_DENIED, "WRONG_VEHICLE", [OTHER, VEHICLE]),
    ("no vehicle id", put("vehicle_id", "x!"), Code.INVALID_ARGUMENT, "MALFORMED_VEHICLE_ID", ["x!", "A-Z"]),
    ("version 0", put("protocol_version", 0), Code.INVALID_ARGUMENT, "PROTOCOL_VERSION", ["0 is not taken"]),
    (
        "two versions ahead",
        put("protocol_version", PROTOCOL_VERSION + 2),
        Code.INVALID_ARGUMENT,
        "PROTOCOL_VERSION",
        [str(PROTOCOL_VERSION + 2)],
    ),
    ("no epoch", put("boot_epoch", 0), Code.INVALID_ARGUMENT, "OUT_OF_RANGE", ["hello.boot_epoch"]),
    ("no count", put("connect_count", 0), Code.INVALID_ARGUMENT, "OUT_OF_RANGE", ["hello.connect_count"]),
    ("a huge epoch", put("boot_epoch", 2**63), Code.INVALID_ARGUMENT, "OUT_OF_RANGE", ["hello.boot_epoch"]),
    ("a huge count", put("connect_count", 2**63), Code.INVALID_ARGUMENT, "OUT_OF_RANGE", ["hello.connect_count"]),
    (
        "a wall clock of the year 10000",
        lambda said: setattr(said.clock.wall_time, "seconds", MAX_TIMESTAMP_S + 1),
        Code.INVALID_ARGUMENT,
        "MALFORMED",
        ["hello.clock.wall_time", "years 1 to 9999"],
    ),
    (
        "a computer that has run for centuries",
        lambda said: setattr(said.clock, "monotonic_nanos", MAX_MONOTONIC_NANOS + 1),
        Code.INVALID_ARGUMENT,
        "OUT_OF_RANGE",
        ["hello.clock.monotonic_nanos"],
    ),
    (
        "a status of no time",
        lambda said: setattr(said.status.event_time, "nanos", -1),
        Code.INVALID_ARGUMENT,
        "MALFORMED",
        ["hello.status.event_time", "-1 ns"],
    ),
    ("no clock", lambda said: said.ClearField("clock"), Code.INVALID_ARGUMENT, "MISSING", ["hello.clock"]),
    ("no status", lambda said: said.ClearField("status"), Code.INVALID_ARGUMENT, "NOT_ALLOWED", ["hello.status"]),
    ("no hold", lambda said: said.status.ClearField("motion_hold"), Code.INVALID_ARGUMENT, "NOT_ALLOWED", ["hold"]),
    (
        "a novel for a version",
        put("software_version", "x" * (MAX_TEXT_CHARACTERS + 1)),
        Code.INVALID_ARGUMENT,
        "TOO_LONG",
        [str(MAX_TEXT_CHARACTERS)],
    ),
    (
        "a deceleration that is none",
        put("lowest_deceleration_mps2", math.nan),
        Code.INVALID_ARGUMENT,
        "OUT_OF_RANGE",
        ["nan m/s²"],
    ),
    (
        "a negative deceleration",
        put("lowest_deceleration_mps2", -1.0),
        Code.INVALID_ARGUMENT,
        "OUT_OF_RANGE",
        ["-1.0 m/s²"],
    ),
    (
        "too many latches",
        lambda said: said.status.latched_stop_ids.extend(["s"] * (MAX_LATCHED + 1)),
        Code.INVALID_ARGUMENT,
        "TOO_MANY",
        ["latched_stop_ids"],
    ),
    (
        "a stop without a scope",
        lambda said: said.stop_set.stops.add(stop_id="s-1"),
        Code.INVALID_ARGUMENT,
        "MALFORMED_SET",
        ["scope"],
    ),
    (
        "a stop whose id the stores refuse",
        bring(stop("s\x001")),
        Code.INVALID_ARGUMENT,
        "MALFORMED_SET",
        ["stop_id"],
    ),
    (
        "a stop whose id is too long for a key",
        bring(stop("s" * 201)),
        Code.INVALID_ARGUMENT,
        "MALFORMED_SET",
        ["stop_id"],
    ),
    (
        "another vehicle's own stop",
        bring(stop("s-1", vehicle_id=OTHER)),
        Code.INVALID_ARGUMENT,
        "FOREIGN_STOP",
        ["s-1", OTHER],
    ),
    (
        "a stop of its own for the fleet",
        bring(stop("s-1", stop("x").scope, vehicle_id=VEHICLE)),
        Code.INVALID_ARGUMENT,
        "SCOPE_TOO_WIDE",
        ["s-1", VEHICLE],
    ),
]


@pytest.mark.parametrize(("what", "change", "code", "reason", "named"), ROWS, ids=[row[0] for row in ROWS])
def test_is_refused_by_name(what: str, change: Change, code: Code, reason: str, named: list[str]) -> None:
    said = hello().hello
    change(said)
    with pytest.raises(Illegal) as caught:
        read_hello(said, VEHICLE)
    close = caught.value.close
    assert (close.code, close.reason) == (code, reason), what
    assert next(iter(close.fields)).startswith("hello.")
    for text in named:
        assert text in close.message


def test_a_good_one_says_who_and_on_what_terms() -> None:
    said = read_hello(hello(connect_count=3).hello, VEHICLE)
    assert said.key == SessionKey(EPOCH, 3)
    assert said.protocol_version == 1, "the lower one of both"
    assert said.lowest_deceleration_mps2 == 1.5


def test_a_vehicle_one_version_ahead_is_answered_in_ours() -> None:
    assert read_hello(hello(protocol_version=PROTOCOL_VERSION + 1).hello, VEHICLE).protocol_version == PROTOCOL_VERSION


def test_a_vehicle_brings_any_stop_and_withdraws_its_own_alone() -> None:
    said = hello().hello
    own = release("r-1", "s-1", vehicles=[VEHICLE], vehicle_id=VEHICLE)
    bring(
        stop("s-1", vehicle_id=VEHICLE),
        stop("s-2"),
        own,
        release("r-2", "s-2"),
        release("r-3", "s-2", vehicle_id=OTHER),
        release("r-4", "s-2", vehicles=[OTHER], vehicle_id=VEHICLE),
    )(said)
    brought = read_hello(said, VEHICLE).brought
    assert {each.stop_id for each in brought.delta.stops} == {"s-1", "s-2"}
    assert brought.delta.releases == (own,)
    assert brought.ignored == 3


@pytest.mark.parametrize(
    ("older", "newer"),
    [((1, 9), (2, 1)), ((2, 1), (2, 2))],
    ids=["a new boot", "a new stream"],
)
def test_sessions_are_ordered_by_boot_then_by_stream(older: tuple[int, int], newer: tuple[int, int]) -> None:
    assert SessionKey(*older) < SessionKey(*newer)
