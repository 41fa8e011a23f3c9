"""Connections to fleet services. Apart from console/client.py: a stop is given without any of this."""

from haul.fleet.v1 import fleet_service_pb2_grpc

from console.client import Asking, LineOf, open_lines
from console.rpc_failure import Asked
from console.site import Site

FleetStub = fleet_service_pb2_grpc.FleetServiceStub
FleetLine = LineOf[FleetStub]


def fleet_lines(site: Site) -> list[FleetLine]:
    """A line to each fleet service; nothing is sent yet. Raises ConsoleError for an unreadable CA or token."""
    return open_lines(site, site.fleet_servers, FleetStub, Asked.FLEET)


class FleetClient(Asking[FleetStub]):
    """Of fleet services."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, fleet_lines(site))
