"""Starts and ends one vehicle's faults, by its schedule and by hand."""

import math
from collections.abc import Iterator

from edge_agent.simulator.body import Body
from edge_agent.simulator.faults import FaultKind
from edge_agent.simulator.schedule import ScheduledFault


class FaultClock:
    """The schedule runs from `begin`; faults by hand need no beginning. A fault that is there already is prolonged."""

    __slots__ = ("_begun_s", "_body", "_due_s", "_ends_s", "_next", "_schedule")

    def __init__(self, body: Body, schedule: Iterator[ScheduledFault]) -> None:
        self._body, self._schedule = body, schedule
        self._begun_s: float | None = None
        self._next: ScheduledFault | None = None
        self._ends_s: dict[FaultKind, float] = {}
        self._due_s = math.inf

    @property
    def begun_s(self) -> float | None:
        """When second 0 of the schedule was; None before the first leave to move."""
        return self._begun_s

    def begin(self, now_s: float) -> None:
        """The first time counts."""
        if self._begun_s is None:
            self._begun_s = now_s
            self._next = next(self._schedule, None)
            self._plan()

    def start_by_hand(self, kind: FaultKind, now_s: float, lasts_s: float) -> None:
        """Raises FaultImpossible, and then nothing has changed."""
        self._start(kind, now_s + lasts_s)

    def end_by_hand(self, kind: FaultKind) -> None:
        """Ends it now, whoever started it."""
        self._ends_s.pop(kind, None)
        self._body.end_fault(kind)
        self._plan()

    def turn(self, now_s: float) -> None:
        """Starts and ends what is due. Cheap while nothing is."""
        if now_s < self._due_s:
            return
        while self._next is not None and self._begun_s is not None and self._begun_s + self._next.start_s <= now_s:
            self._start(self._next.kind, self._begun_s + self._next.end_s)
            self._next = next(self._schedule, None)
        for kind in [kind for kind, end_s in self._ends_s.items() if end_s <= now_s]:
            del self._ends_s[kind]
            self._body.end_fault(kind)
        self._plan()

    def _start(self, kind: FaultKind, ends_s: float) -> None:
        self._body.start_fault(kind)
        self._ends_s[kind] = max(ends_s, self._ends_s.get(kind, -math.inf))
        self._plan()

    def _plan(self) -> None:
        due = list(self._ends_s.values())
        if self._next is not None and self._begun_s is not None:
            due.append(self._begun_s + self._next.start_s)
        self._due_s = min(due, default=math.inf)
