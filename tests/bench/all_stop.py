"""`python -m tests.bench.all_stop [VEHICLES] [RATE_HZ]`: stops in a large fleet, on a stack of its own.

Stops of one vehicle at a time, from EmergencyStop to braking. Then of all of them: how long until the last vehicle has
it, by the vehicles' own logs; until the last one is acknowledged to the operator; and what all servers of the stop path
together spend on it, in processor time.
"""

import argparse
import statistics
import sys
import time

from haul.command.v1 import command_service_pb2 as api
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.command.v1.stop_pb2 import STOP_STAGE_RECEIVED, Scope, WholeFleet

from deploy.local.options import Server
from pitwall.ids import uuid7
from tests.bench import single_stops
from tests.bench.figures import Figure, figure, publish
from tests.integration.stacks import RunningStack, running
from tests.support.commands import command_service
from tests.support.plant import Plant
from tests.support.processor import processor_s

#: Two cores carry about 500 vehicles with their agents and physics beside the servers.
VEHICLES = 300
SEED = 1
ROUNDS = 5
#: Of one vehicle each, among so many of the fleet.
SINGLE_STOPS, STOPPED_SINGLY = 200, 50
#: Readings a second of each vehicle, where the system is otherwise idle, and where it is not.
IDLE_HZ, BUSY_HZ = 0.1, 10.0
#: Two cores carry no more that send so many.
BUSY_VEHICLES = 100
CALL_TIMEOUT_S = 60.0
ALL_WITHIN_S = 30.0
#: Processor time is counted for so long from the stop on, less what the same span costs without one, seconds.
CPU_WINDOW_S = 2.0
#: Between two rounds, until vehicles that were released have nothing more to say, seconds.
SETTLE_S = 5.0


def measure(stack: RunningStack) -> tuple[list[Figure], dict[str, float]]:
    """Times, and processor times by their name with its unit."""
    plant, address = Plant(stack.places.plant), stack.address("command-1")
    by_plant: list[float] = []
    acknowledged: list[float] = []
    last_by_plant: list[float] = []
    last_acknowledged: list[float] = []
    cpu_us: list[float] = []
    with command_service(stack.home, address) as one, command_service(stack.home, address, "supervisor") as other:
        pids = [stack.pid(p.name) for p in stack.stack.processes if p.name.startswith(("gateway-", "command-"))]
        for _ in range(ROUNDS):
            begun_s = processor_s(pids)
            time.sleep(CPU_WINDOW_S)
            before_s = processor_s(pids)
            stop_id, issued_t, told = _stop(one, len(stack.options.vehicle_ids))
            time.sleep(max(0.0, issued_t + CPU_WINDOW_S - time.monotonic()))
            spent_s = (processor_s(pids) - before_s) - (before_s - begun_s)
            reached = _reached(plant, stack.options.vehicle_ids, stop_id, issued_t)
            by_plant += reached
            acknowledged += told
            last_by_plant.append(max(reached))
            last_acknowledged.append(max(told))
            cpu_us.append(1e6 * spent_s / len(told))
            _release(one, other, stop_id)
            time.sleep(SETTLE_S)
    figures = [
        figure("a vehicle has it, by its own log", by_plant),
        figure("... the last vehicle, a round each", last_by_plant),
        figure("a vehicle is acknowledged to the operator", acknowledged),
        figure("... the last vehicle, a round each", last_acknowledged),
    ]
    return figures, {
        "processor time of all servers, µs a stopped vehicle, median": statistics.median(cpu_us),
    }


def _stop(stub: CommandServiceStub, vehicles: int) -> tuple[str, float, list[float]]:
    """The stop, when it was issued (CLOCK_MONOTONIC), and after how long each vehicle's RECEIVED was told."""
    stop_id, seen, told = uuid7(), set[str](), list[float]()
    issued_t = time.monotonic()
    request = api.EmergencyStopRequest(stop_id=stop_id, scope=Scope(fleet=WholeFleet()), reason="bench")
    call = stub.EmergencyStop(request, timeout=CALL_TIMEOUT_S)
    for response in call:
        now_t = time.monotonic()
        new = {v.vehicle_id for v in response.vehicles if v.stage >= STOP_STAGE_RECEIVED} - seen
        seen |= new
        told += [now_t - issued_t] * len(new)
        if len(seen) >= vehicles:
            call.cancel()
            return stop_id, issued_t, told
    raise RuntimeError(f"{len(seen)} of {vehicles} vehicles were told")


def _reached(plant: Plant, vehicle_ids: tuple[str, ...], stop_id: str, issued_t: float) -> list[float]:
    def has_it(vehicle_id: str) -> float:
        held = plant.wait(
            vehicle_id, "the stop has hold of it", lambda line: stop_id in line.cause, timeout_s=ALL_WITHIN_S
        )
        return held.t - issued_t

    return list(map(has_it, vehicle_ids))


def _release(operator: CommandServiceStub, supervisor: CommandServiceStub, stop_id: str) -> None:
    asked = api.RequestReleaseRequest(release_id=uuid7(), stop_ids=[stop_id], reason="bench")
    operator.RequestRelease(asked, timeout=CALL_TIMEOUT_S)
    supervisor.ApproveRelease(api.ApproveReleaseRequest(release_id=asked.release_id), timeout=CALL_TIMEOUT_S)


def measure_singly(stack: RunningStack) -> list[Figure]:
    return single_stops.measure(stack, list(stack.options.vehicle_ids[:STOPPED_SINGLY]), SINGLE_STOPS)


def run(vehicles: int = VEHICLES, rate_hz: float = IDLE_HZ) -> None:
    with running(
        "all-stop",
        vehicles=vehicles,
        rate_hz=rate_hz,
        seed=SEED,
        plant_readings=False,
        command_services=3,
        servers=frozenset({Server.KAFKA}),
    ) as stack:
        publish(f"single-stops-of-{vehicles}-at-{rate_hz:g}-hz", measure_singly(stack), seed=SEED)
        figures, beside = measure(stack)
        publish(f"all-stop-{vehicles}-at-{rate_hz:g}-hz", figures, seed=SEED, beside=beside)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vehicles", type=int, nargs="?", default=VEHICLES)
    parser.add_argument("rate_hz", type=float, nargs="?", default=IDLE_HZ, help="readings a second and vehicle")
    asked = parser.parse_args()
    run(asked.vehicles, asked.rate_hz)
    return 0


if __name__ == "__main__":
    sys.exit(main())
