"""Streams between machines, with the wrong certificate or the wrong first words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from haul.command.v1.stop_pb2 import STOP_STAGE_STANDSTILL, StopProgress
from haul.link.v1 import gateway_link_service_pb2, vehicle_link_service_pb2
from haul.link.v1.gateway_link_service_pb2_grpc import GatewayLinkServiceStub
from haul.link.v1.vehicle_link_service_pb2_grpc import VehicleLinkServiceStub
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.connect_failure import explain_connect_failure
from pitwall.rpc.errors import from_rpc_error
from tests.integration.bad_input.rows import Outcome
from tests.integration.bad_input.site import STRANGER, VEHICLE, Site
from tests.integration.bad_input.vehicle import TIMEOUT_S, VehicleStream, connected, now

#: Beyond what a gateway takes in one frame, bytes.
OVERSIZE = 5 * 1024 * 1024
#: Beyond what it takes in headers, bytes.
LARGE_HEADER = 17 * 1024
#: Readings in one batch, a thousand times as many as there may be.
MANY = 100_000


def outcome_of(error: grpc.RpcError) -> Outcome:
    """The synchronous API's errors have the methods of grpc.aio's."""
    details = from_rpc_error(error)  # type: ignore[arg-type]
    return Outcome(details.message, details.code.name, details.reason)


def stream(site: Site, given: str) -> Outcome:
    """Has to end with an error, or to say what came of it."""
    try:
        return STREAMS[given](site)
    except grpc.RpcError as error:
        return outcome_of(error)


@contextmanager
def channel(site: Site, port: str, certificate: Path | None) -> Iterator[grpc.Channel]:
    """`certificate` has its key beside it."""
    ca = (site.certs / "ca.pem").read_bytes()
    key = certificate.with_suffix(".key").read_bytes() if certificate else None
    credentials = grpc.ssl_channel_credentials(ca, key, certificate.read_bytes() if certificate else None)
    with grpc.secure_channel(site.stack.address(port), credentials) as opened:
        yield opened


def strangers_certificate(site: Site) -> Path:
    return site.certs / "vehicles" / f"{STRANGER}.pem"


def _say(site: Site, certificate: Path | None, first: vehicle_link_service_pb2.ConnectRequest | None = None) -> Outcome:
    """What a gateway answers to this first frame; a good Hello where none is given."""
    with channel(site, "gateway-1", certificate) as opened:
        spoken = VehicleStream(STRANGER, opened)
        spoken.send(first or spoken.hello())
        try:
            spoken.receive("welcome")
        finally:
            spoken.end()
    raise AssertionError("was taken")


def _hello_of(site: Site, vehicle_id: str) -> Outcome:
    with channel(site, "gateway-1", strangers_certificate(site)) as opened:
        spoken = VehicleStream(STRANGER, opened)
        spoken.send(spoken.hello(vehicle_id))
        try:
            spoken.receive("welcome")
        finally:
            spoken.end()
    raise AssertionError("was taken")


def _without_hello(site: Site) -> Outcome:
    report = vehicle_link_service_pb2.StatusReport()
    return _say(site, strangers_certificate(site), vehicle_link_service_pb2.ConnectRequest(status_report=report))


def _oversize_frame(site: Site) -> Outcome:
    hello = vehicle_link_service_pb2.Hello(software_version="x" * OVERSIZE)
    return _say(site, strangers_certificate(site), vehicle_link_service_pb2.ConnectRequest(hello=hello))


def _after_welcome(site: Site, make: Callable[[VehicleStream], vehicle_link_service_pb2.ConnectRequest]) -> Outcome:
    """What a gateway answers to this frame on a good stream."""
    with channel(site, "gateway-1", strangers_certificate(site)) as opened, connected(opened, STRANGER) as spoken:
        spoken.send(make(spoken))
        spoken.receive("reading_ack")
    raise AssertionError("was taken")


def _of_an_unknown_boot(spoken: VehicleStream) -> vehicle_link_service_pb2.ConnectRequest:
    reading = spoken.reading(1)
    reading.boot_epoch += 1
    batch = vehicle_link_service_pb2.ReadingBatch(boot_epoch=reading.boot_epoch, readings=[reading])
    return vehicle_link_service_pb2.ConnectRequest(reading_batch=batch)


def _batch_of(reading: Reading, count: int) -> vehicle_link_service_pb2.ConnectRequest:
    batch = vehicle_link_service_pb2.ReadingBatch(boot_epoch=reading.boot_epoch, readings=[reading] * count)
    return vehicle_link_service_pb2.ConnectRequest(reading_batch=batch)


def _small_reading(spoken: VehicleStream) -> Reading:
    """So small that a hundred thousand of them are within the limit of a frame."""
    return Reading(sequence=1, boot_epoch=spoken.boot_epoch)


def _clock_of_no_time(site: Site) -> Outcome:
    with channel(site, "gateway-1", strangers_certificate(site)) as opened:
        hello = VehicleStream(STRANGER, opened).hello()
    hello.hello.clock.wall_time.seconds = 2**40
    return _say(site, strangers_certificate(site), hello)


def _large_headers(site: Site) -> Outcome:
    with channel(site, "gateway-1", strangers_certificate(site)) as opened:
        frames = iter([vehicle_link_service_pb2.ConnectRequest()])
        large = (("x-ballast", "x" * LARGE_HEADER),)
        for _ in VehicleLinkServiceStub(opened).Connect(frames, timeout=TIMEOUT_S, metadata=large):
            break
    raise AssertionError("was taken")


def _stage_of_anothers_stop(site: Site) -> Outcome:
    """A vehicle says that it stands by a stop that is for another one. Returns what the site shows of that stop."""
    stop_id = site.fill("{stop_id}")
    standstill = StopProgress(stop_id=stop_id, stage=STOP_STAGE_STANDSTILL, event_time=now())
    report = vehicle_link_service_pb2.StopReport(progress=[standstill])
    with channel(site, "gateway-1", strangers_certificate(site)) as opened, connected(opened, STRANGER) as stream:
        stream.send(vehicle_link_service_pb2.ConnectRequest(stop_report=report))
        stream.send_readings(stream.reading(1))
        stream.await_acks(1)  # what came before it has been taken
    shown = site.pitwall("stop-status", stop_id)
    return Outcome(shown.out + shown.err, exit_code=shown.exit_code)


def _vehicle_at_the_gateways_port(site: Site) -> Outcome:
    hello = gateway_link_service_pb2.AttachRequest(hello=gateway_link_service_pb2.GatewayHello(gateway="gateway-1"))
    with channel(site, "command-1-link", strangers_certificate(site)) as opened:
        for _ in GatewayLinkServiceStub(opened).Attach(iter([hello]), timeout=TIMEOUT_S):
            break
    raise AssertionError("was taken")


def _refused_in_the_handshake(site: Site, certificate: Path | None) -> Outcome:
    """gRPC says UNAVAILABLE; the text is what an agent finds out by itself."""
    try:
        return _say(site, certificate)
    except grpc.RpcError as error:
        code = outcome_of(error).code
    key = certificate.with_suffix(".key") if certificate else None
    text = explain_connect_failure(site.stack.address("gateway-1"), site.certs / "ca.pem", certificate, key)
    return Outcome(text, code)


STREAMS: dict[str, Callable[[Site], Outcome]] = {
    "Hello in another vehicle's name": lambda site: _hello_of(site, VEHICLE),
    "Hello with a malformed id": lambda site: _hello_of(site, "truck 1"),
    "no Hello": _without_hello,
    "oversize frame": _oversize_frame,
    "batch of an unknown boot": lambda site: _after_welcome(site, _of_an_unknown_boot),
    "100,000 small readings": lambda site: _after_welcome(site, lambda it: _batch_of(_small_reading(it), MANY)),
    "100,000 whole readings": lambda site: _after_welcome(site, lambda it: _batch_of(it.reading(1), MANY)),
    "clock of no time": _clock_of_no_time,
    "large headers": _large_headers,
    "stage of another vehicle's stop": _stage_of_anothers_stop,
    "gateway at the vehicles' port": lambda site: _say(site, site.certs / "gateway-1.pem"),
    "vehicle at the gateways' port": _vehicle_at_the_gateways_port,
    "no certificate": lambda site: _refused_in_the_handshake(site, None),
    "expired certificate": lambda site: _refused_in_the_handshake(
        site, site.spoiled / "expired" / "certs" / "vehicles" / f"{STRANGER}.pem"
    ),
    "foreign certificate": lambda site: _refused_in_the_handshake(
        site, site.spoiled / "foreign" / "certs" / "vehicles" / f"{STRANGER}.pem"
    ),
}
