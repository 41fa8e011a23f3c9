"""A thread of its own for a disk, so that neither the control loop nor another disk waits for it."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Worker(Generic[T]):
    """Hands what has gathered to `handle`, in order and in one go. Bounded: `put` says False when it is full.

    `handle` runs in the thread and must not raise; whoever hung the disk under it hangs this thread alone. The thread
    is a daemon: a hung disk can't keep the process from ending.
    """

    def __init__(self, name: str, handle: Callable[[list[T]], None], capacity: int) -> None:
        self._handle, self._capacity = handle, capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T, *, wake: bool = True) -> bool:
        """`wake=False`: it may wait for the next item that wakes, or for the end."""
        with self._changed:
            if self._closing or len(self._items) >= self._capacity:
                return False
            self._items.append(item)
            if wake:
                self._changed.notify()
        return True

    @property
    def waiting(self) -> int:
        """Items that have not been taken up."""
        return len(self._items)

    def close(self, timeout_s: float) -> bool:
        """Handles what is there and ends. False when that took too long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closing)
                items = list(self._items)
                self._items.clear()
            if not items:
                return
            try:
                self._handle(items)
            except Exception:  # noqa: BLE001  # the thread must live: the next items are others
                _log.exception("%s: %d items lost by a fault in the program", self._thread.name, len(items))
