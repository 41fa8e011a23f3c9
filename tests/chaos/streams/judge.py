"""Waits until the windows that a stream job wrote are right."""

from collections.abc import Mapping

from confluent_kafka import Message
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics

from pitwall.kafka_topics import METRICS
from tests.integration.stream_job import StreamJob
from tests.integration.stream_windows import Window
from tests.support.streams import over, window_troubles


def await_windows(
    job: StreamJob, wanted: Mapping[Window, VehicleMetrics], over_s: float, within_s: float
) -> list[VehicleMetrics]:
    """Every revision of windows of these vehicles that began before then. `wanted`: recomputed; those over are awaited.

    Fails with what is wrong where that is so for too long. Whoever sends afterwards must be none of these vehicles.
    """
    troubles: list[str] = []

    def ours(records: list[Message]) -> list[VehicleMetrics]:
        windows = (VehicleMetrics.FromString(record.value() or b"") for record in records)
        return [w for w in windows if w.vehicle_id in whose and w.window_start_time.seconds < over_s]

    def all_right(records: list[Message]) -> bool:
        troubles[:] = window_troubles(wanted, ours(records), over(wanted, over_s))
        return not troubles

    whose, tail = {vehicle_id for vehicle_id, _, _ in wanted}, job.tail(METRICS.name)
    try:
        return ours(tail.until("all windows right", all_right, within_s))
    except AssertionError as error:
        raise AssertionError("\n".join(troubles)) from error
