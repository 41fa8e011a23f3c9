"""The core: what follows from each thing that a command service hears."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from command_service.core import VEHICLE_URI, CommandCore, Progress
from command_service.effects import (
    Ack,
    Ask,
    Awaited,
    Deliver,
    Effect,
    Journal,
    Moment,
    Push,
    Recalled,
    Remember,
    approval,
)
from command_service.events import (
    Event,
    OrderRecorded,
    ReleaseApproved,
    ReleaseInForce,
    ReleaseRequested,
    StageReached,
    StopIssued,
)
from command_service.orders import AWAY, LINK_BROKE
from command_service.progress import Stage
from command_service.registry import CloseOlder, Pulse, Session, Status
from command_service.releases import REQUEST_VALID
from pitwall.domain.drill import DrillReaction, DrillVerdict
from pitwall.domain.geo import Position, Zone
from pitwall.domain.order import MotionEtag, Order, OrderOutcome, OrderResult, Resume
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import Release, SetDelta, ZoneScope
from tests.unit.command_service.samples import FIRST, FLEET, NS, WHEN, at, core_with, named, opened, release, stop

GATEWAY = "spiffe://pitwall.local/gateway/gateway-1"
PEER = "spiffe://pitwall.local/command/c2"
MEMBERS = ("c1", "c2", "c3")
STOP_ACK, APPROVAL_ACK, REQUEST_ACK = Ack(Awaited.STOP, "s"), approval(release()), Ack(Awaited.REQUEST, "r")
APPROVED = release(approved_by="boss")
ETAG = MotionEtag(7, 1, 1, 5)


def events(effects: list[Effect]) -> list[Event]:
    """What goes to disk."""
    return [effect.record.event for effect in effects if isinstance(effect, Journal)]


def pushes(effects: list[Effect]) -> list[Push]:
    return [effect for effect in effects if isinstance(effect, Push)]


def asks(effects: list[Effect]) -> list[Release]:
    """Waiting releases that peers are told."""
    return [effect.release for effect in effects if isinstance(effect, Ask)]


def reported(core: CommandCore, vehicle_id: str, *stages: Stage, status: Status | None = None) -> None:
    words = [Progress("s", stage, NS) for stage in stages]
    core.reported(1, GATEWAY, vehicle_id, FIRST, words, status, at(1))


# Stops


def test_a_stop_is_pushed_before_it_is_journaled() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    push, journal = core.take_effects()
    assert push == Push(SetDelta((stop(),)), None)
    assert isinstance(journal, Journal)
    assert (journal.ack, journal.record.actor) == (STOP_ACK, "somebody")


def test_it_is_in_force_at_once_and_issued_when_it_is_on_disk() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    assert core.stops.holds("A")
    assert not core.ledger.summary("s").confirmed
    core.take_effects()
    core.journaled(STOP_ACK, "c1", at(3))
    assert core.ledger.summary("s").confirmed
    assert events(core.take_effects()) == [StageReached("s", Stage.ISSUED, at(3).ns)]


def test_one_disk_of_three_does_not_issue_it() -> None:
    core = core_with("A", members=("c1", "c2", "c3"))
    core.issue(stop(), at())
    core.journaled(STOP_ACK, "c1", at(1))
    assert not core.ledger.summary("s").confirmed
    core.journaled(STOP_ACK, "c3", at(2))
    assert core.ledger.summary("s").confirmed


def test_a_stop_of_one_vehicle_is_recorded_as_that_vehicles_matter() -> None:
    core = core_with("A")
    core.issue(stop(scope=named("A")), at())
    (journal,) = [effect for effect in core.take_effects() if isinstance(effect, Journal)]
    assert journal.record.vehicle_id == "A"


def test_what_a_gateway_brings_goes_to_the_others_and_to_disk_once() -> None:
    core = core_with("A")
    core.merge(SetDelta((stop(),)), 1, GATEWAY, at())
    effects = core.take_effects()
    assert pushes(effects) == [Push(SetDelta((stop(),)), 1, relayed=True)]
    assert events(effects) == [StopIssued(stop())]
    core.merge(SetDelta((stop(),)), 2, GATEWAY, at())
    assert core.take_effects() == []


def test_a_stop_that_is_brought_with_its_release_is_passed_on_in_one_frame() -> None:
    """An old one, that nobody here remembers: apart from its release it would stop whoever hears of it."""
    core = core_with("A")
    old, let_go = stop(), release(approved_by="boss")
    core.merge(SetDelta((old,), (let_go,)), 1, GATEWAY, at())
    assert pushes(core.take_effects()) == [Push(SetDelta((old,), (let_go,)), 1, relayed=True)]
    assert core.ledger["s"].all_released, "nobody here has ever had it"


# Words of vehicles


def test_each_new_word_goes_to_disk_with_who_said_it() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    core.take_effects()
    reported(core, "A", Stage.SENT, Stage.RECEIVED)
    reported(core, "A", Stage.RECEIVED)
    records = [effect.record for effect in core.take_effects() if isinstance(effect, Journal)]
    assert [(record.actor, record.vehicle_id) for record in records] == [
        (GATEWAY, "A"),
        (VEHICLE_URI + "A", "A"),
    ]


def test_a_status_says_what_the_vehicle_holds() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    reported(core, "A", status=Status(latched=("s",)))
    effects = core.take_effects()
    assert StageReached("s", Stage.RECEIVED, at(1).ns) in events(effects)
    assert any(isinstance(effect, Remember) for effect in effects)


def test_a_status_of_an_older_session_says_nothing_but_its_stages_stay_true() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    core.opened(1, "gateway-1", opened("A", Session(7, 2)), at())
    core.take_effects()
    reported(core, "A", Stage.STANDSTILL, status=Status(latched=("s",), hold_count=9))
    assert events(core.take_effects()) == [StageReached("s", Stage.STANDSTILL, NS)]
    vehicle = core.registry.get("A")
    assert vehicle is not None
    assert vehicle.status.hold_count == 1


def test_hello_says_that_a_vehicle_no_longer_holds_what_was_released_while_it_was_away() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    core.closed(1, "A", FIRST, at())
    core.merge(SetDelta((), (release(approved_by="boss"),)), 2, GATEWAY, at())
    core.take_effects()
    core.opened(1, "gateway-1", opened("A", Session(7, 2)), at(5))
    assert StageReached("s", Stage.RELEASED, at(5).ns) in events(core.take_effects())


def test_a_link_that_goes_and_comes_shows_in_the_ledger() -> None:
    core = core_with("A", "B")
    core.issue(stop(), at())
    core.closed(1, "A", FIRST, at())
    assert core.ledger.summary("s").unreachable == 1
    core.dropped(1, at())
    assert core.ledger.summary("s").unreachable == 2
    core.opened(2, "gateway-2", opened("A", Session(7, 2)), at())
    assert core.ledger.summary("s").pending == 1


def test_silence_shows_in_the_ledger_and_a_heartbeat_ends_it() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    core.pulse(1, "A", Pulse(6), at())
    core.tick(at(10))
    assert core.ledger.summary("s").unreachable == 1
    core.pulse(1, "A", Pulse(7), at(11))
    assert core.ledger.summary("s").pending == 1


def test_an_older_session_is_closed() -> None:
    core = core_with("A")
    core.opened(2, "gateway-2", opened("A", Session(7, 2)), at())
    assert CloseOlder(1, "A", FIRST) in core.take_effects()


# Releases


def test_a_request_releases_nothing() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    core.take_effects()
    core.request(release(), at())
    core.request(release(), at())
    effects = core.take_effects()
    assert events(effects) == [ReleaseRequested(release())]
    assert pushes(effects) == []
    core.journaled(Ack(Awaited.REQUEST, "r"), "c1", at())
    assert core.stops.holds("A")


def test_an_approval_is_in_force_when_a_majority_has_it_on_disk_and_not_before() -> None:
    core = core_with("A", members=("c1", "c2", "c3"))
    core.issue(stop(), at())
    core.request(release(), at())
    core.take_effects()
    core.approve(APPROVED, at())
    assert events(core.take_effects()) == [ReleaseApproved(APPROVED)]
    core.journaled(APPROVAL_ACK, "c1", at())
    assert (core.stops.holds("A"), core.take_effects()) == (True, [])
    core.journaled(APPROVAL_ACK, "c2", at())
    assert not core.stops.holds("A")
    effects = core.take_effects()
    assert pushes(effects) == [Push(SetDelta((), (APPROVED,)), None)]
    assert events(effects) == [ReleaseInForce(APPROVED)]
    core.journaled(APPROVAL_ACK, "c3", at())
    assert core.take_effects() == []


def test_a_word_that_came_before_the_release_is_recorded_with_it() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    reported(core, "A", Stage.STANDSTILL, Stage.RELEASED)
    core.take_effects()
    core.approve(release(approved_by="boss"), at())
    core.journaled(APPROVAL_ACK, "c1", at())
    assert StageReached("s", Stage.RELEASED, NS) in events(core.take_effects())


@pytest.mark.parametrize(
    ("brought", "taken"),
    [
        (release(stop_ids="s", approved_by="boss"), True),
        (release(stop_ids="s"), False),
        (release(stop_ids="own", own="A"), True),
        (release(stop_ids="own", own="B"), False),
        (release(stop_ids="s", own="A"), False),
        (release(stop_ids="s own", own="A"), False),
        (release(stop_ids="own", approved_by="boss"), False),
        (release(stop_ids="never-heard-of", own="A"), False),
        (release(stop_ids="never-heard-of", approved_by="boss"), True),
    ],
)
def test_which_releases_are_taken_from_a_gateway(brought: object, taken: bool) -> None:
    core = core_with("A")
    core.merge(SetDelta((stop("s"), stop("own", named("A"), own="A"))), 1, GATEWAY, at())
    core.take_effects()
    core.merge(SetDelta((), (brought,)), 1, GATEWAY, at())  # type: ignore[arg-type]
    assert bool(pushes(core.take_effects())) is taken


def test_a_stop_that_comes_after_its_release_is_released() -> None:
    core = core_with("A")
    core.merge(SetDelta((), (release(stop_ids="s", approved_by="boss"),)), 1, GATEWAY, at())
    core.merge(SetDelta((stop(),)), 1, GATEWAY, at())
    assert not core.stops.holds("A")
    assert core.ledger["s"].vehicles["A"].released_in_set


# Peers


def test_peers_are_told_of_a_request_and_of_who_agreed_each_once() -> None:
    core = core_with("A", members=MEMBERS)
    for _ in range(2):
        core.request(release(), at())
        core.approve(APPROVED, at())
    assert asks(core.take_effects()) == [release(), APPROVED]


def test_what_a_peer_knows_is_in_force_passed_on_and_recorded_with_who_told_it() -> None:
    """To every peer and gateway: not each of them is in reach of that peer."""
    core = core_with("A", members=MEMBERS)
    core.told(SetDelta((stop(),)), (), PEER, at())
    assert core.stops.holds("A")
    push, journal = core.take_effects()
    assert push == Push(SetDelta((stop(),)), None, relayed=True)
    assert isinstance(journal, Journal)
    assert (journal.record.event, journal.record.actor, journal.ack) == (StopIssued(stop()), PEER, STOP_ACK)
    core.told(SetDelta((stop(),)), (), PEER, at())
    assert core.take_effects() == []


@pytest.mark.parametrize("known", [False, True], ids=["of a stop that is not known here", "of a known stop"])
def test_a_release_that_is_in_force_at_a_peer_is_so_here(known: bool) -> None:
    core = core_with("A", members=MEMBERS)
    if known:
        core.told(SetDelta((stop(),)), (), PEER, at())
        core.take_effects()
    core.told(SetDelta((), (APPROVED,)), (), PEER, at())
    effects = core.take_effects()
    assert pushes(effects) == [Push(SetDelta((), (APPROVED,)), None, relayed=True)]
    assert events(effects) == [ReleaseInForce(APPROVED)]
    core.told(SetDelta((stop(),)), (), PEER, at())
    assert not core.stops.holds("A")
    assert core.ledger["s"].released_for_all


def test_a_stop_and_its_release_are_passed_on_in_one_frame() -> None:
    core = core_with("A", members=MEMBERS)
    core.told(SetDelta((stop(),), (APPROVED,)), (), PEER, at())
    assert pushes(core.take_effects()) == [Push(SetDelta((stop(),), (APPROVED,)), None, relayed=True)]


def test_a_request_that_a_peer_has_waits_here_too() -> None:
    core = core_with("A", members=MEMBERS)
    for _ in range(2):
        core.told(SetDelta(), (release(),), PEER, at())
    effects = core.take_effects()
    assert events(effects) == [ReleaseRequested(release())]
    assert asks(effects) == [release()]
    assert core.releases.waiting_releases() == [release()]


@pytest.mark.parametrize(("hours_more", "taken"), [(0, True), (1, False)])
def test_a_request_that_has_expired_is_not_asked_for_anew_by_a_peer_that_still_has_it(
    hours_more: int, taken: bool
) -> None:
    core = core_with("A", members=MEMBERS)
    when = Moment(100.0, round((WHEN + REQUEST_VALID + timedelta(hours=hours_more)).timestamp() * 1e9))
    core.told(SetDelta(), (release(),), PEER, when)
    assert (core.releases.get("r") is not None) is taken
    core.told(SetDelta(), (APPROVED,), PEER, when)
    assert core.releases.waiting_releases() == [APPROVED], "somebody had agreed in time"


def test_a_peers_approval_and_two_disks_release() -> None:
    core = core_with("A", members=MEMBERS)
    core.told(SetDelta((stop(),)), (APPROVED,), PEER, at())
    assert core.stops.holds("A")
    core.journaled(APPROVAL_ACK, "c1", at())
    assert core.stops.holds("A")
    core.journaled(APPROVAL_ACK, "c2", at())
    assert not core.stops.holds("A")


def test_two_that_agree_to_the_same_release_at_two_members_make_one() -> None:
    core = core_with("A", members=MEMBERS)
    core.issue(stop(), at())
    core.approve(APPROVED, at())
    core.told(SetDelta(), (release(approved_by="another"),), PEER, at())
    core.journaled(APPROVAL_ACK, "c1", at())
    core.journaled(APPROVAL_ACK, "c3", at())
    core.take_effects()
    core.told(SetDelta((), (release(approved_by="another"),)), (), PEER, at())
    assert core.take_effects() == []
    assert core.stops.snapshot().releases == (APPROVED,)


def test_a_peers_disk_counts_for_stops_and_approvals_and_for_no_request() -> None:
    core = core_with("A", members=MEMBERS)
    core.issue(stop(), at())
    core.request(release(), at())
    for ack in (STOP_ACK, REQUEST_ACK):
        core.journaled(ack, "c2", at())
    entry = core.releases.get("r")
    assert entry is not None
    assert not entry.requested_on_disk
    assert core.ledger["s"].journaled_by == {"c2"}
    core.journaled(REQUEST_ACK, "c1", at())
    assert entry.requested_on_disk


@pytest.mark.parametrize(
    ("ack", "record"),
    [
        (STOP_ACK, lambda core: core.issue(stop(), at())),
        (REQUEST_ACK, lambda core: core.request(release(), at())),
        (APPROVAL_ACK, lambda core: core.approve(APPROVED, at())),
        # Agreed to, and by that asked for: one record says both.
        (REQUEST_ACK, lambda core: core.approve(APPROVED, at())),
    ],
    ids=["a stop", "a request", "an approval", "a request within an approval"],
)
def test_it_is_on_disk_here_when_this_disk_has_it_whatever_the_others_have(
    ack: Ack, record: Callable[[CommandCore], None]
) -> None:
    core = core_with("A", members=("c1", "c2", "c3", "c4", "c5"))
    record(core)
    core.journaled(ack, "c2", at())
    assert not core.on_disk(ack)
    for effect in core.take_effects():
        if isinstance(effect, Journal) and effect.ack:
            core.journaled(effect.ack, "c1", at())
    assert core.on_disk(ack)


def test_a_release_in_force_needs_no_disk() -> None:
    core = core_with("A", members=MEMBERS)
    core.approve(APPROVED, at())
    assert not core.on_disk(APPROVAL_ACK)
    core.told(SetDelta((), (APPROVED,)), (), PEER, at())
    assert core.on_disk(APPROVAL_ACK)
    assert core.on_disk(REQUEST_ACK)


def test_what_was_forgotten_has_been_on_disk() -> None:
    """A peer that still has it is not left waiting for ever."""
    core = core_with("A", members=MEMBERS)
    for effect_of in (STOP_ACK, REQUEST_ACK, APPROVAL_ACK):
        assert core.on_disk(effect_of)


def test_a_stop_that_is_just_heard_of_is_not_taken_for_a_forgotten_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.core.MAX_PAIRS", 0)
    core = core_with("A", members=MEMBERS)
    pit = ZoneScope(Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1))))
    core.told(SetDelta((stop("t", named("A")), stop("s", pit))), (), PEER, at())
    assert not core.on_disk(STOP_ACK)


def test_a_disk_is_vouched_for_where_it_holds_the_same() -> None:
    core = core_with(members=MEMBERS)
    core.approve(APPROVED, at())
    assert core.vouches(STOP_ACK)
    assert core.vouches(APPROVAL_ACK)
    assert core.vouches(approval(release("never heard of")))
    assert not core.vouches(approval(release(stop_ids="another")))
    core.recall.complete = False
    assert not core.vouches(APPROVAL_ACK), "it may have had another one before its journal was lost"
    assert core.vouches(STOP_ACK)


def test_one_that_lost_its_journal_says_once_that_it_knows_all_again() -> None:
    core = CommandCore("c1", MEMBERS, PermitTerms(), complete=False)
    for peer, complete, effects in (
        ("c2", False, []),
        ("c2", True, []),
        ("c3", True, [Recalled()]),
        ("c3", True, []),
    ):
        core.recalled(peer, at(), complete=complete)
        assert core.take_effects() == effects
    assert core.recall.complete


# Orders


def order() -> Order:
    return Order("q", Resume(), issued_by="somebody")


def test_an_order_goes_to_the_gateways_that_hold_its_vehicles() -> None:
    core = core_with("A", "B")
    core.opened(2, "gateway-2", opened("C"), at())
    core.take_effects()
    core.send(order(), dict.fromkeys("ABCD", ETAG), {"D": AWAY}, at())
    effects = core.take_effects()
    assert [effect for effect in effects if isinstance(effect, Deliver)] == [
        Deliver(1, order(), {"A": ETAG, "B": ETAG}),
        Deliver(2, order(), {"C": ETAG}),
    ]
    (recorded,) = events(effects)
    assert isinstance(recorded, OrderRecorded)
    assert {outcome.vehicle_id: outcome.outcome for outcome in recorded.outcomes} == {
        "A": None,
        "B": None,
        "C": None,
        "D": AWAY,
    }


@pytest.mark.parametrize("how", ["closed", "dropped", "newer session"])
def test_a_session_that_ends_leaves_its_orders_unknown(how: str) -> None:
    core = core_with("A")
    core.send(order(), {"A": ETAG}, {}, at())
    core.take_effects()
    if how == "closed":
        core.closed(1, "A", FIRST, at())
    elif how == "dropped":
        core.dropped(1, at())
    else:
        core.opened(2, "gateway-2", opened("A", Session(7, 2)), at())
    (recorded,) = events(core.take_effects())
    assert isinstance(recorded, OrderRecorded)
    assert recorded.outcomes[0].outcome == LINK_BROKE


def test_a_gateway_that_tells_its_sessions_anew_breaks_no_order() -> None:
    core = core_with("A")
    core.send(order(), {"A": ETAG}, {}, at())
    core.take_effects()
    core.opened(2, "gateway-1", opened("A"), at())
    assert events(core.take_effects()) == []


def test_an_outcome_goes_to_disk_with_who_said_it() -> None:
    core = core_with("A")
    core.send(order(), {"A": ETAG}, {}, at())
    core.take_effects()
    core.answered("A", "q", OrderOutcome(OrderResult.EXECUTED), at())
    core.answered("A", "q", OrderOutcome(OrderResult.EXECUTED), at())
    core.answered("A", "never-heard-of", OrderOutcome(OrderResult.EXECUTED), at())
    (journal,) = core.take_effects()
    assert isinstance(journal, Journal)
    assert (journal.record.actor, journal.record.vehicle_id) == (VEHICLE_URI + "A", "A")


@pytest.mark.parametrize(
    ("reason", "standstill_after_s", "verdict"),
    [
        ("", 6.0, DrillVerdict.PASSED),
        ("", 8.0, DrillVerdict.FAILED),
        ("NOT_MOVING", None, DrillVerdict.NOTHING_MEASURED),
    ],
)
def test_what_a_vehicle_measured_in_a_drill_goes_to_disk_with_the_bounds_and_the_verdict(
    reason: str, standstill_after_s: float | None, verdict: DrillVerdict
) -> None:
    """36 km/h and the 2 m/s² of this vehicle: 5 s, after the 2.121 s until it brakes."""
    core = core_with("A")
    core.send(order(), {"A": ETAG}, {}, at())
    core.answered("A", "q", OrderOutcome(OrderResult.EXECUTED), at())
    core.take_effects()
    seen = DrillReaction(36.0, 2.05, standstill_after_s)
    core.answered("A", "q", OrderOutcome(OrderResult.EXECUTED, reason, reaction=seen), at(8))
    (recorded,) = events(core.take_effects())
    assert isinstance(recorded, OrderRecorded)
    outcome = recorded.outcomes[0].outcome
    assert outcome is not None
    brakes_s = PermitTerms().brakes_within_s
    assert outcome.reaction == DrillReaction(36.0, 2.05, standstill_after_s, brakes_s, brakes_s + 5.0, verdict)


def test_time_gives_up_on_an_order() -> None:
    core = core_with("A")
    core.send(order(), {"A": ETAG}, {}, at())
    core.take_effects()
    core.tick(at(10.9))
    assert core.take_effects() == []
    core.tick(at(11))
    assert len(events(core.take_effects())) == 1


# Forgetting


def test_what_is_released_everywhere_is_forgotten_after_its_time() -> None:
    core = core_with("A")
    core.issue(stop("s"), at())
    core.issue(stop("active"), at())
    core.approve(release(stop_ids="s", approved_by="boss"), at())
    core.journaled(APPROVAL_ACK, "c1", at())
    assert core.compact(WHEN) == 0, "not older than that"
    assert core.compact(WHEN + timedelta(seconds=1)) == 1
    assert core.ledger.get("s") is None
    assert core.releases.get("r") is None
    assert core.ledger.get("active") is not None


def test_beyond_so_many_pairs_what_is_released_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.core.MAX_PAIRS", 4)
    core = core_with("A", "B")
    for stop_id in ("s", "t"):
        core.issue(stop(stop_id, FLEET), at())
    core.approve(release(stop_ids="s", approved_by="boss"), at())
    core.journaled(APPROVAL_ACK, "c1", at())
    for vehicle_id in ("A", "B"):
        reported(core, vehicle_id, Stage.RELEASED)
    core.issue(stop("u", FLEET), at())
    assert [core.ledger.get(stop_id) is not None for stop_id in "stu"] == [False, True, True]
    core.issue(stop("v", FLEET), at())
    assert core.ledger.pairs == 6, "nobody active is dropped"
