"""Makes the Kafka topics that are missing: `python -m ingest_gateway.topics --config FILE`. Repeat freely."""

import argparse
import sys
from pathlib import Path

from ingest_gateway.config import GatewaySettings
from pitwall.exits import EXIT_MISSING
from pitwall.kafka_topics import TopicError, ensure_topics


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ingest_gateway.topics", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the gateway's TOML file")
    parser.add_argument("--replication", type=int, default=1, help="replicas of each topic (3 on a cluster)")
    options = parser.parse_args(arguments)
    settings = GatewaySettings.load(options.config)
    try:
        created = ensure_topics(settings.kafka_bootstrap, replication=options.replication)
    except TopicError as error:
        print(error, file=sys.stderr)
        return EXIT_MISSING
    print(f"created {', '.join(created)}" if created else "all topics are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
