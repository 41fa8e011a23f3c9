"""A stop's changes as a stream of answers: at once, then together, for as long as somebody wants them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from command_service.entry import StopEntry
from command_service.hub import Hub
from command_service.progress import VehicleProgress
from command_service.watch import BURST, COALESCE_S
from pitwall.clock import boottime_s
from pitwall.domain.stop_set import ZoneScope
from pitwall.pacer import Pacer

#: How long the stream of a stop waits for vehicles that find themselves in its zone: twice what RECEIVED may take.
ZONE_SETTLE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Update:
    """The stop as it is, and the vehicles that have changed since the update before; all of them in the first."""

    entry: StopEntry
    vehicles: list[VehicleProgress]


async def updates(
    hub: Hub, stop_id: str, ended: Callable[[StopEntry], bool], *, issuer: bool
) -> AsyncGenerator[Update, None]:
    """Until `ended`, or the stop is forgotten. The consumer may take as long as it likes over each one.

    `issuer`: whoever has just issued the stop; places are kept for them.

    Raises TooManyWatchers; to an issuer after a first update.
    """
    if issuer and not hub.watchers.room(issuer=True) and (entry := hub.core.ledger.get(stop_id)) is not None:
        # It is in force, and its issuer hears so, though there may be no place to see it through.
        yield Update(entry, entry.changed(-1))
    with hub.watchers.watching(stop_id, issuer=issuer) as bell:
        pacer, seen = Pacer(COALESCE_S, BURST), -1
        since_s = boottime_s()
        while (entry := hub.core.ledger.get(stop_id)) is not None:
            bell.clear()
            # Judged now, of what goes out: while the consumer is at it the entry changes.
            vehicles, seen, over = entry.changed(seen), entry.version, ended(entry)
            yield Update(entry, vehicles)
            if over:
                if not isinstance(entry.stop.scope, ZoneScope) or boottime_s() - since_s >= ZONE_SETTLE_S:
                    return
                await _rung(bell, since_s + ZONE_SETTLE_S - boottime_s())
            else:
                await bell.wait()
            now_s = boottime_s()
            wait_s = pacer.wait_s(now_s)
            pacer.take(now_s)
            if wait_s > 0:
                await asyncio.sleep(wait_s)


async def _rung(bell: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await bell.wait()
    except TimeoutError:
        return
