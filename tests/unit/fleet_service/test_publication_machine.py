"""Two fleet services, one registry and one topic, whatever is delayed, reordered or killed.

What is true in the end: the topic's last record of each vehicle is what its row makes. `make soak` drives this machine
too, by plain chance.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from fleet_service.publication import RESEND_S, Publication, Record, record_of
from fleet_service.registry import Entry
from tests.support.machines import as_test

VEHICLES = ("TRUCK-1", "TRUCK-2")
START = datetime(2026, 11, 1, tzinfo=UTC)
#: Passes of each service until all is said: to send, to read back, and once more for what overtook it.
PASSES = 6
vehicles, either = st.sampled_from(VEHICLES), st.sampled_from((0, 0, 1))


@dataclass
class Service:
    """`known`: the revision at hand of each row. `taken`: rows that were read and are not compared yet. `sent`: no word
    of them yet.
    """

    publication: Publication = field(default_factory=Publication)
    known: dict[str, int] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)
    read: int = 0
    taken: tuple[list[str], dict[str, Entry]] = field(default_factory=lambda: ([], {}))
    sent: list[Record] = field(default_factory=list)

    def learn(self, row: Entry) -> None:
        """As the fleet does: what it knows already is no news."""
        if self.known.get(row.vehicle_id) != row.revision:
            self.known[row.vehicle_id] = row.revision
            self.renewed.add(row.vehicle_id)


class PublicationMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.rows: dict[str, Entry] = {}
        self.topic: list[tuple[str, bytes | None]] = []
        self.services = [Service(), Service()]
        for vehicle in VEHICLES:
            self.change(vehicle, 0, deletes=False)
        self.begin(0, 1.0, at_once=True)

    # The registry

    @rule(vehicle=vehicles, by=either, deletes=st.booleans())
    def change(self, vehicle: str, by: int, deletes: bool) -> None:
        row = self.rows.get(vehicle) or Entry(vehicle, START, START, revision=0)
        now = START + timedelta(seconds=len(self.topic) + row.revision + 1)
        gone = now if deletes and row.revision else None
        self.rows[vehicle] = replace(row, revision=row.revision + 1, update_time=now, delete_time=gone)
        self.services[by].learn(self.rows[vehicle])

    @rule(by=either)
    def reload(self, by: int) -> None:
        for row in self.rows.values():
            self.services[by].learn(row)

    @rule(vehicle=vehicles)
    def forget(self, vehicle: str) -> None:
        """Long after its deletion."""
        row = self.rows.get(vehicle)
        if row is not None and row.delete_time is not None and self.last().get(vehicle) is None:
            del self.rows[vehicle]

    # Kafka

    @rule(by=either)
    def hear(self, by: int) -> None:
        service = self.services[by]
        for vehicle, value in self.topic[service.read : service.read + 1]:
            service.publication.heard(vehicle.encode(), value, self.now_s)
            service.read += 1

    @rule(by=either, written=st.booleans(), reported=st.booleans())
    def end(self, by: int, written: bool, reported: bool) -> None:
        """The first of what is on its way gets there, from a killed service too; or it is said that it does not."""
        service = self.services[by]
        if not service.sent:
            return
        record = service.sent.pop(0)
        if written:
            self.topic.append((record.vehicle_id, record.value))
        if not written or not reported:
            service.publication.not_delivered([record.vehicle_id])

    # The services

    @rule(by=either, seconds=st.sampled_from((0.1, RESEND_S)), at_once=st.booleans())
    def begin(self, by: int, seconds: float, at_once: bool) -> None:
        self.now_s += seconds
        service = self.services[by]
        if service.taken[0] or service.sent:
            return  # it waits for its reports
        service.publication.doubt(service.renewed, self.now_s)
        service.renewed.clear()
        service.taken = (service.publication.take(self.now_s, len(VEHICLES)), dict(self.rows))
        if at_once:
            self.compare(by)

    @rule(by=either)
    def compare(self, by: int) -> None:
        service = self.services[by]
        vehicle_ids, rows = service.taken
        service.sent += service.publication.compare(vehicle_ids, rows, self.now_s)
        service.taken = ([], {})

    @rule(by=either)
    def kill(self, by: int) -> None:
        """What it has sent is still on its way; the next one reads all of the topic, and all rows."""
        self.services[by] = Service(sent=self.services[by].sent)
        self.reload(by)

    # The end

    def last(self) -> dict[str, bytes]:
        last = dict(self.topic)
        return {vehicle: value for vehicle, value in last.items() if value is not None}

    def wanted(self) -> dict[str, bytes]:
        made = {vehicle: record_of(row) for vehicle, row in self.rows.items()}
        return {vehicle: value for vehicle, value in made.items() if value is not None}

    def settle(self, by: int) -> None:
        service = self.services[by]
        while service.sent:
            self.end(by, written=True, reported=True)
        while service.read < len(self.topic):
            self.hear(by)
        self.compare(by)
        self.begin(by, RESEND_S, at_once=True)

    def teardown(self) -> None:
        """One of them is enough, once the other's records have come, and its changes have been read."""
        if not hasattr(self, "services"):
            return
        while self.services[1].sent:
            self.end(1, written=True, reported=True)
        self.reload(0)
        for _ in range(PASSES):
            for _ in VEHICLES:
                self.settle(0)
        assert self.last() == self.wanted()
        assert self.services[0].publication.waiting == 0


TestPublication = as_test(PublicationMachine, runs=300, steps=60)
