"""Counts as Prometheus would see them."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ingest_gateway.intake import take_in
from ingest_gateway.meters import Meters
from ingest_gateway.record import VehicleRecord
from pitwall.domain.permit import PermitDenial
from tests.unit.ingest_gateway.builders import VEHICLE, at, batch, reading


def counted(reader: InMemoryMetricReader) -> dict[tuple[str, ...], int]:
    """(name, label values...) -> value."""
    data = reader.get_metrics_data()
    found = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
        for point in metric.data.data_points:
            found[(metric.name, *map(str, (point.attributes or {}).values()))] = getattr(point, "value", 0)
    return found


def test_what_is_counted_is_what_is_shown() -> None:
    reader = InMemoryMetricReader()
    meters = Meters(MeterProvider([reader]).get_meter("test"))
    record = VehicleRecord(VEHICLE)
    for _ in range(2):
        batch_ = batch(reading(1), reading(2, payload_tons=-1.0)).reading_batch
        meters.intake(take_in(batch_, record, at(0)))
    meters.intake(take_in(batch().reading_batch, record, at(0)))
    meters.throttled("READINGS_PER_SECOND")
    meters.turned_away("TOO_MANY_STREAMS")
    meters.permit(PermitDenial.NO_MAJORITY)
    meters.stops("sent", 0)
    shown = counted(reader)
    assert shown["pitwall.gateway.readings", "accepted"] == 1
    assert shown["pitwall.gateway.readings", "rejected"] == 1
    assert shown["pitwall.gateway.readings", "duplicate"] == 2
    assert shown["pitwall.gateway.readings", "declined"] == 0
    assert shown["pitwall.gateway.events", "empty_batch"] == 1
    assert shown["pitwall.gateway.throttles", "READINGS_PER_SECOND"] == 1
    assert shown["pitwall.gateway.throttles", "KAFKA_BACKLOG"] == 0
    assert shown["pitwall.gateway.streams.refused", "TOO_MANY_STREAMS"] == 1
    assert shown["pitwall.gateway.rejections", "payload_tons", "OUT_OF_RANGE"] == 1
    assert shown["pitwall.gateway.permits", "no_majority"] == 1
    assert shown["pitwall.gateway.stop.entries", "sent"] == 0
    meters.permit(PermitDenial.NO_MAJORITY)
    assert counted(reader)["pitwall.gateway.permits", "no_majority"] == 2
