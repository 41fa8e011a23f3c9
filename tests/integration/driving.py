"""Vehicles that drive, brake and hold, as tests of a broken path want them."""

import time

from tests.support.operator import Operator
from tests.support.plant import Plant

#: lease_ttl, one control period, and what a test's own measuring may take, seconds.
BRAKES_WITHIN_S = 2.0 + 0.25
#: How often the site is asked for what it tells nobody who doesn't ask, seconds.
LOOK_EVERY_S = 0.1


def resume_all(operator: Operator) -> None:
    """Whoever holds LINK_LOST or BOOT moves on, and whoever was released to MAINTENANCE is sent on its way."""
    operator = operator.quick()
    deadline = time.monotonic() + 30
    while held := [s["vehicleId"] for s in operator.do("motion") if s["motionHold"] != "MOTION_HOLD_NONE"]:
        operator.ask("order", "RESUME", *held)
        assert time.monotonic() < deadline, f"still held: {held}"
        time.sleep(LOOK_EVERY_S)
    for vehicle_id in [s["vehicleId"] for s in operator.do("motion") if s["status"] == "VEHICLE_STATUS_MAINTENANCE"]:
        operator.as_("supervisor").do("order", "SET_STATUS", vehicle_id, "--status", "IDLE")
        operator.do("order", "START_ROUTE", vehicle_id)


def await_driving(plant: Plant, *vehicle_ids: str) -> None:
    for vehicle_id in vehicle_ids:
        plant.wait(vehicle_id, "it drives", lambda line: line.speed_kph > 5, since_t=time.monotonic(), timeout_s=60)


def await_hold(operator: Operator, hold: str, *vehicle_ids: str) -> None:
    deadline = time.monotonic() + 30
    for vehicle_id in vehicle_ids:
        while (state := operator.motion_state(vehicle_id))["motionHold"] != hold or "CONNECTED" not in state[
            "connectivity"
        ]:
            assert time.monotonic() < deadline, state
            time.sleep(LOOK_EVERY_S)
