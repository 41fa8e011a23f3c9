"""`python -m tests.bench.hostile [--kind KIND] [--seed SEED]`: what healthy vehicles notice of badly behaved ones.

Twenty healthy vehicles bring a thousand readings a second in all to one gateway. Beside them, kind by kind, ten others
that never read, flood, send too large messages, come and go, send garbage or changed frames, from a process of
low priority: on a machine of its own it would not take processor time from those that are measured. The time from a
batch to its ack is taken before, meanwhile and afterwards.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from deploy.local.options import Server
from pitwall import devca
from tests.bench.figures import Figure, figure, publish
from tests.integration.stacks import RunningStack, running
from tests.support.good_vehicles import Others, good_vehicles
from tests.support.hostile_vehicles import KINDS, Attack, hostile
from tests.support.processor import processor_s

GOOD = [f"GOOD-{number:03d}" for number in range(20)]
BAD = tuple(f"BAD-{number:03d}" for number in range(10))
SEED = 1
MEASURED_S = 10.0
SETTLE_S = 2.0


def quiet(others: Others) -> list[float]:
    with others.measuring() as measured:
        time.sleep(MEASURED_S)
    return measured.took_s


def beside(others: Others, kind: str, attack: Attack) -> tuple[list[float], dict[str, int]]:
    """What the others' batches took, and what came of the attack."""
    with hostile(kind, attack) as attackers:
        time.sleep(SETTLE_S)
        with others.measuring() as measured:
            time.sleep(MEASURED_S)
        came = attackers.tell()
    time.sleep(SETTLE_S)
    return measured.took_s, came


def measure(stack: RunningStack, kinds: Sequence[str], seed: int) -> tuple[list[Figure], dict[str, float]]:
    devca.ensure(stack.home, vehicles=[*GOOD, *BAD])
    address, pid = stack.address("gateway-1"), [stack.pid("gateway-1")]
    figures, told = [], dict[str, float]()
    with good_vehicles(stack.home, address, GOOD) as others:
        time.sleep(SETTLE_S)
        before = quiet(others)
        for kind in kinds:
            spent_s, began_s = processor_s(pid), time.monotonic()
            took_s, came = beside(others, kind, Attack(stack.home, address, BAD, seed))
            percent = 100 * (processor_s(pid) - spent_s) / (time.monotonic() - began_s)
            after = quiet(others)
            alone = figure(f"… without them, before and after ({kind})", before + after)
            meanwhile = figure(f"beside ten that {kind}", took_s)
            figures += [meanwhile, alone]
            told[f"{kind}: p99 against that without them"] = meanwhile.p99_ms / alone.p99_ms
            told[f"{kind}: processor time of the gateway, % of a core"] = percent
            told |= {f"{kind}: {what}": number for what, number in sorted(came.items())}
            before = after
            print(f"{kind}: p99 {alone.p99_ms:.1f} ms without, {meanwhile.p99_ms:.1f} ms beside them", flush=True)
    assert stack.pid("gateway-1") == pid[0], "the gateway has been started anew"
    return figures, told


def run(kinds: Sequence[str] = tuple(KINDS), seed: int = SEED) -> None:
    with running("hostile", vehicles=0, gateways=1, servers=frozenset({Server.KAFKA}), picture=False) as stack:
        figures, told = measure(stack, kinds, seed)
        publish("hostile", figures, seed=seed, beside=told)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), help="just this one")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    run([options.kind] if options.kind else tuple(KINDS), options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
