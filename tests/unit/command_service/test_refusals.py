"""Refusals in the audit: of what asks for something to be done, and never more than the journal can bear."""

from typing import Any

import pytest

from command_service.effects import Moment
from command_service.events import Record, Refused
from command_service.refusals import BURST, MAX_MESSAGE_CHARACTERS, PER_S, Refusals
from pitwall.tokens import Person

STOP = "/haul.command.v1.CommandService/EmergencyStop"
SOMEBODY = Person("somebody", frozenset())


class Notes:
    """Stands for the journal."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def note(self, record: Record) -> None:
        self.records.append(record)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [100.0]
    monkeypatch.setattr("command_service.refusals.moment", lambda: Moment(now_s[0], 7))
    return now_s


def refusals() -> tuple[Refusals, list[Record]]:
    notes: Any = Notes()
    return Refusals(notes), notes.records


def test_it_says_who_was_refused_what_and_why(clock: list[float]) -> None:
    hook, records = refusals()
    hook.note(STOP, SOMEBODY, "INVALID_SCOPE", "x" * 2000)
    hook.note(STOP, None, "TOKEN_MISSING", "no token")
    assert records == [
        Record(7, "somebody", Refused(STOP[1:], "INVALID_SCOPE", "x" * MAX_MESSAGE_CHARACTERS)),
        Record(7, "", Refused(STOP[1:], "TOKEN_MISSING", "no token")),
    ]


def test_reading_that_is_refused_is_counted_and_no_more(clock: list[float]) -> None:
    hook, records = refusals()
    hook.note("/haul.command.v1.CommandService/ListStops", SOMEBODY, "INVALID_PAGE", "")
    hook.note("/haul.link.v1.GatewayLinkService/Attach", None, "WRONG_KIND", "")
    assert records == []


def test_a_flood_fills_no_journal(clock: list[float]) -> None:
    hook, records = refusals()
    for _ in range(BURST * 3):
        hook.note(STOP, SOMEBODY, "INVALID_SCOPE", "")
    assert len(records) == BURST
    clock[0] += 1
    for _ in range(BURST):
        hook.note(STOP, SOMEBODY, "INVALID_SCOPE", "")
    assert len(records) == BURST + PER_S
    clock[0] += 1e6
    for _ in range(BURST * 2):
        hook.note(STOP, SOMEBODY, "INVALID_SCOPE", "")
    assert len(records) == 2 * BURST + PER_S
