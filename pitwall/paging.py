"""Pages of a list: how many, and from where on. A page token is bound to the query that it came from.

Pure. AIP-158: a size of 0 is the default, one above the most is the most, a negative one is an error.
"""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from zlib import crc32

from pitwall.wire import MAX_NUMBER

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000
MAX_TOKEN_CHARACTERS: Final = 512

_T = TypeVar("_T")
#: The sort key of an item: numbers and texts, as JSON keeps them.
Key = tuple[int | str, ...]


class InvalidPage(ValueError):
    """`field` is page_size or page_token."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """`next_token` is empty on the last page."""

    items: Sequence[_T]
    next_token: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`after`: the key of the last item of the page before; None for the first page."""

    size: int
    after: Key | None
    query: str

    @classmethod
    def parse(cls, page_size: int, page_token: str, query: str, kinds: tuple[type, ...]) -> "PageRequest":
        """`query`: the method and whatever filters. `kinds`: the types of the key's parts. Raises InvalidPage."""
        if page_size < 0:
            raise InvalidPage("page_size", f"is {page_size}; 0 for {DEFAULT_PAGE_SIZE}, or 1 to {MAX_PAGE_SIZE:,}")
        size = min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        return cls(size, _parse_token(page_token, query, kinds) if page_token else None, query)

    def token(self, last: Key) -> str:
        """The token of the page that follows the item with this key."""
        content = json.dumps([crc32(self.query.encode()), *last], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")

    def cut(self, found: Sequence[_T], key: Callable[[_T], Key]) -> Page[_T]:
        """The page of what was `found` behind `after`, in order; one item more than `size` tells that more comes."""
        shown = found[: self.size]
        return Page(shown, self.token(key(shown[-1])) if len(found) > len(shown) else "")

    def choose(self, items: Iterable[_T], key: Callable[[_T], Key], *, newest_first: bool = False) -> Page[_T]:
        """The page of all `items`, which come in any order; keys are unique."""
        after = self.after
        if after is not None:
            items = (item for item in items if (key(item) < after if newest_first else key(item) > after))
        return self.cut(sorted(items, key=key, reverse=newest_first), key)


def _parse_token(token: str, query: str, kinds: tuple[type, ...]) -> Key:
    """Anybody can make a token, so its parts are held to what the list's own would have."""
    wrong = InvalidPage("page_token", "is none of this list with this filter; start again without one")
    if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        raise wrong
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError):
        raise wrong from None
    if not isinstance(content, list) or len(content) != len(kinds) + 1 or content[0] != crc32(query.encode()):
        raise wrong
    after = tuple(content[1:])
    if tuple(map(type, after)) != kinds or not all(map(_is_storable, after)):
        raise wrong
    return after


def _is_storable(part: int | str) -> bool:
    """As a parameter of a query: PostgreSQL takes neither NUL nor half a character."""
    if isinstance(part, int):
        return abs(part) <= MAX_NUMBER
    return "\x00" not in part and part.encode(errors="replace").decode() == part
