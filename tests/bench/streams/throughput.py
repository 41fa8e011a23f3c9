"""How fast a topic full of readings is read: by our job in parts and as a whole, and by two programs in Python."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.tools import CHECKOUT, Tools
from pitwall.kafka_topics import Topic, ensure_topics
from tests.bench.streams import plain, profile
from tests.bench.streams.reading import Read, await_readings, read
from tests.bench.streams.site import RunningJob, Site
from tests.bench.streams.submit import Part
from tests.support.processor import with_descendants

_WITHIN_S = 240.0
#: Of the loop in Python, and of a job with a function in Python: a part of the topic tells as much.
_SLOW_SHARE = 0.2
_PYTHON_ALERTS = "bench-python-alerts"
WHAT = {
    Part.ALERTS: "alerts, all rules",
    Part.METRICS: "both metrics, repeats out",
    Part.WHOLE: "the whole job",
}


def ours(where: Site, total: int, parts: tuple[Part, ...] = tuple(Part)) -> Iterator[Read]:
    for part in parts:
        with where.job(f"bench-{part}", "tests.bench.streams.submit", part) as job:
            yield _measured(WHAT[part], job, total)


def beside(where: Site, total: int) -> Iterator[Read]:
    some = int(total * _SLOW_SHARE)
    ensure_topics(where.bootstrap, tuple(Topic(name, 1, 1) for name in (plain.ALERTS, _PYTHON_ALERTS)))
    with where.job("bench-python", "tests.bench.streams.python_function") as job:
        yield _measured("PyFlink, one rule as a Python function", job, some)
    with _loop(where.bootstrap, total) as (process, told):
        yield read("a loop in Python, all rules", total, told, lambda: [process.pid], _WITHIN_S)


def profiled(where: Site, total: int) -> profile.Spent:
    """The whole job, from a third of the topic on: warm."""
    with where.job("bench-profile", "tests.bench.streams.submit", Part.WHOLE) as job:
        for _ in await_readings("warming up", total // 3, lambda: job.readings_read, _WITHIN_S):
            pass
        file = where.stack.places.data / "bench.jfr"
        recording = profile.Recording(Tools(os.environ).java_home(), job.pid, file)
        _measured("profiled", job, total)
        return recording.end()


def _measured(what: str, job: RunningJob, total: int) -> Read:
    return read(what, total, lambda: job.readings_read, lambda: with_descendants(job.pid), _WITHIN_S)


@contextmanager
def _loop(bootstrap: str, total: int) -> Iterator[tuple["subprocess.Popen[str]", "Told"]]:
    command = [sys.executable, "-m", "tests.bench.streams.plain", bootstrap, str(total)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        told = Told(process)
        try:
            yield process, told
        finally:
            process.kill()


class Told:
    """The newest number that a process has written on a line of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process, self._newest = process, 0
        threading.Thread(target=self._follow, name="told", daemon=True).start()

    def __call__(self) -> int:
        return self._newest

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._newest = max(self._newest, int(line))
