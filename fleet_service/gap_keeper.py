"""The gap ledger, fed by three topics and kept in PostgreSQL.

It reads all of every topic by itself, beside whoever wants what is live: from a backlog that takes the newest. What was
found is written together with how far it was read, so a process that is killed anywhere goes on where the ledger is.
While PostgreSQL is away it goes on in memory: what is to be written is the ledger itself, which is bounded.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from opentelemetry import metrics

from fleet_service import gap_tables, tables
from fleet_service.gap_ledger import Ledger, Summary
from fleet_service.gap_records import missed_from, runs_of, told_from
from fleet_service.intake import Intake, Start, consumer_config, letter_of, value_of
from fleet_service.records import Letter, Poison
from fleet_service.store import DatabaseAway, Store
from fleet_service.writer import Offsets, Writer
from pitwall import logs
from pitwall.clock import monotonic_s, wall_time
from pitwall.instruments import gauge, gauges, total, totals
from pitwall.kafka_topics import DEAD_LETTER, STATUS_CHANGE, TELEMETRY
from pitwall.rpc.channel import jitter_s

#: What was found is written this often. Listed it is at once: this is what is read again after a kill.
KEEP_S: Final = 2.0
#: Metrics are counted, and vehicles that were taken out of the registry forgotten, this often.
COUNT_S: Final = 5.0
FORGET_S: Final = 3600.0
POISON_LOG_S: Final = 10.0

_log = logs.get(__name__)


class GapKeeper:
    """`run` it. `deleted`: vehicles that were taken out of the registry, and when (Unix ns)."""

    def __init__(self, store: Store, kafka_bootstrap: str, name: str, deleted: Callable[[], Mapping[str, int]]) -> None:
        self.ledger = Ledger()
        #: What was stored has been read.
        self.ready = False
        self.summary = Summary(Summary.by_state(), Summary.by_state())
        self._store, self._reader, self._deleted = store, f"{name} gaps", deleted
        self.writer = Writer(store, self._reader)
        self._offsets: dict[tuple[str, int], int] = {}
        self._unreadable, self._logged_s = 0, 0.0
        config = consumer_config(kafka_bootstrap, f"{name}-gaps")
        self.readings = Intake(config, TELEMETRY, self._take_readings, value_of)
        self.letters = Intake(config, DEAD_LETTER, self._take_letters, letter_of)
        self.changes = Intake(config, STATUS_CHANGE, self._take_changes, value_of)

    @property
    def stale(self) -> bool:
        """Not all that Kafka has is known."""
        return any(i.trouble is not None or not i.caught_up.is_set() for i in self._intakes)

    @property
    def trouble(self) -> str | None:
        """In words; None while everything is read and stored."""
        troubles = [*(i.trouble for i in self._intakes), *self.writer.troubles.values()]
        return next((trouble for trouble in troubles if trouble is not None), None)

    @property
    def lag(self) -> int:
        """Records that it has not read."""
        return sum(intake.lag for intake in self._intakes)

    @property
    def _intakes(self) -> tuple[Intake[bytes], Intake[Letter], Intake[bytes]]:
        return self.readings, self.letters, self.changes

    async def run(self) -> None:
        """Until cancelled, or a part of it ends by a defect."""
        offsets = await self._loaded()
        for intake in self._intakes:
            intake.open(Start({p: offset for (topic, p), offset in offsets.items() if topic == intake.topic.name}))
        works = (self._keep(), self._count(), self._know_all(), self._forget())
        async with asyncio.TaskGroup() as group:
            for work in (*works, *(intake.end() for intake in self._intakes)):
                group.create_task(work)

    async def close(self) -> None:
        await asyncio.gather(*(intake.close() for intake in self._intakes))

    async def _loaded(self) -> Offsets:
        """Waits for PostgreSQL however long."""
        await self._store.connected.wait()
        attempt = 0
        while True:
            try:
                async with self._store.transaction() as connection:
                    rows, self.ledger.truncated = await gap_tables.load(connection, self._reader)
                    offsets = await tables.offsets(connection, self._reader)
            except DatabaseAway:
                attempt += 1
                await asyncio.sleep(jitter_s(attempt))
            else:
                break
        for row in rows:
            self.ledger.restore(row)
        self.ready = True
        return offsets

    # Reading

    async def _take_readings(self, values: Sequence[bytes], offsets: Offsets) -> None:
        if self.readings.began_late and not self.readings.caught_up.is_set():
            self.ledger.truncated = True
        for (vehicle_id, boot_epoch), run in runs_of(values, self._left_out):
            self.ledger.arrived(vehicle_id, boot_epoch, run)
        self._offsets.update(offsets)

    async def _take_letters(self, letters: Sequence[Letter], offsets: Offsets) -> None:
        for letter in letters:
            try:
                missed = missed_from(letter)
            except Poison as error:
                self._left_out(error)
                continue
            if missed is not None and missed.rejected:
                self.ledger.rejected(*missed.epoch, missed.first, missed.reason, missed.time_ns)
            elif missed is not None:
                self.ledger.lost(*missed.epoch, missed.first, missed.last, missed.reason, missed.time_ns)
        self._offsets.update(offsets)

    async def _take_changes(self, values: Sequence[bytes], offsets: Offsets) -> None:
        for value in values:
            try:
                told = told_from(value)
            except Poison as error:
                self._left_out(error)
                continue
            if told is not None:
                self.ledger.told(*told.epoch, told.last, told.time_ns)
        self._offsets.update(offsets)

    async def _know_all(self) -> None:
        """From when all that Kafka had has been read, the past of whoever comes is known."""
        await self.readings.caught_up.wait()
        self.ledger.truncated = False

    def _left_out(self, error: Exception) -> None:
        self._unreadable += 1
        if monotonic_s() - self._logged_s >= POISON_LOG_S:
            self._logged_s = monotonic_s()
            _log.warning("record says nothing of readings", error=str(error))

    # Writing

    async def _keep(self) -> None:
        kept: tuple[Offsets, bool] = {}, False
        while True:
            await asyncio.sleep(KEEP_S)
            changes, state = self.ledger.take_changes(), (dict(self._offsets), self.ledger.truncated)
            if changes.rows or changes.gone or state != kept:
                write = partial(gap_tables.keep, reader=self._reader, changes=changes, truncated=state[1])
                await self.writer.insist("gaps", state[0], write)
                kept = state

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_S)
            before_ns = int((wall_time() - tables.KEEP_RECORDS).timestamp() * 1e9)
            self.ledger.forget_old(before_ns)
            try:
                async with self._store.connection() as connection:
                    await gap_tables.forget_readers(connection, before_ns)
            except DatabaseAway as error:
                _log.warning("old readers not deleted", error=str(error))

    # Counting

    async def _count(self) -> None:
        while True:
            for vehicle_id, deleted_ns in self._deleted().items():
                self.ledger.forget_vehicle(vehicle_id, deleted_ns)
            self.summary = self.ledger.summary()
            await asyncio.sleep(COUNT_S)

    def measure(self, meter: metrics.Meter) -> None:
        """To be called once."""
        ledger = self.ledger
        text = "Readings that are not in vehicle-telemetry though their vehicle made them, by state"
        gauges(meter, "pitwall.fleet.gap.readings", text, "state", lambda: self.summary.readings)
        gauges(meter, "pitwall.fleet.gaps", "Ranges of such readings, by state", "state", lambda: self.summary.gaps)
        gauge(meter, "pitwall.fleet.gaps.oldest", "Age of the oldest open gap, 0 without one", self._oldest_s, "s")
        gauge(meter, "pitwall.fleet.gaps.lag.records", "Records that the ledger has not read yet", lambda: self.lag)
        text = "Readings shown as missing that are there: a vehicle had more gaps than are kept"
        total(meter, "pitwall.fleet.gaps.overstated.readings", text, lambda: ledger.overstated)
        text = "Missing readings of starts of a vehicle that are no longer remembered, by cause"
        totals(meter, "pitwall.fleet.gaps.forgotten.readings", text, "cause", lambda: ledger.forgotten)
        text = "Records of vehicles and starts beyond the most that are kept"
        total(meter, "pitwall.fleet.gaps.turned_away.records", text, lambda: ledger.turned_away)
        text = "Records that should tell of readings and can't be read"
        total(meter, "pitwall.fleet.gaps.poison.records", text, lambda: self._unreadable)

    def _oldest_s(self) -> float:
        oldest_ns = self.summary.oldest_open_ns
        return max(0.0, wall_time().timestamp() - oldest_ns / 1e9) if oldest_ns else 0.0
