"""How long stops take and how far they are, from what the core writes down."""

from command_service.events import Record, StageReached, StopIssued
from command_service.ledger import Ledger
from command_service.progress import Stage
from command_service.states import STATES, vehicle_states
from command_service.stop_signals import LONGEST_TIMED_S, StopSignals
from pitwall.domain.stop_set import FleetScope
from tests.support.memory import Metrics, Steps
from tests.unit.command_service.test_ledger import NOW_NS, TERMS, away, say, stop, there


class Bench:
    def __init__(self) -> None:
        self.metrics, self.trace, self.now_s = Metrics(), Steps(), 100.0
        self.signals = StopSignals(self.metrics.meter, self.trace, lambda: self.now_s)

    def issue(self, vehicle_id: str | None = None) -> None:
        stop_ = stop(FleetScope())
        if vehicle_id is not None:
            stop_ = type(stop_)(
                stop_.stop_id, stop_.scope, "", "vehicle", stop_.issued_time, issuing_vehicle_id=vehicle_id
            )
        self.signals.recorded(Record(NOW_NS, "somebody", StopIssued(stop_)))

    def reach(self, stage: Stage, after_s: float, *, durably: bool = False) -> None:
        self.now_s = 100.0 + after_s
        self.signals.recorded(Record(NOW_NS, "V1", StageReached("s", stage, NOW_NS, durably), "V1"))

    def timed(self) -> dict[str, float]:
        self.signals.settle()
        return {key[1]: count for key, count in self.metrics.points().items() if key[0] == "pitwall.stop.stage"}


def test_each_stage_is_timed_once_from_the_stops_coming() -> None:
    bench = Bench()
    bench.issue()
    for stage in (Stage.ISSUED, Stage.SENT, Stage.RECEIVED, Stage.BRAKING, Stage.STANDSTILL):
        bench.reach(stage, stage / 10)
    bench.reach(Stage.RECEIVED, 1.0, durably=True)
    assert bench.timed() == {"ISSUED": 1, "SENT": 1, "RECEIVED": 1, "BRAKING": 1, "STANDSTILL": 1}


def test_a_vehicle_that_comes_back_an_hour_later_says_nothing_about_how_fast_stops_are() -> None:
    bench = Bench()
    bench.issue()
    bench.reach(Stage.RECEIVED, LONGEST_TIMED_S + 0.1)
    assert bench.timed() == {}


def test_a_stop_from_before_the_start_and_a_vehicles_own_are_not_timed() -> None:
    bench = Bench()
    bench.reach(Stage.RECEIVED, 0.1)
    bench.issue(vehicle_id="V1")
    bench.reach(Stage.RECEIVED, 0.1)
    assert bench.timed() == {}
    assert bench.trace.begun == {}


def test_its_steps_are_taken_pushed_and_journaled() -> None:
    bench = Bench()
    bench.issue()
    bench.signals.pushed("gateway-1", ["s"])
    bench.signals.journaled("s")
    assert [name for name, *_ in bench.trace.steps] == ["taken", "pushed", "journaled"]


def test_late_stages_are_counted_from_0_by_the_last_word() -> None:
    bench = Bench()
    name = "pitwall.stop.stages.overdue"
    assert bench.metrics.points()[name, "SENT"] == 0
    bench.signals.overdue(Stage.SENT)
    assert bench.metrics.points()[name, "SENT"] == 1


def test_every_vehicle_in_scope_is_in_one_state() -> None:
    ledger = Ledger(("c1",), TERMS)
    ledger.open(stop(FleetScope()), [*map(there, "ABCDE"), away("F")], 0.0)
    say(ledger, "B", Stage.SENT)
    say(ledger, "C", Stage.SENT, Stage.RECEIVED)
    say(ledger, "D", Stage.RECEIVED, Stage.BRAKING)
    say(ledger, "E", Stage.RECEIVED, Stage.BRAKING, Stage.STANDSTILL)
    assert vehicle_states(ledger.entries()) == dict.fromkeys(STATES, 1)
