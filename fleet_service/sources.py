"""The topics and the stores, tied to what is known of the fleet."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from opentelemetry import metrics

from fleet_service import records, stop_tables, tables
from fleet_service.alerts import MAX_ALERTS, Alert
from fleet_service.cache import Cache, CacheAway, readable
from fleet_service.fleet import Fleet
from fleet_service.intake import Intake, Start, Take, consumer_config, value_of
from fleet_service.live_text import to_text
from fleet_service.records import Poison, WindowFigures
from fleet_service.registry import Entry
from fleet_service.stops import Fact, identity
from fleet_service.store import Connection, DatabaseAway, Store
from fleet_service.writer import Backlog, Writer
from pitwall import logs
from pitwall.clock import monotonic_s, wall_time
from pitwall.instruments import Tally, seconds_histogram
from pitwall.kafka_topics import ALERTS, COMMANDS, METRICS, STATUS_CHANGE, TELEMETRY
from pitwall.rpc.channel import jitter_s

#: Live states are written to PostgreSQL this often: Redis has them sooner, this is for when it is empty.
KEEP_LIVE_S: Final = 2.0
#: Vehicles whose state goes into one statement.
LIVE_BATCH: Final = 500
#: Of a longer backlog of readings the newest are enough for what is live: some seconds of work, whatever the backlog.
TELEMETRY_TAIL: Final = 20_000
#: The registry, and which open alerts are closed there, are read again this often, for what other fleet services have
#: changed.
RELOAD_S: Final = 10.0
#: Of all alerts, cleared or not, so many are read at the start: which of those that are told again, or late, are over.
NEWEST_ALERTS: Final = 2_000
FORGET_S: Final = 3600.0
POISON_LOG_S: Final = 10.0
#: An alert older than this, seconds, is one that was replayed: it says nothing of how fast alerts come.
MAX_ALERT_AGE_S: Final = 600.0

_T = TypeVar("_T")
_log = logs.get(__name__)


class Sources:
    """`run` it: it loads, reads and writes until cancelled. `name`: of this service, by which its place is known."""

    def __init__(self, fleet: Fleet, store: Store, cache: Cache, kafka_bootstrap: str, name: str) -> None:
        self._fleet, self._store, self._cache, self._name = fleet, store, cache, name
        self.writer = Writer(store, name)
        #: The registry has been read.
        self.ready = False
        self._live_offsets: dict[tuple[str, int], int] = {}
        self._live_kept = 0
        self._alerts: Backlog[Alert] = Backlog("alerts", self._write_alerts, partial(self._left_out, ALERTS.name))
        self._windows: Backlog[WindowFigures] = Backlog(
            "metrics", tables.keep_windows, partial(self._left_out, METRICS.name)
        )
        self._facts: Backlog[Fact] = Backlog("stops", stop_tables.keep_facts, partial(self._left_out, COMMANDS.name))
        config = consumer_config(kafka_bootstrap, name)
        self.telemetry = Intake(config, TELEMETRY, self._live_take(records.sample_from, fleet.take_sample), value_of)
        self.changes = Intake(config, STATUS_CHANGE, self._live_take(records.change_from, fleet.take_change), value_of)
        self.alerts = Intake(config, ALERTS, self._take_alerts, value_of)
        self.windows = Intake(config, METRICS, self._take_windows, value_of)
        self.commands = Intake(config, COMMANDS, self._take_commands, value_of)
        self.intakes = (self.telemetry, self.changes, self.alerts, self.windows, self.commands)
        meter = metrics.get_meter("fleet_service")
        topics = {"topic": [intake.topic.name for intake in self.intakes]}
        self._read = Tally(meter, "pitwall.fleet.records", "Read from Kafka, by topic", topics)
        self._poison = Tally(meter, "pitwall.fleet.records.poison", "Not readable or not storable, by topic", topics)
        self._alert_age = seconds_histogram(meter, "pitwall.alert.latency", "From the reading's time to the alert here")
        self._poison_logged_s = 0.0

    @property
    def stale(self) -> bool:
        """What is known of the vehicles may be old: Kafka is away, or its backlog isn't read yet."""
        live = (self.telemetry, self.changes, self.commands)
        return any(intake.trouble is not None or not intake.caught_up.is_set() for intake in live)

    async def run(self) -> None:
        """Until cancelled, or a part of it ends by a defect."""
        offsets = await self._loaded()
        for intake in self.intakes:
            known = {p: offset for (topic, p), offset in offsets.items() if topic == intake.topic.name}
            intake.open(Start(known, TELEMETRY_TAIL if intake is self.telemetry else None))
        kept = (self.writer.keep(backlog) for backlog in (self._alerts, self._windows, self._facts))
        works = (*kept, self._keep_live(), self._reload(), self._forget())
        async with asyncio.TaskGroup() as group:
            for work in (*works, *(intake.end() for intake in self.intakes)):
                group.create_task(work)

    async def close(self) -> None:
        await asyncio.gather(*(intake.close() for intake in self.intakes))

    # Loading

    async def _loaded(self) -> Mapping[tuple[str, int], int]:
        """The stores' knowledge, before anything is read. Waits for PostgreSQL however long; Redis may be away."""
        await self._store.connected.wait()
        attempt = 0
        while True:
            try:
                async with self._store.connection() as connection:
                    return await self._load(connection)
            except DatabaseAway:
                attempt += 1
                await asyncio.sleep(jitter_s(attempt))

    async def _load(self, connection: Connection) -> Mapping[tuple[str, int], int]:
        for entry in await tables.all_entries(connection):
            self._fleet.put_entry(entry)
        self._stored(await tables.newest_alerts(connection, NEWEST_ALERTS))
        self._stored(await tables.open_alerts(connection, MAX_ALERTS))
        for fact in await stop_tables.all_facts(connection):
            self._fleet.take_fact(fact)
        for texts in (await tables.live_texts(connection)).values():
            self._restore(texts)
        try:
            self._restore(await self._cache.live_texts())
        except CacheAway as error:
            _log.warning("redis not read", error=str(error))
        offsets = await tables.offsets(connection, self._name)
        self.ready = True
        _log.info("loaded", vehicles=len(self._fleet), open_alerts=self._fleet.alerts.open_total)
        return offsets

    def _restore(self, texts: Mapping[str, Any]) -> None:
        for vehicle_id, live in readable(dict(texts)).items():
            if self._fleet.get(vehicle_id) is not None:
                self._fleet.restore(vehicle_id, live)

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_S)
            try:
                await self._look_again()
            except DatabaseAway:
                continue  # asked again; the store says so in its health

    async def _look_again(self) -> None:
        async with self._store.transaction() as connection:
            entries = await tables.all_entries(connection)
            # Also of those that were deleted while a step of theirs was on its way here.
            await tables.close_of_deleted(connection)
            further = await tables.further(connection, list(self._fleet.alerts.open()))
        for entry in entries:
            self._fleet.put_entry(entry)
        self._stored(further)

    async def _forget(self) -> None:
        while True:
            try:
                async with self._store.connection() as connection:
                    gone = await tables.forget(connection, wall_time())
                    old = self._fleet.stops.compact(wall_time() - stop_tables.KEEP_STOPS)
                    await stop_tables.forget(connection, *old)
            except DatabaseAway as error:
                _log.warning("old records not deleted", error=str(error))
            else:
                _log.info("old records deleted", **gone)
            await asyncio.sleep(FORGET_S)

    # Reading

    def _live_take(self, parse: Callable[[bytes], _T], take: Callable[[_T], None]) -> Take:
        async def taken(values: Sequence[bytes], offsets: Mapping[tuple[str, int], int]) -> None:
            for record in self._readable(values, next(iter(offsets))[0], parse):
                take(record)
            self._live_offsets.update(offsets)

        return taken

    async def _take_alerts(self, values: Sequence[bytes], offsets: Mapping[tuple[str, int], int]) -> None:
        # Watchers see a step at once, whether the store is there or not.
        for alert in self._readable(values, ALERTS.name, records.alert_from):
            changed = self._fleet.take_alert(alert)
            if changed and not alert.backfilled and (age_s := _age_s(alert.event_ns)) <= MAX_ALERT_AGE_S:
                self._alert_age.record(age_s)
            self._keep(changed)
        self._alerts.read(offsets)
        await self._alerts.has_room()

    async def _take_windows(self, values: Sequence[bytes], offsets: Mapping[tuple[str, int], int]) -> None:
        for window in self._readable(values, METRICS.name, records.figures_from):
            self._windows.put(window.key, window)
        self._windows.read(offsets)
        await self._windows.has_room()

    async def _take_commands(self, values: Sequence[bytes], offsets: Mapping[tuple[str, int], int]) -> None:
        for told in self._readable(values, COMMANDS.name, records.fact_from):
            fact = None if told is None else self._fleet.take_fact(told)
            if fact is not None:
                self._facts.put(identity(fact), fact)
        self._facts.read(offsets)
        await self._facts.has_room()

    def _readable(self, values: Sequence[bytes], topic: str, parse: Callable[[bytes], _T]) -> list[_T]:
        found: list[_T] = []
        for value in values:
            try:
                found.append(parse(value))
            except Poison as error:
                self._left_out(topic, error)
        self._read.add(len(values), topic)
        return found

    def _left_out(self, topic: str, error: Exception) -> None:
        """Not readable, or nothing that PostgreSQL takes."""
        self._poison.add(1, topic)
        if monotonic_s() - self._poison_logged_s >= POISON_LOG_S:
            self._poison_logged_s = monotonic_s()
            _log.warning("record not taken", topic=topic, error=str(error))

    # Writing

    async def _keep_live(self) -> None:
        """New vehicles and changed states, with how far readings and status changes had been read by then."""
        kept: Mapping[tuple[str, int], int] = {}
        while True:
            await asyncio.sleep(KEEP_LIVE_S)
            version, offsets = self._fleet.vehicle_changes.version, dict(self._live_offsets)
            if version == self._live_kept and offsets == kept:
                continue
            texts = self._live_texts(self._fleet.vehicle_changes.since(self._live_kept))
            new = list(self._fleet.unregistered.values())
            await self.writer.insist("live", offsets, partial(self._write_live, new=new, texts=texts))
            self._live_kept, kept = version, offsets

    async def _write_live(self, connection: Connection, new: Sequence[Entry], texts: Mapping[str, str]) -> None:
        if new:
            for entry in await tables.enter(connection, new):
                self._fleet.put_entry(entry)
        for part in _parts(texts, LIVE_BATCH):
            await tables.keep_live(connection, self._name, part)

    async def _write_alerts(self, connection: Connection, rows: Sequence[Alert]) -> None:
        # Memory forgets cleared alerts, with a restart most of them: one that is told again would be open there.
        self._stored(await tables.keep_alerts(connection, rows))

    def _stored(self, alerts: Sequence[Alert]) -> None:
        """As they are stored. What is over by them is stored too."""
        for alert in alerts:
            if closed := self._fleet.acknowledged(alert):
                self._keep(closed)
                self._alerts.due.set()

    def _keep(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._alerts.put(alert.alert_id, alert)

    def _live_texts(self, vehicle_ids: Sequence[str]) -> dict[str, str]:
        known = ((vehicle_id, self._fleet.live(vehicle_id)) for vehicle_id in vehicle_ids)
        return {vehicle_id: to_text(live) for vehicle_id, live in known if live is not None}


def _age_s(event_ns: int) -> float:
    return max(0.0, wall_time().timestamp() - event_ns / 1e9)


def _parts(texts: Mapping[str, str], size: int) -> list[dict[str, str]]:
    items = list(texts.items())
    return [dict(items[first : first + size]) for first in range(0, len(items), size)]
