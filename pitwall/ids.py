"""Identifiers that a client makes itself, so that repeating a request is harmless.

UUID version 7, RFC 9562 section 5.7; Python 3.11 has none. The time in front makes them sort by age; nothing may be
decided by that order.
"""

import os
import threading
import time
import uuid

_MILLISECOND_NANOS = 1_000_000
_FRACTION_BITS = 12
_RANDOM_BITS = 62

_lock = threading.Lock()
_newest_tick = 0


class InvalidId(ValueError):
    """A text that is no UUIDv7. `text` is what was given."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no UUIDv7, for example {EXAMPLE}; leave it out to have one made")
        self.text = text


EXAMPLE = "01928c5e-7b6a-7c3d-8e4f-a1b2c3d4e5f6"


def uuid7() -> str:
    """A new identifier, 36 lower-case characters. Grows within one process, whatever the clock does."""
    tick = _next_tick(_tick(time.time_ns()))
    milliseconds, fraction = divmod(tick, 1 << _FRACTION_BITS)
    random = int.from_bytes(os.urandom(8)) & ((1 << _RANDOM_BITS) - 1)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random
    return str(uuid.UUID(int=value))


def parse_uuid7(text: str) -> str:
    """The identifier in its one canonical form. Raises InvalidId for anything but a UUIDv7."""
    try:
        value = uuid.UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise InvalidId(text) from None
    canonical = str(value)
    # uuid.UUID also takes braces, "urn:uuid:" and no dashes; two spellings of one stop would be two stops.
    if value.variant != uuid.RFC_4122 or value.version != 7 or canonical != text.lower():
        raise InvalidId(text)
    return canonical


def is_uuid7(text: str) -> bool:
    """Whether `parse_uuid7` would take it."""
    try:
        parse_uuid7(text)
    except InvalidId:
        return False
    return True


def _tick(nanos: int) -> int:
    """Milliseconds in the upper bits and their 4096ths in the lower 12 (RFC 9562 section 6.2, method 3)."""
    milliseconds, rest = divmod(nanos, _MILLISECOND_NANOS)
    return milliseconds << _FRACTION_BITS | (rest << _FRACTION_BITS) // _MILLISECOND_NANOS


def _next_tick(now: int) -> int:
    global _newest_tick
    with _lock:
        _newest_tick = max(now, _newest_tick + 1)
        return _newest_tick
