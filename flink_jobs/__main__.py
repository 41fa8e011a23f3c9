"""python -m flink_jobs --config FILE [keep | submit | sql]

keep (the default): the process that keeps the job running on the cluster. submit: hand the job over once, from its last
checkpoint. sql: print what would run.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from flink_jobs import checkpoints
from flink_jobs.cluster import Cluster, ClusterUnreachable
from flink_jobs.job import compose
from flink_jobs.keeper import GaveUp, Keeper, Submission, SubmissionFailed
from flink_jobs.settings import InvalidSettings, Settings
from flink_jobs.status import PortTaken, Status, serve
from flink_jobs.submit import AlreadyThere, JarsMissing, fingerprint, jars, submit

#: As pitwall.exits has them; of pitwall only the domain may be imported here.
EXITS: Final[dict[type[Exception], int]] = {
    GaveUp: 1,
    AlreadyThere: 1,
    ClusterUnreachable: 69,
    JarsMissing: 69,
    PortTaken: 71,
    InvalidSettings: 78,
}

LOOK_EVERY_S: Final = 0.5
SUBMISSION_TIMEOUT_S: Final = 120
_POLL_S: Final = 0.1
#: A JVM that lives for seconds gains nothing from the optimizing compiler.
_SHORT_LIVED_JVM: Final = {"JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
_LAST_WORDS: Final = 2_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m flink_jobs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", type=Path, required=True, help="settings, see flink_jobs/settings.py")
    parser.add_argument("command", nargs="?", default="keep", choices=("keep", "submit", "sql"))
    parsed = parser.parse_args(arguments)
    try:
        settings = Settings.load(parsed.config, os.environ)
        if parsed.command == "sql":
            print(compose(settings.kafka))
        elif parsed.command == "submit":
            # Its keeper may be killed and not end it any more.
            signal.alarm(SUBMISSION_TIMEOUT_S)
            print(json.dumps(asdict(submit(settings))))
        else:
            keep(settings, parsed.config)
    except tuple(EXITS) as error:
        log("given up", reason=str(error))
        return EXITS[type(error)]
    return 0


def keep(settings: Settings, config: Path) -> None:
    """Returns on SIGTERM; the job goes on. Raises GaveUp, JarsMissing and PortTaken."""
    jars()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    submit_apart = partial(_submit_apart, config, ended)
    version = fingerprint(settings)
    keeper = Keeper(Cluster(settings.flink_address), settings.name, version, submit_apart, log)
    state = checkpoints.directory(settings.checkpoint_dir, version)

    def status() -> Status:
        checkpointed_s = checkpoints.completed_s(state)
        return Status(keeper.trouble, keeper.submissions, keeper.failed_submissions, checkpointed_s)

    server = serve(settings.metrics_address, status)
    try:
        while not ended.is_set():
            keeper.look()
            ended.wait(LOOK_EVERY_S)
    finally:
        server.shutdown()


def _submit_apart(config: Path, ended: threading.Event) -> Submission:
    """In a process of its own, so that PyFlink's JVM doesn't stay for as long as the job runs."""
    command = [sys.executable, "-m", "flink_jobs", "--config", str(config), "submit"]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | _SHORT_LIVED_JVM)
    deadline = time.monotonic() + SUBMISSION_TIMEOUT_S
    while True:
        try:
            said, complained = child.communicate(timeout=_POLL_S)
            break
        except subprocess.TimeoutExpired:
            if ended.is_set() or time.monotonic() > deadline:
                child.kill()
    if child.returncode != 0:
        words = f"{complained.strip()} {said.strip()}".strip()
        raise SubmissionFailed(f"exit code {child.returncode}: {words[-_LAST_WORDS:]}")
    return Submission(**json.loads(said.splitlines()[-1]))


def log(event: str, **details: object) -> None:
    """One JSON object a line on standard output, as the services log."""
    line = {"timestamp": datetime.now(UTC).isoformat(), "service": "stream-jobs", "event": event, **details}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
