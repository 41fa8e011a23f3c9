"""What is passed on to a peer that lacks gateways: nothing that it has not asked for, and each change once."""

from collections.abc import Callable
from functools import partial

import pytest

from command_service.core import CommandCore, Progress
from command_service.progress import Stage
from command_service.registry import Pulse, Session
from command_service.relay import MAX_IN_FRAME, Links, Relay, Words
from pitwall.domain.stop_set import SetDelta
from tests.unit.command_service.samples import FIRST, NS, at, core_with, named, opened, release, stop

G1 = frozenset({"gateway-1"})
RECEIVED, BRAKING, STANDSTILL, RELEASED = Stage.RECEIVED, Stage.BRAKING, Stage.STANDSTILL, Stage.RELEASED


def relay_of(core: CommandCore, gateways: frozenset[str] = G1) -> Relay:
    relay = Relay(core.registry, core.ledger)
    relay.want(gateways)
    return relay


def says(core: CommandCore, vehicle_id: str, *stages: Stage, stop_id: str = "s", durably: bool = False) -> None:
    words = [Progress(stop_id, stage, NS + stage, durably) for stage in stages]
    core.reported(1, "spiffe://gateway", vehicle_id, FIRST, words, None, at())


def passed(core: CommandCore, relay: Relay) -> list[Links | Words]:
    relay.changed(core.ledger.take_touched(), core.registry.take_moved())
    frames = []
    while (frame := relay.next()) is not None:
        frames.append(frame)
    return frames


def told(frames: list[Links | Words]) -> list[tuple[str, list[Stage]]]:
    return [(v, [word.stage for word in words]) for f in frames if isinstance(f, Words) for v, words in f.of]


def linked(frames: list[Links | Words]) -> list[tuple[list[str], list[str]]]:
    return [
        ([v.vehicle_id for v in f.opened], [v.vehicle_id for v in f.closed]) for f in frames if isinstance(f, Links)
    ]


def test_whoever_asks_for_nothing_is_told_nothing() -> None:
    core = core_with("A")
    relay = Relay(core.registry, core.ledger)
    core.issue(stop(), at())
    says(core, "A", RECEIVED)
    assert passed(core, relay) == []
    assert not relay.changed(["s"], ["A"])


def test_whoever_asks_is_told_of_links_and_then_of_all_stages_so_far() -> None:
    core = core_with("A", "B")
    core.issue(stop(), at())
    says(core, "A", Stage.SENT, RECEIVED, BRAKING, durably=True)
    frames = passed(core, relay_of(core))
    assert linked(frames) == [(["A", "B"], [])]
    assert isinstance(frames[1], Words)
    assert frames[1].of == (
        (
            "A",
            (
                Progress("s", Stage.SENT, NS + 2),
                Progress("s", RECEIVED, NS + 3, latched_durably=True),
                Progress("s", BRAKING, NS + 4, latched_durably=True),
            ),
        ),
    )


def test_each_change_is_told_once_however_many_words_it_took() -> None:
    core = core_with("A", "B")
    core.issue(stop(), at())
    relay = relay_of(core)
    passed(core, relay)
    says(core, "A", RECEIVED)
    says(core, "A", BRAKING)
    says(core, "A", STANDSTILL)
    assert told(passed(core, relay)) == [("A", [RECEIVED, BRAKING, STANDSTILL])]
    assert passed(core, relay) == []
    # What every vehicle's view shows, a disk more, is no word of any vehicle.
    core.ledger.journaled("s", "c1", NS)
    assert passed(core, relay) == []


def test_vehicles_of_other_gateways_are_left_out() -> None:
    core = core_with("A")
    core.opened(2, "gateway-2", opened("B"), at())
    core.issue(stop(), at())
    for vehicle_id in ("A", "B"):
        says(core, vehicle_id, RECEIVED)
    frames = passed(core, relay_of(core))
    assert (linked(frames), told(frames)) == ([(["A"], [])], [("A", [RECEIVED])])


def test_what_a_peer_has_told_is_not_passed_on() -> None:
    """So that no word goes round in circles."""
    core = core_with()
    core.told_link(1, opened("A"), at())
    core.issue(stop(), at())
    core.told_words("spiffe://peer", "A", [Progress("s", RECEIVED, NS)], at())
    assert passed(core, relay_of(core)) == []


def test_the_last_words_of_a_vehicle_go_ahead_of_the_end_of_its_link() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    relay = relay_of(core)
    passed(core, relay)
    says(core, "A", STANDSTILL)
    core.dropped(1, at())
    frames = passed(core, relay)
    assert told(frames) == [("A", [STANDSTILL])]
    assert linked(frames) == [([], ["A"])]
    assert isinstance(frames[-1], Links)


def silent(core: CommandCore) -> None:
    core.pulse(1, "A", Pulse(9), at())
    core.tick(at(60))


@pytest.mark.parametrize(
    "gone",
    [
        lambda core: core.closed(1, "A", FIRST, at()),
        lambda core: core.opened(2, "gateway-2", opened("A", Session(7, 2)), at()),
        silent,
    ],
    ids=["its session has ended", "it is on another gateway", "it has fallen silent"],
)
def test_a_link_that_is_gone_is_told_and_one_that_is_back_too(gone: Callable[[CommandCore], None]) -> None:
    core = core_with("A")
    relay = relay_of(core)
    passed(core, relay)
    gone(core)
    assert linked(passed(core, relay)) == [([], ["A"])]
    core.opened(1, "gateway-1", opened("A", Session(7, 3)), at(60))
    assert linked(passed(core, relay)) == [(["A"], [])]


def test_one_that_is_heard_again_after_silence_has_a_link_again() -> None:
    core = core_with("A")
    relay = relay_of(core)
    silent(core)
    assert passed(core, relay) == []
    core.pulse(1, "A", Pulse(10), at(61))
    assert linked(passed(core, relay)) == [(["A"], [])]


def test_a_gateway_that_is_no_longer_asked_for_has_no_links_there() -> None:
    core = core_with("A")
    relay = relay_of(core)
    passed(core, relay)
    assert relay.want(frozenset())
    assert linked(passed(core, relay)) == [([], ["A"])]
    core.issue(stop(), at())
    says(core, "A", RECEIVED)
    assert passed(core, relay) == []


def test_a_gateway_more_brings_what_was_said_there_before() -> None:
    core = core_with("A")
    core.opened(2, "gateway-2", opened("B"), at())
    core.issue(stop(), at())
    for vehicle_id in ("A", "B"):
        says(core, vehicle_id, RECEIVED)
    relay = relay_of(core)
    passed(core, relay)
    assert relay.want(G1 | {"gateway-2"})
    assert not relay.want(G1 | {"gateway-2"})
    assert ("B", [RECEIVED]) in told(passed(core, relay))


def test_released_comes_last_also_where_only_the_vehicle_has_said_so() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    relay = relay_of(core)
    says(core, "A", STANDSTILL)
    passed(core, relay)
    says(core, "A", RECEIVED, RELEASED)
    assert told(passed(core, relay)) == [("A", [RECEIVED, STANDSTILL, RELEASED])]
    core.merge(SetDelta((), (release("r", "s", approved_by="boss"),)), 1, "spiffe://gateway", at())
    assert told(passed(core, relay)) == [("A", [RECEIVED, STANDSTILL, RELEASED])]


def test_a_frame_holds_so_many_vehicles_and_the_next_one_the_rest() -> None:
    names = [f"V{number}" for number in range(MAX_IN_FRAME + 1)]
    core = core_with(*names)
    core.issue(stop(), at())
    core.issue(stop("t", named("V0")), at())
    for name in names:
        says(core, name, RECEIVED)
    says(core, "V0", RECEIVED, stop_id="t")
    relay = relay_of(core)
    frames = passed(core, relay)
    assert [len(opened) for opened, _ in linked(frames)] == [MAX_IN_FRAME, 1]
    assert [len(f.of) for f in frames if isinstance(f, Words)] == [MAX_IN_FRAME, 2]
    assert sorted(vehicle_id for vehicle_id, _ in told(frames)) == sorted([*names, "V0"])
    core.dropped(1, at())
    assert [len(closed) for _, closed in linked(passed(core, relay))] == [MAX_IN_FRAME, 1]


def test_a_stop_that_has_been_forgotten_since_is_left_out() -> None:
    core = core_with("A")
    core.issue(stop(), at())
    says(core, "A", RECEIVED)
    relay = relay_of(core)
    core.ledger.forget("s")
    assert told(passed(core, relay)) == []


def test_both_ends_agree_when_everything_has_been_passed_on() -> None:
    """One that hears no gateway shows the same sums as the one that it asks."""
    one, two = core_with("A", "B", members=("c1", "c2")), core_with(members=("c1", "c2"))
    relay = relay_of(one)
    for core in (one, two):
        core.issue(stop(), at())

    def pass_on() -> None:
        for frame in passed(one, relay):
            if isinstance(frame, Words):
                for vehicle_id, words in frame.of:
                    two.told_words("spiffe://peer", vehicle_id, words, at())
            else:
                for vehicle in frame.opened:
                    two.told_link(1, opened(vehicle.vehicle_id, vehicle.session), at())
                two.untold_link(1, [vehicle.vehicle_id for vehicle in frame.closed], at())

    steps: list[Callable[[], None]] = [
        lambda: None,
        partial(says, one, "A", RECEIVED, BRAKING),
        partial(says, one, "A", STANDSTILL, durably=True),
        partial(one.closed, 1, "A", FIRST, at()),
        partial(one.opened, 1, "gateway-1", opened("A", Session(7, 2)), at()),
        partial(says, one, "B", STANDSTILL),
        partial(one.dropped, 1, at()),
    ]
    seen = []
    for step in steps:
        step()
        pass_on()
        assert two.ledger.summary("s") == one.ledger.summary("s")
        seen.append((two.ledger.summary("s").standstill, two.ledger.summary("s").unreachable))
    assert seen == [(0, 0), (0, 0), (1, 0), (0, 1), (1, 0), (2, 0), (0, 2)]
