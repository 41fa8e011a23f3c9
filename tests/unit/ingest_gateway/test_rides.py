"""Permits that wait for an ack to ride on, by chance: none waits longer than two turns, and no session is kept."""

from random import Random

import pytest

from ingest_gateway.effects import Close, Code
from ingest_gateway.limits import ANSWERS_ALL_OF, PERMIT_RIDES_S
from pitwall.domain.stop_set import VehicleScope
from tests.unit.ingest_gateway.builders import EPOCH, numbered, release, status, stop
from tests.unit.ingest_gateway.site import Site, Vehicle

GONE = Close(Code.OK, "STREAM_ENDED", "it has gone")
#: Between two things that happen, seconds, at most.
STEP_S = 0.01
STEPS = 800


class Driven:
    """A vehicle at random, with a writer that runs when it is woken, and no sooner."""

    def __init__(self, site: Site, chance: Random, vehicle_id: str) -> None:
        self._site, self._chance, self._vehicle_id = site, chance, vehicle_id
        self._connects = self._sequence = self._stops = 0
        self._in_flight: list[int] = []
        self._connect()

    def _connect(self) -> None:
        self._connects += 1
        self.vehicle: Vehicle = self._site.vehicle(self._vehicle_id).say_hello(self._connects)
        self._beats, self._answered, self._latched = 0, 0, False
        self._sent_s = float("-inf")
        #: Since when an answer is owed that nothing but an ack may delay.
        self.due_s: float | None = None
        self.write()

    def write(self) -> None:
        """Whatever waits, where there is anybody to write to who has been woken."""
        self._woken = self.vehicle.woken
        for frame in self.vehicle.write_all():
            if frame.HasField("permit"):
                self._answered, self._sent_s, self.due_s = frame.permit.heartbeat_number, self._site.now_s, None

    def write_if_woken(self) -> None:
        if self.vehicle.woken != self._woken:
            self.write()

    def step(self) -> None:
        does = self._chance.choices(
            (
                *(self._beats_once, self._reads, self._arrives, self._fails, self._says, self._goes),
                *(self._is_stopped_or_released, self.write_if_woken),
            ),
            (30, 20, 4, 2, 4, 1, 4, 20),
        )[0]
        does()
        every_s = self._site.hub.permit_every_s
        if does in (self._beats_once, self._reads, self._says) and self.due_s is None:
            owed = self._beats > self._answered and self._site.now_s - self._sent_s >= every_s
            self.due_s = self._site.now_s if owed else None

    def _beats_once(self) -> None:
        self._beats += 1
        self.vehicle.beat(self._beats)

    def _reads(self) -> None:
        self._sequence += 1
        self._in_flight.append(self._sequence)
        self.vehicle.say(numbered([self._sequence]))

    def _arrives(self) -> None:
        count = self._chance.randint(1, 4)
        came, self._in_flight = self._in_flight[:count], self._in_flight[count:]
        self.vehicle.session.record.acks.arrived(EPOCH, came)
        self._site.hub.acks_due([self._vehicle_id])

    def _fails(self) -> None:
        if self._in_flight:
            self.vehicle.session.record.acks.failed(EPOCH, self._in_flight.pop(0))
            self._site.hub.offer_again(self._vehicle_id, "KAFKA")

    def _says(self) -> None:
        woken, released = self.vehicle.woken, self._latched
        self._latched = not self._latched
        self.vehicle.say(status(latched=["s"] if self._latched else []))
        if released and self._beats:
            assert self.vehicle.woken > woken, "a release waits for nothing"

    def _is_stopped_or_released(self) -> None:
        name = f"{self._vehicle_id}-{self._stops // 2}"
        self._site.push(
            1,
            release(f"r-{name}", name) if self._stops % 2 else stop(name, VehicleScope(frozenset({self._vehicle_id}))),
        )
        self._stops += 1

    def _goes(self) -> None:
        self._site.hub.close(self.vehicle.session, GONE)
        self._connect()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("others", [0, ANSWERS_ALL_OF])
def test_whatever_comes_in_between_a_permit_that_is_due_waits_two_turns_at_most(seed: int, others: int) -> None:
    chance, site = Random(seed), Site()
    site.attach()
    for number in range(others):
        site.vehicle(f"OTHER-{number:03d}")
    vehicles = [Driven(site, chance, f"V-{number}") for number in range(3)]
    turn_s = site.now_s
    for _ in range(STEPS):
        site.now_s += chance.uniform(0, STEP_S)
        site.lease()
        chance.choice(vehicles).step()
        while turn_s <= site.now_s:
            site.hub.end_rides()
            turn_s += PERMIT_RIDES_S
            for each in vehicles:
                each.write_if_woken()
        waits = [site.now_s - each.due_s for each in vehicles if each.due_s is not None]
        assert all(wait_s <= 2 * PERMIT_RIDES_S + STEP_S for wait_s in waits)
    for _ in range(2):
        site.hub.end_rides()
    assert not site.hub._riders
    assert not site.hub._older_riders
