"""What the operator reads line by line: how far a vehicle has come, and never that it has not."""

import pytest
from haul.command.v1 import stop_pb2

from console.stop_report import TextReport
from console.stop_view import StopView
from tests.unit.console.fake_site import STAGES, summary, vehicle

STOP = stop_pb2.Stop(stop_id="s", scope=stop_pb2.Scope(vehicles=stop_pb2.VehicleList(vehicle_ids=["A"])))
LATCHED, ISSUED, SENT = "latched, braking ordered", "issued, nothing heard", "sent, nothing heard"


def only(stage: str) -> stop_pb2.VehicleStop:
    """As one has it that has heard of this stage alone: from a peer, and not yet of what was before."""
    number = STAGES[stage]
    return stop_pb2.VehicleStop(vehicle_id="A", stage=number, progress=[stop_pb2.StopProgress(stage=number)])


@pytest.mark.parametrize(
    ("answers", "told", "left_out"),
    [
        ([("one", only("RECEIVED")), ("two", vehicle("A", "SENT"))], [LATCHED], [ISSUED, SENT]),
        ([("one", only("RECEIVED")), ("one", vehicle("A", "RECEIVED"))], [LATCHED], [ISSUED, SENT]),
        ([("one", vehicle("A", "RECEIVED"))], [LATCHED], [ISSUED, SENT]),
        ([("one", vehicle("A", "SENT")), ("two", only("RECEIVED"))], [SENT, LATCHED], [ISSUED]),
        (
            [("one", only("BRAKING")), ("two", only("STANDSTILL")), ("three", only("RECEIVED"))],
            ["measured"] * 2,
            [LATCHED],
        ),
    ],
)
def test_a_vehicle_is_never_said_to_be_behind_where_it_is(
    capsys: pytest.CaptureFixture[str],
    answers: list[tuple[str, stop_pb2.VehicleStop]],
    told: list[str],
    left_out: list[str],
) -> None:
    view, report = StopView("s"), TextReport()
    for server, one in answers:
        report.progress(view.merge(server, STOP, summary(), [one]), view, 0.1)
    lines = [line for line in capsys.readouterr().out.splitlines() if "  A  " in line]
    assert len(lines) == len(told), lines
    assert all(text in line for text, line in zip(told, lines, strict=True)), lines
    assert not [line for line in lines for text in left_out if text in line]
