"""How far a vehicle is with its stops."""

from edge_agent.limits import REMEMBERED_RELEASES
from edge_agent.stages import Progress, Stage, Stages
from tests.unit.edge_agent.builders import T0, sample

RECEIVED, BRAKING, STANDSTILL, RELEASED = Stage


def reached(progress: tuple[Progress, ...]) -> list[tuple[str, Stage]]:
    return [(p.stop_id, p.stage) for p in progress]


def test_a_stop_is_received_when_it_takes_hold_and_not_yet_on_disk() -> None:
    assert Stages().latched({"b", "a"}, T0) == (
        Progress("a", RECEIVED, T0, latched_durably=False),
        Progress("b", RECEIVED, T0, latched_durably=False),
    )


def test_a_measurement_of_the_very_moment_counts() -> None:
    stages = Stages()
    stages.latched({"a"}, T0)
    assert reached(stages.measured(sample(T0, braking=True))) == [("a", BRAKING)]


def test_each_stop_has_its_own_stages() -> None:
    stages = Stages()
    stages.latched({"a"}, T0)
    stages.measured(sample(T0 + 1, speed_kph=0, braking=True))
    stages.latched({"b"}, T0 + 2)
    assert reached(stages.measured(sample(T0 + 3, speed_kph=0, braking=True))) == [("b", BRAKING), ("b", STANDSTILL)]
    assert stages.measured(sample(T0 + 4, speed_kph=0, braking=True)) == ()


def test_stages_say_whether_the_latch_is_on_disk_by_then() -> None:
    stages = Stages()
    stages.latched({"a"}, T0)
    stages.durable({"a"})
    assert [p.latched_durably for p in stages.measured(sample(T0, braking=True))] == [True]


def test_a_latch_that_went_meanwhile_is_not_reported_as_written() -> None:
    stages = Stages()
    stages.latched({"a"}, T0)
    stages.released({"a"}, T0)
    assert stages.durable({"a"}) == ()


def test_all_tells_every_stage_of_what_holds_and_what_was_released() -> None:
    stages = Stages()
    stages.latched({"a", "b"}, T0)
    stages.measured(sample(T0 + 1, braking=True))
    stages.released({"b"}, T0 + 2)
    assert stages.all() == (
        Progress("a", RECEIVED, T0),
        Progress("a", BRAKING, T0 + 1),
        Progress("b", RELEASED, T0 + 2),
    )


def test_a_stop_that_takes_hold_again_is_no_longer_released() -> None:
    stages = Stages()
    stages.latched({"a"}, T0)
    stages.released({"a"}, T0 + 1)
    stages.latched({"a"}, T0 + 2)
    assert reached(stages.all()) == [("a", RECEIVED)]


def test_of_too_many_releases_the_oldest_are_forgotten() -> None:
    stages = Stages()
    for n in range(REMEMBERED_RELEASES + 1):
        stages.released({f"s{n:05d}"}, T0 + n)
    kept = [p.stop_id for p in stages.all()]
    assert len(kept) == REMEMBERED_RELEASES
    assert kept[0] == "s00001"
