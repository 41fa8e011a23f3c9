"""The picture of the fleet: who is believed, who needs a look first, and what a frame says in words."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from haul.command.v1 import stop_pb2
from haul.fleet.v1 import fleet_service_pb2 as pb
from haul.telemetry.v1 import telemetry_pb2
from rich.console import Console

from console.failures import ConsoleError
from console.news import Began, Broke, Came, Feed, Motion, Stops
from console.picture import FeedChanged, Gone, Picture
from console.picture_text import cells, frame
from console.vehicle_row import LOST, Known, Need, Row, of_vehicle
from tests.unit.console.fake_fleet import CLEARED, CRITICAL, WARNING, alert, vehicle
from tests.unit.console.fake_site import motion, summary

A, B, C = "KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003"
STOPPED, LINK_LOST = telemetry_pb2.MOTION_HOLD_STOPPED, telemetry_pb2.MOTION_HOLD_LINK_LOST
HAULING, EMERGENCY_STOP = telemetry_pb2.VEHICLE_STATUS_HAULING, telemetry_pb2.VEHICLE_STATUS_EMERGENCY_STOP
AWAY = ConsoleError("no fleet service answered: localhost:50053", fix="start it")


def vehicles(*told: Any, complete: bool = True, removed: tuple[str, ...] = (), at_s: float = 0.0) -> Came:
    answer = pb.WatchFleetResponse(vehicles=told, snapshot_complete=complete, removed_vehicle_ids=removed)
    return Came(Feed.VEHICLES, answer, at_s)


def alerts(*told: Any, complete: bool = True) -> Came:
    return Came(Feed.ALERTS, pb.WatchAlertsResponse(alerts=told, snapshot_complete=complete), 0.0)


def stops(*states: stop_pb2.StopState) -> Came:
    return Came(Feed.STOPS, Stops(states), 0.0)


def moved(*states: Any, at_s: float = 0.0) -> Came:
    return Came(Feed.STOPS, Motion(states), at_s)


def stop_of_all(stop_id: str = "s-1", standstill: int = 0, in_scope: int = 2) -> stop_pb2.StopState:
    return stop_pb2.StopState(
        stop=stop_pb2.Stop(stop_id=stop_id, scope=stop_pb2.Scope(fleet=stop_pb2.WholeFleet()), issued_by="olga"),
        summary=summary(in_scope=in_scope, standstill=standstill, pending=in_scope - standstill),
        active=True,
    )


def picture(*news: Any) -> Picture:
    made = Picture()
    for one in news:
        made.take(one)
    return made


def names(made: Picture, now_s: float = 0.0) -> list[str]:
    return [row.vehicle_id for row in made.rows(now_s)]


def row(made: Picture, name: str, now_s: float = 0.0) -> Row:
    return next(one for one in made.rows(now_s) if one.vehicle_id == name)


# Who needs a look


@pytest.mark.parametrize(
    ("more", "known_alerts", "need"),
    [
        ({}, (), Need.NONE),
        ({"motion_hold": STOPPED}, (), Need.MOVES_UNDER_STOP),
        ({"motion_hold": STOPPED, "ages_s": {}}, (), Need.MOVES_UNDER_STOP),
        ({"motion_hold": STOPPED, "speed_kph": 0.0}, (), Need.HELD),
        ({"status": EMERGENCY_STOP, "speed_kph": 0.0}, (), Need.HELD),
        ({"motion_hold": LINK_LOST}, (), Need.HELD),
        ({"motion_hold": telemetry_pb2.MOTION_HOLD_BOOT}, (), Need.HELD),
        ({"status": telemetry_pb2.VEHICLE_STATUS_ERROR}, (), Need.CRITICAL),
        ({"status": telemetry_pb2.VEHICLE_STATUS_MAINTENANCE}, (), Need.NONE),
        ({"connectivity": LOST}, (), Need.SILENT),
        ({"connectivity": LOST, "status": telemetry_pb2.VEHICLE_STATUS_OFFLINE}, (), Need.NONE),
        ({"ages_s": 3.1}, (), Need.SILENT),
        ({"ages_s": 2.9}, (), Need.NONE),
        ({}, (WARNING,), Need.WARNING),
        ({}, (WARNING, CRITICAL), Need.CRITICAL),
        ({"connectivity": LOST}, (CRITICAL,), Need.CRITICAL),
    ],
)
def test_who_needs_a_look(more: dict[str, Any], known_alerts: tuple[int, ...], need: Need) -> None:
    told = [alert(A, severity=severity).alert for severity in known_alerts]
    assert of_vehicle(vehicle(A, **more), told).need is need


def test_those_in_need_come_first_and_then_the_ids() -> None:
    told = [vehicle(A), vehicle(C, connectivity=LOST), vehicle(B)]
    assert names(picture(vehicles(*told), alerts(alert(B, severity=CRITICAL)))) == [B, C, A]
    assert names(picture(vehicles(*told), alerts())) == [C, A, B]


def test_alerts_that_nobody_tells_one_by_one_are_counted_all_the_same() -> None:
    made = picture(vehicles(vehicle(A, alerts=2)), Broke(Feed.ALERTS, AWAY, 0.0))
    assert (row(made, A).alert_count, row(made, A).need) == (2, Need.WARNING)


# What came


def test_a_new_snapshot_replaces_what_an_earlier_stream_told() -> None:
    made = picture(Began(Feed.VEHICLES), vehicles(vehicle(A), vehicle(B)), Broke(Feed.VEHICLES, AWAY, 1.0))
    assert made.take(Began(Feed.VEHICLES)) == []
    made.take(vehicles(vehicle(C), complete=False))
    assert sorted(made.vehicles) == [A, C, B], "nothing goes before the snapshot is complete"
    changes = made.take(vehicles(vehicle(B)))
    assert changes == [vehicle(B), Gone(vehicle_id=A), FeedChanged(Feed.VEHICLES, None)]
    assert sorted(made.vehicles) == [C, B]


def test_a_vehicle_that_is_taken_out_goes() -> None:
    made = picture(vehicles(vehicle(A), vehicle(B)))
    assert made.take(vehicles(complete=False, removed=(A, "NEVER-SEEN"))) == [Gone(vehicle_id=A)]
    assert names(made) == [B]


def test_an_alert_goes_when_it_is_cleared_or_in_no_snapshot_any_more() -> None:
    made = picture(Began(Feed.ALERTS), vehicles(vehicle(A)), alerts(alert(A, "LOW_FUEL"), alert(A, "HIGH_SPEED")))
    made.take(alerts(alert(A, "LOW_FUEL", state=CLEARED), complete=False))
    assert [one.rule for one in row(made, A).alerts] == ["HIGH_SPEED"]
    for news in (Began(Feed.ALERTS), alerts(alert(A, "OVERHEATING"))):
        made.take(news)
    assert [one.rule for one in row(made, A).alerts] == ["OVERHEATING"]


def test_stops_are_told_when_they_change() -> None:
    made = Picture()
    assert made.take(stops(stop_of_all())) == [stop_of_all()]
    assert made.take(stops(stop_of_all())) == []
    assert made.take(stops(stop_of_all(standstill=1))) == [stop_of_all(standstill=1)]
    assert made.take(stops()) == [Gone(stop_id="s-1")]


def test_motion_states_are_told_when_more_than_etag_and_age_has_changed() -> None:
    first = motion(A, etag="1-1-1-1", age=Duration(seconds=1))
    made = picture()
    assert made.take(moved(first)) == [first]
    later = motion(A, etag="1-1-1-9", age=Duration(seconds=2), connectivity_time=first.connectivity_time)
    assert made.take(moved(later)) == []
    assert len(made.take(moved(motion(A, connectivity=LOST)))) == 1


def test_a_trouble_is_told_once_and_its_end_too() -> None:
    made = picture()
    assert made.take(Broke(Feed.VEHICLES, AWAY, 1.0)) == [FeedChanged(Feed.VEHICLES, AWAY)]
    assert made.take(Broke(Feed.VEHICLES, AWAY, 9.0)) == []
    assert made.troubles[Feed.VEHICLES].since_s == 1.0
    assert FeedChanged(Feed.VEHICLES, None) in made.take(vehicles(vehicle(A)))
    assert made.troubles == {}


# Who is believed


def test_motion_is_asked_for_only_where_the_fleet_service_cannot_tell() -> None:
    made = picture()
    assert not made.wants_motion(0.0), "it has not had its say"
    made.take(vehicles(vehicle(A, ages_s=0.5), vehicle(B, connectivity=LOST, ages_s=60.0)))
    assert not made.wants_motion(2.0), "that one is lost is known"
    assert made.wants_motion(3.0), "one that is connected is old"
    made.take(vehicles(vehicle(A), at_s=3.0))
    assert not made.wants_motion(3.0)
    made.take(Broke(Feed.VEHICLES, AWAY, 3.0))
    assert made.wants_motion(3.0)


def test_where_all_are_lost_it_may_be_the_fleet_service_that_is_cut_off() -> None:
    assert picture(vehicles(vehicle(A, connectivity=LOST))).wants_motion(0.0)


STANDS = motion(A, motion_hold=STOPPED, speed_kph=0.0, age=Duration(nanos=200_000_000))


def test_without_the_fleet_service_motion_is_the_command_services() -> None:
    made = picture(vehicles(vehicle(A), at_s=0.0), Broke(Feed.VEHICLES, AWAY, 9.0), moved(STANDS, motion(B), at_s=10.0))
    held = row(made, A, 11.0)
    assert (held.hold, held.speed_kph, held.age_s) == (STOPPED, Known(0.0, 1.2), 1.2)
    assert held.payload_tons == Known(287.4, 11.4), "what only the fleet service knows stays, and is old"
    assert row(made, B, 11.0).payload_tons is None
    assert row(made, B, 11.0).speed_kph is None


def test_a_fleet_service_that_tells_old_things_is_not_believed_about_motion() -> None:
    made = picture(vehicles(vehicle(A), at_s=0.0), moved(STANDS, at_s=10.0))
    assert row(made, A, 11.0).hold == STOPPED


def test_what_was_told_later_and_is_young_is_believed() -> None:
    made = picture(moved(STANDS, at_s=1.0), vehicles(vehicle(A), at_s=2.0))
    assert row(made, A, 2.5).hold == telemetry_pb2.MOTION_HOLD_NONE
    late = picture(vehicles(vehicle(A), at_s=2.0), moved(STANDS, at_s=2.1))
    assert row(late, A, 2.5).hold == telemetry_pb2.MOTION_HOLD_NONE, "a young word of the fleet service is enough"


# Cells


def test_what_is_unknown_is_a_dash_and_never_a_zero() -> None:
    shown = cells(of_vehicle(vehicle(A, ages_s={"speed_kph": 0.4}, speed_kph=0.0), []), wide=False)
    assert shown == (f" {A}", "HAULING", "NONE", "0.0", "–", "–", "–", "0.4s", "")
    never = cells(of_vehicle(vehicle(A, ages_s={}, connectivity=0, status=0, motion_hold=0), []), wide=True)
    assert never == (f" {A}", "–", "–", "–", "–", "–", "–", "–", "")


@pytest.mark.parametrize(
    ("ages_s", "connectivity", "wide", "speed", "payload", "age"),
    [
        ({"speed_kph": 0.4, "payload_tons": 0.4}, 1, False, "31.5", "287", "0.4s"),
        ({"speed_kph": 0.4, "payload_tons": 0.4}, 1, True, "31.5", "287.4", "0.4 s"),
        ({"speed_kph": 40.0, "payload_tons": 40.0}, 1, False, "~31.5", "~287", "OLD 40s"),
        ({"speed_kph": 40.0, "payload_tons": 40.0}, 1, True, "~31.5", "~287.4", "OLD 40 s"),
        ({"speed_kph": 40.0, "payload_tons": 40.0}, 2, True, "~31.5", "~287.4", "LOST 40 s"),
        # One sensor is silent: its value says so, and how old it is.
        ({"speed_kph": 0.4, "payload_tons": 40.0}, 1, False, "31.5", "~287", "OLD 40s"),
        ({"speed_kph": 0.4, "payload_tons": 40.0}, 1, True, "31.5", "~287.4 (40 s)", "0.4 s"),
        ({}, 2, True, "–", "–", "LOST"),
    ],
)
def test_an_old_value_is_marked_and_its_age_is_there(
    ages_s: dict[str, float], connectivity: int, wide: bool, speed: str, payload: str, age: str
) -> None:
    shown = cells(of_vehicle(vehicle(A, ages_s=ages_s, connectivity=connectivity), []), wide=wide)
    assert (shown[3], shown[4], shown[7]) == (speed, payload, age)


def test_alerts_show_the_worst_and_how_many() -> None:
    told = [alert(A, "HIGH_SPEED", WARNING).alert, alert(A, "OVERHEATING", CRITICAL).alert]
    of_it = of_vehicle(vehicle(A), told)
    assert cells(of_it, wide=False)[-1] == "2 CRIT"
    assert cells(of_it, wide=True)[-1] == "CRITICAL OVERHEATING, WARNING HIGH_SPEED"


def test_of_a_long_id_the_end_is_shown() -> None:
    assert cells(of_vehicle(vehicle("AUTONOMOUS-HAULER-EAST-PIT-0042"), []), wide=False)[0] == " …R-EAST-PIT-0042"


# Frames


def drawn(made: Picture, width: int = 80, height: int = 30, now_s: float = 0.0) -> list[str]:
    console = Console(width=width, height=height, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(frame(made, now_s, "12:00:00", console, height))
    return capture.get().rstrip("\n").split("\n")


def busy_site(size: int) -> Picture:
    told = [vehicle(f"KOMATSU-930E-{number:03d}") for number in range(1, size - 2)]
    worst = vehicle("KOMATSU-980E-998", status=EMERGENCY_STOP, motion_hold=LINK_LOST, connectivity=LOST, ages_s=100.0)
    stopped = vehicle("KOMATSU-980E-999", status=EMERGENCY_STOP, motion_hold=STOPPED, speed_kph=0.0)
    hot = vehicle("KOMATSU-980E-997", engine_temperature_celsius=101.2)
    return picture(
        vehicles(*told, worst, stopped, hot),
        alerts(alert("KOMATSU-980E-997", "OVERHEATING", CRITICAL), alert("KOMATSU-980E-997", "LOW_FUEL")),
        stops(stop_of_all("01928c5e-7b6a-7c3d-8e4f-a1b2c3d4e5f6", standstill=998, in_scope=1000)),
    )


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("size", [12, 1000])
def test_a_frame_fits_its_screen(width: int, size: int) -> None:
    lines = drawn(busy_site(size), width=width)
    assert len(lines) <= 30
    assert max(len(line) for line in lines) <= width
    said = "\n".join(lines)
    assert "01928c5e-7b6a-7c3d-8e4f-a1b2c3d4e5f6" in said.replace("\n", "")
    assert "998 of 1000" in said.replace("\n", " ")
    shown = [line for line in lines if "KOMATSU" in line]
    assert [line.split()[0] for line in shown[:3]] == [f"!KOMATSU-980E-{number}" for number in (997, 998, 999)]
    assert not any(line.startswith("!") for line in shown[3:])
    assert "2 CRIT" in shown[0] or "CRITICAL OVERHEATING, WARNING LOW_FUEL" in shown[0]
    assert "LOST 100s" in shown[1].replace("100 s", "100s")
    if size > 12:
        assert lines[-1].startswith(f"… and {size - len(shown)} more, of which 0 need a look: ")
    else:
        assert len(shown) == 12


def test_a_thousand_that_are_stopped_say_how_many_more_need_a_look() -> None:
    told = [vehicle(f"KOMATSU-930E-{number:03d}", motion_hold=STOPPED, speed_kph=0.0) for number in range(1000)]
    last = drawn(picture(vehicles(*told), alerts(), stops()))[-1]
    shown = 1000 - int(last.split()[2])
    assert last == f"… and {1000 - shown} more, of which {1000 - shown} need a look: {1000 - shown} HAULING"


def test_a_tiny_screen_still_shows_the_one_that_matters_most() -> None:
    assert any("KOMATSU-980E-997" in line for line in drawn(busy_site(12), height=4))


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ((Feed.VEHICLES, Feed.ALERTS), ["FLEET SERVICE AWAY for 5.0 s", "answered: localhost:50053", "pitwall doctor"]),
        ((Feed.ALERTS,), ["ALERTS AWAY for 5.0 s"]),
        ((Feed.STOPS,), ["COMMAND SERVICE AWAY for 5.0 s", "by radio", "active stops: –"]),
    ],
)
def test_what_is_away_is_said_with_what_still_works(broken: tuple[Feed, ...], named: list[str]) -> None:
    made = busy_site(12)
    for feed in broken:
        made.take(Broke(feed, AWAY, 0.0))
    said = " ".join(" ".join(drawn(made, now_s=5.0)).split())
    assert all(name in said for name in named), said
    assert said.count("AWAY") == 1
    assert "STOP 01928c5e" in said, "stops stay on the screen"


def test_many_stops_leave_room_for_vehicles() -> None:
    made = picture(vehicles(vehicle(A)), alerts(), stops(*(stop_of_all(f"s-{number}") for number in range(40))))
    lines = drawn(made)
    assert len(lines) <= 30
    assert "… and 35 more stops: `pitwall stops`" in lines
    assert any(A in line for line in lines)
