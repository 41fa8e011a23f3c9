"""What is counted when something bad comes in: Prometheus samples of the processes."""

from tests.integration.bad_input.rows import Counter

COMMAND_SERVICE = "haul.command.v1.CommandService"
FLEET_SERVICE = "haul.fleet.v1.FleetService"
VEHICLE_LINK = "haul.link.v1.VehicleLinkService/Connect"
GATEWAY_LINK = "haul.link.v1.GatewayLinkService/Attach"

NOT_TAKEN_FROM_GATEWAYS = Counter("command-1", "pitwall_link_invalid_total")
WATCHERS_STALLED = Counter("fleet-1", "pitwall_watchers_stalled_total")


def ended(process: str, method: str, status: str) -> Counter:
    """Calls of a method that ended with a status."""
    return Counter(process, "grpc_server_call_duration_seconds_count", {"grpc_method": method, "grpc_status": status})


def refused(method: str, status: str) -> Counter:
    """By the command service."""
    return ended("command-1", f"{COMMAND_SERVICE}/{method}", status)


def refused_by_fleet(method: str, status: str) -> Counter:
    return ended("fleet-1", f"{FLEET_SERVICE}/{method}", status)


def rejected(field: str, reason: str) -> Counter:
    return Counter("gateway-1", "pitwall_gateway_rejections_total", {"field": field, "reason": reason})


def closed(reason: str) -> Counter:
    """Streams of vehicles that the gateway has ended."""
    return Counter("gateway-1", "pitwall_gateway_sessions_closed_total", {"reason": reason})


def readings(outcome: str) -> Counter:
    return Counter("gateway-1", "pitwall_gateway_readings_total", {"outcome": outcome})
