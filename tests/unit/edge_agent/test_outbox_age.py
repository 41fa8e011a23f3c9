"""Readings grow old by time that has passed, whatever the wall clock is set to."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.reports import Lost
from edge_agent.shipment import Stored
from pitwall.domain.sequence import SequenceRange
from tests.unit.edge_agent.builders import VEHICLE

HOUR_S, DAY_S = 3_600.0, 86_400.0
YEAR_S = 365 * DAY_S
MAX_AGE_S = 7 * DAY_S
#: The most that one start may age them.
MOST_AWAY_S = MAX_AGE_S / 2
#: From boot to the agent's start, seconds.
BOOT_S = 30.0
TRUE_WALL = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEVER_SET = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


class Truck:
    """A computer with two clocks, and the outbox on its disk. Every reading is written and looked at in one go."""

    def __init__(self, path: Path, wall: datetime = TRUE_WALL) -> None:
        self._path = path
        self._sequence = 0
        self._too_old: list[int] = []
        self._start(wall)

    def _start(self, wall: datetime) -> None:
        self.now = Moment(BOOT_S, wall)
        self._outbox = Outbox(self._path, Bounds(10**9, MAX_AGE_S), self.now)
        self.write(0)

    def restart(self, *, wall_moved_s: float) -> None:
        """Off and on again; so much later by its wall clock."""
        self.close()
        self._start(self.now.wall + timedelta(seconds=wall_moved_s))

    def run(self, for_s: float) -> None:
        self.now = Moment(self.now.s + for_s, self.now.wall + timedelta(seconds=for_s))

    def step(self, by_s: float) -> None:
        """The wall clock is set."""
        self.now = Moment(self.now.s, self.now.wall + timedelta(seconds=by_s))

    def write(self, count: int) -> list[int]:
        """So many readings, of this moment. Returns what was given up as too old so far, by its sequences."""
        made = range(self._sequence + 1, self._sequence + count + 1)
        self._sequence += count
        self._outbox.begin()
        self._outbox.add(NewReading(VEHICLE, Stored(7, sequence, b"x"), self.now.s) for sequence in made)
        lost = self._outbox.evict(self.now)
        self._outbox.commit()
        assert {one.reason for one in lost.get(VEHICLE, [])} <= {"TOO_OLD"}
        self._too_old += [s for one in lost.get(VEHICLE, []) for s in range(one.range.first, one.range.last + 1)]
        return self._too_old

    def give_up(self, sequence: int) -> None:
        self._outbox.begin()
        self._outbox.lose({VEHICLE: [Lost(7, SequenceRange(sequence, sequence), "OUTBOX_BUSY")]}, self.now.s)
        self._outbox.commit()

    @property
    def known_lost(self) -> int:
        return len(self._outbox.lost(VEHICLE))

    def close(self) -> None:
        self._outbox.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def steps_in_a_run(truck: Truck, by_s: float) -> None:
    truck.step(by_s)


def steps_while_it_is_off(truck: Truck, by_s: float) -> None:
    truck.restart(wall_moved_s=by_s)


@pytest.mark.parametrize("steps", [steps_in_a_run, steps_while_it_is_off])
@pytest.mark.parametrize("by_s", [2 * YEAR_S, 10 * DAY_S, HOUR_S, -HOUR_S, -10 * DAY_S, -2 * YEAR_S])
def test_no_wall_clock_makes_a_young_reading_old(
    path: Path, steps: Callable[[Truck, float], None], by_s: float
) -> None:
    with closing(Truck(path)) as truck:
        truck.write(10)
        truck.run(100.0)
        steps(truck, by_s)
        assert truck.write(1) == []
        truck.restart(wall_moved_s=60.0)
        assert truck.write(1) == []


@pytest.mark.parametrize("by_s", [2 * YEAR_S, -2 * YEAR_S])
@pytest.mark.parametrize(("left_s", "lost"), [(1.0, []), (-1.0, [1])])
def test_after_a_step_readings_grow_old_as_before(path: Path, by_s: float, left_s: float, lost: list[int]) -> None:
    with closing(Truck(path)) as truck:
        truck.write(1)
        truck.run(DAY_S)
        truck.step(by_s)
        truck.write(1)
        truck.run(MAX_AGE_S - DAY_S - left_s)
        assert truck.write(1) == lost


def test_a_clock_that_goes_back_while_it_is_off_keeps_nothing_for_ever(path: Path) -> None:
    with closing(Truck(path)) as truck:
        truck.write(1)
        truck.restart(wall_moved_s=-2 * YEAR_S)
        truck.run(MAX_AGE_S + 1)
        assert truck.write(1) == [1]


def test_a_truck_that_was_parked_and_wakes_in_the_past_still_has_its_history_when_the_time_comes(path: Path) -> None:
    """No clock that runs without power: it goes on at the last time that it saved, and NTP comes with the link."""
    with closing(Truck(path)) as truck:
        truck.write(5)
        truck.restart(wall_moved_s=0.0)
        for _ in range(8):
            truck.write(5)
            truck.run(HOUR_S)
        truck.step(10 * DAY_S)
        assert truck.write(1) == []
        truck.restart(wall_moved_s=60.0)
        assert truck.write(1) == []


@pytest.mark.parametrize(("left_s", "lost"), [(1.0, []), (-1.0, [1])])
def test_the_time_away_counts(path: Path, left_s: float, lost: list[int]) -> None:
    with closing(Truck(path)) as truck:
        truck.write(1)
        truck.restart(wall_moved_s=3 * DAY_S)
        truck.run(MAX_AGE_S - 3 * DAY_S - left_s)
        assert truck.write(1) == lost


@pytest.mark.parametrize(("left_s", "lost"), [(1.0, []), (-1.0, [1])])
def test_years_away_count_as_half_of_the_age_because_the_clock_may_be_wrong(
    path: Path, left_s: float, lost: list[int]
) -> None:
    with closing(Truck(path)) as truck:
        truck.write(1)
        truck.restart(wall_moved_s=2 * YEAR_S)
        truck.run(MAX_AGE_S - MOST_AWAY_S - left_s)
        assert truck.write(1) == lost


def test_what_was_made_before_the_clock_was_ever_set_grows_old_with_the_rest(path: Path) -> None:
    with closing(Truck(path, NEVER_SET)) as truck:
        truck.write(1)
        truck.run(HOUR_S)
        truck.step((TRUE_WALL - NEVER_SET).total_seconds())
        assert truck.write(1) == []
        truck.run(MAX_AGE_S - HOUR_S + 1)
        assert truck.write(1) == [1]


def test_a_short_run_is_not_forgotten_by_the_next(path: Path) -> None:
    """The mark is written now and then, and the wall clock says what has passed since."""
    with closing(Truck(path)) as truck:
        truck.write(1)
        for _ in range(8):
            for _ in range(24):
                truck.run(HOUR_S - 20)
                truck.restart(wall_moved_s=20.0)
        assert truck.known_lost == 1


def test_a_loss_that_was_not_told_yet_is_not_forgotten_because_the_clock_steps(path: Path) -> None:
    with closing(Truck(path)) as truck:
        truck.write(2)
        truck.give_up(1)
        truck.step(2 * YEAR_S)
        truck.write(1)
        assert truck.known_lost == 1
        truck.run(MAX_AGE_S - 1)
        truck.write(0)
        assert truck.known_lost == 1
        truck.run(2.0)
        truck.write(0)
        assert [one.reason for one in truck._outbox.lost(VEHICLE)] == ["TOO_OLD"], "of reading 2, just now"
