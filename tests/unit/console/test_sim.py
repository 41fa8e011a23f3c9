"""`pitwall sim` speaks lines of JSON with whoever has the simulator's control socket."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.console.fake_site import Pitwall

VEHICLE = {"vehicle_id": "KOMATSU-930E-001", "speed_kph": 31.5, "brake": False, "permitted": True, "status": None}


@dataclass
class Simulator:
    """Answers each connection's line with `answer` and keeps what it was asked."""

    path: Path
    answer: bytes = b'{"ok": true}\n'
    asked: list[dict[str, Any]] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self.asked.append(json.loads(connection.makefile().readline()))
                connection.sendall(self.answer)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    made = Simulator(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made.path))
        listener.listen()
        thread = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize(
    ("arguments", "request_sent"),
    [
        (
            ("fault", "A-01", "low-fuel", "--seconds", "5"),
            {"command": "fault", "vehicle_id": "A-01", "kind": "low-fuel", "lasts_s": 5.0},
        ),
        (
            ("fault", "A-01", "low-fuel", "--end"),
            {"command": "end-fault", "vehicle_id": "A-01", "kind": "low-fuel"},
        ),
        (("button", "A-01"), {"command": "button", "vehicle_id": "A-01", "pressed": True}),
        (("button", "A-01", "--let-go"), {"command": "button", "vehicle_id": "A-01", "pressed": False}),
    ],
)
def test_each_command_is_one_line(
    pitwall: Pitwall, simulator: Simulator, arguments: tuple[str, ...], request_sent: dict[str, object]
) -> None:
    ran = pitwall("sim", *arguments, "--socket", str(simulator.path))
    assert (ran.code, simulator.asked) == (0, [request_sent])
    assert ran.out.startswith("A-01: ")


def test_vehicles_are_shown_as_they_are(pitwall: Pitwall, simulator: Simulator) -> None:
    simulator.answer = json.dumps({"ok": True, "vehicles": [VEHICLE]}).encode() + b"\n"
    assert pitwall("sim", "vehicles", "--socket", str(simulator.path), "--output", "json").lines == [VEHICLE]
    words = pitwall("sim", "vehicles", "--socket", str(simulator.path)).out.splitlines()[-1].split()
    assert words[:5] == ["KOMATSU-930E-001", "31.5", "no", "yes", "–"]


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (
            b'{"ok": false, "reason": "UNKNOWN_VEHICLE", "message": "the plant has no vehicle A-01"}\n',
            "the plant has no vehicle A-01",
        ),
        (b"hello\n", "is no simulator's control socket"),
        (b"[1]\n", "the simulator refuses"),
        (b'{"ok"', "the answer breaks off"),
    ],
)
def test_a_refusal_or_a_stranger_is_an_error(pitwall: Pitwall, simulator: Simulator, answer: bytes, named: str) -> None:
    simulator.answer = answer
    ran = pitwall("sim", "fault", "A-01", "rain", "--socket", str(simulator.path))
    assert ran.code == 1
    assert named in ran.err


@pytest.mark.parametrize("reason", ["UNKNOWN_FAULT", "INVALID_REQUEST"])
def test_what_nobody_could_do_is_wrong_usage(pitwall: Pitwall, simulator: Simulator, reason: str) -> None:
    told = {"ok": False, "reason": reason, "message": "no fault is called rain"}
    simulator.answer = json.dumps(told).encode() + b"\n"
    ran = pitwall("sim", "fault", "A-01", "rain", "--socket", str(simulator.path))
    assert ran.code == 2
    assert f"no fault is called rain [{reason}]" in ran.err


def test_no_simulator_is_said(pitwall: Pitwall, tmp_path: Path) -> None:
    ran = pitwall("sim", "button", "A-01", "--socket", str(tmp_path / "nothing.sock"))
    assert ran.code == 1
    assert "nothing.sock" in ran.err
    assert "make up" in ran.err


def test_the_local_stacks_socket_is_found(
    pitwall: Pitwall, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "plant.toml").write_text(f'control_socket = "{simulator.path}"')
    monkeypatch.setenv("PITWALL_HOME", str(tmp_path))
    assert pitwall("sim", "button", "A-01").code == 0
