"""Where stops are asked for: a click on stop stops, also at the limits of what is remembered."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import stop_pb2

from command_service.hub import Hub
from command_service.journal import Journal
from command_service.progress import Stage
from command_service.stop_desk import StopDesk
from command_service.store import Store
from pitwall.domain.stop_set import SetDelta
from pitwall.rpc.errors import ResourceExhausted
from pitwall.tokens import Person
from tests.unit.command_service.samples import at, core_with, release, stop

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"
SOMEBODY = Person("somebody", frozenset())
STOP_A = command_pb2.EmergencyStopRequest(scope=stop_pb2.Scope(vehicles=stop_pb2.VehicleList(vehicle_ids=[A])))
STOP_ALL = command_pb2.EmergencyStopRequest(scope=stop_pb2.Scope(fleet=stop_pb2.WholeFleet()))


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """Full: a stop of two vehicles, and no more than two pairs are remembered."""
    monkeypatch.setattr("command_service.core.MAX_PAIRS", 2)
    monkeypatch.setattr("command_service.stop_desk.MAX_PAIRS", 2)
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=True))
    hub = Hub(core_with(A, B), journal)
    hub.core.issue(stop(), at())
    hub.carry_out()
    yield hub
    await journal.close(5)


async def test_what_every_vehicle_has_let_go_of_costs_nobody_a_stop(hub: Hub) -> None:
    hub.core.merge(SetDelta((), (release(approved_by="another"),)), None, "gateway", at())
    for vehicle_id in (A, B):
        hub.core.ledger.report(hub.core.registry.now(vehicle_id, 100.0), "s", Stage.RELEASED, 1, False, 100.0)
    issued = StopDesk(hub).stop(STOP_A, SOMEBODY)
    assert issued.stop_id in hub.core.stops
    assert hub.core.ledger.pairs == 1


async def test_where_the_limit_is_in_force_the_fleet_can_still_be_stopped(hub: Hub) -> None:
    with pytest.raises(ResourceExhausted, match=r"stops hold 2 vehicles.*scope\.fleet"):
        StopDesk(hub).stop(STOP_A, SOMEBODY)
    assert StopDesk(hub).stop(STOP_ALL, SOMEBODY).stop_id in hub.core.stops


async def test_one_zone_too_many_is_refused_by_the_name_of_the_limit_and_a_release_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.stop_desk.MAX_ACTIVE_ZONES", 2)
    journal = Journal(Store.open(tmp_path / "zones.sqlite", "c1", first_start=True))
    hub = Hub(core_with(A, B), journal)
    desk = StopDesk(hub)
    first = desk.stop(stop_zone(0), SOMEBODY)
    desk.stop(stop_zone(1), SOMEBODY)
    with pytest.raises(ResourceExhausted, match=r"2 zones are stopped.*MAX_ACTIVE_ZONES.*scope\.fleet") as refused:
        desk.stop(stop_zone(2), SOMEBODY)
    assert refused.value.reason == "TOO_MANY_ACTIVE_ZONES"
    desk.stop(STOP_A, SOMEBODY)
    desk.stop(STOP_ALL, SOMEBODY)
    lifted = release("r", first.stop_id, approved_by="another")
    hub.core.merge(SetDelta((), (lifted,)), None, "gateway", at())
    desk.stop(stop_zone(2), SOMEBODY)
    await journal.close(5)


def stop_zone(number: int) -> command_pb2.EmergencyStopRequest:
    corners = [(0, 0), (0, 0.01), (0.01, 0.01)]
    points = [stop_pb2.GeoPoint(latitude_degrees=lat, longitude_degrees=number + lon) for lat, lon in corners]
    return command_pb2.EmergencyStopRequest(scope=stop_pb2.Scope(zone=stop_pb2.Zone(name=f"z{number}", corners=points)))
