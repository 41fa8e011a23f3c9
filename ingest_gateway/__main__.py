"""`python -m ingest_gateway --config FILE`. SIGTERM: vehicles are asked to move, Kafka is flushed, exit 0."""

import sys
from collections.abc import Sequence

from ingest_gateway.config import GatewaySettings
from ingest_gateway.gateway import Gateway
from pitwall import program


def main(arguments: Sequence[str] | None = None) -> int:
    return program.main("ingest_gateway", __doc__, GatewaySettings, Gateway, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
