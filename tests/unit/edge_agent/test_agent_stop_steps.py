"""What a vehicle's agent tells of a stop, for its trace."""

from dataclasses import replace

from edge_agent.moment import Moment
from edge_agent.stages import Progress, Stage
from edge_agent.stop_steps import StopSteps
from pitwall.domain.stop_set import StopSet
from tests.support.memory import Steps
from tests.unit.edge_agent.builders import VEHICLE, stop

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_each_stage_is_a_step_from_the_moment_in_which_the_stop_took_hold() -> None:
    trace, stops = Steps(), StopSet()
    stops.merge([replace(stop("s1"), traceparent=TRACEPARENT)])
    steps, now = StopSteps(trace), Moment.now()
    received = Progress("s1", Stage.RECEIVED, now.s - 2.0)
    steps.reported(VEHICLE, [received], stops, now)
    later = [replace(received, latched_durably=True), Progress("s1", Stage.STANDSTILL, now.s)]
    steps.reported(VEHICLE, later, stops, now)
    assert trace.begun == {"s1": TRACEPARENT}
    assert trace.steps == [("received", "s1", VEHICLE), ("latched", "s1", VEHICLE), ("standstill", "s1", VEHICLE)]
    assert len(set(trace.since_ns)) == 1


def test_a_latch_that_nobody_can_describe_is_no_part_of_a_trace() -> None:
    trace = Steps()
    now = Moment.now()
    StopSteps(trace).reported(VEHICLE, [Progress("s9", Stage.RECEIVED, now.s)], StopSet(), now)
    assert trace.begun == {"s9": ""}
