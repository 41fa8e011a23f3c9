"""Changed frames through the gateway's own code: a slice of what `make soak` does by the hundred thousand."""

import pytest
from google.protobuf.message import DecodeError
from haul.link.v1.vehicle_link_service_pb2 import ConnectRequest

from tests.fuzz.corpus import corpus
from tests.fuzz.mutate import Mutator
from tests.fuzz.target import ROUND, Target, run

SEEDS = range(1, 11)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_comes_ends_by_name_or_is_taken_and_nobody_else_notices(seed: int) -> None:
    """Again: python -m tests.soak --frames=500 --seed=SEED"""
    came = run(seed)
    assert came.total() == ROUND
    assert came["TAKEN"] > ROUND // 4, "most of it gets past the parser"
    assert len(came) > 5, "it ends for one reason and another"


def test_the_corpus_has_every_kind_of_frame_and_good_ones_only() -> None:
    frames = [ConnectRequest.FromString(data) for data in corpus()]
    kinds = {frame.WhichOneof("body") for frame in frames}
    assert kinds == {None, *(field.name for field in ConnectRequest.DESCRIPTOR.oneofs_by_name["body"].fields)}
    target = Target()
    for data, frame in zip(corpus(), frames, strict=True):
        target.take(data, first=frame.HasField("hello"))
        target.settle()
    assert dict(target.came) == {"TAKEN": len(frames)}


def test_a_seed_gives_the_same_frames_and_another_one_others() -> None:
    def frames(seed: int) -> list[bytes]:
        mutator = Mutator(corpus(), ConnectRequest, seed)
        return [mutator.next(first=False) for _ in range(50)]

    assert frames(1) == frames(1)
    assert frames(1) != frames(2)
    assert not set(frames(1)) <= set(corpus())


def test_every_field_of_every_message_is_changed_sooner_or_later() -> None:
    """In whatever is in the corpus: a field that is never touched would be one that is never tested."""
    mutator = Mutator(corpus(), ConnectRequest, 1)
    good, changed = set[tuple[str, str]](), set[tuple[str, str]]()
    for data in corpus():
        good |= {(name, value) for name, value in values(ConnectRequest.FromString(data))}
    for number in range(8_000):
        try:
            frame = ConnectRequest.FromString(mutator.next(first=number % 6 == 0))
        except DecodeError:
            continue
        changed |= {(name, value) for name, value in values(frame) if (name, value) not in good}
    untouched = {name for name, _ in good} - {name for name, _ in changed}
    assert not untouched


def values(message: object) -> list[tuple[str, str]]:
    """(full name of the field, value) of all that is set, at any depth; a bool that is set has only one."""
    found = list[tuple[str, str]]()
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.type == field.TYPE_BOOL:
            continue
        for each in value if field.is_repeated else (value,):
            found += values(each) if field.message_type else [(field.full_name, repr(each))]
    return found


def test_a_defect_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that believes the vehicles' clocks."""
    monkeypatch.setattr("ingest_gateway.clock_offset.Corrector.event_ns", lambda _, event_ns, __: event_ns)
    with pytest.raises(AssertionError):
        [run(seed) for seed in SEEDS]
