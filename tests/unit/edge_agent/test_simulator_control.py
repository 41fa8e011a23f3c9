"""The control socket: what people can make happen, and what they are told when they can't."""

import asyncio
import json
from pathlib import Path

import pytest

from edge_agent.simulator.control import MAX_LINE_BYTES, answer
from edge_agent.simulator.faults import FaultKind
from edge_agent.simulator.host import PlantHost
from edge_agent.vehicle import DRIVE_FAULT, LOCAL_STOP_BUTTON
from pitwall.clock import boottime_s, monotonic_s
from tests.unit.edge_agent.rig import verdict
from tests.unit.edge_agent.sim_host import IDS, Running, agent_running, next_sample, plant_running, until

FIRST = IDS[0]


def ask(host: PlantHost, **request: object) -> dict[str, object]:
    return answer(host, json.dumps(request).encode())


@pytest.mark.parametrize("kind", FaultKind)
async def test_a_fault_by_hand_begins_and_ends(tmp_path: Path, kind: FaultKind) -> None:
    async with plant_running(tmp_path) as plant:
        told = ask(plant.host, command="fault", vehicle_id=FIRST, kind=kind.value, lasts_s=30)
        assert told["ok"] is True
        assert told["active_faults"] == [kind.value]
        told = ask(plant.host, command="end-fault", vehicle_id=FIRST, kind=kind.name)
        assert told["active_faults"] == []


async def test_a_drive_that_fails_is_in_the_samples_until_it_is_mended(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        told = ask(plant.host, command="fault", vehicle_id=FIRST, kind="drive-fault", lasts_s=30)
        assert told["active_faults"] == ["drive-fault"]
        await next_sample(agent.vehicle(FIRST), lambda s: s.faults == {DRIVE_FAULT})
        told = ask(plant.host, command="end-fault", vehicle_id=FIRST, kind="drive-fault")
        assert told["active_faults"] == []
        await next_sample(agent.vehicle(FIRST), lambda s: not s.faults)
        ask(plant.host, command="fault", vehicle_id=FIRST, kind="drive-fault", lasts_s=0.3)
        await next_sample(agent.vehicle(FIRST), lambda s: s.faults == {DRIVE_FAULT})
        await next_sample(agent.vehicle(FIRST), lambda s: not s.faults)


async def test_a_fault_by_hand_ends_by_itself(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant:
        ask(plant.host, command="fault", vehicle_id=FIRST, kind="low-fuel", lasts_s=0.2)
        vehicle = plant.host.vehicle(FIRST)
        assert vehicle.body.active_faults
        await until(lambda: not vehicle.body.active_faults, "over")


async def test_the_button_is_in_the_next_sample_and_brakes(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        await until(lambda: agent.connected, "connected")
        agent.vehicle(FIRST).apply(verdict(deadline_s=boottime_s() + 0.9))
        await next_sample(agent.vehicle(FIRST), lambda s: not s.braking)
        told = ask(plant.host, command="button", vehicle_id=FIRST, pressed=True)
        assert (told["button"], told["brake"], told["permitted"]) == (True, True, False)
        sample = await next_sample(agent.vehicle(FIRST), lambda s: s.faults == {LOCAL_STOP_BUTTON})
        assert sample.braking
        assert ask(plant.host, command="button", vehicle_id=FIRST, pressed=False)["button"] is False
        await next_sample(agent.vehicle(FIRST), lambda s: not s.faults)


async def test_vehicles_are_told_with_all_that_a_person_wants_to_know(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant:
        told = ask(plant.host, command="vehicles")["vehicles"]
        assert isinstance(told, list)
        assert [vehicle["vehicle_id"] for vehicle in told] == list(IDS)
        one = ask(plant.host, command="vehicle", vehicle_id=FIRST)
        assert one == {"ok": True, **told[0]}
        assert one["schedule_begun_s"] is None
        assert one["status"] is None


async def test_the_second_0_of_the_schedule_is_told_on_the_clock_of_the_plant_files(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        await until(lambda: agent.connected, "connected")
        before_s = monotonic_s()
        agent.vehicle(FIRST).apply(verdict(deadline_s=boottime_s() + 0.9))
        await until(lambda: plant.host.vehicle(FIRST).permitted, "permitted")
        begun_s = ask(plant.host, command="vehicle", vehicle_id=FIRST)["schedule_begun_s"]
        assert isinstance(begun_s, float)
        assert before_s - 0.001 <= begun_s <= monotonic_s() + 0.001


BAD: list[tuple[bytes, str, str]] = [
    (b"", "INVALID_REQUEST", "no JSON"),
    (b"[]", "INVALID_REQUEST", "no JSON object"),
    (b"\xff\xfe", "INVALID_REQUEST", "no JSON"),
    (b"{}", "INVALID_REQUEST", '"command" is None; it must be one of fault, end-fault, button, vehicle, vehicles'),
    (b'{"command": "explode"}', "INVALID_REQUEST", "'explode'"),
    (b'{"command": ["fault"]}', "INVALID_REQUEST", '"command"'),
    (b'{"command": "vehicle"}', "INVALID_REQUEST", '"vehicle_id" is missing'),
    (b'{"command": "vehicle", "vehicle_id": 7}', "INVALID_REQUEST", '"vehicle_id"'),
    (b'{"command": "vehicle", "vehicle_id": "OTHER-01"}', "UNKNOWN_VEHICLE", "it has KOMATSU-930E-001"),
    (b'{"command": "fault", "vehicle_id": "KOMATSU-930E-001"}', "UNKNOWN_FAULT", "overspeed, overheating"),
    (b'{"command": "fault", "vehicle_id": "KOMATSU-930E-001", "kind": "fire"}', "UNKNOWN_FAULT", "'fire'"),
    (
        b'{"command": "fault", "vehicle_id": "KOMATSU-930E-001", "kind": "overspeed", "lasts_s": 0}',
        "INVALID_REQUEST",
        '"lasts_s" is 0',
    ),
    (
        b'{"command": "fault", "vehicle_id": "KOMATSU-930E-001", "kind": "overspeed", "lasts_s": 1e9}',
        "INVALID_REQUEST",
        '"lasts_s"',
    ),
    (
        b'{"command": "fault", "vehicle_id": "KOMATSU-930E-001", "kind": "overspeed", "lasts_s": NaN}',
        "INVALID_REQUEST",
        '"lasts_s"',
    ),
    (
        b'{"command": "fault", "vehicle_id": "KOMATSU-930E-001", "kind": "overspeed", "lasts_s": true}',
        "INVALID_REQUEST",
        '"lasts_s"',
    ),
    (b'{"command": "button", "vehicle_id": "KOMATSU-930E-001"}', "INVALID_REQUEST", '"pressed" must be true'),
    (b'{"command": "button", "vehicle_id": "KOMATSU-930E-001", "pressed": 1}', "INVALID_REQUEST", '"pressed"'),
]


@pytest.mark.parametrize(("line", "reason", "told"), BAD)
async def test_a_bad_request_is_answered_and_changes_nothing(
    tmp_path: Path, line: bytes, reason: str, told: str
) -> None:
    async with plant_running(tmp_path) as plant:
        found = answer(plant.host, line)
        assert (found["ok"], found["reason"]) == (False, reason)
        assert told in str(found["message"])
        vehicle = plant.host.vehicle(FIRST)
        assert not vehicle.button
        assert not vehicle.body.active_faults


async def _converse(plant: Running, *pieces: bytes, answers: int) -> list[dict[str, object]]:
    reader, writer = await asyncio.open_unix_connection(str(plant.control))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    found = [json.loads(await asyncio.wait_for(reader.readline(), 5)) for _ in range(answers)]
    writer.close()
    return found


async def test_requests_come_in_lines_however_they_are_cut(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant:
        line = json.dumps({"command": "vehicle", "vehicle_id": FIRST}).encode()
        found = await _converse(plant, line[:5], line[5:] + b"\nrub", b"bish\n" + line + b"\n", answers=3)
        assert [told["ok"] for told in found] == [True, False, True]


async def test_a_line_without_end_is_refused_and_the_caller_cut_off(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant:
        (told,) = await _converse(plant, b"x" * (MAX_LINE_BYTES + 1), answers=1)
        assert told["reason"] == "INVALID_REQUEST"
        assert "4096 bytes" in str(told["message"])
