"""Gateways that are restarted as planned while vehicles drive: nobody is held, nothing is lost."""

import time

import pytest

from ingest_gateway.limits import DRAIN_S, FLUSH_S, STOP_GRACE_S
from tests.chaos.history import BOOTS
from tests.chaos.line import GATEWAYS, Line, say
from tests.support.topics import await_all

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

#: What a vehicle says that has no leave, and why.
HELD = ("NO_PERMIT", "LINK_LOST")
#: For the supervisor and a busy machine, seconds.
SLACK_S = 3.0
ARRIVES_WITHIN_S = 60.0


def test_a_planned_restart_of_each_gateway_holds_nobody_and_loses_nothing(at_work: Line) -> None:
    stack, plant = at_work.stack, at_work.plant
    begun_t, took_s = time.monotonic(), list[float]()
    for name in GATEWAYS:
        at_work.await_connected()
        asked_t = time.monotonic()
        stack.supervisor.stop(name)
        took_s.append(time.monotonic() - asked_t)
        other = next(each for each in GATEWAYS if each != name)
        at_work.await_connected(other)
        stack.supervisor.start(name)
        stack.await_healthy(name)
    for vehicle_id in at_work.vehicle_ids:
        held = [line for line in plant.lines(vehicle_id, begun_t) if line.cause in HELD]
        assert not held, f"{vehicle_id} was held: {held[0]}"
    assert {state["motionHold"] for state in at_work.states().values()} == {"MOTION_HOLD_NONE"}
    assert max(took_s) <= DRAIN_S + STOP_GRACE_S + FLUSH_S + SLACK_S
    verdict = await_all(plant, stack.kafka_bootstrap, within_s=ARRIVES_WITHIN_S, planted=BOOTS)
    times = ", ".join(f"{each:.1f} s" for each in took_s)
    say(f"planned restarts: nobody held, nothing lost, {len(verdict.duplicated)} twice; gateways ended in {times}")
