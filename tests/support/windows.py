"""The figures that the fleet service shows of windows of time, held against every reading that the vehicles wrote."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from google.protobuf.message import DecodeError
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.integration.stream_windows import Window, assert_same, recomputed
from tests.support.checker import Identity
from tests.support.picture import View
from tests.support.plant import Plant
from tests.support.topics import records

LENGTH_S = 60


def wrong_windows(view: View, plant: Plant, bootstrap: str, through_s: float) -> list[str]:
    """How the 1-minute windows that were over by then, in seconds since 1970, differ from each reading counted once.

    No reading that a vehicle generated may be missing, and no window may have been sent twice.
    """
    generated = {identity for identity, _ in plant.readings()}
    found = _readings(bootstrap, generated)
    expected = {key: figures for key, figures in recomputed(list(found.values())).items() if _is_over(key, through_s)}
    vehicle_ids = {identity[0] for identity in generated}
    shown = {_key(window): window for vehicle_id in vehicle_ids for window in view.windows(vehicle_id, LENGTH_S)}
    shown = {key: window for key, window in shown.items() if _is_over(key, through_s)}
    troubles = [f"{len(lost)} readings lost, first {lost[0]}"] if (lost := _lost(generated, found)) else []
    troubles += [f"no window {key}" for key in sorted(expected.keys() - shown.keys())]
    troubles += [f"window {key} of no reading" for key in sorted(shown.keys() - expected.keys())]
    troubles += [f"{count} records of window {key}" for key, count in _records(bootstrap).items() if count > 1]
    return troubles + _different(shown, expected)


def _readings(bootstrap: str, generated: set[Identity]) -> dict[Identity, Reading]:
    """Each reading once; whatever else is in the topic is somebody else's."""
    found: dict[Identity, Reading] = {}
    for record in records(bootstrap, "vehicle-telemetry"):
        try:
            reading = Reading.FromString(record.value() or b"")
        except DecodeError:
            continue
        identity = (reading.vehicle_id, reading.boot_epoch, reading.sequence)
        if identity in generated:
            found.setdefault(identity, reading)
    return found


def _lost(generated: set[Identity], found: Mapping[Identity, Reading]) -> list[Identity]:
    """Those that are not in Kafka though later ones of the same boot are."""
    last: defaultdict[tuple[str, int], int] = defaultdict(int)
    for vehicle_id, boot_epoch, sequence in found:
        last[vehicle_id, boot_epoch] = max(sequence, last[vehicle_id, boot_epoch])
    return sorted(i for i in generated if i not in found and i[2] < last[i[:2]])


def _records(bootstrap: str) -> Counter[tuple[Window, int]]:
    """How often each window and revision is among the committed records."""
    windows = (VehicleMetrics.FromString(record.value() or b"") for record in records(bootstrap, "vehicle-metrics"))
    return Counter((_key(window), window.revision) for window in windows)


def _different(shown: Mapping[Window, VehicleMetrics], expected: Mapping[Window, VehicleMetrics]) -> list[str]:
    troubles = []
    for key in sorted(shown.keys() & expected.keys()):
        count, wanted = shown[key].reading_count, expected[key].reading_count
        if count != wanted:
            troubles.append(f"window {key} has {count} readings and not {wanted}")
            continue
        complete = VehicleMetrics()
        complete.CopyFrom(expected[key])
        complete.missing_count = 0  # as the gap ledger says
        try:
            assert_same(shown[key], complete)
        except AssertionError as error:
            troubles.append(f"window {key}: {error}")
    return troubles


def _key(window: VehicleMetrics) -> Window:
    return window.vehicle_id, window.window_start_time.seconds, window.window_length.seconds


def _is_over(key: Window, through_s: float) -> bool:
    return key[2] == LENGTH_S and key[1] + LENGTH_S <= through_s
