"""The thread that writes statuses and orders' records, many in one sync."""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.limits import STATE_QUEUE
from edge_agent.state import Change, SaveAnswer, SaveState, StateStore
from edge_agent.worker import Worker
from pitwall.clock import wall_time

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Begin:
    """Record an order before its effect, and say when that is done."""

    record: SaveAnswer


@dataclass(frozen=True, slots=True)
class Again:
    """Try anew what could not be written."""


Item = SaveState | SaveAnswer | Begin | Again


class StateKeeper:
    """`recorded(vehicle_id, request_id, ok)` is called in the thread for each Begin."""

    def __init__(self, store: StateStore, recorded: Callable[[str, str, bool], None]) -> None:
        self._store, self._recorded = store, recorded
        self._unsaved: dict[str, SaveState] = {}
        #: Why the disk takes nothing; empty while it does.
        self.problem = store.problem
        self._worker: Worker[Item] = Worker("state", self._handle, STATE_QUEUE)

    def put(self, item: Item) -> None:
        """Never blocks. An order that finds the queue full is answered as not recorded."""
        if not self._worker.put(item) and isinstance(item, Begin):
            self._recorded(item.record.vehicle_id, item.record.request_id, False)

    def close(self, timeout_s: float) -> bool:
        return self._worker.close(timeout_s)

    def _handle(self, items: list[Item]) -> None:
        """One transaction; where it fails, statuses are kept for the next one and orders must not happen."""
        begun = [item.record for item in items if isinstance(item, Begin)]
        self._unsaved.update((item.vehicle_id, item) for item in items if isinstance(item, SaveState))
        answers = [item for item in items if isinstance(item, SaveAnswer)]
        # In this order: an answer that came in the same run replaces the record with which its order began.
        changes: list[Change] = [*self._unsaved.values(), *begun, *answers]
        problem = self._apply(changes)
        if problem and not self.problem:
            _log.error("state can't be written: %s; orders are refused until it can", problem)
        self.problem = problem
        if not problem:
            self._unsaved.clear()
        for record in begun:
            self._recorded(record.vehicle_id, record.request_id, not problem)

    def _apply(self, changes: list[Change]) -> str:
        try:
            self._store.apply(changes, wall_time().timestamp())
        except sqlite3.Error as error:
            return str(error)
        return ""
