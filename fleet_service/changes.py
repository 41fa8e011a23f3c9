"""Which vehicles have changed since when: a version for the whole, and of each vehicle the version of its last change.

Pure. A watcher remembers the version that it has seen and asks for what is newer, whenever it is ready to: a slow one
gets each vehicle once, as it is then, and costs no more than a number.
"""

from collections import OrderedDict


class ChangeLog:
    """Remembers `capacity` keys; of more than those, whoever was touched longest ago is forgotten."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.version = 0
        #: Whoever has seen less than this asks for everything: not all since then is remembered.
        self.forgotten = 0
        self._last: OrderedDict[str, int] = OrderedDict()  # the latest touched is last

    def touch(self, key: str) -> None:
        self.version += 1
        self._last[key] = self.version
        self._last.move_to_end(key)
        if len(self._last) > self._capacity:
            _, self.forgotten = self._last.popitem(last=False)

    def since(self, version: int) -> list[str]:
        """Keys touched after that version, the longest ago first."""
        found: list[str] = []
        for key in reversed(self._last):
            if self._last[key] <= version:
                break
            found.append(key)
        found.reverse()
        return found
