"""Makes the journal of a new site, once: `python -m command_service.first_start --config FILE`.

The same as one start with first_start = true, without serving anybody. Where a journal is, or was, nothing is changed.
"""

import argparse
import sys
from pathlib import Path

from command_service.config import CommandSettings
from command_service.store import JournalProblem, Store
from pitwall.exits import EXIT_CONFIG


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m command_service.first_start", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the command service's TOML file")
    settings = CommandSettings.load(parser.parse_args(arguments).config)
    there = settings.journal.exists()
    try:
        Store.open(settings.journal, settings.name, first_start=True).close()
    except JournalProblem as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    print(f"{settings.journal} {'is there already' if there else 'is made'}; start the command service")
    return 0


if __name__ == "__main__":
    sys.exit(main())
