"""All vehicles of the process, their disks, and what passes between the threads and the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from edge_agent.control_loop import ControlLoop
from edge_agent.effects import LatchRecord
from edge_agent.hosted import HostedVehicle
from edge_agent.latch import LatchFile
from edge_agent.latch_keeper import LatchKeeper
from edge_agent.limits import CONTROL_PERIOD_S, STATE_RETRY_S
from edge_agent.moment import Moment
from edge_agent.outbox_commands import Command, Outcome
from edge_agent.outbox_writer import OutboxWriter
from edge_agent.state import StateStore
from edge_agent.state_keeper import Again, Item, StateKeeper
from pitwall.clock import boottime_s
from pitwall.status_http import Part, Parts

#: A control loop that has not run for so long is not well.
_STALLED_S = 10 * CONTROL_PERIOD_S
#: While the process ends, it looks so often whether the last acks are in, seconds.
_SETTLE_LOOK_S = 0.02


class Host:
    """The disks of the process; `vehicles` is filled before anything runs."""

    def __init__(
        self,
        latches: Mapping[str, LatchFile],
        store: StateStore,
        make_outbox: Callable[[Callable[[Outcome], None]], OutboxWriter],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.vehicles: dict[str, HostedVehicle] = {}
        self.latches = LatchKeeper(latches, self._soon(self._latch_durable))
        self.state = StateKeeper(store, self._soon(self._recorded))
        self.outbox = make_outbox(self._soon(self._outbox_told))
        self.newest = Outcome()

    def _soon(self, handle: Callable[..., None]) -> Callable[..., None]:
        """`handle`, called in the event loop when a thread calls."""
        return lambda *arguments: self._call(partial(handle, *arguments))

    def _call(self, handle: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(handle)

    # Disks (see hosted.Disks)

    def save_latch(self, vehicle_id: str, record: LatchRecord) -> None:
        self.latches.save(vehicle_id, record)

    def save_state(self, item: Item) -> None:
        self.state.put(item)

    def put_reading(self, command: Command) -> bool:
        return self.outbox.put(command)

    # From the threads

    def _latch_durable(self, vehicle_id: str, record: LatchRecord) -> None:
        vehicle = self.vehicles[vehicle_id]
        vehicle.do(vehicle.agent.latch_durable(record.latched))

    def _recorded(self, vehicle_id: str, request_id: str, ok: bool) -> None:
        vehicle = self.vehicles[vehicle_id]
        vehicle.do(vehicle.agent.recorded(request_id, Moment.now(), ok=ok))

    def _outbox_told(self, outcome: Outcome) -> None:
        self.newest = outcome
        for vehicle_id, losses in outcome.lost.items():
            if vehicle_id in self.vehicles:
                self.vehicles[vehicle_id].lost(losses)
        for new in outcome.stored:
            self.vehicles[new.vehicle_id].stored([new.stored])
        for fetch, readings in outcome.fetched:
            self.vehicles[fetch.vehicle_id].fetched(fetch, readings)

    async def retry_state(self) -> None:
        """Until cancelled: what the disk refused is offered to it again."""
        while True:
            await asyncio.sleep(STATE_RETRY_S)
            if self.state.problem:
                self.state.put(Again())

    async def settle(self, within_s: float) -> None:
        """Waits for the acks of readings under way, so that the next start need not send them again."""
        until_s = boottime_s() + within_s
        # Once in a process's life: no event is worth its keep for that.
        while self._unacked and boottime_s() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(_SETTLE_LOOK_S)

    @property
    def _unacked(self) -> bool:
        return any(vehicle.unacked for vehicle in self.vehicles.values())

    async def close(self, within_s: float) -> None:
        """Writes what waits, latches first; the disks side by side."""
        closing: Sequence[Callable[[float], bool]] = (
            self.latches.close,
            self.state.close,
            self.outbox.close,
        )
        threads = [asyncio.to_thread(close, within_s) for close in closing]
        await asyncio.gather(*threads)

    # Health

    def health(self, loop: ControlLoop, plant_problem: str) -> Parts:
        connected = sum(vehicle.connected for vehicle in self.vehicles.values())
        late_s = boottime_s() - loop.ticked_s
        return {
            "control_loop": Part(late_s < _STALLED_S, f"ran {late_s:.2f} s ago"),
            "vehicle_interface": Part(not plant_problem, plant_problem),
            "latch_files": Part(not self.latches.problem, self.latches.problem),
            "links": Part(
                connected == len(self.vehicles), f"{connected} of {len(self.vehicles)} connected", required=False
            ),
            "outbox": Part(not self.newest.problem, self.newest.problem, required=False),
            "state": Part(not self.state.problem, self.state.problem, required=False),
        }
