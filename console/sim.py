"""`pitwall sim`: makes things happen to simulated vehicles, over the simulator's control socket."""

import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from console import words
from console.failures import EXIT_DONE, ConsoleError, UsageProblem
from console.output import emit_fields, say, table
from console.site import Site, read_toml

TIMEOUT_S = 3.0
#: An answer about 1,000 vehicles has about 300 kB.
MAX_ANSWER_BYTES = 16 * 1024 * 1024

#: Refused whatever the simulator's state: the command was typed wrong.
_USAGE = frozenset({"UNKNOWN_FAULT", "INVALID_REQUEST"})

Answer = Mapping[str, object]


def run_fault(site: Site, socket_path: Path | None, vehicle_id: str, kind: str, seconds: float, end: bool) -> int:
    request: dict[str, object] = {"command": "end-fault" if end else "fault", "vehicle_id": vehicle_id, "kind": kind}
    answer = _ask(site, socket_path, request | ({} if end else {"lasts_s": seconds}))
    happened = "ends" if end else f"begins and lasts {words.span(seconds)}"
    return _show(site, answer, f"{vehicle_id}: {kind} {happened}")


def run_button(site: Site, socket_path: Path | None, vehicle_id: str, pressed: bool) -> int:
    answer = _ask(site, socket_path, {"command": "button", "vehicle_id": vehicle_id, "pressed": pressed})
    done = "pressed; the vehicle holds until it is let go" if pressed else "let go"
    return _show(site, answer, f"{vehicle_id}: its stop button is {done}")


def run_vehicles(site: Site, socket_path: Path | None) -> int:
    """The simulator's own truth, which no service reads."""
    told = _ask(site, socket_path, {"command": "vehicles"}).get("vehicles")
    vehicles = [vehicle for vehicle in told if isinstance(vehicle, dict)] if isinstance(told, list) else []
    if site.json:
        for vehicle in vehicles:
            emit_fields(vehicle)
    else:
        columns = ("VEHICLE", "SPEED km/h", "BRAKE", "PERMITTED", "STATUS", "BUTTON", "FAULTS", "CAUSE")
        table(columns, [_row(vehicle) for vehicle in vehicles], "no simulated vehicle")
    return EXIT_DONE


def _row(vehicle: Answer) -> Sequence[str]:
    faults = vehicle.get("active_faults")
    cells = [vehicle.get(key) for key in ("vehicle_id", "speed_kph", "brake", "permitted", "status", "button")]
    cells += [", ".join(map(str, faults)) if isinstance(faults, list) else "", vehicle.get("cause")]
    return [_cell(cell) for cell in cells]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return words.UNKNOWN if value is None else str(value)


def _show(site: Site, answer: Answer, text: str) -> int:
    if site.json:
        emit_fields({key: value for key, value in answer.items() if key != "ok"})
    else:
        say(text)
    return EXIT_DONE


def _ask(site: Site, socket_path: Path | None, request: dict[str, object]) -> Answer:
    """One line there, one line back. Raises ConsoleError for a refusal, or where no simulator listens."""
    path = socket_path or _find_socket(site)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_read_line(connection))
    except OSError as error:
        raise ConsoleError(
            f"no simulator answers at {path}: {error.strerror or error}",
            fix="start the local stack with `make up`, or name the simulator's control_socket with --socket",
            reason="NO_SIMULATOR",
        ) from error
    except ValueError as error:
        raise ConsoleError(f"{path} is no simulator's control socket: {error}", reason="NO_SIMULATOR") from error
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        raise _refused(answer)
    return answer


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = connection.recv(65_536)
        if not piece or len(line) > MAX_ANSWER_BYTES:
            raise ValueError("the answer breaks off")
        line += piece
    return line


def _refused(answer: object) -> ConsoleError:
    told = answer if isinstance(answer, dict) else {}
    reason = str(told.get("reason") or "REFUSED")
    if reason in _USAGE:
        return UsageProblem(f"{told.get('message')} [{reason}]")
    return ConsoleError(f"{told.get('message') or 'the simulator refuses'} [{reason}]", reason=reason)


def _find_socket(site: Site) -> Path:
    configured = read_toml(site.home / "config" / "plant.toml").get("control_socket")
    return Path(configured) if isinstance(configured, str) else site.home / "run" / "plant-control.sock"
