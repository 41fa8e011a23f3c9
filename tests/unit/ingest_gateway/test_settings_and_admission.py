"""What may be set, and who may come in."""

from pathlib import Path

import grpc
import pytest

from ingest_gateway.admission import Admission
from ingest_gateway.config import GatewaySettings
from ingest_gateway.effects import Close, Code
from ingest_gateway.limits import MAX_STREAMS_PER_VEHICLE
from ingest_gateway.servicer import raise_unless_ok
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
    assert found.max_sessions * found.max_unacked_readings < found.max_readings_in_flight


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("permit_ttl = 2", 'did you mean "permit_ttl_s"'),
        ("permit_ttl_s = 11", "permit_ttl_s"),
        ("lease_ttl_s = 0.4", "lease_ttl_s"),
        ("max_sessions = 5000", "at least 1001000"),
        ("max_unacked_readings = 50", "max_unacked_readings"),
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
    admission = Admission(10)
    held = [admission.enter("A-1") for _ in range(MAX_STREAMS_PER_VEHICLE)]
    for each in held:
        each.__enter__()
    with pytest.raises(ResourceExhausted, match="A-1 has 4 streams"), admission.enter("A-1"):
        pass
    held[0].__exit__(None, None, None)
    with admission.enter("A-1"):
        pass


def test_a_full_gateway_takes_reconnects_and_nobody_new() -> None:
    admission = Admission(1)
    with admission.enter("A-1"):
        with admission.enter("A-1"):
            pass
        with pytest.raises(ResourceExhausted, match="move to another address"), admission.enter("B-1"):
            pass
    with admission.enter("B-1"):
        pass


async def test_draining_lets_nobody_in_and_waits_for_the_last() -> None:
    admission = Admission(10)
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
