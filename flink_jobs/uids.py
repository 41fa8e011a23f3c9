"""Names of the job's operators, under which their state is kept.

Flink's own names are numbers by place: a rule more, and everything behind it has another one and finds no state. Here
a name says what the operator does, and what its state is made of: whoever has the same name can read the state, and
what has another one begins anew, which is noticed before the old job is stopped.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: They keep nothing from one record to the next. Local windows are handed on before each checkpoint.
_STATELESS: Final = ("Calc", "Correlate", "LocalWindowAggregate", "DropUpdateBefore", "Expand", "Union")
_NUMBER: Final = re.compile(r"\[\d+\]")
_CALL: Final = re.compile(r"(\w+)\((?:[^()]|\([^()]*\))*\) AS ([^\s,\]]+)")
_WINDOW: Final = re.compile(r"window=\[\w+\(.*?size=\[([^\]]+)\]")
_GROUP: Final = re.compile(r"groupBy=\[([^\]]*)\]")


class SameName(Exception):
    """Two operators that can't be told apart would share their state; says which, and where to tell them apart."""


@dataclass(frozen=True, slots=True)
class Operator:
    """As Flink's planner has it. ``name`` is "Kind[number]", ``description`` the whole expression."""

    number: int
    name: str
    description: str


def uids(operators: Iterable[Operator]) -> dict[int, str]:
    """The name of each that keeps state, by its number in the plan. Raises SameName."""
    named: dict[str, Operator] = {}
    for operator in operators:
        uid = _uid(operator)
        if uid in named:
            both = f"{named[uid].description[:300]} and {operator.description[:300]}"
            raise SameName(f"two operators would be called {uid!r}: tell them apart in flink_jobs/uids.py; {both}")
        if uid is not None:
            named[uid] = operator
    return {operator.number: uid for uid, operator in named.items()}


def plain(uid: str) -> str:
    """What people are told of: the name without what its state is made of."""
    return uid.partition(" #")[0]


def _uid(operator: Operator) -> str | None:
    kind = _NUMBER.sub("", operator.name)
    if kind.startswith(_STATELESS):
        return None
    if kind.startswith("OverAggregate"):
        functions = [function for function, _ in _calls(operator)]
        return f"per vehicle: {' '.join(dict.fromkeys(functions))}{_made_of(functions)}"
    if kind.startswith(("GlobalWindowAggregate", "WindowAggregate")):
        return _of_windows(operator)
    return kind


def _of_windows(operator: Operator) -> str:
    """Its sums lie side by side, so their order counts too."""
    size, group = (found.search(operator.description) for found in (_WINDOW, _GROUP))
    by = f"by {group[1]}" if group else "of all"
    sums = [f"{function} {column}" for function, column in _calls(operator)]
    return f"windows of {size[1] if size else '?'} {by}{_made_of(sums)}"


def _calls(operator: Operator) -> list[tuple[str, str]]:
    """(function, column) of the aggregates, in their order."""
    selected = operator.description.partition("select=[")[2]
    return _CALL.findall(selected)


def _made_of(parts: Iterable[str]) -> str:
    return f" #{hashlib.sha256(', '.join(parts).encode()).hexdigest()[:8]}"
