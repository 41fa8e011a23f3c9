"""The shell around the stream to a command service: however that ends, the gateway goes on."""

import asyncio
from typing import Any, cast

from haul.link.v1 import gateway_link_service_pb2 as pb

from ingest_gateway.command_link import CommandLink
from ingest_gateway.from_site import FromSite
from ingest_gateway.link_state import LinkState
from ingest_gateway.links import LinkEnd


class EndedCall:
    """A stream that has ended, though its reader has not heard of it yet."""

    def __init__(self) -> None:
        self.cancelled = False

    async def write(self, frame: pb.AttachRequest) -> None:
        raise asyncio.InvalidStateError("RPC already finished.")

    async def read(self) -> object:
        return await asyncio.Event().wait()

    def cancel(self) -> None:
        self.cancelled = True


async def test_a_frame_that_meets_the_end_of_the_stream_ends_that_stream_and_nothing_else() -> None:
    end, call = LinkEnd("localhost:50054"), EndedCall()
    link = CommandLink(end, cast("FromSite", None), lambda: None)
    end.lanes.restart(pb.GatewayHello(gateway="gateway-1"), [])
    assert await link._stream(cast("Any", call), LinkState()) == "ended"
    assert call.cancelled
