"""An agents' process is killed while it writes, again and again: what its disk had is in Kafka in the end."""

import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, Outbox
from tests.chaos.line import say
from tests.chaos.telemetry.yard import Agents, Yard, until
from tests.support.checker import Identity, tails

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

#: Two hundred readings a second: at each moment one is on its way to the disk.
VEHICLES = 20
KILLS = 50
#: From the first reading of a boot to the kill at most, seconds.
LIVES_S = 0.6
#: Readings of one vehicle that a kill may find between its plant file, which is written first, and the disk's sync: of
#: a second, where the cores have other work.
IN_HAND = 10
WITHIN_S = 60.0


def test_agents_killed_in_the_middle_of_writing_lose_nothing_that_was_on_disk(yard: Yard) -> None:
    rng = random.Random(2)
    with yard.agents("agents-killed", 1, VEHICLES) as agents:
        judge = yard.judge(agents)
        began_s, on_disk = time.monotonic(), set[Identity]()
        for _ in range(KILLS):
            write(agents)
            time.sleep(rng.uniform(0.0, LIVES_S))
            agents.kill()
            on_disk |= left_on_disk(agents)
            judge.look(0.01)
        took_s = time.monotonic() - began_s
        agents.start()
        agents.await_connected()
        killed = {identity for identity, _ in judge.generated()}
        newest = max(epoch for _, epoch, _ in killed)
        verdict, _ = judge.await_all(WITHIN_S)
        while left := [i for i in verdict.lost if i[1] >= newest]:
            judge.look(0.5)
            verdict = judge.verdict(killed)
            assert time.monotonic() < began_s + took_s + 2 * WITHIN_S, f"not there: {left[:3]}"
        judge.close()
    in_hand, lost = tails(verdict.lost, killed, IN_HAND)
    say(
        f"{agents.starts - 1} kills of an agents' process with {VEHICLES} vehicles at 10 Hz in {took_s:.0f} s: "
        f"{replace(verdict, lost=lost).figures}; {len(in_hand)} more were being written at a kill and never on disk"
    )
    assert not (gone := on_disk & {*in_hand, *lost}), f"they were on disk: {sorted(gone)[:3]}"
    assert not lost, f"not at the end of their boot: {lost[:3]}"
    assert not verdict.corrupt
    assert not verdict.foreign


def write(agents: Agents) -> None:
    """Starts it; returns when the first reading of this boot is being written."""
    file = agents.folder / "plant" / f"{agents.vehicle_ids[0]}.readings"
    before = size(file)
    agents.start()
    until(lambda: size(file) > before, "a reading is written")


def left_on_disk(agents: Agents) -> set[Identity]:
    """What the killed process has left there without an ack. Looked at in a copy: the files stay as they are."""
    data = agents.folder / "data"
    with TemporaryDirectory() as folder:
        for file in data.glob("outbox.sqlite*"):
            shutil.copy(file, folder)
        outbox = Outbox(Path(folder) / "outbox.sqlite", Bounds(1 << 30, 86_400.0), Moment.now())
        pending = {vehicle_id: outbox.pending(vehicle_id) for vehicle_id in agents.vehicle_ids}
        outbox.close()
    return {
        (vehicle_id, epoch, sequence)
        for vehicle_id, spans in pending.items()
        for epoch, span in spans
        for sequence in range(span.first, span.last + 1)
    }


def size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
