"""The vehicles that this site knows: their newest session, what they say they are at, when they were last heard.

Pure. A vehicle is known from the first session that a gateway tells of, and stays known. Sessions are ordered by
(boot_epoch, connect_count); the newest one wins and older ones are to be closed, wherever they are. A link is one
stream from one gateway, named by a number of ours; when it is gone, so are the sessions on it.

Of vehicles on gateways that have no stream to this command service its peers tell. Such a vehicle is in reach of stops,
and has no link for orders.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from command_service.progress import VehicleNow
from pitwall.domain.geo import Position
from pitwall.domain.order import MotionEtag
from pitwall.domain.vehicle_state import Connectivity, MotionHold, SubStatus, VehicleStatus

#: A vehicle whose heartbeat has not advanced for so long is LOST though its stream is open, seconds.
SILENT_AFTER_S = 3.0
#: A speed older than this is as good as unknown for the bound that operators see, seconds.
SPEED_MAX_AGE_S = 5.0
#: Vehicles that a site may have. A gateway's word about one more is not taken.
MAX_VEHICLES = 20_000


class Session(NamedTuple):
    """Orders by age: the greater one is the newer one."""

    boot_epoch: int
    connect_count: int


@dataclass(frozen=True, slots=True)
class Status:
    """What a vehicle says of itself. None is unknown. `event_ns`: by its clock, nanoseconds since 1970."""

    status: VehicleStatus | None = None
    sub_status: SubStatus = SubStatus.NONE
    motion_hold: MotionHold | None = None
    hold_count: int = 0
    latched: tuple[str, ...] = ()
    event_ns: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, as the gateway that has it tells."""

    vehicle_id: str
    session: Session
    status: Status
    software_version: str = ""
    deceleration_mps2: float | None = None
    heartbeat_number: int = 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """The newest heartbeat, and the newest live reading in short. `at_s`: when the reading was taken, our clock."""

    heartbeat_number: int
    speed_kph: float | None = None
    position: Position | None = None
    at_s: float | None = None


@dataclass(slots=True)
class Vehicle:
    """`since_ns`: since when it is connected or lost. `heard_s`: when a pulse last brought a newer heartbeat.

    `told_by`: the streams of peers that say that it has a link elsewhere.
    """

    vehicle_id: str
    session: Session
    status: Status
    software_version: str
    deceleration_mps2: float | None
    since_ns: int
    link: int | None = None
    gateway: str = ""
    silent: bool = False
    heard_s: float | None = None
    pulse: Pulse = field(default_factory=lambda: Pulse(0))
    told_by: set[int] = field(default_factory=set)

    @property
    def connected(self) -> bool:
        """To a gateway with a stream to this command service."""
        return self.link is not None and not self.silent

    @property
    def connectivity(self) -> Connectivity:
        return Connectivity.CONNECTED if self.connected else Connectivity.LOST

    @property
    def etag(self) -> MotionEtag:
        """Of the motion state that an operator sees now."""
        return MotionEtag(*self.session, self.status.hold_count, self.pulse.heartbeat_number)

    def now(self, now_s: float) -> VehicleNow:
        """As a stop meets it at this moment."""
        fresh = self.connected and self.pulse.at_s is not None and now_s - self.pulse.at_s <= SPEED_MAX_AGE_S
        speed = self.pulse.speed_kph if fresh else None
        linked = self.connected or bool(self.told_by)
        return VehicleNow(self.vehicle_id, linked, True, speed, self.deceleration_mps2)


class CloseOlder(NamedTuple):
    """This session on this link is not the vehicle's newest."""

    link: int
    vehicle_id: str
    session: Session


class Registry:
    """All known vehicles. Methods that change connectivity return the vehicles for which it did."""

    def __init__(self) -> None:
        self._vehicles: dict[str, Vehicle] = {}
        self._links: dict[int, dict[str, Session]] = {}  # every session that a gateway says is open, older ones too
        self._told: dict[int, set[str]] = {}  # by the stream of a peer: vehicles that have a link, as it says
        self._moved: set[str] = set()
        #: Sessions of vehicles beyond MAX_VEHICLES that were not taken.
        self.refused = 0

    def __len__(self) -> int:
        return len(self._vehicles)

    def __contains__(self, vehicle_id: str) -> bool:
        return vehicle_id in self._vehicles

    def get(self, vehicle_id: str) -> Vehicle | None:
        return self._vehicles.get(vehicle_id)

    def vehicles(self) -> Iterable[Vehicle]:
        return self._vehicles.values()

    @property
    def connected_count(self) -> int:
        return sum(vehicle.connected for vehicle in self._vehicles.values())

    @property
    def lost_count(self) -> int:
        """Vehicles without a link, but for those out of service: their last word was OFFLINE."""
        return sum(not v.connected and v.status.status is not VehicleStatus.OFFLINE for v in self._vehicles.values())

    def now(self, vehicle_id: str, now_s: float) -> VehicleNow:
        """As a stop meets it; a vehicle that nobody has heard of is unknown and without a link."""
        vehicle = self._vehicles.get(vehicle_id)
        return vehicle.now(now_s) if vehicle else VehicleNow(vehicle_id, False, known=False)

    def restore(self, vehicle: Vehicle) -> None:
        """Takes a vehicle from the journal, at the start."""
        self._vehicles[vehicle.vehicle_id] = vehicle

    # Sessions

    def opened(self, link: int, gateway: str, opened: Opened, now_ns: int) -> tuple[Vehicle | None, list[CloseOlder]]:
        """A gateway has a session. Returns the vehicle where that is its newest one, and the sessions to be closed."""
        vehicle = self._vehicles.get(opened.vehicle_id)
        if vehicle is not None and opened.session < vehicle.session:
            self._links.setdefault(link, {})[opened.vehicle_id] = opened.session
            return None, [CloseOlder(link, opened.vehicle_id, opened.session)]
        if vehicle is None:
            if len(self._vehicles) >= MAX_VEHICLES:
                self.refused += 1
                return None, []
            vehicle = self._add(opened, now_ns)
        older = self._older(link, vehicle, opened)
        self._links.setdefault(link, {})[opened.vehicle_id] = opened.session
        self._moved.add(opened.vehicle_id)
        self._bind(vehicle, link, gateway, opened, now_ns)
        return vehicle, older

    def _add(self, opened: Opened, now_ns: int) -> Vehicle:
        vehicle = Vehicle(opened.vehicle_id, opened.session, opened.status, "", None, now_ns)
        self._vehicles[opened.vehicle_id] = vehicle
        return vehicle

    def _older(self, link: int, vehicle: Vehicle, opened: Opened) -> list[CloseOlder]:
        """The same session told anew, by a gateway that has reconnected, is not an older one."""
        if vehicle.link is None or vehicle.link == link or vehicle.session == opened.session:
            return []
        return [CloseOlder(vehicle.link, vehicle.vehicle_id, vehicle.session)]

    def _bind(self, vehicle: Vehicle, link: int, gateway: str, opened: Opened, now_ns: int) -> None:
        if not vehicle.connected:
            vehicle.since_ns = now_ns
        same = vehicle.session == opened.session
        vehicle.pulse = Pulse(max(opened.heartbeat_number, vehicle.pulse.heartbeat_number if same else 0))
        vehicle.link, vehicle.gateway = link, gateway
        vehicle.silent, vehicle.heard_s = False, None
        self._renew(vehicle, opened)

    def _renew(self, vehicle: Vehicle, opened: Opened) -> None:
        vehicle.session, vehicle.status = opened.session, opened.status
        vehicle.software_version = opened.software_version
        vehicle.deceleration_mps2 = opened.deceleration_mps2 or None

    def closed(self, link: int, vehicle_id: str, session: Session, now_ns: int) -> Vehicle | None:
        """A session has ended. Returns the vehicle where that was its newest one, on this very link."""
        if self._links.get(link, {}).get(vehicle_id) == session:
            del self._links[link][vehicle_id]
        vehicle = self._vehicles.get(vehicle_id)
        if vehicle is None or vehicle.link != link or vehicle.session != session:
            return None
        return self._lose(vehicle, now_ns)

    def dropped(self, link: int, now_ns: int) -> list[Vehicle]:
        """A gateway's stream is gone, and every session on it with it."""
        gone = (self._vehicles[vehicle_id] for vehicle_id in self._links.pop(link, {}))
        return [self._lose(vehicle, now_ns) for vehicle in gone if vehicle.link == link]

    def _lose(self, vehicle: Vehicle, now_ns: int) -> Vehicle:
        if vehicle.connected:
            vehicle.since_ns = now_ns
        vehicle.link, vehicle.silent = None, False
        self._moved.add(vehicle.vehicle_id)
        return vehicle

    def take_moved(self) -> set[str]:
        """Vehicles whose link here has come or gone since this was last asked."""
        moved, self._moved = self._moved, set()
        return moved

    # What peers say

    def told(self, stream: int, opened: Opened, now_ns: int) -> Vehicle | None:
        """A peer says that a vehicle has this session, somewhere that is not heard here. None where there is no room
        for one more vehicle."""
        vehicle = self._vehicles.get(opened.vehicle_id)
        if vehicle is None:
            if len(self._vehicles) >= MAX_VEHICLES:
                self.refused += 1
                return None
            vehicle = self._add(opened, now_ns)
        if vehicle.link is None and opened.session >= vehicle.session:
            self._renew(vehicle, opened)
        vehicle.told_by.add(stream)
        self._told.setdefault(stream, set()).add(opened.vehicle_id)
        return vehicle

    def untold(self, stream: int, vehicle_ids: Iterable[str] | None = None) -> list[Vehicle]:
        """The peer says so no more of these vehicles; of none at all where its stream has ended."""
        told = self._told.get(stream, set())
        gone = sorted(told if vehicle_ids is None else told.intersection(vehicle_ids))
        told.difference_update(gone)
        if not told:
            self._told.pop(stream, None)
        vehicles = [self._vehicles[vehicle_id] for vehicle_id in gone]
        for vehicle in vehicles:
            vehicle.told_by.discard(stream)
        return vehicles

    # What vehicles say

    def said(self, link: int, vehicle_id: str, session: Session, status: Status) -> Vehicle | None:
        """A status; counts only from the newest session, on the link that has it."""
        vehicle = self._on(link, vehicle_id)
        if vehicle is None or vehicle.session != session:
            return None
        vehicle.status = status
        return vehicle

    def pulse(self, link: int, vehicle_id: str, pulse: Pulse, now_s: float, now_ns: int) -> Vehicle | None:
        """Returns the vehicle where it had been silent and is heard again."""
        vehicle = self._on(link, vehicle_id)
        if vehicle is None:
            return None
        if vehicle.heard_s is None or pulse.heartbeat_number > vehicle.pulse.heartbeat_number:
            vehicle.heard_s = now_s
        newest = max(pulse.heartbeat_number, vehicle.pulse.heartbeat_number)
        vehicle.pulse = replace(pulse, heartbeat_number=newest)
        if not vehicle.silent or vehicle.heard_s != now_s:
            return None
        vehicle.silent, vehicle.since_ns = False, now_ns
        self._moved.add(vehicle_id)
        return vehicle

    def tick(self, now_s: float, now_ns: int) -> list[Vehicle]:
        """Vehicles that have fallen silent since the last tick."""
        fallen = []
        for sessions in self._links.values():
            for vehicle in map(self._vehicles.__getitem__, sessions):
                if vehicle.connected and vehicle.heard_s is not None and now_s - vehicle.heard_s > SILENT_AFTER_S:
                    vehicle.silent, vehicle.since_ns = True, now_ns
                    self._moved.add(vehicle.vehicle_id)
                    fallen.append(vehicle)
        return fallen

    def _on(self, link: int, vehicle_id: str) -> Vehicle | None:
        vehicle = self._vehicles.get(vehicle_id)
        return vehicle if vehicle is not None and vehicle.link == link else None
