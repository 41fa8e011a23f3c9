"""An operator at the console: runs the real `pitwall` command and reads its JSON."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """`token`: the name of a file in the stack's tokens/. `home` may be relative to no folder but its own."""

    home: Path
    token: str = "operator"

    def ask(self, *arguments: str, timeout_s: float = 60.0) -> Answer:
        """Runs one command, whatever its exit code."""
        command = [str(PITWALL), *arguments, "--output", "json", "--token-file", str(self.home / "tokens" / self.token)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            cwd=self.home,
            env={"PITWALL_HOME": str(self.home), "PATH": "/usr/bin:/bin"},
        )
        return Answer(done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr)

    def do(self, *arguments: str, exit_code: int = 0, timeout_s: float = 60.0) -> list[Json]:
        """Runs one command that has to end with this exit code."""
        answer = self.ask(*arguments, timeout_s=timeout_s)
        assert answer.exit_code == exit_code, f"pitwall {' '.join(arguments)}: {answer}"
        return answer.lines

    def as_(self, token: str) -> "Operator":
        """Another person at the same console."""
        return Operator(self.home, token)

    def motion_state(self, vehicle_id: str) -> Json:
        return next(state for state in self.do("motion") if state["vehicleId"] == vehicle_id)

    def release(self, *stop_ids: str) -> None:
        """By two people: asked for by the operator, approved by the supervisor."""
        asked = self.as_("operator").do("release", *stop_ids, "--reason", "area is clear")
        self.as_("supervisor").do("approve", asked[0]["release"]["releaseId"])
