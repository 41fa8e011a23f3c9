"""`make bench`: starts stacks of its own, measures, prints tables, writes JSON to .pitwall/bench/.

First the line alone, then with all of the picture beside it: that is where the stop path must notice nothing. Last a
stop of a whole fleet, what it costs to keep a large one permitted, how soon it is back after a kill of all gateways,
what healthy vehicles notice of badly behaved ones, what one vehicle's agent costs, telemetry as much as one gateway
takes, and the stream jobs on a topic full of it.
"""

import sys

from deploy.local.options import Server
from tests.bench import (
    all_stop,
    hostile,
    picture,
    returning,
    sample_to_kafka,
    single_stops,
    staying_permitted,
    vehicle_agent,
)
from tests.bench.figures import publish
from tests.bench.streams import __main__ as streams
from tests.bench.telemetry import __main__ as telemetry
from tests.integration.stacks import RunningStack, running

SEED = 1
VEHICLES = 50
#: Beside the picture; the line alone has more.
STOPS_BESIDE_THE_PICTURE = 300


def main() -> int:
    fleet: dict[str, object] = {"vehicles": VEHICLES, "rate_hz": 1.0, "seed": SEED, "command_services": 3}
    with running("bench", **fleet, servers=frozenset({Server.KAFKA})) as stack:
        publish("sample-to-kafka", sample_to_kafka.measure(stack.kafka_bootstrap), seed=SEED)
        _stops("single-stops", stack, single_stops.STOPS)
    with running("bench-picture", **fleet) as stack:
        picture.measure(stack)
        _stops("single-stops-beside-the-picture", stack, STOPS_BESIDE_THE_PICTURE)
    all_stop.run()
    all_stop.run(all_stop.BUSY_VEHICLES, all_stop.BUSY_HZ)
    staying_permitted.run()
    returning.run()
    hostile.run()
    vehicle_agent.run()
    telemetry.run()
    streams.run()
    return 0


def _stops(name: str, stack: RunningStack, stops: int) -> None:
    publish(name, single_stops.measure(stack, list(stack.options.vehicle_ids), stops), seed=SEED)


if __name__ == "__main__":
    sys.exit(main())
