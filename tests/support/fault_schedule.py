"""The printed fault schedule of a running stack, and the alerts that it must have led to."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from haul.fleet.v1.vehicle_pb2 import AlertRecord
from haul.telemetry.v1.alert_pb2 import ALERT_STATE_CLEARED

from deploy.local.places import Places

#: Between two readings, and for a machine that is late in sampling, seconds.
SLACK_S = 3.0
HORIZON_S = 7_200


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A fault, in seconds since 1970: from ``raised_by_s`` to ``end_s`` the value is beyond the raise limit."""

    vehicle_id: str
    kind: str
    alert: str
    start_s: float
    end_s: float
    raised_by_s: float
    cleared_by_s: float

    @property
    def lasts_to_its_end(self) -> bool:
        """Overspeed is over when the vehicle has been too fast for some seconds."""
        return self.kind != "overspeed"


def printed_schedule(places: Places) -> list[Occurrence]:
    """Of every vehicle that has moved, as `--print-schedule` gives it, with the plant's word for its second 0."""
    command = [sys.executable, "-m", "edge_agent.simulator", "--config", str(places.config / "plant.toml")]
    command += ["--print-schedule", "--output", "json", "--horizon-s", str(HORIZON_S)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    begun = _begun(places)
    faults = [json.loads(line) for line in printed.splitlines()]
    return [_occurrence(fault, begun[fault["vehicle"]]) for fault in faults if fault["vehicle"] in begun]


def _begun(places: Places) -> dict[str, float]:
    """Second 0 of each schedule, since 1970."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(places.sockets / "plant-control.sock"))
        control.sendall(b'{"command": "vehicles"}\n')
        vehicles = json.loads(control.makefile().readline())["vehicles"]
    to_wall_s = time.time() - time.monotonic()
    begun = {vehicle["vehicle_id"]: vehicle["schedule_begun_s"] for vehicle in vehicles}
    return {vehicle_id: begun_s + to_wall_s for vehicle_id, begun_s in begun.items() if begun_s is not None}


def _occurrence(fault: dict[str, object], begun_s: float) -> Occurrence:
    moments = {name: begun_s + float(str(fault[name])) for name in ("start_s", "end_s", "raised_by_s", "cleared_by_s")}
    return Occurrence(str(fault["vehicle"]), str(fault["kind"]), str(fault["alert"]), **moments)


def wrong_alerts(schedule: Iterable[Occurrence], alerts: Sequence[AlertRecord], until_s: float) -> list[str]:
    """How the alerts differ from: one for each occurrence, raised and cleared in its time, and none besides.

    A link that is lost is no fault of the schedule: who kills processes loses links.
    until_s: what was sampled before then has been judged, seconds since 1970.
    """
    left = {record.alert.alert_id: record for record in alerts if record.alert.rule != "LINK_LOST"}
    troubles: list[str] = []
    for fault in schedule:
        own = [record for record in left.values() if _belongs(record, fault)]
        for record in own:
            del left[record.alert.alert_id]
        troubles += _wrong(fault, own, until_s)
    return troubles + [f"besides: {_told(record)}" for record in left.values()]


def _belongs(record: AlertRecord, fault: Occurrence) -> bool:
    same = (record.alert.vehicle_id, record.alert.rule) == (fault.vehicle_id, fault.alert)
    return same and fault.start_s <= _raised_s(record) <= fault.cleared_by_s


def _wrong(fault: Occurrence, own: list[AlertRecord], until_s: float) -> Iterator[str]:
    due = until_s >= fault.raised_by_s + SLACK_S
    if len(own) > 1 or (due and not own):
        yield f"{len(own)} alerts for {fault}: {', '.join(map(_told, own))}"
        return
    for record in own:
        if _raised_s(record) > fault.raised_by_s + SLACK_S:
            yield f"raised late: {_told(record)} for {fault}"
        cleared = record.alert.state == ALERT_STATE_CLEARED
        if not cleared and until_s >= fault.cleared_by_s + SLACK_S:
            yield f"not cleared: {_told(record)} for {fault}"
        earliest_s = fault.end_s if fault.lasts_to_its_end else fault.start_s
        if cleared and not earliest_s <= _cleared_s(record) <= fault.cleared_by_s + SLACK_S:
            yield f"cleared at the wrong time: {_told(record)} for {fault}"


def _raised_s(record: AlertRecord) -> float:
    return record.alert.raised_time.ToNanoseconds() / 1e9


def _cleared_s(record: AlertRecord) -> float:
    return record.cleared_time.ToNanoseconds() / 1e9


def _told(record: AlertRecord) -> str:
    cleared = f"{_cleared_s(record):.1f}" if record.HasField("cleared_time") else "not"
    return (
        f"{record.alert.alert_id} (raised {_raised_s(record):.1f}, cleared {cleared}, value {record.alert.value:.2f})"
    )
