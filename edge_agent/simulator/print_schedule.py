"""Prints the fault schedule: what should raise which alert, and when."""

import json
import sys
from typing import TextIO

from edge_agent.fleet import fleet_ids
from edge_agent.simulator.config import PlantSettings
from edge_agent.simulator.schedule import ScheduledFault, schedule, until

_HEADING = ("vehicle", "kind", "alert", "start_s", "end_s", "raised_by_s", "cleared_by_s")


def scheduled(settings: PlantSettings, horizon_s: float) -> list[ScheduledFault]:
    """Every fault that begins before the horizon, in order. Empty when `faults` is off."""
    if not settings.faults:
        return []
    faults = [
        fault
        for vehicle_id in fleet_ids(settings.fleet)
        for fault in until(horizon_s, schedule(vehicle_id, seed=settings.seed, time_scale=settings.time_scale))
    ]
    return sorted(faults, key=lambda fault: (fault.start_s, fault.vehicle_id))


def print_schedule(settings: PlantSettings, horizon_s: float, output: str, out: TextIO = sys.stdout) -> None:
    """As a table, or one JSON object a line. Seconds since the vehicle's first leave to move."""
    if output == "json":
        for fault in scheduled(settings, horizon_s):
            out.write(json.dumps(dict(zip(_HEADING, _values(fault), strict=True))) + "\n")
        return
    rows = [_HEADING, *([str(value) for value in _values(fault)] for fault in scheduled(settings, horizon_s))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING))]
    for row in rows:
        out.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _values(fault: ScheduledFault) -> tuple[str | float, ...]:
    return (
        fault.vehicle_id,
        fault.kind.value,
        fault.alert,
        fault.start_s,
        fault.end_s,
        round(fault.raised_by_s, 1),
        round(fault.cleared_by_s, 1),
    )
