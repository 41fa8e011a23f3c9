"""What each method on an operator's port asks for. A method that is not in the table is refused to everybody."""

from collections.abc import Mapping
from typing import Final

from pitwall.tokens import Permission

_COMMAND: Final = "/haul.command.v1.CommandService/"
_FLEET: Final = "/haul.fleet.v1.FleetService/"

#: Any one of the permissions is enough to call; finer checks are the servicer's.
PERMISSIONS: Final[Mapping[str, frozenset[Permission]]] = {
    **{
        _COMMAND + name: frozenset({Permission.READ})
        for name in (
            "ListStops",
            "GetStop",
            "WatchStop",
            "ListReleases",
            "GetMotionState",
            "ListMotionStates",
            "ListOrders",
            "ListAuditEvents",
        )
    },
    _COMMAND + "EmergencyStop": frozenset({Permission.STOP}),
    _COMMAND + "RequestRelease": frozenset({Permission.REQUEST_RELEASE}),
    _COMMAND + "ApproveRelease": frozenset({Permission.APPROVE_RELEASE}),
    # A maintainer may send SET_STATUS alone; the command service looks at the kind and at the status left behind.
    _COMMAND + "SendOrder": frozenset({Permission.SEND_ORDER, Permission.LEAVE_MAINTENANCE}),
    **{
        _FLEET + name: frozenset({Permission.READ})
        for name in (
            "ListVehicles",
            "GetVehicle",
            "GetFleetStatistics",
            "WatchFleet",
            "ListAlerts",
            "WatchAlerts",
            "ListVehicleMetrics",
            "ListReadings",
            "ListGaps",
        )
    },
    **{
        _FLEET + name: frozenset({Permission.CHANGE_REGISTRY})
        for name in ("CreateVehicle", "UpdateVehicle", "DeleteVehicle")
    },
    _FLEET + "AcknowledgeAlert": frozenset({Permission.ACKNOWLEDGE_ALERT}),
    "/grpc.health.v1.Health/Watch": frozenset({Permission.READ}),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": frozenset({Permission.READ}),
}

#: Open without a token: what a load balancer asks. It is answered at once; a call that may last, as Health/Watch and
#: reflection may, holds a place among the server's calls, and places are for those who could be asked to leave.
PUBLIC: Final = frozenset({"/grpc.health.v1.Health/Check"})


def is_public(method: str) -> bool:
    return method in PUBLIC
