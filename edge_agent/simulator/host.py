"""Runs the plant in an event loop: wakes it when it is due, hands verdicts in, samples and plant lines out."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from edge_agent.simulator.agent_link import AgentLink, UnknownVehicle
from edge_agent.simulator.plant import Plant
from edge_agent.simulator.plant_files import PlantFiles
from edge_agent.simulator.plant_line import LineClock, plant_line
from edge_agent.simulator.plant_vehicle import PlantVehicle
from edge_agent.vehicle import Verdict
from pitwall import logs
from pitwall.clock import boottime_s, monotonic_s
from pitwall.status_http import Part, Parts
from pitwall.words import some

_log = logs.get(__name__)

#: A wake-up this late is said in /healthz: the machine is too busy, or the process was asleep.
LATE_S: Final = 0.1
#: Agent processes at once.
MOST_LINKS: Final = 64


class PlantHost:
    """Implements agent_link.Host. Reads the clock first whenever it is woken, whoever wakes it."""

    def __init__(self, plant: Plant, files: PlantFiles, clock: Callable[[], float] = boottime_s) -> None:
        self._plant, self._files, self._clock = plant, files, clock
        self._lines = {vehicle_id: LineClock() for vehicle_id in plant.vehicles}
        self._links: dict[str, AgentLink] = {}
        self._open: set[AgentLink] = set()  # also those that have named no vehicle
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        #: The latest that a wake-up has been, seconds, since health was asked.
        self._latest_s = 0.0
        #: How late the newest wake-up was, seconds.
        self.late_s = 0.0
        #: So far.
        self.brakings_by_itself = 0
        self._skipped_before = 0

    def start(self) -> None:
        """Within the event loop."""
        self._report(list(self._plant.vehicles.values()))
        self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for link in tuple(self._open):
            link.close()

    def link(self) -> AgentLink:
        """For a new connection."""
        return AgentLink(self)

    def vehicle(self, vehicle_id: str) -> PlantVehicle:
        """Raises UnknownVehicle."""
        vehicle = self._plant.vehicles.get(vehicle_id)
        if vehicle is None:
            raise UnknownVehicle(f"the plant has no vehicle {vehicle_id[:80]!r}; it has {self._names()}")
        return vehicle

    @property
    def vehicles(self) -> Sequence[PlantVehicle]:
        return list(self._plant.vehicles.values())

    def _names(self) -> str:
        return some(list(self._plant.vehicles)) or "none"

    # Time

    def _arm(self) -> None:
        """One timer, for whatever is due first."""
        due_s = self._plant.next_wake_s
        if self._timer is not None:
            if self._timer_s == due_s:
                return
            self._timer.cancel()
        self._timer_s = due_s
        delay_s = max(due_s - self._clock(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        now_s = self._clock()
        self._timer = None
        self.late_s = max(now_s - self._timer_s, 0.0)
        self._latest_s = max(self._latest_s, self.late_s)
        self._brake_overdue(now_s)
        self._report(self._plant.wake(now_s))
        self._arm()

    def _brake_overdue(self, now_s: float) -> None:
        overdue = self._plant.brake_overdue(now_s)
        if overdue:
            self.brakings_by_itself += len(overdue)
            self._report(overdue)

    # The agents' side

    def enter(self, link: AgentLink) -> str:
        """Why a new connection can't stay; empty where it can."""
        if len(self._open) >= MOST_LINKS:
            return f"{MOST_LINKS} agents are connected, the most this plant takes; end one of them"
        self._open.add(link)
        return ""

    def adopt(self, link: AgentLink, vehicle_ids: Sequence[str]) -> Sequence[PlantVehicle]:
        """Raises UnknownVehicle, and then nothing has changed."""
        now_s = self._clock()
        vehicles = [self.vehicle(vehicle_id) for vehicle_id in vehicle_ids]
        for vehicle in vehicles:
            before = self._links.get(vehicle.vehicle_id)
            if before is not None:
                before.lose(vehicle.vehicle_id)
                vehicle.leave(now_s)
            self._links[vehicle.vehicle_id] = link
        _log.info("agent connected", vehicles=len(vehicles))
        return vehicles

    def forget(self, link: AgentLink, reason: str) -> None:
        """Its vehicles brake now: nobody is there to renew their verdicts."""
        now_s = self._clock()
        self._open.discard(link)
        vehicles = [self.vehicle(vehicle_id) for vehicle_id in link.vehicle_ids]
        for vehicle in vehicles:
            del self._links[vehicle.vehicle_id]
            vehicle.leave(now_s)
        self._skipped_before += link.skipped
        _log.info("agent gone", vehicles=len(vehicles), reason=reason, skipped_samples=link.skipped)
        self._report(vehicles)

    def obey(self, verdicts: Sequence[tuple[PlantVehicle, Verdict]]) -> None:
        """What brakes now is measured, written and sent at once; the rest waits for its step."""
        now_s = self._clock()
        self._brake_overdue(now_s)
        braked = [vehicle for vehicle, verdict in verdicts if vehicle.apply(verdict, now_s)]
        self._send(braked)
        # A verdict may change the log's line (permitted, status, cause) without braking anything.
        self._write(vehicle for vehicle, _ in verdicts)
        self._plant.watch(vehicle for vehicle, _ in verdicts)
        self._arm()

    def press(self, vehicle_id: str, pressed: bool) -> PlantVehicle:
        """The local stop button. Raises UnknownVehicle."""
        vehicle = self.vehicle(vehicle_id)
        vehicle.press(pressed, self._clock())
        self._report([vehicle])
        return vehicle

    # What goes out

    def _report(self, vehicles: Sequence[PlantVehicle]) -> None:
        self._send(vehicles)
        self._write(vehicles)

    def _send(self, vehicles: Sequence[PlantVehicle]) -> None:
        if vehicles:
            for link in set(self._links.values()):
                link.send_samples(vehicles)

    def _write(self, vehicles: Iterable[PlantVehicle]) -> None:
        # Both clocks stand still between two suspensions: one difference serves for all lines.
        to_monotonic_s = monotonic_s() - self._clock()
        for vehicle in vehicles:
            state = vehicle.state()
            if self._lines[vehicle.vehicle_id].due(state, vehicle.measured_s):
                line = plant_line(state, vehicle.measured_s + to_monotonic_s)
                self._files.write(vehicle.vehicle_id, line)

    # What can be seen

    @property
    def connected(self) -> int:
        """Vehicles that have their agent."""
        return len(self._links)

    @property
    def samples_skipped(self) -> int:
        """Samples that agents didn't read in time, so far."""
        return self._skipped_before + sum(link.skipped for link in set(self._links.values()))

    def health(self) -> Parts:
        late_s, self._latest_s = self._latest_s, 0.0
        return {
            "steps": Part(late_s < LATE_S, f"latest wake-up {late_s * 1000:.0f} ms late", required=False),
            "plant_files": Part(
                not self._files.problem and not self._files.lost,
                self._files.problem or f"{self._files.lost} lines lost",
                required=False,
            ),
            "agents": Part(
                self.connected == len(self._plant.vehicles),
                f"{self.connected} of {len(self._plant.vehicles)} vehicles have their agent",
                required=False,
            ),
        }
