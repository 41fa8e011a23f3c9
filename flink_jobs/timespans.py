"""Spans of time that are recomputed: whole long windows, in seconds since 1970."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from flink_jobs.metrics_sql import LONG_WINDOW_S

#: Of one recompute, all its spans together: Flink holds each reading of them once while it looks for repeats.
MOST_SPAN_S: Final = 24 * 3600


class InvalidSpan(ValueError):
    """Names the end that is wrong, and the mend."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From ``begin_s`` until before ``end_s``; whole long windows."""

    begin_s: int
    end_s: int

    def __post_init__(self) -> None:
        if self.begin_s % LONG_WINDOW_S or self.end_s % LONG_WINDOW_S or not 0 <= self.begin_s < self.end_s:
            raise InvalidSpan(f"{self.begin_s} to {self.end_s} are no whole windows of {LONG_WINDOW_S} s")

    def __str__(self) -> str:
        return f"{rfc3339(self.begin_s)} to {rfc3339(self.end_s)}"


def rfc3339(seconds: int) -> str:
    """In UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def around(begin: str, end: str, now_s: float) -> Span:
    """The whole long windows that have any part of it. begin, end: RFC 3339 with a zone, or seconds since 1970.

    Raises InvalidSpan where it can't be read, has no length, is longer than MOST_SPAN_S or isn't over.
    """
    begin_s, end_s = _seconds("from", begin), _seconds("to", end)
    if end_s <= begin_s:
        raise InvalidSpan(f"to: {end} must be later than from, {begin}")
    if end_s > now_s:
        raise InvalidSpan(f"to: {end} is not over; name a time that is")
    span = Span(int(begin_s // LONG_WINDOW_S * LONG_WINDOW_S), -int(-end_s // LONG_WINDOW_S * LONG_WINDOW_S))
    if span.end_s - span.begin_s > MOST_SPAN_S:
        raise InvalidSpan(f"from: {begin} is more than {MOST_SPAN_S // 3600} h before to, {end}; take it in parts")
    return span


def _seconds(field: str, text: str) -> float:
    try:
        return float(int(text)) if text.isascii() and text.isdigit() else _from_rfc3339(text)
    except (ValueError, OverflowError):
        raise InvalidSpan(
            f"{field}: {text!r} is no time; write it as 2026-01-31T06:00:00Z, or in seconds since 1970"
        ) from None


def _from_rfc3339(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.timestamp()


def merged(starts_s: Iterable[int]) -> list[Span]:
    """Of long windows by their starts, those that adjoin as one."""
    spans: list[Span] = []
    for start_s in sorted(set(starts_s)):
        if spans and spans[-1].end_s == start_s:
            spans[-1] = Span(spans[-1].begin_s, start_s + LONG_WINDOW_S)
        else:
            spans.append(Span(start_s, start_s + LONG_WINDOW_S))
    return spans


def starts(spans: Iterable[Span]) -> list[int]:
    """Of the long windows in them."""
    return [start_s for span in spans for start_s in range(span.begin_s, span.end_s, LONG_WINDOW_S)]
