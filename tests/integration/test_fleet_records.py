"""The fleet service against real servers: alerts, figures and stops are kept once, whatever is killed."""

import asyncio
import random
import time

import grpc
import pytest
from haul.command.v1 import event_pb2, stop_pb2
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2

from tests.integration.fleet_messages import (
    CLEARED,
    ESCALATED,
    RAISED,
    alert,
    reading,
    stop_issued,
    stop_released,
    stop_stage,
    window,
)
from tests.integration.fleet_rig import WITHIN_S, FleetProcess, Site, caller, database, eventually

FIRST, SECOND, THIRD = "KOMATSU-930E-101", "KOMATSU-980E-102", "KOMATSU-930E-103"
FOURTH, FIFTH = "KOMATSU-930E-104", "KOMATSU-930E-105"


async def test_alerts_and_windows_are_kept_once_whenever_it_is_killed(
    fleet_site: Site, restarted_fleet: FleetProcess
) -> None:
    """Every record twice and in any order, poison between, a kill at any moment: each stands once, as it was last."""
    count, chance = 1_000, random.Random(7)
    raised = [alert(FIRST, "HIGH_SPEED", RAISED, n, n) for n in range(1, count + 1)]
    escalated = [alert(FIRST, "HIGH_SPEED", ESCALATED, n, n) for n in range(1, count + 1)]
    cleared = [alert(FIRST, "HIGH_SPEED", CLEARED, n + 1, n) for n in range(1, count)]
    windows = [window(FIRST, minute, revision, 50 + revision) for minute in range(count) for revision in (1, 2)]
    parts = 10
    fleet_site.readings(reading(FIRST, 1))
    for part in range(parts):
        restarted_fleet.end()
        restarted_fleet.start()
        fleet_site.alerts(*escalated[part::parts], *raised[part::parts], *cleared[part::parts], *escalated[part::parts])
        fleet_site.windows(*windows[part::parts], *windows[part::parts])
        fleet_site.send("vehicle-alerts", b"\xff poison", key=FIRST)
        fleet_site.commands(*stops_of(part), *stops_of(part)[::2])
        await asyncio.sleep(chance.uniform(0.2, 1.2))
    restarted_fleet.await_healthy()
    async with caller(restarted_fleet) as operator:

        async def listed(text: str = "") -> list[vehicle_pb2.AlertRecord]:
            request = fleet_pb2.ListAlertsRequest(filter=text, page_size=1000)
            return list((await operator.call("ListAlerts", request)).alerts)

        await eventually(
            lambda: listed(f"vehicle_id = {FIRST} AND state = CLEARED"), lambda a: len(a) == count - 1, "all cleared"
        )
        records = await listed(f"vehicle_id = {FIRST}")
        assert [record.alert.alert_id for record in records] == [a.alert_id for a in reversed(raised)]
        still_open = await listed(f"vehicle_id = {FIRST} AND state = ESCALATED AND severity >= WARNING")
        assert [record.alert.sequence for record in still_open] == [count]
        await eventually(lambda: operator.vehicle(FIRST), lambda v: v.open_alert_count == 1, "one is open")
        request = fleet_pb2.ListVehicleMetricsRequest(vehicle_id=FIRST, page_size=1000)
        shown = await eventually(
            lambda: operator.call("ListVehicleMetrics", request),
            lambda a: [metrics.revision for metrics in a.metrics] == [2] * count,
            "all windows, each as it was last",
        )
        assert list(shown.metrics) == list(reversed(windows[1::2]))
        held = [f"stop-{part}-held" for part in range(parts)]
        await eventually(lambda: operator.vehicle(FIRST), lambda v: list(v.active_stop_ids) == held, "stops that hold")
    async with database(fleet_site) as connection:
        rows = await connection.fetchval("SELECT count(*) FROM vehicle_metrics WHERE vehicle_id = $1", FIRST)
        assert rows == len(windows), "both revisions, each once"


def stops_of(part: int) -> list[event_pb2.CommandEvent]:
    """Two stops, of which one is over."""
    held, over = f"stop-{part}-held", f"stop-{part}-over"
    return [
        stop_issued(held, FIRST, SECOND),
        stop_issued(over, FIRST),
        stop_stage(held, FIRST, stop_pb2.STOP_STAGE_STANDSTILL),
        stop_stage(over, FIRST, stop_pb2.STOP_STAGE_RECEIVED),
        stop_released(over),
        stop_stage(over, FIRST, stop_pb2.STOP_STAGE_RELEASED),
    ]


async def test_an_alert_that_was_cleared_is_not_open_when_it_is_told_again(
    fleet_site: Site, restarted_fleet: FleetProcess
) -> None:
    """As a stream job repeats it after a failure, to a fleet service that was started since."""
    raised, cleared = alert(THIRD, "OVERHEATING", RAISED, 1, 1), alert(THIRD, "OVERHEATING", CLEARED, 2, 1)

    async def stored(count: int, state: str) -> None:
        request = fleet_pb2.ListAlertsRequest(filter=f"vehicle_id = {THIRD} AND state = {state}")
        async with caller(restarted_fleet) as operator:
            await eventually(lambda: operator.call("ListAlerts", request), lambda a: len(a.alerts) == count, state)

    fleet_site.readings(reading(THIRD, 1))
    fleet_site.alerts(raised, cleared)
    await stored(1, "CLEARED")
    restarted_fleet.end()
    fleet_site.alerts(raised, alert(THIRD, "LOW_FUEL", RAISED, 3, 3))
    restarted_fleet.start()
    await stored(1, "RAISED")
    async with caller(restarted_fleet) as operator:
        shown = await eventually(lambda: operator.vehicle(THIRD), bool, "it is known, also after the kill")
    assert shown.open_alert_count == 1, "the one that came behind it"


async def test_what_is_raised_again_under_another_id_is_open_once(
    fleet_site: Site, restarted_fleet: FleetProcess
) -> None:
    """And what is told of the older one after a restart, where its successor was cleared since, opens nothing."""
    async with caller(restarted_fleet) as operator:

        async def listed(text: str) -> list[int]:
            request = fleet_pb2.ListAlertsRequest(filter=f"vehicle_id = {FIFTH} AND {text}")
            return [record.alert.sequence for record in (await operator.call("ListAlerts", request)).alerts]

        fleet_site.readings(reading(FIFTH, 1))
        fleet_site.alerts(alert(FIFTH, "LOW_FUEL", RAISED, 10, 10), alert(FIFTH, "LOW_FUEL", RAISED, 20, 20))
        await eventually(lambda: listed("state = CLEARED"), lambda found: found == [10], "the older one is over")
        assert await listed("open = true") == [20]
        assert (await operator.vehicle(FIFTH)).open_alert_count == 1
        fleet_site.alerts(alert(FIFTH, "LOW_FUEL", CLEARED, 30, 20))
        await eventually(lambda: listed("state = CLEARED"), lambda found: found == [30, 10], "both are over")
        restarted_fleet.end()
        late, known = alert(FIFTH, "LOW_FUEL", RAISED, 15, 15), alert(FIFTH, "LOW_FUEL", RAISED, 10, 10)
        fleet_site.alerts(late, known, alert(FIFTH, "OVERHEATING", RAISED, 40, 40))
        restarted_fleet.start()
        await eventually(lambda: listed("open = true"), lambda found: found == [40], "the one that came behind them")
        assert await listed("state = CLEARED") == [30, 15, 10]
        assert (await operator.vehicle(FIFTH)).open_alert_count == 1


async def test_the_alerts_of_a_vehicle_that_is_taken_out_are_closed_with_it_and_stay_so(
    fleet_site: Site, restarted_fleet: FleetProcess
) -> None:
    """Also those that are told again, or late, to a fleet service that was started since, and when it is back."""
    lost, of_history = alert(FOURTH, "LINK_LOST", RAISED, 1, 1), alert(FOURTH, "LOW_FUEL", RAISED, 2, 2)
    of_history.backfilled = True

    async def listed(text: str) -> list[str]:
        request = fleet_pb2.ListAlertsRequest(filter=f"vehicle_id = {FOURTH} AND {text}")
        async with caller(restarted_fleet) as operator:
            return [record.alert.rule for record in (await operator.call("ListAlerts", request)).alerts]

    async def open_count() -> int:
        async with caller(restarted_fleet) as operator:
            return int((await operator.vehicle(FOURTH)).open_alert_count)

    fleet_site.readings(reading(FOURTH, 1))
    fleet_site.alerts(lost, of_history)
    await eventually(lambda: listed("open = false"), lambda rules: rules == ["LOW_FUEL"], "what has been")
    assert (await listed("open = true"), await open_count()) == (["LINK_LOST"], 1)
    async with caller(restarted_fleet, "maintainer") as maintainer:
        request = fleet_pb2.DeleteVehicleRequest(vehicle_id=FOURTH)
        await eventually(lambda: maintainer.call("DeleteVehicle", request), bool, "it is stored, and deleted")
    assert (await listed("open = true"), await listed("state = CLEARED")) == ([], ["LINK_LOST"])
    restarted_fleet.end()
    fleet_site.alerts(lost, alert(FOURTH, "OVERHEATING", RAISED, 3, 3))
    restarted_fleet.start()
    await eventually(lambda: listed("rule = OVERHEATING"), lambda rules: bool(rules), "what was on its way")
    assert (await listed("open = true"), len(await listed("state = CLEARED"))) == ([], 2)
    fleet_site.readings(reading(FOURTH, 2))
    assert await eventually(open_count, lambda count: count is not None, "it is back") == 0


async def test_an_alert_is_watched_and_acknowledged_once(fleet_site: Site, fleet: FleetProcess) -> None:
    fleet_site.readings(reading(SECOND, 1))
    async with caller(fleet) as operator, caller(fleet, "viewer") as viewer:
        stream = viewer.stream("WatchAlerts", fleet_pb2.WatchAlertsRequest(filter=f"vehicle_id = {SECOND}"))
        assert (await stream.read()).snapshot_complete
        sent_s = time.monotonic()
        fleet_site.alerts(low_fuel := alert(SECOND, "LOW_FUEL", RAISED, 5, 5))
        step = await asyncio.wait_for(stream.read(), WITHIN_S)
        print(f"alert seen by a watcher {1000 * (time.monotonic() - sent_s):.0f} ms after it was produced")
        assert [record.alert for record in step.alerts] == [low_fuel]
        request = fleet_pb2.AcknowledgeAlertRequest(alert_id=low_fuel.alert_id, note="on my way")
        done = await eventually(lambda: operator.call("AcknowledgeAlert", request), bool, "the acknowledgement")
        assert done.acknowledgement_note == "on my way"
        again = await operator.call(
            "AcknowledgeAlert", fleet_pb2.AcknowledgeAlertRequest(alert_id=low_fuel.alert_id, note="me too")
        )
        assert again == done
        step = await asyncio.wait_for(stream.read(), WITHIN_S)
        assert step.alerts[0].acknowledged_by == done.acknowledged_by
        seen = await operator.call(
            "ListAlerts", fleet_pb2.ListAlertsRequest(filter=f"acknowledged = true AND vehicle_id = {SECOND}")
        )
        assert list(seen.alerts) == [done]
        for person, alert_id, code in ((viewer, low_fuel.alert_id, "PERMISSION_DENIED"), (operator, "x", "NOT_FOUND")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await person.call("AcknowledgeAlert", fleet_pb2.AcknowledgeAlertRequest(alert_id=alert_id))
            assert refused.value.code().name == code
        stream.cancel()


async def test_of_each_window_the_highest_revision_is_shown(fleet_site: Site, fleet: FleetProcess) -> None:
    fleet_site.readings(reading(SECOND, 2))
    first = window(SECOND, 1, 1, 60)
    first.speed_kph_avg = 12.5
    fleet_site.windows(first, window(SECOND, 2, 1, 55), window(SECOND, 2, 2, 60), window(SECOND, 2, 1, 55), first)
    of_fleet = [window("", 2, 2, 130), window("", 2, 1, 125)]
    fleet_site.windows(*of_fleet)
    async with caller(fleet) as operator:

        async def listed(text: str = "", size: int = 0, token: str = "") -> fleet_pb2.ListVehicleMetricsResponse:
            request = fleet_pb2.ListVehicleMetricsRequest(
                vehicle_id=SECOND, filter=text, page_size=size, page_token=token
            )
            answer = await operator.call("ListVehicleMetrics", request)
            assert isinstance(answer, fleet_pb2.ListVehicleMetricsResponse)
            return answer

        shown = await eventually(listed, lambda a: len(a.metrics) == 2 and a.metrics[0].revision == 2, "both windows")
        assert list(shown.metrics) == [window(SECOND, 2, 2, 60), first], "and what is unknown is absent"
        page = await listed(size=1)
        rest = await listed(size=1, token=page.next_page_token)
        assert (list(rest.metrics), rest.next_page_token) == ([first], "")
        start = first.window_start_time.ToJsonString()
        chosen = await listed(f'window_length = 60s AND window_start_time > "{start}"')
        assert [metrics.revision for metrics in chosen.metrics] == [2]
        request = fleet_pb2.ListVehicleMetricsRequest(vehicle_id="-")
        shown = await eventually(
            lambda: operator.call("ListVehicleMetrics", request), lambda a: a.metrics, "the fleet's"
        )
        assert list(shown.metrics) == of_fleet[:1], "the lower revision, though it came later, is not shown"
