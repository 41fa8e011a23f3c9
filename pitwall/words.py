"""Words that more than one part of Pitwall says to people."""

from collections.abc import Sequence
from typing import Final

#: An answer has little room.
NAMED: Final = 5


def some(names: Sequence[str]) -> str:
    """The first few of them, and how many more; empty where there is none."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
