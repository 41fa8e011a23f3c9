"""A stack with a console in front of it: commands under way, and vehicles made free again."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tests.integration.driving import LOOK_EVERY_S
from tests.integration.stacks import RunningStack
from tests.support.operator import PITWALL, Operator
from tests.support.plant import Plant

WITHIN_S = 60.0


def set_free(operator: Operator) -> None:
    operator = operator.quick()
    if stops := [stop["stop"]["stopId"] for stop in operator.do("stops")]:
        operator.release(*stops)
    end_s = time.monotonic() + WITHIN_S
    while held := {state["vehicleId"] for state in operator.do("motion") if not is_free(state)}:
        assert time.monotonic() < end_s, f"still not on their way: {held}"
        operator.ask("order", "RESUME", *held)
        operator.as_("supervisor").ask("order", "SET_STATUS", *held, "--status", "IDLE")
        operator.ask("order", "START_ROUTE", *held)
        time.sleep(LOOK_EVERY_S)


def is_free(state: dict[str, Any]) -> bool:
    working = state["status"] not in ("VEHICLE_STATUS_MAINTENANCE", "VEHICLE_STATUS_EMERGENCY_STOP")
    return working and state["motionHold"] == "MOTION_HOLD_NONE"


def await_driving(plant: Plant) -> str:
    """Whichever vehicle is the first to drive: they work in shifts."""
    end_s = time.monotonic() + WITHIN_S
    while True:
        for vehicle_id in plant.vehicle_ids():
            line = plant.last(vehicle_id)
            if line.speed_kph > 10 and line.permitted:
                return vehicle_id
        assert time.monotonic() < end_s, "no vehicle drives"
        time.sleep(0.05)


@contextmanager
def pitwall(stack: RunningStack, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One command under way."""
    process = subprocess.Popen(
        [str(PITWALL), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PITWALL_HOME": str(stack.home), "PATH": os.environ["PATH"]},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(lines: IO[str] | None, wanted: str) -> list[dict[str, Any]]:
    """JSON lines up to the first that holds a text."""
    assert lines is not None
    read: list[dict[str, Any]] = []
    for line in lines:
        read.append(json.loads(line))
        if wanted in line:
            return read
    raise AssertionError(f"ended without {wanted}: {read}")


def await_status(operator: Operator, stop_id: str, exit_code: int) -> None:
    end_s = time.monotonic() + WITHIN_S
    while (answer := operator.quick().ask("stop-status", stop_id)).exit_code != exit_code:
        assert time.monotonic() < end_s, answer
        time.sleep(LOOK_EVERY_S)
