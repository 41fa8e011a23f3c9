"""The clock by which readings grow old.

The wall clock is set by people, by NTP, and by whatever a computer without a battery believes at its start: a reading
that is a minute old seems ten days old when the time comes with the link. So within a process CLOCK_BOOTTIME alone
moves this clock, and no step of the wall clock does, forward or back. How long the agent was away only the wall clock
can tell. It is believed within limits: less than nothing is nothing, and no single start ages readings by more than
`most_away_s`. So one wrong clock throws away nothing that is young, and none keeps anything for ever.

It is in Unix seconds, and right as long as nobody sets the wall clock.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from edge_agent.moment import Moment
from edge_agent.sqlite_file import whole

AGE_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS age_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1), age_s INTEGER NOT NULL, wall_s INTEGER NOT NULL
);
"""
#: It is written down when the wall clock has gone so far since, either way: a step at once, otherwise now and then.
_MARK_EVERY_S: Final = 60


@dataclass(frozen=True, slots=True)
class Mark:
    """What this clock and the wall clock said at the same moment, Unix seconds."""

    age_s: int
    wall_s: int


class AgeClock:
    """`last`: of the process before."""

    def __init__(self, last: Mark | None, now: Moment, most_away_s: float) -> None:
        wall_s = now.wall.timestamp()
        age_s = wall_s if last is None else last.age_s + min(max(0.0, wall_s - last.wall_s), most_away_s)
        self._ahead_of_boottime_s = age_s - now.s

    def at(self, boottime_s: float) -> int:
        """What it says at a moment of this boot of the computer."""
        return max(0, int(self._ahead_of_boottime_s + boottime_s))


def last_mark(connection: sqlite3.Connection) -> Mark | None:
    """None in a new file."""
    row = connection.execute("SELECT age_s, wall_s FROM age_clock").fetchone()
    if row is None:
        return None
    whole(*row)
    return Mark(*row)


def keep_mark(connection: sqlite3.Connection, clock: AgeClock, now: Moment) -> None:
    """Within a transaction."""
    wall_s = int(now.wall.timestamp())
    connection.execute(
        "INSERT OR REPLACE INTO age_clock SELECT 1, ?, ?"
        " WHERE NOT EXISTS (SELECT 1 FROM age_clock WHERE ABS(wall_s - ?) < ?)",
        (clock.at(now.s), wall_s, wall_s, _MARK_EVERY_S),
    )
