"""Agent and plant on one socket: verdicts down, samples up, and each survives the other."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from edge_agent.simulator.agent_link import AgentLink
from edge_agent.simulator.plant_vehicle import CAUSE_AGENT_GONE
from edge_agent.simulator.unix_socket import SocketPathTaken, SocketPathTooLong, listen
from edge_agent.vehicle_socket import VehicleSocket
from edge_agent.vehicle_wire import FrameKind, FrameReader, hello, pack_verdict, read_verdicts, verdicts, welcome
from pitwall.clock import boottime_s
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.edge_agent.rig import verdict
from tests.unit.edge_agent.sim_host import IDS, TIMEOUT_S, Running, agent_running, next_sample, plant_running, until

FIRST, SECOND = IDS


def drive(agent: VehicleSocket, *ids: str) -> None:
    for vehicle_id in ids:
        agent.vehicle(vehicle_id).apply(verdict(deadline_s=boottime_s() + 0.9))


def stop(agent: VehicleSocket, vehicle_id: str) -> float:
    now_s = boottime_s()
    denial = verdict(VehicleStatus.EMERGENCY_STOP, may_move=False, deadline_s=now_s + 0.3, cause="stop 1")
    agent.vehicle(vehicle_id).apply(denial)
    return now_s


async def test_samples_come_ten_times_a_second_without_being_asked_for(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        assert agent.vehicle(FIRST) is agent.vehicle(FIRST)
        times = [(await next_sample(agent.vehicle(SECOND))).measured_s for _ in range(6)]
        assert 0.3 < times[-1] - times[0] < 1.5
        sample = agent.vehicle(FIRST).sample
        assert sample is not None
        assert sample.braking
        assert sample.speed_kph == 0
        assert sample.position is not None


async def test_a_vehicle_that_is_not_hosted_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        VehicleSocket(tmp_path / "v.sock", IDS).vehicle("OTHER-01")


async def test_a_verdict_moves_its_vehicle_and_no_other(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        await until(lambda: agent.connected, "connected")
        drive(agent, SECOND)
        await next_sample(agent.vehicle(SECOND), lambda s: (s.speed_kph or 0) > 0.5)
        first = agent.vehicle(FIRST).sample
        assert first is not None
        assert first.speed_kph == 0
        assert first.braking


@pytest.mark.alone
async def test_a_denial_is_measured_at_once_and_written_at_once(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        await until(lambda: agent.connected, "connected")
        waits = []
        for _ in range(5):
            drive(agent, FIRST)
            await next_sample(agent.vehicle(FIRST), lambda s: not s.braking and (s.speed_kph or 0) > 0)
            ordered_s = stop(agent, FIRST)
            sample = await next_sample(agent.vehicle(FIRST), lambda s: s.braking)
            waits.append(boottime_s() - ordered_s)
            assert sample.measured_s >= ordered_s
        # Steps are 100 ms apart: one that waits for its step can't be this quick every time.
        assert sorted(waits)[2] < 0.03


@pytest.mark.alone
async def test_a_vehicle_brakes_at_the_deadline_and_not_with_the_step_after_it(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        await until(lambda: agent.connected, "connected")
        late = []
        for _ in range(7):
            # Its first step comes within 100 ms, and is seen by then also on a busy machine.
            deadline_s = boottime_s() + 0.23
            agent.vehicle(FIRST).apply(verdict(deadline_s=deadline_s))
            await next_sample(agent.vehicle(FIRST), lambda s: not s.braking)
            sample = await next_sample(agent.vehicle(FIRST), lambda s: s.braking)
            late.append(sample.measured_s - deadline_s)
        assert min(late) >= 0
        # Steps are 100 ms apart.
        assert sorted(late)[3] < 0.02
        assert plant.host.brakings_by_itself == 7


async def test_verdicts_for_a_plant_that_does_not_read_are_dropped_and_counted(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "v.sock"))
        listener.listen()
        listener.setblocking(False)
        async with agent_running(tmp_path / "v.sock") as agent:
            hung, _ = await asyncio.get_running_loop().sock_accept(listener)
            hung.sendall(welcome())
            await until(lambda: agent.connected, "connected")
            for _ in range(25):
                agent.begin()
                drive(agent, *[FIRST] * 2_000)
                agent.flush()
            assert agent.dropped > 0
            # What was not dropped arrives whole, also where the socket took half a frame.
            hung.setblocking(False)
            reader, arrived = FrameReader(), 0
            while arrived < 50_000 - agent.dropped:
                data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(hung, 65_536), 5)
                arrived += sum(
                    len(list(read_verdicts(body))) for kind, body in reader.feed(data) if kind is FrameKind.VERDICTS
                )
            hung.close()


async def test_a_tick_leaves_in_one_frame(tmp_path: Path) -> None:
    frames: list[tuple[FrameKind, bytes]] = []

    class FakePlant(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport, self.reader = transport, FrameReader()

        def data_received(self, data: bytes) -> None:
            for kind, body in self.reader.feed(data):
                frames.append((kind, bytes(body)))
                if kind is FrameKind.HELLO:
                    self.transport.write(welcome())  # type: ignore[attr-defined]

    server = await listen(tmp_path / "v.sock", FakePlant)
    async with agent_running(tmp_path / "v.sock") as agent:
        await until(lambda: agent.connected, "connected")
        agent.begin()
        drive(agent, FIRST, SECOND)
        stop(agent, FIRST)
        agent.flush()
        drive(agent, SECOND)
        await until(lambda: len(frames) == 3, "three frames")
    server.close()
    tick, single = ([index for index, _ in read_verdicts(memoryview(body))] for _, body in frames[1:])
    assert (tick, single) == ([0, 1, 0], [1])


async def test_verdicts_without_a_connection_are_dropped_and_counted(tmp_path: Path) -> None:
    agent = VehicleSocket(tmp_path / "v.sock", IDS)
    drive(agent, FIRST)
    agent.begin()
    drive(agent, FIRST, SECOND)
    agent.flush()
    agent.flush()
    assert agent.dropped == 3


async def test_when_the_agent_goes_its_vehicles_brake_at_once(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant:
        async with agent_running(plant.socket) as agent:
            await until(lambda: agent.connected, "connected")
            drive(agent, FIRST)
            await until(lambda: plant.host.vehicle(FIRST).permitted, "permitted")
        await until(lambda: plant.host.vehicle(FIRST).state().cause == CAUSE_AGENT_GONE, "braked")
        assert plant.host.vehicle(FIRST).state().brake


async def test_the_plant_survives_its_agents_and_serves_the_next_one(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant:
        for _ in range(3):
            async with agent_running(plant.socket) as agent:
                await until(lambda agent=agent: agent.connected, "connected")  # type: ignore[misc]
                drive(agent, FIRST)
                await next_sample(agent.vehicle(FIRST), lambda s: not s.braking)


async def test_the_agent_survives_the_plant_and_finds_the_next_one(tmp_path: Path) -> None:
    async with agent_running(tmp_path / "v.sock") as agent:
        for _ in range(2):
            await until(lambda: "start edge_agent.simulator" in agent.problem, "says what is missing")
            assert not agent.connected
            async with plant_running(tmp_path):
                await until(lambda: agent.connected, "connected")
                assert agent.problem == ""
                await next_sample(agent.vehicle(FIRST))
            (tmp_path / "v.sock").unlink(missing_ok=True)


async def test_a_plant_without_that_vehicle_says_so(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket, (FIRST, "OTHER-01")) as agent:
        await until(lambda: "OTHER-01" in agent.problem, "the vehicle is named")
        assert FIRST in agent.problem  # and those that there are
        assert not agent.connected
        assert not plant.host.health()["agents"].ok


async def test_a_hung_plant_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.vehicle_socket.WELCOME_WITHIN_S", 0.05)
    server = await listen(tmp_path / "v.sock", asyncio.Protocol)
    async with agent_running(tmp_path / "v.sock") as agent:
        await until(lambda: "doesn't answer" in agent.problem, "says so")
        assert not agent.connected
    server.close()


async def test_the_newest_connection_has_the_vehicle(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as older:
        await until(lambda: older.connected, "connected")
        drive(older, FIRST)
        vehicle = plant.host.vehicle(FIRST)
        await until(lambda: vehicle.permitted, "permitted")
        async with agent_running(plant.socket, (FIRST,)) as newer:
            await until(lambda: newer.connected, "connected")
            assert not vehicle.permitted
            drive(older, FIRST, SECOND)
            await until(lambda: plant.host.vehicle(SECOND).permitted, "the other one still obeys")
            assert not vehicle.permitted
            drive(newer, FIRST)
            await until(lambda: vehicle.permitted, "permitted")
        await until(lambda: not vehicle.permitted, "braked")


# Broken and slow peers


async def _raw(plant: Running, *data: bytes) -> bytes:
    """What the plant says to those bytes, to the end."""
    reader, writer = await asyncio.open_unix_connection(str(plant.socket))
    writer.write(b"".join(data))
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


BROKEN = [
    ("another protocol", [b"GET / HTTP/1.1\r\n\r\n"], b"broken frame"),
    ("verdicts before HELLO", [verdicts([])], b"VERDICTS is out of place"),
    ("two HELLOs", [hello(IDS), hello(IDS)], b"HELLO is out of place"),
    ("a frame that only the plant sends", [hello(IDS), welcome()], b"WELCOME is out of place"),
    ("a vehicle beyond the list", [hello(IDS), verdicts([pack_verdict(2, verdict())])], b"vehicle 2 of 2"),
    ("an unknown vehicle", [hello(["OTHER-01"])], b"no vehicle 'OTHER-01'"),
]


@pytest.mark.parametrize(("what", "data", "told"), BROKEN)
async def test_a_broken_agent_is_told_why_and_cut_off(
    tmp_path: Path, what: str, data: list[bytes], told: bytes
) -> None:
    async with plant_running(tmp_path) as plant:
        assert told in await _raw(plant, *data), what
        assert not plant.host.vehicle(FIRST).permitted
        async with agent_running(plant.socket) as agent:
            await until(lambda: agent.connected, "the plant serves the next one")


class FakeTransport:
    """Only what a link uses."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False


async def test_an_agent_that_does_not_read_misses_samples_and_then_gets_the_latest(tmp_path: Path) -> None:
    async with plant_running(tmp_path) as plant:
        link, transport = AgentLink(plant.host), FakeTransport()
        link.connection_made(transport)  # type: ignore[arg-type]
        link.data_received(hello(IDS))
        vehicles = plant.host.vehicles
        link.pause_writing()
        before = len(transport.written)
        for _ in range(1_000):
            link.send_samples(vehicles)
        assert len(transport.written) == before
        assert link.skipped == 2_000
        link.resume_writing()
        link.send_samples(vehicles)
        assert len(transport.written) == before + 1
        link.connection_lost(None)


async def test_a_hung_agent_does_not_hold_the_plant(tmp_path: Path) -> None:
    """It connects, and never reads: the socket fills, and the others are served."""
    async with plant_running(tmp_path) as plant:
        hung = socket.socket(socket.AF_UNIX)
        hung.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        hung.connect(str(plant.socket))
        hung.sendall(hello([FIRST]))
        async with agent_running(plant.socket, (SECOND,)) as agent:
            await until(lambda: plant.host.health()["agents"].ok and agent.connected, "both there")
            for _ in range(20_000):
                plant.host._send([plant.host.vehicle(FIRST)])
            assert plant.host._links[FIRST].skipped > 0
            drive(agent, SECOND)
            await next_sample(agent.vehicle(SECOND), lambda s: not s.braking)
        hung.close()


# The path of a socket


async def test_a_socket_of_a_living_process_is_not_taken_over(tmp_path: Path) -> None:
    server = await listen(tmp_path / "v.sock", asyncio.Protocol)
    with pytest.raises(SocketPathTaken, match=r"v\.sock is taken by a running process"):
        await listen(tmp_path / "v.sock", asyncio.Protocol)
    server.close()


async def test_a_socket_of_a_dead_process_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "v.sock"))
    server = await listen(tmp_path / "v.sock", asyncio.Protocol)
    assert (tmp_path / "v.sock").stat().st_mode & 0o777 == 0o600
    server.close()


async def test_a_path_that_the_kernel_cannot_name_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(SocketPathTooLong, match="PITWALL_HOME"):
        await listen(tmp_path / ("x" * 100) / "v.sock", asyncio.Protocol)


async def test_a_listener_that_fails_costs_no_other_vehicle_its_sample(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a listener's fault")

    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        agent.vehicle(FIRST).on_sample = fail
        await next_sample(agent.vehicle(SECOND))
        await next_sample(agent.vehicle(SECOND))
        assert agent.connected
        assert agent.vehicle(FIRST).sample is not None
        assert agent.failures >= 1
        agent.vehicle(FIRST).on_gone = fail
        gone = asyncio.Event()
        agent.vehicle(SECOND).on_gone = gone.set
        before = agent.failures
        plant.host.stop()
        await asyncio.wait_for(gone.wait(), TIMEOUT_S)
        assert agent.failures > before


async def test_one_agent_too_many_is_refused_and_those_that_are_there_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.simulator.host.MOST_LINKS", 2)
    async with plant_running(tmp_path) as plant, agent_running(plant.socket, (FIRST,)) as agent:
        await until(lambda: agent.connected, "connected")
        _, silent = await asyncio.open_unix_connection(plant.socket)
        async with agent_running(plant.socket, (SECOND,)) as third:
            await until(lambda: "2 agents are connected" in third.problem, "refused")
            assert agent.connected
            silent.close()
            await until(lambda: third.connected, "a place is free")


async def test_a_connection_that_ends_is_told_once_and_before_the_next_one(tmp_path: Path) -> None:
    told: list[str] = []
    async with plant_running(tmp_path) as plant, agent_running(plant.socket) as agent:
        agent.vehicle(FIRST).on_gone = lambda: told.append("first")
        agent.vehicle(SECOND).on_gone = lambda: told.append(f"second, connected {agent.connected}")
        await until(lambda: agent.connected, "connected")
        assert told == [], "the first connection is no loss"
        plant.host.stop()
        await until(lambda: len(told) == 2, "told")
        await until(lambda: agent.connected, "connected again")
    assert told == ["first", "second, connected False"]


async def test_a_stop_reaches_the_plant_while_the_agents_loop_is_still_busy(tmp_path: Path) -> None:
    received = threading.Event()

    def hear(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(welcome())
        connection.recv(65_536)
        received.set()
        connection.close()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "v.sock"))
        listener.listen()
        thread = threading.Thread(target=hear, args=(listener,))
        thread.start()
        async with agent_running(tmp_path / "v.sock") as agent:
            await until(lambda: agent.connected, "connected")
            stop(agent, FIRST)
            # Nothing is awaited in between: the loop has had no turn.
            assert received.wait(5)
        thread.join()
