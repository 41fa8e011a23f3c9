"""How far one stop has come at one vehicle.

Stages only ever advance, and each is somebody's word: SENT the gateway's about its own write, the others the
vehicle's. RELEASED takes two things, in whatever order they come: the pair is released in the stop set, and the
vehicle says that it no longer holds the stop.
"""

from dataclasses import dataclass, field, replace
from enum import IntEnum

from pitwall.domain.units import kph_to_mps


class Stage(IntEnum):
    """The numbers are those of haul.command.v1.StopStage. NONE: not journaled by a majority, and nobody has spoken."""

    NONE = 0
    ISSUED = 1
    SENT = 2
    RECEIVED = 3
    BRAKING = 4
    STANDSTILL = 5
    RELEASED = 6


class Reach(IntEnum):
    """Which of the sums a vehicle counts in. RELEASED: in none, it is no longer in scope.

    One whose link is gone counts as unreachable even after it stood: nobody hears it now. One whose stop was released
    before anything was heard of it there, not even that it was sent, is out of scope without a word.
    """

    STANDSTILL = 0
    PENDING = 1
    UNREACHABLE = 2
    UNREACHABLE_AFTER_STANDSTILL = 3
    RELEASED = 4


#: Those in which a vehicle has not come to a stand.
MOVING = (Reach.PENDING, Reach.UNREACHABLE)

#: How long each stage may take after the one before, seconds. STANDSTILL: on top of the time that braking takes.
ALLOWANCE_S = {Stage.SENT: 0.5, Stage.RECEIVED: 1.0, Stage.BRAKING: 1.0, Stage.STANDSTILL: 3.0}

#: Reckoned with where the vehicle's speed is unknown: the top speed of a 930E, km/h.
FASTEST_KPH = 64.5
#: Reckoned with where a vehicle has told no deceleration, m/s².
GENTLEST_MPS2 = 0.5

_FOLLOWING = {
    Stage.NONE: Stage.SENT,
    Stage.ISSUED: Stage.SENT,
    Stage.SENT: Stage.RECEIVED,
    Stage.RECEIVED: Stage.BRAKING,
    Stage.BRAKING: Stage.STANDSTILL,
}

assert set(_FOLLOWING.values()) == set(ALLOWANCE_S)


@dataclass(frozen=True, slots=True)
class VehicleNow:
    """What is known of a vehicle at the moment when a stop meets it. None is unknown."""

    vehicle_id: str
    linked: bool
    known: bool = True
    speed_kph: float | None = None
    deceleration_mps2: float | None = None


@dataclass(slots=True)
class VehicleProgress:
    """One (stop, vehicle) pair. To be changed by the ledger alone.

    `waits_since_s`: from when on the next stage is awaited (CLOCK_BOOTTIME). `event_ns`: when each stage was reached,
    by the clock of whoever said so, nanoseconds since 1970. `version`: of the stop's last change that touched it.
    `met`: what was known of the vehicle when the stop met it, or when its link came back after that.
    """

    met: VehicleNow
    waits_since_s: float
    linked: bool
    stage: Stage = Stage.NONE
    event_ns: dict[Stage, int] = field(default_factory=dict)
    latched_durably: bool = False
    released_in_set: bool = False
    says_released_ns: int | None = None
    overdue: bool = False
    version: int = 0

    @property
    def vehicle_id(self) -> str:
        return self.met.vehicle_id

    @property
    def reach(self) -> Reach:
        if self.stage is Stage.RELEASED or (self.released_in_set and self.stage is Stage.NONE):
            return Reach.RELEASED
        if self.stage is Stage.STANDSTILL:
            return Reach.STANDSTILL if self.linked else Reach.UNREACHABLE_AFTER_STANDSTILL
        return Reach.PENDING if self.linked else Reach.UNREACHABLE

    @property
    def unreachable(self) -> bool:
        return not self.linked and self.reach is not Reach.RELEASED

    @property
    def braking_s(self) -> float | None:
        """From braking to standstill at the lowest deceleration; None where speed or deceleration is unknown."""
        speed, deceleration = self.met.speed_kph, self.met.deceleration_mps2
        return None if speed is None or not deceleration else kph_to_mps(speed) / deceleration

    def take(self, stage: Stage, event_ns: int, durably: bool, now_s: float) -> bool:
        """Takes the word that a stage was reached. Returns whether it said anything new."""
        if stage is Stage.RELEASED:
            self.says_released_ns = self.says_released_ns or event_ns
            return self.released_in_set and self._mark(stage, self.says_released_ns, now_s)
        news = self._mark(stage, event_ns, now_s)
        if stage is not Stage.SENT:
            self.says_released_ns = None  # it holds the stop after all
            news |= durably and not self.latched_durably
            self.latched_durably |= durably
        return news

    def release(self, now_s: float) -> bool:
        """The pair is released in the stop set. Returns whether the vehicle had already said that it let go."""
        self.released_in_set = True
        self.overdue = False
        return self.says_released_ns is not None and self._mark(Stage.RELEASED, self.says_released_ns, now_s)

    def _mark(self, stage: Stage, event_ns: int, now_s: float) -> bool:
        if stage in self.event_ns:
            return False
        self.event_ns[stage] = event_ns
        if stage > self.stage:
            self.stage = stage
            self.waits_since_s = now_s
            self.overdue = False
        return True

    def link(self, now: VehicleNow, now_s: float) -> None:
        """The link came or went. A vehicle that is back gets its time anew, and what is known of it is fresher."""
        self.linked = now.linked
        self.waits_since_s = now_s
        self.overdue = False
        if now.linked:
            self.met = replace(now, known=self.met.known)

    def due_s(self) -> float | None:
        """When the next stage is late; None where none is awaited."""
        following = _FOLLOWING.get(self.stage)
        if following is None or not self.linked or self.released_in_set:
            return None
        braking_s = self._longest_braking_s() if following is Stage.STANDSTILL else 0.0
        return self.waits_since_s + ALLOWANCE_S[following] + braking_s

    def _longest_braking_s(self) -> float:
        speed = FASTEST_KPH if self.met.speed_kph is None else self.met.speed_kph
        return kph_to_mps(speed) / (self.met.deceleration_mps2 or GENTLEST_MPS2)
