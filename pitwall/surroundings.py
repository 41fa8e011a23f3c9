"""Room on the disks that a process writes to, and when its certificates end, as metrics.

A thread of its own looks once a minute: a disk that hangs must hold up neither the event loop nor a scrape. What was
seen too long ago is not shown any more.
"""

import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from opentelemetry import metrics

from pitwall.clock import monotonic_s
from pitwall.instruments import gauges

PERIOD_S: Final = 60.0
#: Older figures are not shown.
MAX_AGE_S: Final = 3 * PERIOD_S

_log = logging.getLogger(__name__)


class Surroundings:
    """`disks`: name -> a path on it. `certificates`: name -> files, of which the one that ends first counts."""

    def __init__(
        self,
        disks: Mapping[str, Path],
        certificates: Mapping[str, Sequence[Path]],
        meter: metrics.Meter | None = None,
    ) -> None:
        self._disks, self._certificates = dict(disks), dict(certificates)
        self._free: Mapping[str, float] = {}
        self._size: Mapping[str, float] = {}
        self._ends: Mapping[str, float] = {}
        self._looked_s = monotonic_s()
        self._show(meter or metrics.get_meter("pitwall.surroundings"))

    def watch(self) -> None:
        """For as long as the process lives."""
        threading.Thread(target=self._run, name="surroundings", daemon=True).start()

    def look(self) -> None:
        """Once."""
        usage = {name: shutil.disk_usage(path) for name, path in self._disks.items()}
        self._free = {name: float(each.free) for name, each in usage.items()}
        self._size = {name: float(each.total) for name, each in usage.items()}
        self._ends = {name: min(map(_ends_s, files)) for name, files in self._certificates.items() if files}
        self._looked_s = monotonic_s()

    def _run(self) -> None:
        pause, failed = threading.Event(), False
        while True:
            try:
                self.look()
                failed = False
            except (OSError, ValueError) as error:
                if not failed:
                    _log.warning("disks and certificates can't be looked at: %s", error)
                failed = True
            pause.wait(PERIOD_S)

    def _show(self, meter: metrics.Meter) -> None:
        text = "Room for this process's files"
        gauges(meter, "pitwall.disk.free", text, "disk", lambda: self._fresh(self._free), "By")
        text = "Size of the file system that holds them"
        gauges(meter, "pitwall.disk.size", text, "disk", lambda: self._fresh(self._size), "By")
        name, text = "pitwall.certificate.expiry_timestamp", "When a certificate ends, seconds since 1970"
        gauges(meter, name, text, "certificate", lambda: self._fresh(self._ends), "s")

    def _fresh(self, figures: Mapping[str, float]) -> Mapping[str, float]:
        return figures if monotonic_s() - self._looked_s <= MAX_AGE_S else {}


def _ends_s(file: Path) -> float:
    """Seconds since 1970. Raises ValueError for a file without a certificate."""
    return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()
