"""What the chaos tests of telemetry measure by: how fast readings flow, and since when they are young again."""

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.chaos.telemetry.test_gateways_killed import Flow
from tests.chaos.telemetry.test_outage import Young


def reading(received_s: float, *, old_s: float = 0.0, backfilled: bool = False) -> Reading:
    made = Reading(vehicle_id="V", backfilled=backfilled)
    made.received_time.FromNanoseconds(round(received_s * 1e9))
    made.event_time.FromNanoseconds(round((received_s - old_s) * 1e9))
    return made


@pytest.mark.parametrize(("now_s", "rate"), [(1000.0, 0), (1000.95, 6), (1001.35, 10), (1001.85, 5), (1003.0, 0)])
def test_a_rate_is_that_of_one_second(now_s: float, rate: int) -> None:
    """One reading in each tenth of the second from 1000 on; the newest 0.3 s may not be in our hands yet."""
    flow = Flow()
    for tick in range(10):
        flow.take(reading(1000.05 + tick / 10))
    assert flow.rate(now_s) == rate
    assert flow.between(1000.0, 1001.0) == 10


def test_only_a_young_live_reading_after_the_return_counts() -> None:
    young = Young(1000.0)
    for made in (reading(999.9), reading(1000.5, backfilled=True), reading(1001.0, old_s=2.0)):
        young.take(made)
    assert young.first_s == {}
    assert young.backfilled == 1
    young.take(reading(1002.0, old_s=1.9))
    young.take(reading(1003.0))
    assert young.first_s == {"V": pytest.approx(2.0)}
