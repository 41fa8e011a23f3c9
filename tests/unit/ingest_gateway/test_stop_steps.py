"""What a gateway tells of a stop, for its trace."""

from haul.command.v1.stop_pb2 import StopProgress, StopStage

from ingest_gateway.stop_steps import StopSteps
from tests.support.memory import Steps
from tests.unit.ingest_gateway.builders import OTHER, VEHICLE, at, stop


def test_a_stop_is_begun_when_it_is_in_the_set_then_sent_then_reported() -> None:
    trace = Steps()
    steps = StopSteps(trace)
    steps.began([stop("s1")], at(0))
    steps.sent(VEHICLE, ("s1",), at(1))
    steps.sent(OTHER, ("s1",), at(1))
    steps.reported(VEHICLE, [StopProgress(stop_id="s1", stage=StopStage.STOP_STAGE_BRAKING)], at(2))
    assert trace.begun == {"s1": ""}
    assert trace.steps == [
        ("set sent", "s1", VEHICLE),
        ("set sent", "s1", OTHER),
        ("report received", "s1", VEHICLE),
    ]
