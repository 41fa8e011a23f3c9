"""The plant as a process, judged by its files alone: it brakes by itself, whoever is killed, hung or asleep."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.local.tools import CHECKOUT
from edge_agent.fleet import REPLAY_VEHICLE_ID, fleet_ids
from edge_agent.simulator.plant_vehicle import CAUSE_AGENT_GONE, CAUSE_EXPIRED, CAUSE_NO_AGENT
from edge_agent.simulator.replay import BRAKE_COLUMNS, COLUMNS, TIME_COLUMN
from edge_agent.vehicle_wire import FrameKind, FrameReader, hello, read_samples
from pitwall.clock import monotonic_s
from pitwall.exits import EXIT_CONFIG, EXIT_MISSING, EXIT_PORT_TAKEN
from tests.support.plant import Plant, PlantLine
from tests.support.verdict_sender import VERDICT_LIFE_S

FIRST, SECOND = fleet_ids(2)
#: What a busy machine may add to a moment.
SLACK_S = 0.1
#: Names a recording to play in place of ../shared/data's.
RECORDING_VARIABLE = "PITWALL_TEST_RECORDING"
SHARED_RECORDING = CHECKOUT.parent / "shared" / "data" / "truck_cold_start_127s.decoded_10hz.csv"


@dataclass(frozen=True, slots=True)
class PlantProcess:
    process: subprocess.Popen[str]
    folder: Path

    @property
    def plant(self) -> Plant:
        return Plant(self.folder / "plant")

    def ask(self, **request: object) -> dict[str, object]:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(str(self.folder / "c.sock"))
            control.sendall(json.dumps(request).encode() + b"\n")
            found: dict[str, object] = json.loads(control.makefile().readline())
            return found

    @contextmanager
    def agent(self, *vehicle_ids: str) -> Iterator[subprocess.Popen[bytes]]:
        """One that says "move" until it is killed."""
        command = [sys.executable, "-m", "tests.support.verdict_sender", str(self.folder / "v.sock"), *vehicle_ids]
        with subprocess.Popen(command, cwd=CHECKOUT) as agent:
            try:
                yield agent
            finally:
                agent.kill()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def configure(folder: Path, **more: object) -> Path:
    keys = {
        "vehicle_socket": folder / "v.sock",
        "control_socket": folder / "c.sock",
        "plant_dir": folder / "plant",
        "fleet": 2,
        "faults": False,
        **more,
    }
    path = folder / "plant.toml"
    lines = [f"{key} = {json.dumps(str(value) if isinstance(value, Path) else value)}" for key, value in keys.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def command(config: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "edge_agent.simulator", "--config", str(config), *more]


def run(config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """To its end."""
    return subprocess.run(command(config, *more), capture_output=True, text=True, timeout=30, cwd=CHECKOUT, check=False)


@contextmanager
def running(folder: Path, **more: object) -> Iterator[PlantProcess]:
    config = configure(folder, **more)
    with subprocess.Popen(command(config), text=True, stdout=subprocess.PIPE, cwd=CHECKOUT) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert "plant ready" in said, said
            yield PlantProcess(process, folder)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def moving(line: PlantLine) -> bool:
    return line.speed_kph > 5 and not line.brake


@pytest.mark.alone
def test_before_any_agent_it_stands_braked_and_says_so_every_second(tmp_path: Path) -> None:
    with running(tmp_path) as sim:
        since = monotonic_s()
        sim.plant.wait(FIRST, "three seconds have passed", lambda line: line.t > since + 3)
        lines = list(sim.plant.lines(FIRST))
    assert all(line.speed_kph == 0 and line.brake and not line.permitted for line in lines)
    assert {(line.status, line.cause) for line in lines} == {(None, CAUSE_NO_AGENT)}
    assert max(b.t - a.t for a, b in pairwise(lines)) <= 1.0 + SLACK_S


@pytest.mark.alone
def test_a_hung_agent_stops_its_vehicle_at_the_deadline_of_the_last_verdict(tmp_path: Path) -> None:
    with running(tmp_path) as sim, sim.agent(FIRST) as agent:
        sim.plant.wait(FIRST, "it drives", moving)
        hung_t = monotonic_s()
        agent.send_signal(signal.SIGSTOP)
        braked = sim.plant.wait(FIRST, "it brakes", lambda line: line.brake, since_t=hung_t)
        assert braked.t <= hung_t + VERDICT_LIFE_S + SLACK_S
        assert (braked.cause, braked.permitted) == (CAUSE_EXPIRED, False)
        stood = sim.plant.wait(FIRST, "it stands", lambda line: line.speed_kph == 0, since_t=hung_t)
        assert stood.t - braked.t <= braked.speed_kph / 3.6 / 2.5 + SLACK_S
        sim.plant.wait(FIRST, "a second on", lambda line: line.t > stood.t + 1)
        assert not any(line.speed_kph or not line.brake for line in sim.plant.lines(FIRST, stood.t))
        agent.send_signal(signal.SIGCONT)
        sim.plant.wait(FIRST, "it drives again", moving, since_t=stood.t)


@pytest.mark.alone
def test_a_killed_agent_stops_its_vehicle_and_no_other(tmp_path: Path) -> None:
    with running(tmp_path) as sim, sim.agent(SECOND), sim.agent(FIRST) as killed:
        sim.plant.wait(FIRST, "it drives", moving)
        sim.plant.wait(SECOND, "it drives", moving)
        killed_t = monotonic_s()
        killed.kill()
        braked = sim.plant.wait(FIRST, "it brakes", lambda line: line.brake, since_t=killed_t)
        assert braked.cause == CAUSE_AGENT_GONE
        assert braked.t <= killed_t + VERDICT_LIFE_S + SLACK_S
        stood = sim.plant.wait(FIRST, "it stands", lambda line: line.speed_kph == 0, since_t=killed_t)
        sim.plant.wait(SECOND, "it still drives", lambda line: line.t > stood.t and moving(line))
        assert not any(line.brake for line in sim.plant.lines(SECOND, killed_t))


@pytest.mark.alone
def test_a_plant_that_was_asleep_does_not_move_by_old_verdicts(tmp_path: Path) -> None:
    with running(tmp_path) as sim, sim.agent(FIRST):
        before = sim.plant.wait(FIRST, "it drives fast", lambda line: line.speed_kph > 15)
        sim.process.send_signal(signal.SIGSTOP)
        time.sleep(2)  # the sleep itself is what is tested
        woken_t = monotonic_s()
        sim.process.send_signal(signal.SIGCONT)
        first = sim.plant.wait(FIRST, "awake", lambda line: line.t >= woken_t)
        assert first.brake
        assert first.cause == CAUSE_EXPIRED
        # More than one and a half of the two seconds it has braked.
        assert first.speed_kph < before.speed_kph - 1.5 * 2.5 * 3.6


@pytest.mark.alone
def test_the_stop_button_stops_and_holds_a_vehicle_that_is_told_to_move(tmp_path: Path) -> None:
    with running(tmp_path) as sim, sim.agent(FIRST):
        sim.plant.wait(FIRST, "it drives", moving)
        pressed_t = monotonic_s()
        assert sim.ask(command="button", vehicle_id=FIRST, pressed=True)["ok"] is True
        braked = sim.plant.wait(FIRST, "it brakes", lambda line: line.brake, since_t=pressed_t)
        assert braked.t <= pressed_t + SLACK_S
        stood = sim.plant.wait(FIRST, "it stands", lambda line: line.speed_kph == 0, since_t=pressed_t)
        sim.plant.wait(FIRST, "a second on", lambda line: line.t > stood.t + 1)
        assert not any(line.speed_kph for line in sim.plant.lines(FIRST, stood.t))
        sim.ask(command="button", vehicle_id=FIRST, pressed=False)
        sim.plant.wait(FIRST, "it drives again", moving, since_t=stood.t)


def test_sigterm_ends_it_cleanly_and_leaves_no_socket(tmp_path: Path) -> None:
    with running(tmp_path) as sim, sim.agent(FIRST):
        sim.plant.wait(FIRST, "it drives", moving)
        assert sim.stop() == 0
        assert not (tmp_path / "v.sock").exists()
        assert not (tmp_path / "c.sock").exists()
        assert (tmp_path / "plant" / f"{FIRST}.jsonl").read_text().endswith("}\n")


def test_an_agent_finds_a_plant_that_was_killed_and_started_again(tmp_path: Path) -> None:
    with running(tmp_path) as sim:
        agent = sim.agent(FIRST)
        with agent:
            sim.plant.wait(FIRST, "it drives", moving)
            sim.process.kill()
            sim.process.wait(10)
            again_t = monotonic_s()
            with running(tmp_path) as again:
                again.plant.wait(FIRST, "it drives", moving, since_t=again_t)


# The recording


def recording(folder: Path) -> Path:
    """The one that is named, else the shared one, else one of our own with the same columns: 30 rows a second apart."""
    named = os.environ.get(RECORDING_VARIABLE)
    if named is not None:
        assert Path(named).is_file(), f"{RECORDING_VARIABLE}={named}: no such file; name another, or unset it"
        return Path(named)
    return SHARED_RECORDING if SHARED_RECORDING.is_file() else _own_recording(folder / "own.csv")


def _own_recording(path: Path) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([TIME_COLUMN, *COLUMNS.values(), *BRAKE_COLUMNS])
        rows.writerow([0, *[""] * 7])
        rows.writerows([second, 0, "", 650, 56, 12.5, 400, 728] for second in range(1, 31))
    return path


def _samples(path: Path, vehicle_id: str, count: int) -> list[dict[str, float | None]]:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(5)
        agent.connect(str(path))
        agent.sendall(hello([vehicle_id]))
        reader = FrameReader()
        found: list[dict[str, float | None]] = []
        while len(found) < count:
            for kind, body in reader.feed(agent.recv(65_536)):
                if kind is FrameKind.SAMPLES:
                    found += [{name: getattr(s, name) for name in s._fields} for _, s in read_samples(body)]
        return found


def test_a_recording_is_played_as_a_vehicle_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path, replay=recording(tmp_path)) as sim:
        assert sim.plant.wait(REPLAY_VEHICLE_ID, "it is there", lambda _: True).brake
        samples = _samples(tmp_path / "v.sock", REPLAY_VEHICLE_ID, 30)
    recorded = {"speed_kph", "engine_rpm", "fuel_level_percent", "battery_volts", "brake_pressure_psi"}
    never = {"payload_tons", "battery_level_percent", "latitude_degrees", "longitude_degrees", "heading_degrees"}
    assert any(all(sample[name] is not None for name in recorded) for sample in samples)
    assert all(sample[name] is None for sample in samples for name in never)


# What it refuses

REFUSED = [
    ("an unknown key", {"fleeet": 3}, EXIT_CONFIG, 'unknown key "fleeet"; did you mean "fleet"?'),
    ("a fleet too large", {"fleet": 5_001}, EXIT_CONFIG, '"fleet" = 5001'),
    ("a time scale of 0", {"time_scale": 0}, EXIT_CONFIG, '"time_scale" = 0'),
    ("an address without port", {"metrics_address": "localhost"}, EXIT_CONFIG, "host:port"),
    ("a missing recording", {"replay": "/nowhere/r.csv"}, EXIT_MISSING, "/nowhere/r.csv can't be read"),
    ("a socket path too long", {"vehicle_socket": "/tmp/" + "x" * 110}, EXIT_CONFIG, "more than 107"),
]


@pytest.mark.parametrize(("what", "keys", "code", "told"), REFUSED)
def test_what_cannot_work_is_refused_at_the_start(
    tmp_path: Path, what: str, keys: dict[str, object], code: int, told: str
) -> None:
    ended = run(configure(tmp_path, **keys))
    assert ended.returncode == code, what
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.alone
def test_a_second_plant_on_the_same_socket_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as sim, sim.agent(FIRST):
        sim.plant.wait(FIRST, "it drives", moving)
        ended = run(tmp_path / "plant.toml")
        assert ended.returncode == EXIT_PORT_TAKEN
        assert "v.sock is taken by a running process" in ended.stderr
        since = monotonic_s()
        line = sim.plant.wait(FIRST, "it drives on", lambda line: line.t > since)
        assert not line.brake


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "plant").write_text("in the way")
    ended = run(configure(tmp_path))
    assert ended.returncode == 1
    assert str(tmp_path / "plant") in ended.stderr


def test_the_schedule_is_printed_without_a_plant(tmp_path: Path) -> None:
    ended = run(configure(tmp_path, faults=True), "--print-schedule", "--output", "json", "--horizon-s", "900")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {row["vehicle"] for row in rows} == {FIRST, SECOND}
    assert all(0 < row["start_s"] < 900 for row in rows)
    assert ended.returncode == 0
