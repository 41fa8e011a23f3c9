"""A thread of its own for a disk."""

import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from edge_agent.worker import Worker

WAIT_S = 5.0


class Bench:
    def __init__(self) -> None:
        self.handled: Queue[list[int]] = Queue()
        self.flowing, self.entered = threading.Event(), threading.Event()
        self.flowing.set()
        self.worker: Worker[int] = Worker("test", self._handle, capacity=3)

    def _handle(self, items: list[int]) -> None:
        self.entered.set()
        assert self.flowing.wait(WAIT_S)
        if items == [13]:
            raise RuntimeError("a fault in the program")
        self.handled.put(items)

    def hang(self) -> None:
        """The disk hangs in the first item."""
        self.flowing.clear()
        self.worker.put(0)
        assert self.entered.wait(WAIT_S)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.flowing.set()
    made.worker.close(WAIT_S)


def test_what_gathers_while_the_disk_is_busy_is_handled_in_one_go_and_in_order(bench: Bench) -> None:
    bench.hang()
    for item in (1, 2, 3):
        assert bench.worker.put(item)
    bench.flowing.set()
    assert [bench.handled.get(timeout=WAIT_S) for _ in range(2)] == [[0], [1, 2, 3]]


def test_it_is_bounded_and_says_so(bench: Bench) -> None:
    bench.hang()
    assert [bench.worker.put(item) for item in (1, 2, 3, 4)] == [True, True, True, False]
    assert bench.worker.waiting == 3


def test_what_need_not_wake_it_goes_with_the_next_that_does(bench: Bench) -> None:
    bench.worker.put(1, wake=False)
    bench.worker.put(2)
    assert bench.handled.get(timeout=WAIT_S) == [1, 2]


def test_what_need_not_wake_it_is_handled_at_the_end(bench: Bench) -> None:
    bench.worker.put(1, wake=False)
    assert bench.worker.close(WAIT_S)
    assert bench.handled.get_nowait() == [1]


def test_a_fault_costs_its_items_and_not_the_thread(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.worker.put(13)
    assert bench.entered.wait(WAIT_S)
    bench.worker.put(1)
    assert bench.handled.get(timeout=WAIT_S)[-1] == 1
    assert "fault in the program" in caplog.text


def test_the_end_does_not_wait_for_a_hung_disk_and_takes_nothing_more(bench: Bench) -> None:
    bench.hang()
    assert not bench.worker.close(0.05)
    assert not bench.worker.put(1)
