"""The thread that writes latch files. The gate has braked long before; nothing waits for this thread.

Of several records of one vehicle only the newest is written. What the disk refuses is tried again until it takes it.
"""

import logging
import threading
from collections.abc import Callable, Mapping

from edge_agent.effects import LatchRecord
from edge_agent.latch import LatchFile
from edge_agent.limits import LATCH_RETRY_S

#: Of more vehicles at a time there is one line: each takes a tenth of a millisecond, just when a fleet stops.
LOGGED_ONE_BY_ONE = 3

_log = logging.getLogger(__name__)


class LatchKeeper:
    """`durable(vehicle_id, record)` is called in the thread when a record is on disk."""

    def __init__(self, files: Mapping[str, LatchFile], durable: Callable[[str, LatchRecord], None]) -> None:
        self._files, self._durable = files, durable
        self._wanted: dict[str, LatchRecord] = {}
        self._changed = threading.Condition()
        self._closing = False
        #: Why a record can't be written; empty while all of them can.
        self.problem = ""
        #: Writes that the disk refused so far.
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="latch", daemon=True)
        self._thread.start()

    def save(self, vehicle_id: str, record: LatchRecord) -> None:
        """Never blocks. Bounded: one record a vehicle waits."""
        with self._changed:
            self._wanted[vehicle_id] = record
            self._changed.notify()

    def close(self, timeout_s: float) -> bool:
        """Writes what waits, once, and ends. False when that took too long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self.problem:
                    self._changed.wait_for(lambda: self._closing, LATCH_RETRY_S)
                else:
                    self._changed.wait_for(lambda: self._wanted or self._closing)
                records, self._wanted = self._wanted, {}
            before, self.problem = self.problem, self._write_all(records)
            if self.problem and not before:
                _log.error("latch file of %s; it stands, but after a restart would not know why", self.problem)
            if self._closing and (self.problem or not self._wanted):
                return

    def _write_all(self, records: Mapping[str, LatchRecord]) -> str:
        problem = ""
        for vehicle_id, record in records.items():
            try:
                self._files[vehicle_id].write(record)
            except Exception as error:  # noqa: BLE001  # a disk, or a defect: the thread lives and health says so
                problem = f"{vehicle_id}: {error}"
                self._keep(vehicle_id, record)
            else:
                self._durable(vehicle_id, record)
                if len(records) <= LOGGED_ONE_BY_ONE:
                    _log.info("%s: latch file holds %s", vehicle_id, ", ".join(sorted(record.latched)) or "no latch")
        if len(records) > LOGGED_ONE_BY_ONE:
            _log.info("latch files of %d vehicles, from %s to %s", len(records), min(records), max(records))
        return problem

    def _keep(self, vehicle_id: str, record: LatchRecord) -> None:
        self.failures += 1
        with self._changed:
            self._wanted.setdefault(vehicle_id, record)
