"""Where releases are agreed to: whoever agrees to one of two that bear one id is told so at once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from haul.command.v1 import command_service_pb2 as command_pb2

from command_service.effects import approval
from command_service.hub import Hub, moment
from command_service.journal import Journal
from command_service.release_desk import ReleaseDesk
from command_service.store import Store
from pitwall.domain.stop_set import SetDelta
from pitwall.ids import uuid7
from pitwall.rpc.errors import AlreadyExists
from pitwall.tokens import Person, Role
from tests.unit.command_service.samples import at, core_with, release, stop

OURS, THEIRS = uuid7(), uuid7()
ANNA, BERT = Person("anna", frozenset({Role.OPERATOR})), Person("bert", frozenset({Role.SUPERVISOR}))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """One of three; both stops are known."""
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=True))
    hub = Hub(core_with(members=("c1", "c2", "c3")), journal)
    hub.core.told(SetDelta((stop(OURS), stop(THEIRS))), (), "c2", at())
    hub.carry_out()
    yield hub
    await journal.close(5)


async def requested(desk: ReleaseDesk) -> str:
    request = command_pb2.RequestReleaseRequest(stop_ids=[OURS], reason="area is clear")
    return (await desk.request(request, ANNA)).release.release_id


async def test_who_agrees_to_one_of_two_of_an_id_is_told_that_the_other_one_is_there(hub: Hub) -> None:
    desk = ReleaseDesk(hub, 2)
    release_id = await requested(desk)
    entry = hub.core.releases.get(release_id)
    assert entry is not None
    hub.core.approve(replace(entry.release, approved_by="bert"), moment())
    rival = release(release_id, THEIRS, approved_by="carl")
    hub.core.told(SetDelta(), [rival], "c2", moment())
    hub.carry_out()
    with pytest.raises(AlreadyExists) as refused:
        await desk.approve(command_pb2.ApproveReleaseRequest(release_id=release_id), BERT)
    assert (refused.value.reason, release_id in str(refused.value)) == ("RELEASE_ID_REUSED", True)
    assert not hub.core.vouches(approval(rival))
    assert hub.core.stops.is_active(OURS)


async def test_who_looks_at_the_list_and_agrees_gets_what_the_list_shows(hub: Hub) -> None:
    """Somebody has agreed elsewhere to another one of that id, and nobody to the one that was asked for here."""
    desk = ReleaseDesk(hub, 2)
    release_id = await requested(desk)
    rival = release(release_id, THEIRS, approved_by="carl")
    hub.core.told(SetDelta(), [rival], "c2", moment())
    entry = hub.core.releases.get(release_id)
    assert entry is not None
    assert (entry.current.stop_ids, entry.current.approved_by) == (frozenset({THEIRS}), "")
    hub.core.journaled(approval(rival), "c1", moment())
    hub.core.journaled(approval(rival), "c2", moment())
    hub.carry_out()
    assert (await desk.approve(command_pb2.ApproveReleaseRequest(release_id=release_id), BERT)).current == rival
    assert (hub.core.stops.is_active(OURS), hub.core.stops.is_active(THEIRS)) == (True, False)
