"""`gaps`, and what the doctor says of readings that are missing."""

from pathlib import Path

import pytest

from console import words
from console.check_gaps import LONG_OPEN_S, check_gaps
from console.checks import State
from console.site import SiteOptions, find_site
from pitwall.rpc.errors import Unavailable
from tests.unit.console.conftest import NOBODY
from tests.unit.console.fake_fleet import FakeFleet, ServedFleet, gap
from tests.unit.console.fake_site import NOON, Pitwall
from tests.unit.console.test_fleet_lists import A, B, words_of


def test_each_gap_is_a_line(pitwall: Pitwall, fleet: FakeFleet) -> None:
    lost = gap(B, 7, 7, "LOST", reason="OUTBOX_FULL", approximate=True)
    lost.ClearField("after_time")
    fleet.gaps = [gap(A, 4, 1_010), lost]
    said = pitwall("gaps").out
    noon, later = words.clock(NOON), words.clock(fleet.gaps[0].before_time)
    assert words_of(said, A) == f"{A} 3 4–1010 1,007 OPEN 2 min ago after {noon} before {later}"
    assert words_of(said, B) == f"{B} 3 7 at most 1 LOST 2 min ago before {later} OUTBOX_FULL"
    first, second = pitwall("gaps", "--output", "json").lines
    assert (first["firstSequence"], first["lastSequence"], first["state"]) == ("4", "1010", "GAP_STATE_OPEN")
    assert (second["reason"], second["approximate"]) == ("OUTBOX_FULL", True)


def test_nothing_missing_is_said(pitwall: Pitwall, fleet: FakeFleet) -> None:
    assert pitwall("gaps").out == "no reading is missing\n"
    assert (pitwall("gaps", "--output", "json").out, fleet.asked[0].show_filled) == ("", False)


@pytest.mark.parametrize(
    ("arguments", "text", "filled"),
    [
        (("--vehicle", A, "--vehicle", B), f'vehicle_id = "{A}" OR vehicle_id = "{B}"', False),
        (("--state", "open", "--state", "LOST"), "state = OPEN OR state = LOST", False),
        (("--vehicle", A, "--state", "rejected"), f'vehicle_id = "{A}" AND state = REJECTED', False),
        (("--state", "filled"), "state = FILLED", True),
        (("--all",), "", True),
    ],
)
def test_gaps_are_chosen_by_vehicle_and_state(
    pitwall: Pitwall, fleet: FakeFleet, arguments: tuple[str, ...], text: str, filled: bool
) -> None:
    assert pitwall("gaps", *arguments).code == 0
    [request] = fleet.asked
    assert (request.filter, request.show_filled) == (text, filled)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--state", "closed"), "OPEN, FILLED, LOST, REJECTED"), (("--vehicle", "truck 1"), "--vehicle truck 1")],
)
def test_a_choice_that_there_is_not_is_wrong_usage(
    pitwall: Pitwall, fleet: FakeFleet, arguments: tuple[str, ...], named: str
) -> None:
    ran = pitwall("gaps", *arguments)
    assert (ran.code, fleet.asked) == (2, [])
    assert named in ran.err


def test_pages_are_one_list_and_a_limit_says_that_there_are_more(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.page_size, fleet.gaps = 2, [gap(A, n, n) for n in range(1, 10, 2)]
    assert len(pitwall("gaps", "--output", "json").lines) == 5
    assert "--limit with more than 3 shows them" in pitwall("gaps", "--limit", "3").out


def test_what_may_be_old_is_said(pitwall: Pitwall, fleet: FakeFleet) -> None:
    fleet.stale, fleet.gaps = True, [gap(A, 1, 1)]
    assert "has not read all that Kafka has" in pitwall("gaps").err
    assert pitwall("gaps", "--output", "json").lines[0]["stale"] is True


def findings(home: Path, address: str) -> list[tuple[State, str]]:
    site = find_site(SiteOptions(fleet_servers=(address,)), environment={"PITWALL_HOME": str(home)})
    return [(finding.state, finding.text) for finding in check_gaps(site)]


@pytest.mark.parametrize(
    ("age_s", "state"), [(60, State.NOTE), (LONG_OPEN_S - 30, State.NOTE), (LONG_OPEN_S + 30, State.WRONG)]
)
def test_the_doctor_finds_what_is_missing_and_for_how_long(
    home: Path, served_fleet: ServedFleet, age_s: float, state: State
) -> None:
    served_fleet.service.gaps = [gap(A, 4, 10, age_s=int(age_s)), gap(B, 4, 5)]
    [(found, text)] = findings(home, served_fleet.address)
    assert found is state
    assert text.startswith(f"9 readings of {A}, {B} are missing and may still come; the first was missed ")


def test_the_doctor_tells_what_is_gone_for_good_from_what_may_come(home: Path, served_fleet: ServedFleet) -> None:
    served_fleet.service.gaps = [gap(A, 4, 10, "LOST", age_s=9_000), gap(B, 4, 5, "REJECTED"), gap(B, 7, 7, "REJECTED")]
    assert findings(home, served_fleet.address) == [
        (State.OK, "none is missing that may still come"),
        (State.NOTE, f"7 readings of {A} were given up by their vehicles, for good"),
        (State.NOTE, f"3 readings of {B} were not taken; they are in dead-letter-topic with the reason"),
    ]


def test_where_nobody_answers_the_doctor_says_nothing_of_readings(home: Path, served_fleet: ServedFleet) -> None:
    assert findings(home, NOBODY) == []
    served_fleet.service.fails = Unavailable("NOT_READY", "not yet")
    assert findings(home, served_fleet.address) == []
    served_fleet.service.fails, served_fleet.service.stale = None, True
    assert findings(home, served_fleet.address)[0][1].endswith("as far as Kafka has been read")
