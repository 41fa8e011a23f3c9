"""A reading that comes again, told from another one of the same identity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.limits import CLOCK_TOLERANCE_S, MAX_MONOTONIC_NANOS, REMEMBERED_BATCHES
from ingest_gateway.samples import Samples
from tests.unit.ingest_gateway.builders import EPOCH, NANOS, reading


def known(*sampled_s: float, first: int = 1) -> Samples:
    samples = Samples()
    samples.keep(EPOCH, [reading(first + number, at_s) for number, at_s in enumerate(sampled_s)])
    return samples


@pytest.mark.parametrize(
    ("at_s", "differs"),
    [
        (10.0, False),
        (12.0, False),
        (10.0 - CLOCK_TOLERANCE_S, False),
        (12.0 + CLOCK_TOLERANCE_S, False),
        (10.0 - CLOCK_TOLERANCE_S - 0.001, True),
        (12.0 + CLOCK_TOLERANCE_S + 0.001, True),
    ],
)
def test_it_was_sampled_within_its_batch_or_is_another_one(at_s: float, *, differs: bool) -> None:
    assert known(10.0, 11.0, 12.0).differs(EPOCH, reading(2, at_s)) == differs


def test_another_boot_or_another_sequence_is_none_of_it() -> None:
    samples = known(10.0, 11.0)
    assert not samples.differs(EPOCH - 1, reading(1, 9_000.0))
    assert not samples.differs(EPOCH, reading(3, 9_000.0))


@pytest.mark.parametrize("times_s", [(12.0, 10.0), (0.0, 10.0)])
def test_a_batch_whose_times_do_not_ascend_is_believed(times_s: tuple[float, float]) -> None:
    batch = [reading(number + 1, at_s) for number, at_s in enumerate(times_s)]
    batch[0].monotonic_nanos = round(times_s[0] * NANOS)
    samples = Samples()
    samples.keep(EPOCH, batch)
    assert not samples.differs(EPOCH, reading(1, 9_000.0))


def test_a_clock_beyond_all_clocks_is_not_remembered() -> None:
    samples = Samples()
    samples.keep(EPOCH, [reading(1, monotonic_nanos=MAX_MONOTONIC_NANOS + 1)])
    assert not samples.differs(EPOCH, reading(1, 9.0))


def test_the_oldest_batch_is_forgotten() -> None:
    samples = Samples()
    for number in range(1, REMEMBERED_BATCHES + 2):
        samples.keep(EPOCH, [reading(number, 10.0 + number)])
    assert not samples.differs(EPOCH, reading(1, 9_000.0))
    assert all(samples.differs(EPOCH, reading(number, 9_000.0)) for number in range(2, REMEMBERED_BATCHES + 2))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=100), st.data())
def test_what_comes_again_is_never_taken_for_another(sizes: list[int], data: st.DataObject) -> None:
    samples, sequence, sent = Samples(), 0, []
    for size in sizes:
        batch = [reading(sequence + number, 10.0 + 0.1 * (sequence + number)) for number in range(1, size + 1)]
        sequence += size
        samples.keep(EPOCH, batch)
        sent += batch
    assert not samples.differs(EPOCH, data.draw(st.sampled_from(sent)))
