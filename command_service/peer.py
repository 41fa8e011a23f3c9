"""One peer as the rest of this service sees it: lanes to put things in while there is a stream, and a bell."""

import asyncio
from collections.abc import Iterable
from typing import Final

from command_service.events import OrderRecorded
from command_service.hearing import Hears
from command_service.peer_lanes import PeerLanes, Told
from command_service.relay import Links, Relay, Words
from pitwall.domain.stop_set import Release, SetDelta

#: What is passed on of vehicles waits so long for more of it, seconds: a frame holds many words, and each once.
RELAY_EVERY_S: Final = 0.02

PeerFrame = Told | Hears | OrderRecorded | Links | Words


class Peer:
    """`name`: as in its certificate. `address`: where it serves PeerLinkService."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        #: None between two streams: the next one begins with everything.
        self.lanes: PeerLanes | None = None
        self._relay: Relay | None = None
        self._wanted: frozenset[str] = frozenset()
        self._said = Hears()
        self._pause: asyncio.TimerHandle | None = None
        self._relays = False
        self._bell = asyncio.Event()

    @property
    def greeted(self) -> bool:
        """It has answered on the present stream, and so is known to be who it should be."""
        return self.lanes is not None

    def begin(self, lanes: PeerLanes, relay: Relay | None = None) -> None:
        """It has answered."""
        self.lanes, self._relay, self._said = lanes, relay, Hears()
        self.want(self._wanted)
        self._bell.set()

    def end(self) -> None:
        self.lanes = self._relay = None
        self._relays = False

    def push(self, delta: SetDelta) -> None:
        """New in the set; `ring` then. Without a stream there is nothing to do: the next one begins with everything."""
        if self.lanes is not None:
            self.lanes.push(delta)

    def ring(self) -> None:
        """There is something in the lanes."""
        self._bell.set()

    def ask(self, release: Release) -> None:
        """A release that waits."""
        if self.lanes is not None:
            self.lanes.ask(release)
            self._bell.set()

    def order(self, record: OrderRecorded) -> None:
        """Whoever has no stream does not hear of it; then a repeat is answered by the vehicle's own memory."""
        if self.lanes is not None:
            self.lanes.order(record)
            self._bell.set()

    def hears(self, hears: Hears) -> None:
        """What this command service hears and wants, told where it is not what was told last."""
        if self.lanes is not None and hears != self._said:
            self._said = hears
            self.lanes.hear(hears)
            self._bell.set()

    def want(self, gateways: frozenset[str]) -> None:
        """The peer wants to be told of the vehicles on these gateways, and of no others."""
        self._wanted = gateways
        if self._relay is not None and self._relay.want(gateways):
            self._relay_soon()

    def changed(self, stop_ids: Iterable[str], vehicle_ids: Iterable[str]) -> None:
        """Something has come of these stops and of these vehicles' links."""
        if self._relay is not None and self._relay.changed(stop_ids, vehicle_ids):
            self._relay_soon()

    def _relay_soon(self) -> None:
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(RELAY_EVERY_S, self._relay_now)

    def _relay_now(self) -> None:
        self._pause, self._relays = None, True
        self._bell.set()

    def next(self) -> PeerFrame | None:
        """The frame to write now. What is merely passed on waits for everything else."""
        if self.lanes is None:
            return None
        frame = self.lanes.next()
        if frame is None and self._relays and self._relay is not None:
            relayed = self._relay.next()
            self._relays = relayed is not None
            return relayed
        return frame

    async def rung(self) -> None:
        """Until there is something to write."""
        await self._bell.wait()
        self._bell.clear()
