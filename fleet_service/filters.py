"""Filters of lists: a small part of AIP-160, `field = VALUE` joined with AND and OR. Pure.

As in AIP-160, OR binds closer than AND: `a = 1 AND b = 2 OR b = 3` is a and either b. Fields that have an order also
take !=, <, <=, >, >=; the others = and !=. What can't be read is an error with its position and the mend.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

MAX_FILTER_CHARACTERS: Final = 1_000
MAX_COMPARISONS: Final = 32

Value = str | int | bool


class Operator(Enum):
    """Its text, which is SQL's too but for !=."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


_EQUALITY: Final = frozenset({Operator.EQUAL, Operator.NOT_EQUAL})
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<operator>!=|<=|>=|=|<|>|:)|(?P<word>[^\s"=<>!:()]+))"""
)


class InvalidFilter(ValueError):
    """`position` counts characters from 1; `hint` says what would be right."""

    def __init__(self, position: int, problem: str, hint: str) -> None:
        super().__init__(f"position {position}: {problem}; {hint}")
        self.position, self.hint = position, hint


class InvalidValue(ValueError):
    """Of one field; its text is the hint."""


@dataclass(frozen=True, slots=True)
class Field:
    """`parse` makes the value from its text, and raises InvalidValue."""

    parse: Callable[[str], Value]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against one value."""

    field: str
    operator: Operator
    value: Value

    def holds(self, actual: Value) -> bool:
        return _HOLDS[self.operator](actual, self.value)


@dataclass(frozen=True, slots=True)
class Filter:
    """All of `clauses` hold; of each clause, any comparison. Without any, everything matches."""

    clauses: tuple[tuple[Comparison, ...], ...] = ()

    def matches(self, actual: Callable[[str], Value]) -> bool:
        """`actual` gives the value of a field."""
        return all(any(c.holds(actual(c.field)) for c in clause) for clause in self.clauses)


def parse(text: str, fields: Mapping[str, Field]) -> Filter:
    """Raises InvalidFilter."""
    if len(text) > MAX_FILTER_CHARACTERS:
        problem = f"the filter has {len(text)} characters"
        raise InvalidFilter(MAX_FILTER_CHARACTERS + 1, problem, f"at most {MAX_FILTER_CHARACTERS} are taken")
    return _Parser(_tokens(text), fields, len(text.rstrip()) + 1).filter()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    end, length = 0, len(text.rstrip())
    while end < length:
        match = _TOKEN.match(text, end)
        if match is None:
            position = end + len(text[end:]) - len(text[end:].lstrip()) + 1
            raise InvalidFilter(position, f"{text[position - 1]!r} is not understood", f"write {_EXAMPLE}")
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match.group(kind), match.start(kind) + 1))
        end = match.end()
    return tokens


_EXAMPLE: Final = "field = VALUE, joined with AND or OR, without brackets"


class _Parser:
    def __init__(self, tokens: Sequence[_Token], fields: Mapping[str, Field], end: int) -> None:
        self._tokens, self._fields, self._end = tokens, fields, end
        self._next = 0

    def filter(self) -> Filter:
        if not self._tokens:
            return Filter()
        clauses = [[self._comparison()]]
        count = 1
        while self._next < len(self._tokens):
            joint = self._take("AND or OR")
            if joint.text not in ("AND", "OR"):
                raise InvalidFilter(joint.position, f"{joint.text!r} where AND or OR is wanted", f"write {_EXAMPLE}")
            count += 1
            if count > MAX_COMPARISONS:
                raise InvalidFilter(joint.position, "too many comparisons", f"at most {MAX_COMPARISONS} are taken")
            comparison = self._comparison()
            if joint.text == "AND":
                clauses.append([comparison])
            else:
                clauses[-1].append(comparison)
        return Filter(tuple(map(tuple, clauses)))

    def _comparison(self) -> Comparison:
        name = self._take("a field")
        field = self._field(name)
        operator = self._operator(name, field)
        token = self._take(f"a value for {name.text}")
        if token.kind == "operator":
            raise InvalidFilter(token.position, f"{token.text!r} where a value is wanted", f"write {_EXAMPLE}")
        text = re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "string" else token.text
        try:
            return Comparison(name.text, operator, field.parse(text))
        except InvalidValue as error:
            raise InvalidFilter(token.position, f"{text[:50]!r} is no {name.text}", str(error)) from error

    def _field(self, name: _Token) -> Field:
        found = self._fields.get(name.text) if name.kind == "word" else None
        if found is None:
            near = difflib.get_close_matches(name.text, self._fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"fields: {', '.join(sorted(self._fields))}"
            raise InvalidFilter(name.position, f"{name.text[:50]!r} is no field of this list", hint)
        return found

    def _operator(self, name: _Token, field: Field) -> Operator:
        token = self._take(f"= after {name.text}")
        allowed = tuple(Operator) if field.ordered else tuple(o for o in Operator if o in _EQUALITY)
        found = next((operator for operator in allowed if operator.value == token.text), None)
        if found is None or token.kind != "operator":
            hint = f"{name.text} takes {' '.join(operator.value for operator in allowed)}"
            raise InvalidFilter(token.position, f"{token.text[:50]!r} where a comparison is wanted", hint)
        return found

    def _take(self, wanted: str) -> _Token:
        if self._next >= len(self._tokens):
            raise InvalidFilter(self._end, "the filter ends too early", f"{wanted} is missing")
        self._next += 1
        return self._tokens[self._next - 1]


_HOLDS: Final[Mapping[Operator, Callable[[Value, Value], bool]]] = {
    Operator.EQUAL: lambda actual, value: actual == value,
    Operator.NOT_EQUAL: lambda actual, value: actual != value,
    Operator.LESS: lambda actual, value: actual < value,  # type: ignore[operator]  # both are of the field's type
    Operator.AT_MOST: lambda actual, value: actual <= value,  # type: ignore[operator]
    Operator.MORE: lambda actual, value: actual > value,  # type: ignore[operator]
    Operator.AT_LEAST: lambda actual, value: actual >= value,  # type: ignore[operator]
}
