from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.health import await_healthy
from deploy.local.places import Places
from deploy.local.process import Group, Process
from deploy.local.supervisor import ProcessState


@dataclass
class Scripted:
    """A probe that gives these answers one after another, then the last one for ever."""

    answers: list[str | None]
    asked: int = field(default=0)

    def check(self) -> str | None:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def process(name: str, *answers: str | None) -> Process:
    return Process(name, ("true",), Group.LINE, Scripted(list(answers)), {}, Path("/"))


def state(name: str, word: str, pid: int = 1) -> ProcessState:
    return ProcessState(name, "line", word, pid, "exited too quickly")


def test_it_returns_when_each_one_has_been_healthy(tmp_path: Path) -> None:
    slow, quick = process("slow", "no", "no", None), process("quick", None)
    await_healthy([slow, quick], Places(tmp_path), list, within_s=60)
    assert isinstance(quick.health, Scripted)
    assert quick.health.asked == 1


def test_after_the_time_it_names_who_is_not_why_and_the_end_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/kafka.log").write_text("first line\nlast line\n")
    with pytest.raises(StackError) as caught:
        await_healthy([process("kafka", "refused"), process("redis", None)], Places(tmp_path), list, 0)
    text = str(caught.value)
    assert "kafka: refused" in text
    assert "last line" in text
    assert "redis" not in text


def test_one_that_the_supervisor_gave_up_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="kafka doesn't stay up"):
        await_healthy([process("kafka", "no")], Places(tmp_path), lambda: [state("kafka", "FATAL")], 3600)


def test_one_that_dies_at_each_start_is_not_waited_for(tmp_path: Path) -> None:
    pids: Iterator[int] = iter(range(1, 1_000))
    with pytest.raises(StackError, match="kafka doesn't stay up"):
        await_healthy(
            [process("kafka", "no")], Places(tmp_path), lambda: [state("kafka", "STARTING", next(pids))], 3600
        )


def test_another_process_in_trouble_is_nobody_s_business_here(tmp_path: Path) -> None:
    await_healthy([process("kafka", "no", None)], Places(tmp_path), lambda: [state("agents", "FATAL")], 60)
