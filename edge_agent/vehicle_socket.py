"""The agent's end of the vehicle socket: one connection for all vehicles that an agent process hosts."""

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, cast

from edge_agent.moment import Moment
from edge_agent.vehicle import VehicleInterface, VehicleSample, Verdict
from edge_agent.vehicle_wire import (
    BrokenFrame,
    FrameKind,
    FrameReader,
    hello,
    pack_verdict,
    read_refused,
    read_samples,
    verdicts,
)
from pitwall import logs

_log = logs.get(__name__)

#: Before the next try to connect, seconds, drawn anew each time.
RETRY_S: Final = (0.1, 0.5)
#: A plant that hasn't welcomed us by then is hung.
WELCOME_WITHIN_S: Final = 5.0
#: Bytes of verdicts that may wait for a plant that doesn't read. Beyond, verdicts are dropped: they would be stale.
MAX_WAITING_BYTES: Final = 512 * 1024


class SocketVehicle:
    """Implements VehicleInterface."""

    def __init__(self, apply: Callable[[Verdict], None]) -> None:
        self.on_sample: Callable[[VehicleSample, Moment], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self._sample: VehicleSample | None = None
        self._apply = apply
        #: How often a listener has failed so far.
        self.failures = 0

    @property
    def sample(self) -> VehicleSample | None:
        return self._sample

    def apply(self, verdict: Verdict) -> None:
        self._apply(verdict)

    def take(self, sample: VehicleSample, now: Moment) -> None:
        """A new one has come. A listener that fails costs no other vehicle its sample."""
        self._sample = sample
        if self.on_sample is not None:
            self._tell(partial(self.on_sample, sample, now))

    def gone(self) -> None:
        """The connection has ended."""
        if self.on_gone is not None:
            self._tell(self.on_gone)

    def _tell(self, listener: Callable[[], None]) -> None:
        """Where it fails, that is counted, and said once."""
        try:
            listener()
        except Exception:  # noqa: BLE001 (whatever it is, the other vehicles go on)
            if not self.failures:
                _log.exception("a listener to the vehicle failed")
            self.failures += 1


class VehicleSocket:
    """Connects to the plant, reconnects for ever, and gives each vehicle its VehicleInterface.

    Outside begin() … flush(), each `apply` is one write, at once. Between them verdicts are gathered and leave in one
    write at flush(): for the tick that renews every vehicle's verdict. No await may come between the two.
    """

    def __init__(self, path: Path, vehicle_ids: Sequence[str]) -> None:
        self._path, self._vehicle_ids = path, tuple(vehicle_ids)
        self._vehicles = [self._vehicle(index) for index in range(len(self._vehicle_ids))]
        self._by_id = dict(zip(self._vehicle_ids, self._vehicles, strict=True))
        self._connection: _Connection | None = None
        self._gathered: list[bytes] | None = None
        self._problem = "not connected yet"
        #: Verdicts that could not be handed over so far.
        self.dropped = 0

    def _vehicle(self, index: int) -> SocketVehicle:
        return SocketVehicle(lambda verdict: self._apply(index, verdict))

    def vehicle(self, vehicle_id: str) -> VehicleInterface:
        """The same object each time. KeyError for an id that is not in `vehicle_ids`."""
        return self._by_id[vehicle_id]

    @property
    def connected(self) -> bool:
        """The plant has taken the connection and knows every vehicle."""
        return self._connection is not None and self._connection.welcomed.is_set()

    @property
    def failures(self) -> int:
        """How often a listener to samples, or to the end of a connection, has failed so far."""
        return sum(vehicle.failures for vehicle in self._vehicles)

    @property
    def problem(self) -> str:
        """Why it isn't connected, for the log and for health; empty when it is."""
        return "" if self.connected else self._problem

    # Verdicts

    def begin(self) -> None:
        """Gathers verdicts until flush()."""
        self._gathered = []

    def flush(self) -> None:
        """Sends what was gathered."""
        gathered, self._gathered = self._gathered, None
        if gathered:
            self._send(gathered)

    def _apply(self, index: int, verdict: Verdict) -> None:
        record = pack_verdict(index, verdict)
        if self._gathered is not None:
            self._gathered.append(record)
        else:
            self._send([record])

    def _send(self, records: list[bytes]) -> None:
        connection = self._connection
        if connection is None or not connection.welcomed.is_set() or connection.paused:
            self.dropped += len(records)
        else:
            connection.write(verdicts(records))

    # The connection

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            while True:
                await self._connect_once()
                await asyncio.sleep(random.uniform(*RETRY_S))  # noqa: S311 (jitter)
        finally:
            self.close()

    def close(self) -> None:
        """Drops the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connect_once(self) -> None:
        """From connecting to the end of the connection; says why it ended, once per reason."""
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: _Connection(self._vehicles), str(self._path)
            )
        except OSError as error:
            self._explain(f"no plant at {self._path} ({error.strerror or error}); start edge_agent.simulator")
            return
        self._connection = connection
        connection.write(hello(self._vehicle_ids))
        try:
            async with asyncio.timeout(WELCOME_WITHIN_S):
                await connection.welcomed_or_ended()
        except TimeoutError:
            self._explain(f"the plant at {self._path} doesn't answer")
        else:
            if connection.welcomed.is_set():
                _log.info("plant connected", vehicles=len(self._vehicles))
                self._problem = "the connection has just ended"
                await connection.ended.wait()
                self._tell_gone()
            self._explain(connection.reason)
        self.close()

    def _tell_gone(self) -> None:
        """Before there can be another connection: nobody drives on over the gap."""
        for vehicle in self._vehicles:
            vehicle.gone()

    def _explain(self, problem: str) -> None:
        if problem != self._problem:
            _log.warning("plant not connected", problem=problem)
        self._problem = problem


class _Connection(asyncio.Protocol):
    """One connection, from its first byte to its last."""

    def __init__(self, vehicles: Sequence[SocketVehicle]) -> None:
        self._vehicles = vehicles
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()
        self.welcomed = asyncio.Event()
        self.ended = asyncio.Event()
        self.paused = False
        self.reason = "the plant has closed the connection"

    async def welcomed_or_ended(self) -> None:
        """Whichever comes first."""
        await self._changed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_WAITING_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.welcomed.clear()
        self.ended.set()
        self._changed.set()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def write(self, data: bytes) -> None:
        """At once, as far as the socket takes it: an event loop may keep a write until all that is ready has run, and
        a stop must not wait for that.
        """
        assert self._transport is not None
        if self._transport.is_closing():
            return
        sent = 0
        if self._transport.get_write_buffer_size() == 0:
            with suppress(BlockingIOError, BrokenPipeError):  # it is full, or the loop is about to say that it is gone
                sent = os.write(self._transport.get_extra_info("socket").fileno(), data)
        if sent < len(data):
            self._transport.write(data[sent:])

    def close(self) -> None:
        """At once: what waits is stale, or goes to nobody."""
        self.welcomed.clear()
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for kind, body in self._reader.feed(data):
                self._take(kind, body)
        except BrokenFrame as error:
            self.reason = f"the plant sends a broken frame: {error}"
            self.close()

    def _take(self, kind: FrameKind, body: memoryview) -> None:
        if kind is FrameKind.SAMPLES:
            self._take_samples(body)
        elif kind is FrameKind.WELCOME:
            self.welcomed.set()
            self._changed.set()
        elif kind is FrameKind.REFUSED:
            self.reason = f"the plant refuses: {read_refused(body)}"
        else:
            raise BrokenFrame(f"{kind.name} is out of place")

    def _take_samples(self, body: memoryview) -> None:
        now = Moment.now()
        for index, sample in read_samples(body):
            if index >= len(self._vehicles):
                raise BrokenFrame(f"vehicle {index} of {len(self._vehicles)}")
            self._vehicles[index].take(sample, now)
