"""From the sample that raises or clears an alert to a watcher of alerts: through Kafka, Flink and the fleet service."""

import asyncio
import json
import time
from collections.abc import Iterator

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.telemetry.v1.alert_pb2 import AlertState

from tests.bench.figures import Figure, figure
from tests.bench.fleet_caller import fleet_caller
from tests.integration.stacks import RunningStack

#: None of them stops a vehicle or needs it to drive.
KINDS = ("overheating", "low-fuel", "low-battery", "tire-pressure-high")
LASTS_S = 40.0
#: Between one vehicle's faults and the next one's.
APART_S = 0.5
#: From the last fault to the last alert's end: LASTS_S and what the values take to fall back.
ENDS_WITHIN_S = 60.0


async def measure(stack: RunningStack) -> list[Figure]:
    """Every vehicle gets each fault once; each step counts from its reading's event_time to this process's clock."""
    raised: list[float] = []
    cleared: list[float] = []
    which = {AlertState.ALERT_STATE_RAISED: raised, AlertState.ALERT_STATE_CLEARED: cleared}
    steps = len(stack.options.vehicle_ids) * len(KINDS)
    async with fleet_caller(stack) as caller:
        stream = caller.watch("WatchAlerts", fleet_pb2.WatchAlertsRequest())
        while not (await stream.read()).snapshot_complete:
            pass
        faults = asyncio.create_task(_make_faults(stack))
        end_s = time.monotonic() + len(stack.options.vehicle_ids) * APART_S + LASTS_S + ENDS_WITHIN_S
        while len(cleared) < steps:
            news = await asyncio.wait_for(stream.read(), end_s - time.monotonic())
            now_nanos = time.time_ns()
            for alert in (record.alert for record in news.alerts):
                if alert.state in which:
                    which[alert.state].append((now_nanos - alert.event_time.ToNanoseconds()) / 1e9)
        await faults
        stream.cancel()
    return [
        figure("sample to alert in WatchAlerts", raised + cleared),
        figure("… raised", raised),
        figure("… cleared", cleared),
    ]


async def _make_faults(stack: RunningStack) -> None:
    reader, writer = await asyncio.open_unix_connection(stack.places.sockets / "plant-control.sock")
    try:
        for vehicle_id in stack.options.vehicle_ids:
            for request in _requests(vehicle_id):
                writer.write(request)
                answer = json.loads(await reader.readline())
                if not answer["ok"]:
                    raise RuntimeError(f"no fault for {vehicle_id}: {answer}")
            await asyncio.sleep(APART_S)
    finally:
        writer.close()


def _requests(vehicle_id: str) -> Iterator[bytes]:
    for kind in KINDS:
        request = {"command": "fault", "vehicle_id": vehicle_id, "kind": kind, "lasts_s": LASTS_S}
        yield json.dumps(request).encode() + b"\n"
