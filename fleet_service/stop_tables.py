"""What is known of stops, in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from haul.command.v1 import stop_pb2

from fleet_service.stops import Fact, StopWord, Word
from fleet_service.store import Connection
from pitwall import wire
from pitwall.domain.stop_set import Release, Stop, join
from pitwall.kafka_topics import COMMANDS

#: A stop that is released for all is forgotten so long after it was issued: as the command service does.
KEEP_STOPS: Final = timedelta(days=90)

# A record that is read again, because its offset was lost, must not bring back what is forgotten.
assert timedelta(days=COMMANDS.retention_days) <= KEEP_STOPS


async def all_facts(connection: Connection) -> list[Fact]:
    """Stops before what was said of them."""
    stops = await connection.fetch("SELECT stop FROM stops")
    releases = await connection.fetch("SELECT release FROM stop_releases")
    words = await connection.fetch("SELECT stop_id, vehicle_id, word FROM stop_words")
    return [
        *(_stop(row["stop"]) for row in stops),
        *(wire.release_from_proto(stop_pb2.Release.FromString(row["release"])) for row in releases),
        *(StopWord(row["stop_id"], row["vehicle_id"], Word(row["word"])) for row in words),
    ]


async def keep_facts(connection: Connection, rows: Iterable[Fact]) -> None:
    """Merges them with what is there: another fleet service may have been here first."""
    facts = list(rows)
    await _keep_stops(connection, [fact for fact in facts if isinstance(fact, Stop)])
    releases = [fact for fact in facts if isinstance(fact, Release)]
    await connection.executemany(
        "INSERT INTO stop_releases (release_id, release) VALUES ($1, $2) ON CONFLICT (release_id) DO NOTHING",
        [(release.release_id, wire.release_to_proto(release).SerializeToString()) for release in releases],
    )
    await connection.executemany(
        """
INSERT INTO stop_words (stop_id, vehicle_id, word) VALUES ($1, $2, $3)
ON CONFLICT (stop_id, vehicle_id) DO UPDATE SET word = greatest(stop_words.word, excluded.word)""",
        [(fact.stop_id, fact.vehicle_id, int(fact.word)) for fact in facts if isinstance(fact, StopWord)],
    )


async def forget(connection: Connection, stop_ids: Sequence[str], release_ids: Sequence[str]) -> None:
    await connection.execute("DELETE FROM stops WHERE stop_id = ANY($1)", stop_ids)
    await connection.execute("DELETE FROM stop_words WHERE stop_id = ANY($1)", stop_ids)
    await connection.execute("DELETE FROM stop_releases WHERE release_id = ANY($1)", release_ids)


async def _keep_stops(connection: Connection, stops: Sequence[Stop]) -> None:
    query = "SELECT stop FROM stops WHERE stop_id = ANY($1) FOR UPDATE"
    there = [_stop(row["stop"]) for row in await connection.fetch(query, [stop.stop_id for stop in stops])]
    known = {stop.stop_id: stop for stop in there}
    joined = [join(stop, known.get(stop.stop_id, stop)) for stop in stops]
    await connection.executemany(
        "INSERT INTO stops (stop_id, stop) VALUES ($1, $2) ON CONFLICT (stop_id) DO UPDATE SET stop = excluded.stop",
        [(stop.stop_id, wire.stop_to_proto(stop).SerializeToString()) for stop in joined],
    )


def _stop(data: bytes) -> Stop:
    return wire.stop_from_proto(stop_pb2.Stop.FromString(data))
