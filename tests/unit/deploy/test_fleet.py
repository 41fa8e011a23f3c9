import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from haul.command.v1.command_service_pb2 import ListMotionStatesRequest, ListMotionStatesResponse
from haul.command.v1.order_pb2 import MotionState
from haul.telemetry.v1 import telemetry_pb2 as telemetry

from deploy.local import fleet
from deploy.local.errors import StackError
from deploy.local.options import StackOptions
from deploy.local.stack import Stack, describe
from tests.unit.deploy.machine import machine

Resume = Callable[["Site"], None]

ONE, TWO, GONE = "KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003"
BOOT, NONE = telemetry.MOTION_HOLD_BOOT, telemetry.MOTION_HOLD_NONE
STOPPED, LINK_LOST = telemetry.MOTION_HOLD_STOPPED, telemetry.MOTION_HOLD_LINK_LOST


class Site:
    """A command service whose vehicles are resumed at the ``obeys``-th order."""

    def __init__(
        self, holds: dict[str, telemetry.MotionHold.ValueType], *, lost: set[str] | None = None, obeys: int = 1
    ) -> None:
        self.holds, self.lost, self.obeys = dict(holds), lost or set(), obeys
        self.ordered: list[list[str]] = []

    def ListMotionStates(  # noqa: N802 - gRPC's name
        self, request: ListMotionStatesRequest, timeout: float, wait_for_ready: bool
    ) -> ListMotionStatesResponse:
        """One vehicle a page, so that paging is needed."""
        ids = sorted(self.holds)
        page = int(request.page_token or 0)
        lost = ids[page] in self.lost
        state = MotionState(
            vehicle_id=ids[page],
            motion_hold=self.holds[ids[page]],
            connectivity=telemetry.CONNECTIVITY_LOST if lost else telemetry.CONNECTIVITY_CONNECTED,
        )
        return ListMotionStatesResponse(
            motion_states=[state], next_page_token=str(page + 1) if page + 1 < len(ids) else ""
        )

    def order(self, stack: Stack, step: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        named = [word for word in command if word in self.holds]
        self.ordered.append(named)
        if len(self.ordered) < self.obeys:
            return subprocess.CompletedProcess(command, 1, "", "HEARTBEAT_TOO_OLD")
        self.holds |= dict.fromkeys(named, NONE)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resume:
    stack = describe(StackOptions(tmp_path / "home", vehicles=2), machine(tmp_path), first_start=True)

    def run(site: Site) -> None:
        @contextmanager
        def service(stack: Stack) -> Iterator[Site]:
            yield site

        monkeypatch.setattr(fleet, "_command_service", service)
        monkeypatch.setattr(fleet, "_run", site.order)
        fleet.resume(stack)

    return run


@pytest.mark.parametrize(
    ("sentence", "holds", "ordered"),
    [
        ("after a boot all are resumed", {ONE: BOOT, TWO: BOOT}, [[ONE, TWO]]),
        ("a lost link is ended too", {ONE: LINK_LOST, TWO: NONE}, [[ONE]]),
        ("a stop is not for us to end", {ONE: STOPPED, TWO: BOOT}, [[TWO]]),
        ("where nobody is held there is no order", {ONE: NONE, TWO: NONE}, []),
        ("vehicles of an earlier stack are none of ours", {ONE: BOOT, TWO: BOOT, GONE: BOOT}, [[ONE, TWO]]),
    ],
)
def test_resume(
    resume: Resume, sentence: str, holds: dict[str, telemetry.MotionHold.ValueType], ordered: list[list[str]]
) -> None:
    site = Site(holds, lost={GONE})
    resume(site)
    assert site.ordered == ordered


def test_an_order_that_came_too_late_is_given_again(resume: Resume) -> None:
    site = Site({ONE: BOOT, TWO: BOOT}, obeys=3)
    resume(site)
    assert site.ordered == [[ONE, TWO]] * 3


def test_who_is_not_connected_in_time_is_named(resume: Resume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "CONNECTED_WITHIN_S", 0.0)
    with pytest.raises(StackError, match=TWO) as caught:
        resume(Site({ONE: BOOT, TWO: BOOT}, lost={TWO}))
    assert ONE not in str(caught.value)


def test_who_is_not_resumed_in_time_is_named_with_the_reason(resume: Resume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "RESUMED_WITHIN_S", 0.0)
    with pytest.raises(StackError, match="HEARTBEAT_TOO_OLD"):
        resume(Site({ONE: BOOT, TWO: BOOT}, obeys=1_000))
