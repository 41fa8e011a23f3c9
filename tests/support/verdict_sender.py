"""The least that can drive simulated vehicles: says "move" ten times a second until it is killed.

python -m tests.support.verdict_sender SOCKET VEHICLE…
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_agent.vehicle import Verdict
from edge_agent.vehicle_socket import VehicleSocket
from pitwall.clock import boottime_s
from pitwall.domain.vehicle_state import VehicleStatus

PERIOD_S = 0.1
VERDICT_LIFE_S = 3 * PERIOD_S


async def send(path: Path, vehicle_ids: Sequence[str]) -> None:
    agent = VehicleSocket(path, vehicle_ids)
    connecting = asyncio.create_task(agent.run())
    while not connecting.done():
        deadline_s = boottime_s() + VERDICT_LIFE_S
        agent.begin()
        for vehicle_id in vehicle_ids:
            agent.vehicle(vehicle_id).apply(Verdict(True, deadline_s, VehicleStatus.ROUTING, "", 1, 0))
        agent.flush()
        await asyncio.sleep(PERIOD_S)


if __name__ == "__main__":
    asyncio.run(send(Path(sys.argv[1]), sys.argv[2:]))
