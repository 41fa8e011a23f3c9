"""One gateway's stream as the rest of this service sees it: lanes to put things in, and a bell for its writer."""

import asyncio

from command_service.lanes import Lanes
from pitwall.domain.stop_set import SetDelta


class Link:
    """`number` names the stream; the same gateway comes back under another one."""

    def __init__(self, number: int, gateway: str, uri: str, whole: SetDelta) -> None:
        self.number, self.gateway, self.uri = number, gateway, uri
        self.lanes = Lanes(whole)
        self._bell = asyncio.Event()
        self._bell.set()

    def ring(self) -> None:
        """There is something in the lanes."""
        self._bell.set()

    async def rung(self) -> None:
        """Until there is."""
        await self._bell.wait()
        self._bell.clear()
