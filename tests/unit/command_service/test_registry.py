"""The registry: the newest session wins, a link that goes takes its sessions along, silence is no connection."""

import pytest

from command_service.registry import (
    SILENT_AFTER_S,
    SPEED_MAX_AGE_S,
    CloseOlder,
    Opened,
    Pulse,
    Registry,
    Session,
    Status,
    Vehicle,
)
from pitwall.domain.vehicle_state import Connectivity, VehicleStatus

ONE, TWO = 1, 2
OLD, NEW = Session(7, 1), Session(7, 2)


def opened(session: Session, vehicle_id: str = "A", heartbeat_number: int = 5) -> Opened:
    return Opened(vehicle_id, session, Status(hold_count=3), "1.0", 2.0, heartbeat_number)


def known(session: Session = OLD, link: int = ONE) -> tuple[Registry, Vehicle]:
    registry = Registry()
    vehicle, older = registry.opened(link, f"gateway-{link}", opened(session), 10)
    assert vehicle is not None
    assert older == []
    return registry, vehicle


def test_a_vehicle_is_known_from_its_first_session_on() -> None:
    registry, vehicle = known()
    assert "A" in registry
    assert (vehicle.connectivity, vehicle.since_ns, vehicle.gateway) == (Connectivity.CONNECTED, 10, "gateway-1")
    registry.closed(ONE, "A", OLD, 20)
    assert registry.get("A") is vehicle
    assert (vehicle.connectivity, vehicle.since_ns) == (Connectivity.LOST, 20)


@pytest.mark.parametrize("newer", [Session(7, 2), Session(8, 1)])
def test_a_newer_session_wins_and_the_older_one_is_to_be_closed(newer: Session) -> None:
    registry, vehicle = known()
    assert registry.opened(TWO, "gateway-2", opened(newer), 20) == (vehicle, [CloseOlder(ONE, "A", OLD)])
    assert (vehicle.session, vehicle.link, vehicle.since_ns) == (newer, TWO, 10)


@pytest.mark.parametrize("older", [Session(7, 1), Session(6, 99)])
def test_an_older_session_that_comes_late_is_to_be_closed_itself(older: Session) -> None:
    registry, vehicle = known(NEW)
    assert registry.opened(TWO, "gateway-2", opened(older), 20) == (None, [CloseOlder(TWO, "A", older)])
    assert (vehicle.session, vehicle.link) == (NEW, ONE)


def test_a_newer_session_on_the_same_link_is_the_gateways_own_matter() -> None:
    registry, vehicle = known()
    assert registry.opened(ONE, "gateway-1", opened(NEW), 20) == (vehicle, [])


def test_the_same_session_told_on_a_new_link_moves_there_and_nothing_is_closed() -> None:
    registry, vehicle = known()
    vehicle.pulse = Pulse(9)
    assert registry.opened(TWO, "gateway-1", opened(OLD), 20) == (vehicle, [])
    assert registry.dropped(ONE, 30) == [], "the old stream of the same gateway"
    assert registry.closed(ONE, "A", OLD, 30) is None
    assert vehicle.connected
    assert vehicle.etag.heartbeat_number == 9, "no step back"


def test_the_end_of_an_older_session_is_not_the_end_of_the_newest() -> None:
    registry, vehicle = known()
    registry.opened(TWO, "gateway-2", opened(NEW), 20)
    assert registry.closed(ONE, "A", OLD, 30) is None
    assert registry.closed(ONE, "nobody", OLD, 30) is None
    assert vehicle.connected
    assert registry.closed(TWO, "A", NEW, 40) is vehicle


def test_a_link_that_is_gone_takes_its_sessions_with_it() -> None:
    registry, vehicle = known()
    registry.opened(ONE, "gateway-1", opened(OLD, "B"), 10)
    registry.opened(TWO, "gateway-2", opened(NEW, "B"), 10)
    assert registry.dropped(ONE, 50) == [vehicle]
    assert registry.connected_count == 1
    assert registry.dropped(ONE, 60) == []


def test_too_many_vehicles_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.registry.MAX_VEHICLES", 1)
    registry, _ = known()
    assert registry.opened(ONE, "gateway-1", opened(OLD, "B"), 10) == (None, [])
    assert (len(registry), registry.refused) == (1, 1)


# What vehicles say


def test_a_status_counts_from_the_newest_session_on_its_link() -> None:
    registry, vehicle = known(NEW)
    later = Status(hold_count=4)
    assert registry.said(ONE, "A", OLD, later) is None
    assert registry.said(TWO, "A", NEW, later) is None
    assert registry.said(ONE, "A", NEW, later) is vehicle
    assert vehicle.etag.text() == "7-2-4-5"


def test_speed_is_known_while_it_is_fresh_and_linked() -> None:
    registry, vehicle = known()
    registry.pulse(ONE, "A", Pulse(6, 30.0, None, 100.0), 100.0, 0)
    for now_s, speed in ((100.0, 30.0), (100.0 + SPEED_MAX_AGE_S, 30.0), (100.1 + SPEED_MAX_AGE_S, None)):
        assert registry.now("A", now_s).speed_kph == speed
    registry.closed(ONE, "A", OLD, 0)
    assert vehicle.now(100.0).speed_kph is None
    assert not registry.now("A", 100.0).linked


def test_nobody_has_heard_of_it() -> None:
    now = Registry().now("Z", 1.0)
    assert (now.known, now.linked, now.speed_kph) == (False, False, None)


def test_a_vehicle_whose_heartbeat_stands_still_is_lost_until_it_beats_again() -> None:
    registry, vehicle = known()
    assert registry.tick(1000.0, 0) == [], "no pulse was ever promised for this session"
    registry.pulse(ONE, "A", Pulse(6), 1000.0, 0)
    registry.pulse(ONE, "A", Pulse(6), 1002.0, 0)
    assert registry.tick(1000.0 + SILENT_AFTER_S, 0) == []
    assert registry.tick(1000.1 + SILENT_AFTER_S, 70) == [vehicle]
    assert registry.tick(1000.2 + SILENT_AFTER_S, 80) == [], "said once"
    assert (vehicle.connectivity, vehicle.since_ns) == (Connectivity.LOST, 70)
    assert registry.pulse(ONE, "A", Pulse(6), 1010.0, 85) is None
    assert registry.pulse(ONE, "A", Pulse(7), 1011.0, 90) is vehicle
    assert (vehicle.connectivity, vehicle.since_ns) == (Connectivity.CONNECTED, 90)


def test_a_pulse_of_an_older_heartbeat_or_another_link_changes_no_etag() -> None:
    registry, vehicle = known()
    registry.pulse(ONE, "A", Pulse(9), 1.0, 0)
    registry.pulse(ONE, "A", Pulse(8), 1.0, 0)
    registry.pulse(TWO, "A", Pulse(99), 1.0, 0)
    registry.pulse(ONE, "nobody", Pulse(99), 1.0, 0)
    assert vehicle.etag.heartbeat_number == 9


def test_a_restored_vehicle_has_no_link() -> None:
    registry = Registry()
    registry.restore(Vehicle("A", OLD, Status(), "1.0", 2.0, 5))
    assert not registry.now("A", 1.0).linked
    assert registry.now("A", 1.0).known
    assert len(list(registry.vehicles())) == 1


def test_lost_is_without_a_link_unless_its_last_word_was_offline() -> None:
    registry, _ = known()
    registry.opened(ONE, "gateway-1", opened(OLD, "B"), 10)
    assert registry.lost_count == 0
    registry.said(ONE, "B", OLD, Status(status=VehicleStatus.OFFLINE))
    registry.dropped(ONE, 50)
    assert (registry.lost_count, registry.connected_count) == (1, 0)


# What peers say


def linked(registry: Registry, vehicle_id: str = "A") -> bool:
    return registry.now(vehicle_id, 0.0).linked


def test_one_that_a_peer_hears_is_in_reach_of_stops_and_has_no_link_for_orders() -> None:
    registry = Registry()
    vehicle = registry.told(1, opened(OLD), 10)
    assert vehicle is not None
    assert linked(registry)
    assert (vehicle.connected, vehicle.connectivity, registry.connected_count) == (False, Connectivity.LOST, 0)
    assert (vehicle.session, vehicle.deceleration_mps2) == (OLD, 2.0)
    assert registry.untold(1, ["A", "nobody"]) == [vehicle]
    assert not linked(registry)


def test_it_is_in_reach_as_long_as_anybody_hears_it() -> None:
    registry, vehicle = known()
    for stream in (1, 2):
        registry.told(stream, opened(OLD), 20)
    registry.dropped(ONE, 30)
    assert linked(registry)
    assert registry.untold(1) == [vehicle]
    assert linked(registry)
    assert registry.untold(2) == [vehicle]
    assert not linked(registry)
    assert registry.untold(2) == []


def test_what_a_peer_tells_never_replaces_what_is_heard_here() -> None:
    registry, vehicle = known(OLD)
    registry.told(1, opened(NEW), 20)
    assert (vehicle.session, vehicle.link) == (OLD, ONE)
    registry.dropped(ONE, 30)
    registry.told(1, opened(Session(6, 9)), 40)
    assert vehicle.session == OLD, "an older one is none"
    registry.told(1, opened(NEW), 50)
    assert vehicle.session == NEW


def test_a_vehicle_too_many_is_not_taken_from_a_peer_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.registry.MAX_VEHICLES", 1)
    registry, _ = known()
    assert registry.told(1, opened(OLD, "B"), 20) is None
    assert (len(registry), registry.refused) == (1, 1)


def test_whose_link_has_come_or_gone_is_asked_for_once() -> None:
    registry, _ = known()
    assert (registry.take_moved(), registry.take_moved()) == ({"A"}, set())
    registry.pulse(ONE, "A", Pulse(6), 100.0, 20)
    assert registry.take_moved() == set()
    registry.tick(101.0 + SILENT_AFTER_S, 30)
    assert registry.take_moved() == {"A"}
    registry.pulse(ONE, "A", Pulse(7), 110.0, 40)
    assert registry.take_moved() == {"A"}
    registry.closed(ONE, "A", OLD, 50)
    assert registry.take_moved() == {"A"}
