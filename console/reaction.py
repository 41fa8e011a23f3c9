"""What a vehicle has measured of itself in a drill, in cells of a table."""

from google.protobuf.duration_pb2 import Duration
from haul.command.v1 import order_pb2

from console import words
from pitwall.wire import to_seconds

COLUMNS = ("RESULT", "SPEED km/h", "BRAKED AFTER", "STOOD AFTER", "")


def cells(outcome: order_pb2.OrderOutcome) -> tuple[str, ...]:
    """For COLUMNS. What was not measured is a dash, never a zero."""
    if not outcome.HasField("reaction"):
        return words.order_result(outcome.result), *(words.UNKNOWN,) * 3, _why(outcome)
    reaction = outcome.reaction
    braked = _span(reaction, "braking_after", reaction.braking_after, reaction.braking_bound)
    stood = _span(reaction, "standstill_after", reaction.standstill_after, reaction.standstill_bound)
    speed = f"{reaction.speed_kph:.1f}" if reaction.HasField("speed_kph") else words.UNKNOWN
    return words.drill_verdict(reaction.verdict), speed, braked, stood, _why(outcome)


def _why(outcome: order_pb2.OrderOutcome) -> str:
    if outcome.result == order_pb2.ORDER_RESULT_EXECUTED and not outcome.HasField("reaction"):
        return "it has not told what it measured; `pitwall drills` has it once it has"
    return outcome.message


def _span(reaction: order_pb2.DrillReaction, name: str, after: Duration, bound: Duration) -> str:
    if not reaction.HasField(name):  # type: ignore[arg-type]
        return words.UNKNOWN
    within = f" of {to_seconds(bound):.2f} s" if bound.ByteSize() else ""
    return f"{to_seconds(after):.2f} s{within}"
