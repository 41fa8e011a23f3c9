"""Small things that the tests of the agent are made of."""

from datetime import UTC, datetime
from itertools import count
from typing import TypeVar

from edge_agent.agent import Brought, Make, VehicleAgent
from edge_agent.effects import Apply, Effect
from edge_agent.gate import Gate
from edge_agent.mission import Mission
from edge_agent.moment import Moment
from edge_agent.vehicle import VehicleSample, Verdict
from pitwall.domain.geo import Position, Zone
from pitwall.domain.stop_set import FleetScope, Release, Scope, SetDelta, Stop, VehicleScope, ZoneScope
from pitwall.domain.vehicle_state import VehicleStatus

VEHICLE = "KOMATSU-930E-001"
OTHER = "KOMATSU-980E-002"
URI = f"spiffe://pitwall.local/vehicle/{VEHICLE}"
WALL = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: CLOCK_BOOTTIME at which the tests begin, seconds.
T0 = 1_000.0
EPOCH = 1_750_000_000_000
TTL_S = 2.0

#: A square of some 200 m around INSIDE.
INSIDE = Position(-22.5, 118.5)
OUTSIDE = Position(-22.6, 118.5)
PIT = ZoneScope(
    Zone(
        "pit",
        (
            Position(-22.501, 118.499),
            Position(-22.501, 118.501),
            Position(-22.499, 118.501),
            Position(-22.499, 118.499),
        ),
    )
)

T = TypeVar("T")


def moment(at_s: float = T0) -> Moment:
    return Moment(at_s, WALL)


def stop(stop_id: str = "s1", scope: Scope | None = None, *, own: bool = False, reason: str = "rock fall") -> Stop:
    scope = scope or VehicleScope(frozenset({VEHICLE}))
    return Stop(stop_id, scope, reason, "ana", WALL, issuing_vehicle_id=VEHICLE if own else None)


def release(*stop_ids: str, vehicles: frozenset[str] = frozenset(), release_id: str = "") -> Release:
    return Release(release_id or f"r-{'-'.join(stop_ids)}", frozenset(stop_ids), vehicles, "clear", "ben", WALL)


def stops(*items: Stop) -> SetDelta:
    return SetDelta(stops=items)


def releases(*items: Release) -> SetDelta:
    return SetDelta(releases=items)


def fleet_stop(stop_id: str = "s1") -> SetDelta:
    return stops(stop(stop_id, FleetScope()))


def sample(
    at_s: float = T0,
    *,
    speed_kph: float | None = 30.0,
    braking: bool = False,
    at: Position | None = OUTSIDE,
    faults: frozenset[str] = frozenset(),
    **quantities: float,
) -> VehicleSample:
    return VehicleSample(
        measured_s=at_s,
        braking=braking,
        faults=faults,
        speed_kph=speed_kph,
        latitude_degrees=at.latitude_degrees if at else None,
        longitude_degrees=at.longitude_degrees if at else None,
        **quantities,
    )


def gate(status: VehicleStatus = VehicleStatus.HAULING, now_s: float = T0) -> Gate:
    """In BOOT, seen once."""
    made = Gate(VEHICLE, EPOCH, Mission(VEHICLE, status, seed=1), now_s)
    made.sample(sample(now_s), now_s)
    return made


def permitted(made: Gate, now_s: float, ttl_s: float = TTL_S) -> list[Effect]:
    """A tick that numbers a heartbeat, and the gateway's answer to it, all in one moment."""
    made.tick(now_s)
    return made.permit(made.heartbeats.newest, ttl_s, now_s)


def permitted_tick(made: Gate, now_s: float) -> list[Effect]:
    """A tick on a good link, and what came of it."""
    effects = made.tick(now_s)
    return effects + made.permit(made.heartbeats.newest, TTL_S, now_s)


def driving(status: VehicleStatus = VehicleStatus.HAULING, now_s: float = T0) -> Gate:
    """Permitted, resumed, under way."""
    made = gate(status, now_s)
    permitted(made, now_s)
    made.resume(now_s, "order test")
    return made


def verdict(effects: list[Effect]) -> Verdict:
    """The one verdict among them."""
    (apply,) = of(effects, Apply)
    return apply.verdict


def of(effects: list[Effect], kind: type[T]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def make(rate_hz: float = 1.0, *, drills: bool = False) -> Make:
    numbers = count(1)
    return Make(VEHICLE, URI, "test", rate_hz, 1, 1.0, 0.0, lambda: f"id-{next(numbers)}", drills)


def agent(
    brought: Brought | None = None,
    *,
    rate_hz: float = 1.0,
    first: VehicleSample | None = None,
    drills: bool = False,
    now_s: float = T0,
) -> tuple[VehicleAgent, list[Effect]]:
    """A started agent and what it wanted at its start."""
    now = moment(now_s)
    made = VehicleAgent(make(rate_hz, drills=drills), brought or Brought(EPOCH), first or sample(at_s=now_s), now)
    return made, made.start(now)
