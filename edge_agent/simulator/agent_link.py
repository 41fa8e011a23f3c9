"""The plant's end of the vehicle socket: one connection of one agent process."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, cast

from edge_agent.simulator.plant_vehicle import PlantVehicle
from edge_agent.vehicle import Verdict
from edge_agent.vehicle_wire import (
    BrokenFrame,
    FrameKind,
    FrameReader,
    pack_sample,
    read_hello,
    read_verdicts,
    refused,
    samples,
    welcome,
)

#: Bytes that may wait for an agent that doesn't read. Beyond it gets no samples; then the latest ones again.
MAX_WAITING_BYTES: Final = 512 * 1024


class Host(Protocol):
    """What a link needs of the plant."""

    def enter(self, link: "AgentLink") -> str:
        """A connection has come. Returns why it can't stay; empty where it can."""
        ...

    def adopt(self, link: "AgentLink", vehicle_ids: Sequence[str]) -> Sequence[PlantVehicle]:
        """The vehicles by those ids are the link's from now on. Raises UnknownVehicle."""
        ...

    def obey(self, verdicts: Sequence[tuple[PlantVehicle, Verdict]]) -> None:
        """Applies them, in order."""
        ...

    def forget(self, link: "AgentLink", reason: str) -> None:
        """The connection has ended."""
        ...


class UnknownVehicle(LookupError):
    """The plant has no vehicle with that id; the text names it."""


class AgentLink(asyncio.Protocol):
    """Speaks vehicle_wire. The newest connection that names a vehicle has it; an older one's word for it is ignored."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._vehicles: Sequence[PlantVehicle] = ()
        #: Index by vehicle id, of those that are still this link's.
        self._mine: dict[str, int] = {}
        self._paused = False
        self._reason = "the agent has closed the connection"
        #: Samples that weren't sent because the agent didn't read, so far.
        self.skipped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_WAITING_BYTES)
        problem = self._host.enter(self)
        if problem:
            self._refuse(problem)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._host.forget(self, self._reason)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def data_received(self, data: bytes) -> None:
        # Verdicts that came together are obeyed together, also those before a broken frame.
        came: list[tuple[PlantVehicle, Verdict]] = []
        problem = ""
        try:
            for kind, body in self._reader.feed(data):
                came += self._take(kind, body)
        except BrokenFrame as error:
            problem = f"broken frame: {error}"
        except UnknownVehicle as error:
            problem = str(error)
        if came:
            self._host.obey(came)
        if problem:
            self._refuse(problem)

    def _take(self, kind: FrameKind, body: memoryview) -> list[tuple[PlantVehicle, Verdict]]:
        if kind is FrameKind.VERDICTS and self._vehicles:
            return [(v, word) for v, word in self._addressed(body) if v.vehicle_id in self._mine]
        if kind is FrameKind.HELLO and not self._vehicles:
            self._greet(read_hello(body))
            return []
        raise BrokenFrame(f"{kind.name} is out of place")

    def _greet(self, vehicle_ids: Sequence[str]) -> None:
        self._vehicles = self._host.adopt(self, vehicle_ids)
        self._mine = {vehicle_id: index for index, vehicle_id in enumerate(vehicle_ids)}
        self._write(welcome())
        self.send_samples(self._vehicles)

    def _addressed(self, body: memoryview) -> list[tuple[PlantVehicle, Verdict]]:
        read = list(read_verdicts(body))
        beyond = [index for index, _ in read if index >= len(self._vehicles)]
        if beyond:
            raise BrokenFrame(f"vehicle {beyond[0]} of {len(self._vehicles)}")
        return [(self._vehicles[index], verdict) for index, verdict in read]

    def lose(self, vehicle_id: str) -> None:
        """A newer connection has named that vehicle."""
        self._mine.pop(vehicle_id, None)

    @property
    def vehicle_ids(self) -> tuple[str, ...]:
        """Those that are still this link's."""
        return tuple(self._mine)

    def send_samples(self, vehicles: Iterable[PlantVehicle]) -> None:
        """The present sample of those among them that are this link's. Never waits: a slow agent misses some."""
        records = [
            pack_sample(index, v.body.braking, v.fault_bits, v.measured_s, v.body.quantities())
            for v in vehicles
            if (index := self._mine.get(v.vehicle_id)) is not None
        ]
        if self._paused:
            self.skipped += len(records)
        elif records:
            self._write(samples(records))

    def close(self) -> None:
        """The plant is stopping."""
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _refuse(self, reason: str) -> None:
        self._reason = reason
        self._write(refused(reason))
        self.close()
