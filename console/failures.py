"""What can go wrong for somebody at the console: one sentence that says what, one that says what to do.

The exit codes are part of the contract: 0 done, 1 failed, 2 wrong usage, 3 partly done (vehicles pending, unreachable).
"""

import json

from pitwall.exits import EXIT_FAILED, EXIT_PARTLY, EXIT_USAGE

EXIT_DONE = 0


class ConsoleError(Exception):
    """Ends the command with `exit_code`.

    `reason` is UPPER_SNAKE_CASE and stable, for programs. `may_have_happened` is None where the question doesn't arise;
    `repeatable`: doing it again does no harm.
    """

    exit_code = EXIT_FAILED

    def __init__(
        self,
        message: str,
        *,
        fix: str = "",
        reason: str = "FAILED",
        code: str = "",
        may_have_happened: bool | None = None,
        repeatable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.fix, self.repeatable = message, fix, repeatable
        self.reason, self.code, self.may_have_happened = reason, code, may_have_happened

    def text(self) -> str:
        """For people: what, then what to do."""
        lines = [f"pitwall: {self.message}"]
        if self.may_have_happened:
            advice = "to repeat it does no harm" if self.repeatable else "look, don't retry"
            lines.append(f"  It may have happened all the same: {advice}.")
        if self.fix:
            lines.append(f"  What to do: {self.fix}.")
        return "\n".join(lines)

    def json_line(self) -> str:
        """For programs: one object."""
        error: dict[str, object] = {"message": self.message, "reason": self.reason}
        if self.code:
            error["code"] = self.code
        if self.fix:
            error["fix"] = self.fix
        if self.may_have_happened is not None:
            error["mayHaveHappened"] = self.may_have_happened
        return json.dumps({"error": error}, ensure_ascii=False)


class UsageProblem(ConsoleError):
    """The command as it was typed can't be done by anybody."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message, fix=fix, reason="USAGE")


__all__ = ["EXIT_DONE", "EXIT_FAILED", "EXIT_PARTLY", "EXIT_USAGE", "ConsoleError", "UsageProblem"]
