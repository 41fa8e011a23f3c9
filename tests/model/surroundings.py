"""What production code takes from its surroundings, simulated: clocks, ids, logs, metrics.

One process runs at a time, so one current clock is enough: `CLOCK` is set at the start of each step of a process.
"""

import logging
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import command_service.feed
import command_service.gateways
import command_service.hub
import command_service.order_desk
import command_service.peer_link
import command_service.peers
import command_service.release_desk
import command_service.stop_desk
import edge_agent.gate
import edge_agent.hosted
import edge_agent.moment
import edge_agent.uplink
import ingest_gateway.from_site
import ingest_gateway.hub
from command_service.effects import Moment as CommandMoment
from ingest_gateway.moment import Moment as GatewayMoment

#: When each run begins, Unix seconds: some day in 2027.
BEGIN_S = 1_800_000_000.0


class Clock:
    """One machine's. `rate`: own seconds in a true second. `wrong_s`: how far its wall clock is off."""

    def __init__(self, rate: float, begun_s: float, wrong_s: float) -> None:
        self.rate, self.begun_s, self.wrong_s = rate, begun_s, wrong_s

    def own_s(self, true_s: float) -> float:
        """CLOCK_BOOTTIME."""
        return self.begun_s + self.rate * true_s

    def true_s(self, own_s: float) -> float:
        return (own_s - self.begun_s) / self.rate


class CurrentClock:
    """The clocks of the process that runs. They stand still within a step."""

    own_s = 0.0
    wall_s = BEGIN_S

    def set(self, clock: Clock, true_s: float, idle_s: float) -> None:
        """`idle_s`: how much time was skipped so far; see World.idle."""
        self.own_s = clock.begun_s + clock.rate * true_s
        self.wall_s = BEGIN_S + true_s + idle_s + clock.wrong_s

    def boottime(self) -> float:
        return self.own_s

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.wall_s, UTC)

    def command(self) -> CommandMoment:
        return CommandMoment(self.own_s, round(self.wall_s * 1e9))

    def gateway(self) -> GatewayMoment:
        return GatewayMoment(self.own_s, round(self.wall_s * 1e9))


CLOCK = CurrentClock()


class Mute:
    """Logs and metrics that nobody looks at."""

    def __getattr__(self, name: str) -> "Mute":
        return self

    def __call__(self, *_: object, **__: object) -> "Mute":
        return self


#: Passed where production wants a log, a tally or a trace.
MUTE: Any = Mute()


class Ids:
    """UUIDv7 in shape, the same ones for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def new(self) -> str:
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


_MUTED = (
    (command_service.feed, "Tally"),
    (command_service.gateways, "Tally"),
    (command_service.hub, "Tally"),
    (command_service.hub, "StopSignals"),
    (command_service.peers, "Tally"),
    (command_service.stop_desk, "Tally"),
    (ingest_gateway.hub, "StopSteps"),
)


@contextmanager
def simulated(ids: Ids, control_period_s: float) -> Iterator[None]:
    """Production code sees the simulated clocks, and its control loop runs once in `control_period_s`."""
    with ExitStack() as stack:
        for module, name in _MUTED:
            stack.enter_context(patch.object(module, name, MUTE))
        for module in (command_service.hub, command_service.feed, command_service.order_desk, command_service.peers):
            stack.enter_context(patch.object(module, "moment", CLOCK.command))
        stack.enter_context(patch.object(command_service.peer_link, "moment", CLOCK.command))
        stack.enter_context(patch.object(command_service.gateways, "boottime_s", CLOCK.boottime))
        stack.enter_context(patch.object(command_service.stop_desk, "wall_time", CLOCK.wall))
        stack.enter_context(patch.object(command_service.stop_desk, "uuid7", ids.new))
        stack.enter_context(patch.object(ingest_gateway.hub, "uuid7", ids.new))
        stack.enter_context(patch.object(edge_agent.moment, "boottime_s", CLOCK.boottime))
        stack.enter_context(patch.object(edge_agent.moment, "wall_time", CLOCK.wall))
        stack.enter_context(patch.object(edge_agent.gate, "_VERDICT_LIFE_S", 3 * control_period_s))
        stack.enter_context(patch.object(edge_agent.uplink, "CONTROL_PERIOD_S", control_period_s))
        for name, module in list(sys.modules.items()):
            if name.startswith(("edge_agent.", "ingest_gateway.", "command_service.")) and hasattr(module, "_log"):
                stack.enter_context(patch.object(module, "_log", MUTE))
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
