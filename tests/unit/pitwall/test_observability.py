"""Metrics as Prometheus reads them, and the lag of the loop."""

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from pitwall.observability import SECONDS_BUCKETS, LoopLag, gauge, seconds_histogram

# The providers of OpenTelemetry are set once per process, so a process of its own shows what a service shows.
SERVICE = """
import asyncio, json
from opentelemetry import metrics
from pitwall import observability

early = metrics.get_meter("early").create_counter("pitwall.early", unit="{reading}")
observability.start("ingest_gateway", "gateway-1")
meter = metrics.get_meter("late")
early.add(2, {"topic": "a"})
observability.seconds_histogram(meter, "pitwall.stop", "…").record(0.0007)
observability.gauge(meter, "pitwall.depth", "…", lambda: 4.0)
kind, body = asyncio.run(observability.metrics_text())
print(json.dumps([kind, body.decode()]))
"""


def test_a_service_shows_its_instruments_and_its_name() -> None:
    done = subprocess.run([sys.executable, "-c", SERVICE], capture_output=True, text=True, check=True, timeout=60)
    kind, text = json.loads(done.stdout)
    assert kind.startswith("text/plain")
    lines = text.splitlines()
    assert any(line.startswith("pitwall_early_total{") and line.endswith(" 2.0") for line in lines)
    assert any(line.startswith("pitwall_stop_seconds_bucket{") and 'le="0.001"' in line for line in lines)
    assert any(line.startswith("pitwall_depth") and line.endswith(" 4.0") for line in lines)
    assert any("target_info" in line and "gateway-1" in line and "ingest_gateway" in line for line in lines)
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


class Memory:
    """Metrics that stay in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.meter = MeterProvider([self._reader]).get_meter("test")

    def points(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        return {metric.name: next(iter(metric.data.data_points)) for metric in metrics}


def test_a_histogram_of_seconds_tells_half_a_millisecond_from_one() -> None:
    memory = Memory()
    histogram = seconds_histogram(memory.meter, "stop", "…")
    for seconds in (0.0005, 0.0006, 31.0):
        histogram.record(seconds)
    point = memory.points()["stop"]
    assert tuple(point.explicit_bounds) == SECONDS_BUCKETS
    assert (point.bucket_counts[0], point.bucket_counts[1], point.bucket_counts[-1]) == (1, 1, 1)


def test_a_gauge_is_read_when_somebody_asks() -> None:
    memory, depth = Memory(), [1.0]
    gauge(memory.meter, "depth", "…", lambda: depth[0])
    depth[0] = 7.0
    assert memory.points()["depth"].value == 7.0


async def test_a_loop_that_was_held_up_shows_it() -> None:
    memory = Memory()
    lag = LoopLag(memory.meter)
    measuring = asyncio.ensure_future(lag.measure())
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251  # this is what it has to find
    await measuring
    assert lag.last_s > 0.15
    assert memory.points()["pitwall.event_loop.lag"].count == 1


async def test_health_is_a_metric_too_and_scrapes_at_once_do_not_mix() -> None:
    code = """
import asyncio, json
from pitwall import observability
from pitwall.observability import Part

observability.start("ingest_gateway", "gateway-1")
parts = {"kafka": Part(False, "gone", required=False), "journal": Part(True)}
status = observability.serve_status("127.0.0.1:0", lambda: parts)

async def scrape():
    reader, writer = await asyncio.open_connection("127.0.0.1", status.port)
    writer.write(b"GET /metrics HTTP/1.1\\r\\n\\r\\n")
    text = (await reader.read()).decode()
    writer.close()
    return [line for line in text.splitlines() if line.startswith("pitwall_part_up")]

async def main():
    await status.start()
    print(json.dumps(await asyncio.gather(*(scrape() for _ in range(8)))))

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    expected = [
        'pitwall_part_up{part="kafka",required="false"} 0.0',
        'pitwall_part_up{part="journal",required="true"} 1.0',
    ]
    assert json.loads(out) == [expected] * 8
