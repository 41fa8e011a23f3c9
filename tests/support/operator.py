"""An operator at the console: runs the `pitwall` command, as a process or at hand, and reads its JSON."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import console.__main__ as console

#: The command beside the interpreter that runs the tests.
PITWALL = Path(sys.executable).with_name("pitwall")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command printed and how it ended."""

    exit_code: int
    lines: list[Json]
    stderr: str


@dataclass(frozen=True, slots=True)
class Operator:
    """`token`: the name of a file in the stack's tokens/. `home` may be relative to no folder but its own. `at_hand`:
    within this process."""

    home: Path
    token: str = "operator"
    at_hand: bool = False

    def ask(self, *arguments: str, timeout_s: float = 60.0) -> Answer:
        """Runs one command, whatever its exit code."""
        command = [*arguments, "--output", "json", "--token-file", str(self.home / "tokens" / self.token)]
        if self.at_hand:
            return self._ask_at_hand(command)
        done = subprocess.run(
            [str(PITWALL), *command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            cwd=self.home,
            env={"PITWALL_HOME": str(self.home), "PATH": "/usr/bin:/bin"},
        )
        return Answer(done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr)

    def _ask_at_hand(self, command: list[str]) -> Answer:
        told, complained = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, {"PITWALL_HOME": str(self.home)}),
            redirect_stdout(told),
            redirect_stderr(complained),
        ):
            exit_code = console.run(command)
        return Answer(exit_code, [json.loads(line) for line in told.getvalue().splitlines()], complained.getvalue())

    def do(self, *arguments: str, exit_code: int = 0, timeout_s: float = 60.0) -> list[Json]:
        """Runs one command that has to end with this exit code."""
        answer = self.ask(*arguments, timeout_s=timeout_s)
        assert answer.exit_code == exit_code, f"pitwall {' '.join(arguments)}: {answer}"
        return answer.lines

    def as_(self, token: str) -> "Operator":
        """Another person at the same console."""
        return replace(self, token=token)

    def quick(self) -> "Operator":
        """The same console within this process, which starts none: for what is done around what a test looks at."""
        return replace(self, at_hand=True)

    def motion_state(self, vehicle_id: str) -> Json:
        return next(state for state in self.quick().do("motion") if state["vehicleId"] == vehicle_id)

    def release(self, *stop_ids: str) -> None:
        """By two people: asked for by the operator, approved by the supervisor."""
        asked = self.as_("operator").do("release", *stop_ids, "--reason", "area is clear")
        self.as_("supervisor").do("approve", asked[0]["release"]["releaseId"])
