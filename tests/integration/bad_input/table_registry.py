"""Bad changes of the registry and of alerts: what FleetService refuses to write."""

from tests.integration.bad_input.rows import Row
from tests.integration.bad_input.table_fleet import refusal

_INVALID = "INVALID_ARGUMENT"

_FORBIDDEN = tuple(
    refusal(
        f"a {role} may not {method}", f"{method} by a {role}", method, "PERMISSION_DENIED", "ROLE_MISSING", role, takes
    )
    for method, roles, takes in (
        ("CreateVehicle", ("viewer", "operator"), "CHANGE_REGISTRY"),
        ("UpdateVehicle", ("viewer", "operator"), "CHANGE_REGISTRY"),
        ("DeleteVehicle", ("viewer", "operator"), "CHANGE_REGISTRY"),
        ("AcknowledgeAlert", ("viewer", "maintainer"), "ACKNOWLEDGE_ALERT"),
    )
    for role in roles
)

_CREATE = (
    refusal(
        "a vehicle is not entered without an id",
        "create without an id",
        "CreateVehicle",
        _INVALID,
        "INVALID_VEHICLE_ID",
        "vehicle.vehicle_id",
    ),
    refusal(
        "a vehicle is not entered twice",
        "create what is there",
        "CreateVehicle",
        "ALREADY_EXISTS",
        "VEHICLE_EXISTS",
        "{vehicle}",
        "UpdateVehicle",
    ),
    refusal(
        "a vehicle that may carry less than nothing is not entered",
        "create with a negative payload",
        "CreateVehicle",
        _INVALID,
        "OUT_OF_RANGE",
        "vehicle.max_payload_tons",
        "-1",
        "1000",
    ),
    refusal(
        "a speed that is no number is not entered",
        "create with a speed that is no number",
        "CreateVehicle",
        _INVALID,
        "OUT_OF_RANGE",
        "vehicle.max_speed_kph",
        "nan",
    ),
    refusal(
        "a model as long as a novel is not entered",
        "create with a model as long as a novel",
        "CreateVehicle",
        _INVALID,
        "TEXT_TOO_LONG",
        "vehicle.model",
        "201",
        "200",
    ),
    refusal(
        "a zone of two corners is none",
        "create with a zone of two corners",
        "CreateVehicle",
        _INVALID,
        "INVALID_ZONE",
        "vehicle.safety_envelope.zone",
    ),
)

_UPDATE = (
    refusal(
        "an update mask with a field that there is not is refused with the one that was meant",
        "update of an unknown field",
        "UpdateVehicle",
        _INVALID,
        "UNKNOWN_FIELD",
        "update_mask",
        "'destinaton'",
        "did you mean 'destination'?",
    ),
    refusal(
        "an update mask with what only the vehicle says is refused",
        "update of what only the vehicle says",
        "UpdateVehicle",
        _INVALID,
        "FIELD_IS_FIXED",
        "update_mask",
        "'status'",
        "destination",
    ),
    refusal(
        "an update of nothing is refused",
        "update of nothing",
        "UpdateVehicle",
        _INVALID,
        "NOTHING_TO_UPDATE",
        "update_mask",
        "destination",
    ),
    refusal(
        "an etag that is none is refused",
        "update with a made-up etag",
        "UpdateVehicle",
        _INVALID,
        "INVALID_ETAG",
        "vehicle.etag",
        "seen it",
    ),
    refusal(
        "whoever has lost the race for an entry is told the etag that it has now",
        "update that lost a race",
        "UpdateVehicle",
        "ABORTED",
        "ETAG_MISMATCH",
        "{vehicle}",
        "its etag is",
    ),
    refusal(
        "a vehicle that is not in the registry is not changed",
        "update of an unknown vehicle",
        "UpdateVehicle",
        "NOT_FOUND",
        "VEHICLE_NOT_FOUND",
        "GHOST-003",
    ),
)

_DELETE = (
    refusal(
        "nobody is taken out where nobody is named",
        "delete of nobody",
        "DeleteVehicle",
        _INVALID,
        "INVALID_VEHICLE_ID",
        "vehicle_id",
    ),
    refusal(
        "a vehicle that is not in the registry is not taken out",
        "delete of an unknown vehicle",
        "DeleteVehicle",
        "NOT_FOUND",
        "VEHICLE_NOT_FOUND",
        "GHOST-003",
    ),
    refusal(
        "a vehicle that is connected is not taken out",
        "delete of a connected vehicle",
        "DeleteVehicle",
        "FAILED_PRECONDITION",
        "VEHICLE_CONNECTED",
        "{vehicle}",
        "Switch it off",
    ),
    refusal(
        "an entry that was changed meanwhile is not taken out",
        "delete with an old etag",
        "DeleteVehicle",
        "ABORTED",
        "ETAG_MISMATCH",
        "BAD-TRUCK-001",
        "its etag is",
    ),
)

_ACKNOWLEDGE = (
    refusal(
        "an acknowledgement of nothing is refused",
        "acknowledge nothing",
        "AcknowledgeAlert",
        _INVALID,
        "INVALID_ALERT_ID",
        "alert_id",
        "ListAlerts",
    ),
    refusal(
        "an alert that there never was is not found",
        "acknowledge an unknown alert",
        "AcknowledgeAlert",
        "NOT_FOUND",
        "ALERT_NOT_FOUND",
        "nobody.OVERHEATING.1.1",
    ),
    refusal(
        "a note as long as a novel is refused",
        "acknowledge with a novel",
        "AcknowledgeAlert",
        _INVALID,
        "NOTE_TOO_LONG",
        "note",
        "501",
        "500",
    ),
)

WRITES: tuple[Row, ...] = _FORBIDDEN + _CREATE + _UPDATE + _DELETE + _ACKNOWLEDGE
