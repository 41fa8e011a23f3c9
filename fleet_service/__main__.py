"""`python -m fleet_service --config FILE`. SIGTERM: calls under way end, exit 0."""

import sys
from collections.abc import Sequence

from fleet_service.config import FleetSettings
from fleet_service.migrations import WrongMigrations
from fleet_service.service import FleetService
from pitwall import program


def main(arguments: Sequence[str] | None = None) -> int:
    return program.main(
        "fleet_service", __doc__, FleetSettings, FleetService, unfit=(WrongMigrations,), arguments=arguments
    )


if __name__ == "__main__":
    sys.exit(main())
