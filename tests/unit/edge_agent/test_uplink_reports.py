"""What waits to go up besides readings."""

from edge_agent.effects import ReportOrder, StateSnapshot
from edge_agent.limits import MAX_LOST_RANGES, MAX_LOST_UNDER_WAY, MAX_QUEUED_REPORTS
from edge_agent.orders import EXECUTED
from edge_agent.reports import Lost, Reports
from edge_agent.stages import Progress, Stage
from pitwall.domain.sequence import SequenceRange
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import MotionHold, SubStatus, VehicleStatus
from tests.unit.edge_agent.builders import T0, release, stop

STATE = StateSnapshot(VehicleStatus.IDLE, SubStatus.WAITING, MotionHold.BOOT, 1, frozenset(), "boot", T0)


def lost(first: int, last: int, reason: str = "OUTBOX_FULL", epoch: int = 7) -> Lost:
    return Lost(epoch, SequenceRange(first, last), reason)


def told(reports: Reports) -> list[Lost]:
    taken = []
    while (one := reports.take_lost()) is not None:
        taken.append(one)
    return taken


def test_a_new_session_tells_progress_whole_and_forgets_what_hello_says() -> None:
    reports = Reports()
    reports.progress.append(Progress("old", Stage.RECEIVED, T0))
    reports.share(SetDelta(stops=(stop(own=True),)))
    reports.states.append(STATE)
    reports.session_began([Progress("s1", Stage.BRAKING, T0)])
    assert reports.take_stops() == ((Progress("s1", Stage.BRAKING, T0),), SetDelta())
    assert not reports.states


def test_stops_are_taken_at_once_and_then_there_are_none() -> None:
    reports = Reports()
    assert reports.take_stops() is None
    reports.progress.append(Progress("s1", Stage.RECEIVED, T0))
    first = reports.take_stops()
    assert first == ((Progress("s1", Stage.RECEIVED, T0),), SetDelta())
    assert reports.take_stops() is None


def test_own_stops_and_withdrawals_go_together() -> None:
    reports = Reports()
    reports.share(SetDelta(stops=(stop("a", own=True),)))
    reports.share(SetDelta(releases=(release("a"),)))
    assert reports.take_stops() == ((), SetDelta((stop("a", own=True),), (release("a"),)))
    assert reports.take_stops() is None


def test_answers_to_orders_outlive_the_stream() -> None:
    reports = Reports()
    reports.answers.append(ReportOrder("q1", EXECUTED))
    reports.session_began([])
    assert [answer.request_id for answer in reports.answers] == ["q1"]


def test_of_too_many_the_oldest_go() -> None:
    reports = Reports()
    reports.progress.extend(Progress(str(i), Stage.RECEIVED, T0) for i in range(MAX_QUEUED_REPORTS + 1))
    assert reports.progress[0].stop_id == "1"


def test_losses_side_by_side_are_one_while_nobody_was_told() -> None:
    reports = Reports()
    for loss in (lost(1, 3), lost(4, 4), lost(6, 6), lost(7, 7, "TOO_OLD"), lost(8, 8, "TOO_OLD", epoch=8)):
        reports.lose(loss)
    found = told(reports)
    reports.lost_known(7, [SequenceRange(1, 4)])
    found += told(reports)
    assert found == [lost(1, 4), lost(6, 6), lost(7, 7, "TOO_OLD"), lost(8, 8, "TOO_OLD", epoch=8)]


def test_a_loss_that_was_told_does_not_grow_in_secret() -> None:
    reports = Reports()
    reports.lose(lost(1, 3))
    assert told(reports) == [lost(1, 3)]
    reports.lose(lost(4, 4))
    assert told(reports) == [lost(4, 4)]


def test_losses_are_told_in_each_session_until_they_are_known() -> None:
    reports = Reports()
    reports.lose(lost(1, 3))
    reports.lose(lost(9, 9))
    assert told(reports) == [lost(1, 3), lost(9, 9)]
    assert told(reports) == []
    assert reports.lost_known(7, [SequenceRange(1, 3)]) == [lost(1, 3)]
    reports.session_began([])
    assert told(reports) == [lost(9, 9)]


def test_an_ack_of_half_a_loss_or_of_another_epoch_makes_nothing_known() -> None:
    reports = Reports()
    reports.lose(lost(1, 3))
    assert reports.lost_known(7, [SequenceRange(1, 2)]) == []
    assert reports.lost_known(8, [SequenceRange(1, 3)]) == []


def test_what_is_known_does_not_shift_what_is_still_to_be_told() -> None:
    reports = Reports()
    reports.lose(lost(1, 1))
    assert told(reports) == [lost(1, 1)]
    reports.lose(lost(5, 5))
    reports.lost_known(7, [SequenceRange(1, 1)])
    assert told(reports) == [lost(5, 5)]


def test_of_too_many_losses_the_oldest_go_and_the_newest_is_told() -> None:
    reports = Reports()
    losses = [lost(2 * i + 1, 2 * i + 1) for i in range(MAX_LOST_RANGES + 1)]
    for loss in losses[:-1]:
        reports.lose(loss)
    assert reports.take_lost() == losses[0]
    reports.lose(losses[-1])
    found = []
    while taken := told(reports):
        found += taken
        for loss in taken:
            reports.lost_known(7, [loss.range])
    assert found == losses[1:]


def test_so_many_losses_are_under_way_and_the_next_one_goes_when_one_is_known() -> None:
    reports = Reports()
    for i in range(MAX_LOST_UNDER_WAY + 2):
        reports.lose(lost(2 * i + 1, 2 * i + 1))
    assert len(told(reports)) == MAX_LOST_UNDER_WAY
    assert not reports.tells_lost
    reports.lost_known(7, [SequenceRange(3, 3)])
    assert reports.tells_lost
    (next_one,) = told(reports)
    assert next_one.range.first == 2 * MAX_LOST_UNDER_WAY + 1


def test_losses_are_told_again_where_they_may_have_been_declined() -> None:
    reports = Reports()
    reports.lose(lost(1, 3))
    told(reports)
    reports.tell_lost_again()
    assert told(reports) == [lost(1, 3)]
