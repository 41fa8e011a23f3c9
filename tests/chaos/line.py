"""A site of three command services and two gateways, its vehicles at work, and what one asks of it."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.local.options import Server
from tests.chaos.told import Told
from tests.integration.console_rig import set_free
from tests.integration.driving import BRAKES_WITHIN_S
from tests.integration.stacks import RunningStack, running
from tests.support.operator import Json, Operator
from tests.support.plant import Plant, PlantLine

MEMBERS = ("command-1", "command-2", "command-3")
GATEWAYS = ("gateway-1", "gateway-2")
VEHICLES = 10
#: So many drive before anything is broken; the others are at the shovel, at the crusher or wait.
DRIVING = 3
#: How long nobody may move once all stand: longer than any lease and any permit, seconds.
STAYS_S = 3.0
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    stack: RunningStack

    @property
    def operator(self) -> Operator:
        """Asks all three, as an operator's console does."""
        return Operator(self.stack.home)

    @property
    def plant(self) -> Plant:
        return Plant(self.stack.places.plant)

    @property
    def vehicle_ids(self) -> tuple[str, ...]:
        return self.stack.options.vehicle_ids

    def driving(self) -> list[str]:
        return [v for v in self.vehicle_ids if (line := self.plant.last(v)).permitted and line.speed_kph > 5]

    def drive(self) -> None:
        """Whoever was stopped or held is on its way, and some drive at this moment."""
        set_free(self.operator)
        self.until(lambda: len(self.driving()) >= DRIVING, f"{DRIVING} vehicles drive")

    def states(self) -> dict[str, Json]:
        """Motion states by vehicle."""
        return {state["vehicleId"]: state for state in self.operator.do("motion")}

    def await_connected(self, gateway: str = "") -> None:
        """Every vehicle has a link; where one is named, to this gateway."""

        def connected() -> bool:
            states = self.states().values()
            linked = [s for s in states if s["connectivity"] == "CONNECTIVITY_CONNECTED"]
            there = [s for s in linked if gateway in ("", s.get("gateway"))]
            return len(there) == len(self.vehicle_ids)

        self.until(connected, f"all vehicles are connected to {gateway or 'any gateway'}")

    def await_latched(self, *stop_ids: str) -> None:
        """Each vehicle says, over its link of now, that these stops have hold of it."""

        def latched() -> bool:
            states = self.states().values()
            return len(states) == len(self.vehicle_ids) and all(
                s["connectivity"] == "CONNECTIVITY_CONNECTED" and set(stop_ids) <= set(s.get("latchedStopIds", ()))
                for s in states
            )

        self.until(latched, f"all vehicles are held by {stop_ids}")

    def await_listed(self, stop_id: str) -> None:
        """Every command service has the stop."""
        missing = set(MEMBERS)

        def listed() -> bool:
            for member in tuple(missing):
                answer = self.operator.ask("stops", "--server", self.stack.address(member))
                if any(state["stop"]["stopId"] == stop_id for state in answer.lines):
                    missing.remove(member)
            return not missing

        self.until(listed, f"{missing} list {stop_id}")

    def until(self, holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
            time.sleep(0.05)

    # Verdicts

    def all_braked(self, since_t: float, within_s: float = BRAKES_WITHIN_S, vehicle_ids: Iterable[str] = ()) -> float:
        """The longest that any vehicle took from `since_t` to holding for good, seconds.

        Awaits that all stand, and sees that they stay so for STAYS_S.
        """
        chosen = tuple(vehicle_ids) or self.vehicle_ids
        plant, late_t = self.plant, since_t + within_s
        for vehicle_id in chosen:
            plant.wait(vehicle_id, "it stands", lambda line: line.t > late_t and line.speed_kph == 0, since_t=since_t)
        stood_t = time.monotonic()
        self.all_stayed(stood_t, vehicle_ids=chosen)
        took_s = {vehicle_id: self.held_since(vehicle_id, since_t) - since_t for vehicle_id in chosen}
        slowest = max(took_s, key=lambda vehicle_id: took_s[vehicle_id])
        assert took_s[slowest] <= within_s, f"{slowest} braked after {took_s[slowest]:.3f} s"
        return took_s[slowest]

    def held_since(self, vehicle_id: str, since_t: float) -> float:
        """From when on it has had its brake on and no leave to move, without a break until now; `since_t` at least."""
        # One that stands writes a line a second: so the one before that moment is among them.
        held_t = held_for_good(self.plant.lines(vehicle_id, since_t - 2.0))
        assert held_t is not None, f"{vehicle_id} has leave to move: {self.plant.last(vehicle_id)}"
        return max(held_t, since_t)

    def all_stayed(self, from_t: float, stays_s: float = STAYS_S, vehicle_ids: Iterable[str] = ()) -> None:
        """From `from_t` on, and for `stays_s` from now, nobody moves or is let go."""
        end_t = time.monotonic() + stays_s
        for vehicle_id in tuple(vehicle_ids) or self.vehicle_ids:
            self.plant.wait(vehicle_id, "time passes", lambda line: line.t > end_t, since_t=from_t)
            moved = [x for x in self.plant.lines(vehicle_id, from_t) if x.speed_kph > 0 or x.permitted or not x.brake]
            assert not moved, f"{vehicle_id} moved, or was let go: {moved[0]}"

    def bitten(self, told: Told, within_s: float = BRAKES_WITHIN_S, since_t: float | None = None) -> float:
        """A stop of the whole fleet has hold of everybody and of all services: how long it took, seconds.

        Counted from the request, or from `since_t`.
        """
        took_s = self.all_braked(told.issued_t if since_t is None else since_t, within_s)
        told.assert_true(self.plant)
        self.await_latched(told.stop_id)
        self.await_listed(told.stop_id)
        return took_s


def held_for_good(lines: Iterable[PlantLine]) -> float | None:
    """`t` of the line from which on the brake was on and there was no leave to move; None where there is at the end."""
    held_t = None
    for line in lines:
        if line.permitted or not line.brake:
            held_t = None
        elif held_t is None:
            held_t = line.t
    return held_t


def say(text: str) -> None:
    """The figure of one scenario, on a line of its own."""
    print(f"\n{text}")


@contextmanager
def line(name: str, **options: object) -> Iterator[Line]:
    """options: those of StackOptions."""
    chosen: dict[str, object] = {
        "vehicles": VEHICLES,
        "rate_hz": 5.0,
        "time_scale": 10.0,
        "command_services": len(MEMBERS),
        "servers": frozenset({Server.KAFKA}),
        "picture": False,
    }
    with running(name, **chosen | options) as stack:
        yield Line(stack)
