"""What may be set, and who may come in."""

from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from ingest_gateway.admission import Admission, Connects
from ingest_gateway.config import GatewaySettings
from ingest_gateway.effects import Close, Code
from ingest_gateway.limits import CONNECTS_AT_ONCE, CONNECTS_PER_S, MAX_STREAMS_PER_VEHICLE
from ingest_gateway.meters import TURNED_AWAY
from ingest_gateway.servicer import raise_unless_ok
from ingest_gateway.sink import RESERVED_ROOM
from pitwall.config import InvalidSettings
from pitwall.rpc.errors import PitwallError, ResourceExhausted, Unavailable

GOOD = """
name = "gateway-1"
vehicle_address = "127.0.0.1:50051"
metrics_address = "127.0.0.1:9467"
command_services = ["127.0.0.1:50054"]
kafka_bootstrap = "127.0.0.1:9092"
{more}
[tls]
ca = "ca.pem"
certificate = "gateway-1.pem"
key = "gateway-1.key"
"""


def settings(folder: Path, more: str = "", text: str = GOOD) -> GatewaySettings:
    path = folder / "gateway-1.toml"
    path.write_text(text.format(more=more))
    return GatewaySettings.read(path)


def test_defaults_fit_each_other(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.lease_ttl_s, found.permit_ttl_s) == (2.0, 2.0)
    assert found.max_sessions * found.max_unacked_readings + found.lent_pool < found.max_readings_in_flight
    assert found.lent_pool >= 50 * found.max_lent_readings


def test_what_is_not_set_apart_is_lent(tmp_path: Path) -> None:
    found = settings(tmp_path, "max_sessions = 10\nmax_unacked_readings = 100\nmax_readings_in_flight = 5000")
    assert found.lent_pool == 5_000 - 10 * 100 - RESERVED_ROOM
    assert settings(tmp_path, "max_readings_in_flight = 201000").lent_pool == 0


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("permit_ttl = 2", 'did you mean "permit_ttl_s"'),
        ("permit_ttl_s = 11", "permit_ttl_s"),
        ("lease_ttl_s = 0.4", "lease_ttl_s"),
        ("max_sessions = 5000", "at least 1001000"),
        ("max_unacked_readings = 50", "max_unacked_readings"),
        ("max_readings_in_flight = 200999", "at least 201000"),
        ("max_lent_readings = -1", "max_lent_readings"),
        ("max_lent_readings = 0\nmax_readings_per_s = 399", '"max_readings_per_s" must be at least 400'),
        ("max_lent_readings = 0\nmax_frames_per_s = 399", '"max_frames_per_s" must be at least 400'),
        ("max_frames_per_s = 1999", '"max_frames_per_s" must be at least 2000, so that max_unacked.* and max_lent'),
        (
            "max_unacked_readings = 5000\nmax_sessions = 10",
            '"max_readings_per_s" must be at least|"max_frames_per_s" must be',
        ),
        ("max_bytes_per_s = 999999", "max_bytes_per_s"),
        ("max_readings_per_second = 1", 'did you mean "max_readings_per_s"'),
    ],
)
def test_what_does_not_fit_is_named_with_the_mend(tmp_path: Path, more: str, named: str) -> None:
    with pytest.raises(InvalidSettings, match=named):
        settings(tmp_path, more)


@pytest.mark.parametrize("members", ['["a:1", "b:1"]', '["a:1", "b:1", "a:1"]', "[]"])
def test_a_site_has_1_3_or_5_command_services(tmp_path: Path, members: str) -> None:
    with pytest.raises(InvalidSettings, match="1, 3 or 5 different"):
        settings(tmp_path, text=GOOD.replace('["127.0.0.1:50054"]', members))


def test_a_vehicle_has_so_many_streams_and_gets_its_place_back() -> None:
    admission = Admission(10, print)
    held = [admission.enter("A-1") for _ in range(MAX_STREAMS_PER_VEHICLE)]
    for each in held:
        each.__enter__()
    with pytest.raises(ResourceExhausted, match="A-1 has 4 streams"), admission.enter("A-1"):
        pass
    held[0].__exit__(None, None, None)
    with admission.enter("A-1"):
        pass


def test_a_full_gateway_takes_reconnects_and_nobody_new() -> None:
    admission = Admission(1, print)
    with admission.enter("A-1"):
        with admission.enter("A-1"):
            pass
        with pytest.raises(ResourceExhausted, match="move to another address"), admission.enter("B-1"):
            pass
    with admission.enter("B-1"):
        pass


def test_a_vehicle_opens_so_many_streams_at_once_and_then_at_a_rate() -> None:
    now_s, reasons = 0.0, list[str]()
    admission = Admission(10, reasons.append, lambda: now_s)

    def tries(count: int) -> int:
        taken = 0
        for _ in range(count):
            with suppress(ResourceExhausted), admission.enter("A-1"):
                taken += 1
        return taken

    assert tries(50) == CONNECTS_AT_ONCE
    assert reasons == ["TOO_MANY_CONNECTS"] * (50 - CONNECTS_AT_ONCE)
    with admission.enter("B-1"):
        pass
    now_s = 3.0
    assert tries(50) == 3 * CONNECTS_PER_S
    now_s = 1_000.0
    assert tries(50) == CONNECTS_AT_ONCE


def test_who_came_longest_ago_is_forgotten() -> None:
    connects = Connects(capacity=2)
    for _ in range(CONNECTS_AT_ONCE):
        assert connects.take("A-1", 0.0)
    assert not connects.take("A-1", 0.0)
    assert connects.take("B-1", 0.0)
    assert connects.take("C-1", 0.0)
    assert connects.take("A-1", 0.0)


@pytest.mark.parametrize("reason", TURNED_AWAY)
def test_whoever_is_turned_away_is_counted_by_reason(reason: str) -> None:
    reasons = list[str]()
    admission = Admission(1, reasons.append, lambda: 0.0)
    with ExitStack() as stack:
        if reason == "TOO_MANY_VEHICLES":
            stack.enter_context(admission.enter("B-1"))
        elif reason == "TOO_MANY_STREAMS":
            for _ in range(MAX_STREAMS_PER_VEHICLE):
                stack.enter_context(admission.enter("A-1"))
        elif reason == "TOO_MANY_CONNECTS":
            for _ in range(CONNECTS_AT_ONCE):
                with admission.enter("A-1"):
                    pass
        admission.draining = reason == "DRAINING"
        with pytest.raises(PitwallError) as refused, admission.enter("A-1"):
            pass
    assert refused.value.reason == reason
    assert reasons == [reason]


async def test_draining_lets_nobody_in_and_waits_for_the_last() -> None:
    admission = Admission(10, print)
    stream = admission.enter("A-1")
    stream.__enter__()
    admission.draining = True
    with pytest.raises(Unavailable, match="stopping"), admission.enter("B-1"):
        pass
    assert not await admission.wait_empty(0.0)
    stream.__exit__(None, None, None)
    assert await admission.wait_empty(10.0)


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_way_to_close_has_its_status(code: Code) -> None:
    with pytest.raises(PitwallError) as caught:
        raise_unless_ok(Close(code, "REASON", "text", {"hello": "text"}))
    assert caught.value.code is grpc.StatusCode[code.name]
    assert (caught.value.reason, caught.value.fields) == ("REASON", {"hello": "text"})


@pytest.mark.parametrize("close", [None, Close(Code.OK, "STREAM_ENDED", "")])
def test_a_good_end_is_no_error(close: Close | None) -> None:
    raise_unless_ok(close)
