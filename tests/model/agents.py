"""A vehicle: its body, its agent with the agent's disk, and the link. Shim of edge_agent's link, host and disks."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from haul.link.v1 import vehicle_link_service_pb2 as link_pb2

from edge_agent.agent import Brought, Make, VehicleAgent
from edge_agent.downlink import ProtocolError
from edge_agent.effects import LatchRecord
from edge_agent.gateways import GatewayList
from edge_agent.hosted import HostedVehicle, Stream
from edge_agent.latch import CAPACITY, decoded, encoded
from edge_agent.latch_boot import described
from edge_agent.limits import REMEMBERED_ANSWERS
from edge_agent.moment import Moment
from edge_agent.state import SaveAnswer, SaveState
from edge_agent.state_keeper import Begin, Item
from edge_agent.uplink import Leave, Session
from edge_agent.vehicle import VehicleSample, Verdict
from pitwall.domain.geo import Position
from pitwall.domain.order import OrderOutcome, OrderResult, RequestMemory
from pitwall.domain.vehicle_state import VehicleStatus
from pitwall.rpc.channel import jitter_s
from tests.model.network import End, Network, Process, Timeline
from tests.model.properties import Properties
from tests.model.surroundings import CLOCK, MUTE, Clock, Ids


class Body:
    """The vehicle below the gate: moves while the last verdict says so and its deadline has not come."""

    def __init__(self, vehicle_id: str, place: Position, watch: Properties) -> None:
        self.vehicle_id, self.place, self._watch = vehicle_id, place, watch
        self.faults: frozenset[str] = frozenset()
        #: Its receiver knows where it is.
        self.located = True
        # Of VehicleInterface; here the agent's own loop asks for samples.
        self.on_sample: Callable[[VehicleSample, Moment], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.verdict: Verdict | None = None

    @property
    def sample(self) -> VehicleSample:
        """Measured now."""
        moves = self.verdict is not None and self.verdict.may_move and CLOCK.own_s < self.verdict.deadline_s
        return VehicleSample(
            CLOCK.own_s,
            braking=not moves,
            faults=self.faults,
            speed_kph=30.0 if moves else 0.0,
            latitude_degrees=self.place.latitude_degrees if self.located else None,
            longitude_degrees=self.place.longitude_degrees if self.located else None,
        )

    def apply(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self._watch.applied(self.vehicle_id, verdict)


@dataclass
class AgentDisk:
    """What survives the agent. `latch` as the latch file has it; `answers` with the wall clock's time, Unix seconds."""

    boot_epoch: int = 0
    status: VehicleStatus = VehicleStatus.IDLE
    autonomous: bool = True
    latch: bytes = field(default_factory=lambda: encoded(LatchRecord(), CAPACITY))
    answers: dict[str, tuple[float, OrderOutcome]] = field(default_factory=dict)
    #: It takes nothing for now.
    hangs: bool = False


class Agent(Process):
    """One vehicle's agent process. `gateways`: all of the site."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        clock: Clock,
        network: Network,
        gateways: Sequence[Process],
        watch: Properties,
        chance: random.Random,
        ids: Ids,
        place: Position,
        period_s: float,
    ) -> None:
        super().__init__(name, timeline, clock)
        self._network, self._watch, self._chance, self._ids = network, watch, chance, ids
        self._gateways = {gateway.name: gateway for gateway in gateways}
        self.body, self.disk, self._period_s = Body(name, place, watch), AgentDisk(), period_s
        self.hosted: HostedVehicle
        self.agent: VehicleAgent

    # The process

    def begin(self) -> None:
        disk, now = self.disk, Moment.now()
        self._latch: LatchRecord | None = None
        self._items: list[Item] = []
        self._stream: Stream | None = None
        self._end: End | None = None
        self._woken = False
        self._leave: Leave | None = None
        disk.boot_epoch = max(disk.boot_epoch + 1, round(CLOCK.wall_s * 1000))
        uri = f"spiffe://pitwall.local/vehicle/{self.name}"
        make = Make(self.name, uri, "1", 1e-6, 1, 1.0, 0.999, self._ids.new, drills=True)
        self.agent = VehicleAgent(make, self._brought(now), self.body.sample, now)
        addresses = sorted(self._gateways)
        self._list = GatewayList(addresses, self._chance.randrange(9), lambda n: jitter_s(n, self._chance))
        self.hosted = HostedVehicle(self.name, self.agent, self.body, self, MUTE, self._list.answered)
        self._watch.booted(self, self._durable)
        self.hosted.do(self.agent.start(now))
        self.every(self._period_s, self._tick)
        self.later(0.01, self._connect, self._list.address)

    def _brought(self, now: Moment) -> Brought:
        disk = self.disk
        answers = RequestMemory(REMEMBERED_ANSWERS)
        for request_id, (wall_s, outcome) in sorted(disk.answers.items(), key=lambda item: item[1][0]):
            answers.remember(request_id, outcome, now.s - max(0.0, CLOCK.wall_s - wall_s))
        record = described(decoded(disk.latch), self.name, f"spiffe://pitwall.local/vehicle/{self.name}", now.wall)
        self._durable = record.latched
        return Brought(disk.boot_epoch, disk.status, disk.autonomous, record, answers)

    def _tick(self) -> None:
        self.hosted.sampled(self.body.sample, Moment.now())
        self.hosted.tick(Moment.now())
        self._watch.beat(self)

    def pump(self) -> None:
        while self._woken and self._stream is not None and self._end is not None:
            self._woken = False
            if self._leave is None:
                while (frame := self._stream.session.next_frame(Moment.now())) is not None:
                    self._end.send(frame)
        if self._leave is not None:
            self._ended(self._leave)
        self._watch.look(self)

    # The link

    def _connect(self, address: str) -> None:
        self.agent.connecting()
        session = Session(
            self.name,
            self.agent.hello,
            self.agent.gate.heartbeats,
            self.hosted.shipment,
            self.hosted.reports,
            spread=self._chance.random(),
            now_s=CLOCK.own_s,
        )
        end = self._end = self._network.connect(self, self._gateways[address], keepalive=False)
        stream = self._stream = Stream(session, self._wake, self._leaves)
        end.on_frame = partial(self._received, stream)
        end.on_close = lambda: self._leaves(Leave("the stream has ended", broken=True))
        self.hosted.opened(stream)
        self._wake()

    def _wake(self) -> None:
        self._woken = True

    def _leaves(self, leave: Leave) -> None:
        self._leave = self._leave or leave

    def _received(self, stream: Stream, data: bytes) -> None:
        frame = link_pb2.ConnectResponse.FromString(data)
        if stream is self._stream and frame.HasField("permit"):
            self._watch.permit(self, frame.permit)
        try:
            self.hosted.received(stream, frame)
        except ProtocolError as error:
            self._watch.broken("PROTOCOL", f"{self.name}: {error}")
            self._leaves(Leave(str(error), broken=True))

    def _ended(self, leave: Leave) -> None:
        assert self._stream is not None
        assert self._end is not None
        self.hosted.closed(self._stream)
        self._end.close()
        self._stream = self._end = self._leave = None
        attempt = self._list.broken() if leave.broken else self._list.moved()
        self.later(attempt.wait_s, self._connect, attempt.address)

    # The disks (edge_agent.hosted.Disks)

    def _disk_s(self) -> float:
        return 0.001 + 0.03 * self._chance.random() ** 3

    def save_latch(self, vehicle_id: str, record: LatchRecord) -> None:
        if self._latch is None:
            self.later(self._disk_s(), self._write_latch)
        self._latch = record

    def _write_latch(self) -> None:
        record = self._latch
        assert record is not None
        if self.disk.hangs:
            self.later(0.5, self._write_latch)
            return
        self._latch = None
        self.disk.latch = encoded(record, CAPACITY)
        self.later(1e-4, lambda: self.hosted.do(self.agent.latch_durable(record.latched)))

    def save_state(self, item: Item) -> None:
        if isinstance(item, SaveAnswer) and item.outcome.result is OrderResult.EXECUTED:
            self._watch.executes(self, item.request_id)
        if not self._items:
            self.later(self._disk_s(), self._write_state)
        self._items.append(item)

    def _write_state(self) -> None:
        if self.disk.hangs:
            self.later(0.5, self._write_state)
            return
        items, self._items = self._items, []
        for item in items:
            match item:
                case SaveState(_, status, autonomous):
                    self.disk.status, self.disk.autonomous = status, autonomous
                case Begin(record):
                    self.disk.answers[record.request_id] = record.wall_s, record.outcome
                    self.later(1e-4, self._recorded, record.request_id)
                case SaveAnswer(_, request_id, outcome, wall_s):
                    self.disk.answers[request_id] = wall_s, outcome

    def _recorded(self, request_id: str) -> None:
        self.hosted.do(self.agent.recorded(request_id, Moment.now(), ok=True))

    def put_reading(self, command: object) -> bool:
        return True

    # What happens to it

    def wipe(self) -> None:
        """A new disk. People write the last epoch to it, where the vehicle's clock is behind (docs/stop-path.md)."""
        self.disk = AgentDisk(boot_epoch=self.disk.boot_epoch)
