"""One peer as the rest of this service sees it: lanes to put things in while there is a stream, and a bell."""

import asyncio

from command_service.events import OrderRecorded
from command_service.peer_lanes import PeerLanes
from pitwall.domain.stop_set import Release, SetDelta


class Peer:
    """`name`: as in its certificate. `address`: where it serves PeerLinkService."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        #: None between two streams: the next one begins with everything.
        self.lanes: PeerLanes | None = None
        self._bell = asyncio.Event()

    @property
    def greeted(self) -> bool:
        """It has answered on the present stream, and so is known to be who it should be."""
        return self.lanes is not None

    def begin(self, lanes: PeerLanes) -> None:
        """It has answered."""
        self.lanes = lanes
        self._bell.set()

    def end(self) -> None:
        self.lanes = None

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

    async def rung(self) -> None:
        """Until there is something in the lanes."""
        await self._bell.wait()
        self._bell.clear()
