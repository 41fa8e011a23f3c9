"""`python -m command_service --config FILE`. SIGTERM: gateways look elsewhere, the journal is written, exit 0."""

import sys
from collections.abc import Sequence
from typing import Final

from command_service.config import CommandSettings
from command_service.service import CommandService
from command_service.store import JournalProblem
from pitwall import program

#: The journal's writer gives the interpreter back to the event loop this often, seconds; 5 ms is Python's default.
SWITCH_INTERVAL_S: Final = 0.0005


def main(arguments: Sequence[str] | None = None) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return program.main(
        "command_service", __doc__, CommandSettings, CommandService, unfit=(JournalProblem,), arguments=arguments
    )


if __name__ == "__main__":
    sys.exit(main())
