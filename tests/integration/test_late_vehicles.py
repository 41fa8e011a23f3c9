"""A fleet of which two in five are parked and silent and one in ten is 20 minutes late: whom that holds back."""

import time
from collections.abc import Iterator

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.kafka_topics import TELEMETRY
from tests.integration.stream_job import stream_job
from tests.integration.stream_sweeps import reading
from tests.integration.stream_windows import Window, assert_all_right, windows_in

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

VEHICLES = 50
PARKED, LATE = VEHICLES * 2 // 5, VEHICLES // 10
LATE_BY_S = 1_200
DRIVING_S = 250
TICK_S = 0.5
MENDED_WITHIN_S = 180
#: The partition in which nobody drives: those that are late are alone there, with some that are parked.
LAST = TELEMETRY.partitions - 1


def test_parked_and_late_vehicles_hold_nobody_back_and_the_late_ones_windows_come_right_later() -> None:
    with stream_job(checkpoint_interval_s=3, mend_quiet_s=20) as job:
        tail, out_s = job.tail("vehicle-metrics"), dict[Window, float]()

        def drive(began_s: float, while_late: bool) -> None:
            for made, partition in fleet_now(began_s, while_late):
                job.send(made, partition)
            job.producer.poll(0)
            for key, _ in windows_in(tail.read(), "ONTIME"):
                out_s.setdefault(key, time.time() - key[1] - key[2])
            time.sleep(TICK_S)

        began_s = time.time()
        while time.time() < began_s + DRIVING_S:
            drive(began_s, while_late=True)
        whole = {key: delay_s for key, delay_s in out_s.items() if key[1] >= began_s}
        delays_s = sorted(whole.values())
        print(
            f"{len(delays_s)} windows out after p50 {delays_s[len(delays_s) // 2]:.1f} s, at most {delays_s[-1]:.1f} s"
        )
        assert len({key[1] for key in whole if key[2] == 60}) >= DRIVING_S // 60 - 1
        assert delays_s[-1] <= 10
        deadline = time.time() + MENDED_WITHIN_S
        while job.keeper_metric("unmended_windows") or not job.keeper_metric("mended_windows_total"):
            assert time.time() < deadline, job.told()
            drive(began_s, while_late=False)
        begin_s = int(began_s - LATE_BY_S) // 300 * 300
        mended = assert_all_right(job.bootstrap, begin_s, begin_s + 600)
        assert {window.revision for window in mended.values()} == {2}
        assert {vehicle_id for vehicle_id, _, _ in mended} == {"", *(f"LATE-{number:03d}" for number in range(LATE))}


def fleet_now(began_s: float, while_late: bool) -> Iterator[tuple[Reading, int]]:
    """What is sent at this moment, and into which partition. Those that are parked have spoken once."""
    now_s = time.time()
    sequence = int((now_s - began_s) / TICK_S) + 1
    values = {"speed_kph": 30 + sequence % 7 / 3}
    for number in range(VEHICLES - PARKED - LATE):
        yield reading(f"ONTIME-{number:03d}", sequence, now_s, values), number % LAST
    for number in range(LATE if while_late else 0):
        yield reading(f"LATE-{number:03d}", sequence, now_s - LATE_BY_S, values), LAST
    for number in range(PARKED if sequence == 1 else 0):
        yield reading(f"PARKED-{number:03d}", 1, now_s, values), number % TELEMETRY.partitions
