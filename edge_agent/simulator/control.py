"""The control socket: faults and the stop button by hand. For people and tests, never for a service.

A unix socket; one JSON object a line each way, answered in order:

    {"command": "fault", "vehicle_id": "KOMATSU-930E-001", "kind": "overheating", "lasts_s": 60}
    {"command": "end-fault", "vehicle_id": "KOMATSU-930E-001", "kind": "overheating"}
    {"command": "fault", "vehicle_id": "KOMATSU-930E-001", "kind": "drive-fault", "lasts_s": 60}
    {"command": "button", "vehicle_id": "KOMATSU-930E-001", "pressed": true}
    {"command": "vehicle", "vehicle_id": "KOMATSU-930E-001"}
    {"command": "vehicles"}

Each answer has `"ok": true` and what is asked for, or `"ok": false` with `reason` (UNKNOWN_VEHICLE, UNKNOWN_FAULT,
FAULT_IMPOSSIBLE, INVALID_REQUEST) and `message`. `lasts_s` is 60 when absent. A vehicle is told as `vehicle_id`,
`speed_kph`, `brake`, `permitted`, `status`, `cause`, `button`, `active_faults`, and `schedule_begun_s`: the
CLOCK_MONOTONIC second from which its fault schedule counts, null before its first leave to move.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Final, cast

from edge_agent.simulator.agent_link import UnknownVehicle
from edge_agent.simulator.body import FaultImpossible
from edge_agent.simulator.faults import FaultKind, UnknownFault, parse_fault
from edge_agent.simulator.host import PlantHost
from edge_agent.simulator.plant_vehicle import PlantVehicle
from pitwall import logs
from pitwall.clock import boottime_s, monotonic_s

_log = logs.get(__name__)

#: A fault by hand alone: the vehicle finds that it can't drive, stops by itself, and is in ERROR.
BROKEN: Final = "drive-fault"
DEFAULT_LASTS_S: Final = 60.0
LONGEST_LASTS_S: Final = 86_400.0
MAX_LINE_BYTES: Final = 4_096
#: An answer to a peer that doesn't read is dropped, with the connection.
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024

Answer = dict[str, object]


class InvalidRequest(ValueError):
    """The text names the field and what it should be."""


_REASONS: Final[dict[type[Exception], str]] = {
    UnknownVehicle: "UNKNOWN_VEHICLE",
    UnknownFault: "UNKNOWN_FAULT",
    FaultImpossible: "FAULT_IMPOSSIBLE",
    InvalidRequest: "INVALID_REQUEST",
}


def answer(host: PlantHost, line: bytes) -> Answer:
    """What one line is answered. Raises nothing for a bad one."""
    try:
        return {"ok": True, **_COMMANDS[_command(request := _request(line))](host, request)}
    except tuple(_REASONS) as error:
        return {"ok": False, "reason": _REASONS[type(error)], "message": str(error)}


def _request(line: bytes) -> Answer:
    try:
        request = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"the line is no JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidRequest("the line is no JSON object")
    return request


def _command(request: Answer) -> str:
    command = request.get("command")
    if not isinstance(command, str) or command not in _COMMANDS:
        raise InvalidRequest(f'"command" is {command!r:.60}; it must be one of {", ".join(_COMMANDS)}')
    return command


def _vehicle(host: PlantHost, request: Answer) -> PlantVehicle:
    vehicle_id = request.get("vehicle_id")
    if not isinstance(vehicle_id, str):
        raise InvalidRequest('"vehicle_id" is missing or no string')
    return host.vehicle(vehicle_id)


def _fault(host: PlantHost, request: Answer) -> Answer:
    vehicle, kind = _vehicle(host, request), _kind(request)
    lasts_s = request.get("lasts_s", DEFAULT_LASTS_S)
    if isinstance(lasts_s, bool) or not isinstance(lasts_s, int | float) or not 0 < lasts_s <= LONGEST_LASTS_S:
        raise InvalidRequest(f'"lasts_s" is {lasts_s!r:.40}; it must be a number above 0 up to {LONGEST_LASTS_S:g}')
    if kind is None:
        vehicle.break_down(boottime_s(), lasts_s)
    else:
        vehicle.start_fault(kind, boottime_s(), lasts_s)
    _log.info("fault by hand", vehicle_id=vehicle.vehicle_id, kind=kind.value if kind else BROKEN, lasts_s=lasts_s)
    return _tell(vehicle)


def _kind(request: Answer) -> FaultKind | None:
    """None: the drive, which no schedule breaks and no alert watches."""
    name = str(request.get("kind", ""))
    return None if name == BROKEN else parse_fault(name)


def _end_fault(host: PlantHost, request: Answer) -> Answer:
    vehicle, kind = _vehicle(host, request), _kind(request)
    if kind is None:
        vehicle.break_down(boottime_s(), 0.0)
    else:
        vehicle.fault_clock.end_by_hand(kind)
    return _tell(vehicle)


def _button(host: PlantHost, request: Answer) -> Answer:
    vehicle, pressed = _vehicle(host, request), request.get("pressed")
    if not isinstance(pressed, bool):
        raise InvalidRequest('"pressed" must be true or false')
    host.press(vehicle.vehicle_id, pressed)
    _log.info("stop button by hand", vehicle_id=vehicle.vehicle_id, pressed=pressed)
    return _tell(vehicle)


def _tell(vehicle: PlantVehicle) -> Answer:
    state, begun_s = vehicle.state(), vehicle.fault_clock.begun_s
    return {
        "vehicle_id": vehicle.vehicle_id,
        "speed_kph": round(state.speed_kph, 3),
        "brake": state.brake,
        "permitted": state.permitted,
        "status": None if state.status is None else state.status.name,
        "cause": state.cause,
        "button": vehicle.button,
        "active_faults": sorted([*(kind.value for kind in vehicle.body.active_faults), *[BROKEN] * vehicle.broken]),
        "schedule_begun_s": None if begun_s is None else round(begun_s + monotonic_s() - boottime_s(), 6),
    }


_COMMANDS: Final[dict[str, Callable[[PlantHost, Answer], Answer]]] = {
    "fault": _fault,
    "end-fault": _end_fault,
    "button": _button,
    "vehicle": lambda host, request: _tell(_vehicle(host, request)),
    "vehicles": lambda host, _: {"vehicles": [_tell(vehicle) for vehicle in host.vehicles]},
}


class ControlConnection(asyncio.Protocol):
    """One caller."""

    def __init__(self, host: PlantHost) -> None:
        self._host = host
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_WAITING_BYTES)

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(answer(self._host, line))
        if len(self._rest) > MAX_LINE_BYTES:
            message = f"a line has more than {MAX_LINE_BYTES} bytes"
            self._say({"ok": False, "reason": "INVALID_REQUEST", "message": message})
            assert self._transport is not None
            self._transport.close()

    def _say(self, content: Answer) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(json.dumps(content).encode() + b"\n")
