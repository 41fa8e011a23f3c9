"""Alerts in lists and for watchers: which of them are open."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet_service import tables
from fleet_service.alerts import Alert
from fleet_service.filter_fields import ALERT_FIELDS
from fleet_service.filters import parse
from fleet_service.fleet import Fleet
from fleet_service.lists import Lists

RAISED, CLEARED = 1, 3
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LIVE = Alert("live", "V-1", "LOW_FUEL", 2, RAISED, "", 12.0, 15.0, 1, 7, 100, 100, backfilled=False)
OF_HISTORY = replace(LIVE, alert_id="of history", backfilled=True)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(lambda: NOON)


@pytest.fixture
def lists(fleet: Fleet) -> Lists:
    return Lists(fleet, None, None, lambda: True, lambda: False)  # type: ignore[arg-type]  # none is asked


@pytest.mark.parametrize("text", ["", "vehicle_id = V-1", "open = true", "open = false"])
async def test_watchers_are_told_of_no_history(fleet: Fleet, lists: Lists, text: str) -> None:
    """Whoever watches takes each alert that is not cleared for open, and of these no CLEARED may ever come."""
    fleet.take_alert(OF_HISTORY)
    running = asyncio.ensure_future(lists.alert_watchers.run())
    async with aclosing(lists.watch_alerts(text)) as news:
        assert (await anext(news)).items == []
        fleet.take_alert(replace(OF_HISTORY, alert_id="later"))
        fleet.take_alert(replace(LIVE, state=CLEARED) if text == "open = false" else LIVE)
        assert [alert.alert_id for alert in (await asyncio.wait_for(anext(news), 5)).items] == ["live"]
    running.cancel()


class Asked:
    """In the place of a connection: what is asked of it."""

    def __init__(self) -> None:
        self.queries: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        self.queries.append((query, values))
        return []

    async def execute(self, query: str, *values: Any) -> str:
        self.queries.append((query, values))
        return "DELETE 0"


async def test_lists_can_ask_for_what_is_open_alone() -> None:
    asked: Any = Asked()
    await tables.list_alerts(asked, parse("vehicle_id = V-1 AND open = true", ALERT_FIELDS), None, 10)
    [(query, values)] = asked.queries
    assert "WHERE (vehicle_id = $1) AND ((state <> 3 AND NOT backfilled) = $2)" in query
    assert values == ("V-1", True)


async def test_what_is_not_open_is_deleted_when_it_is_old_and_nothing_else() -> None:
    asked: Any = Asked()
    await tables.forget(asked, NOON)
    [query] = [query for query, _ in asked.queries if "FROM alerts" in query]
    assert query == "DELETE FROM alerts WHERE NOT (state <> 3 AND NOT backfilled) AND event_ns < $1"
