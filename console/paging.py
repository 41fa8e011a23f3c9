"""Lists come in pages."""

from collections.abc import Callable
from typing import TypeVar

from console.failures import ConsoleError

#: What a server gives at most at a time.
MAX_PAGE_SIZE = 1_000
#: With 1,000 to a page, more than a service keeps of anything.
MAX_PAGES = 1_000

T = TypeVar("T")


def every_page(page: Callable[[str], tuple[list[T], str]]) -> list[T]:
    """All items of all pages. `page(token)` gives one page's items and the next one's token, empty at the end."""
    return first_pages(lambda token, _: page(token))[0]


def first_pages(
    page: Callable[[str, int], tuple[list[T], str]], limit: int | None = None, token: str = ""
) -> tuple[list[T], str]:
    """Up to `limit` items from `token` on, and the token of what follows; empty where nothing does.

    `page(token, size)` gives at most `size` items and the next page's token.
    """
    items: list[T] = []
    for _ in range(MAX_PAGES):
        left = MAX_PAGE_SIZE if limit is None else limit - len(items)
        found, token = page(token, min(left, MAX_PAGE_SIZE))
        items += found
        if not token or (limit is not None and len(items) >= limit):
            return items, token
    raise ConsoleError(f"the list doesn't end after {MAX_PAGES:,} pages", reason="LIST_TOO_LONG")
