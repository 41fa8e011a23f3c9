"""python -m flink_jobs --config FILE [keep | upgrade | sql]

keep (the default): the process that keeps the job running on the cluster, in the place of an older version. upgrade:
hand the job over once, from the newest state. sql: print what would run.
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

from flink_jobs.cluster import Cluster, ClusterUnreachable
from flink_jobs.job import compose
from flink_jobs.keeper import GaveUp, Keeper, StateLeftBehind, Submission, SubmissionFailed
from flink_jobs.settings import InvalidSettings, Settings
from flink_jobs.status import PortTaken, Status, serve
from flink_jobs.submit import AlreadyThere, JarsMissing, StateUnfit, fingerprint, jars, submit
from flink_jobs.uids import SameName

#: As pitwall.exits has them; of pitwall only the domain may be imported here.
EXITS: Final[dict[type[Exception], int]] = {
    GaveUp: 1,
    AlreadyThere: 1,
    SameName: 1,
    StateLeftBehind: 65,
    StateUnfit: 65,
    ClusterUnreachable: 69,
    JarsMissing: 69,
    PortTaken: 71,
    InvalidSettings: 78,
}

LOOK_EVERY_S: Final = 0.5
#: To plan takes 12 s alone, a savepoint and the end of the old job up to a minute each.
SUBMISSION_TIMEOUT_S: Final = 240
_POLL_S: Final = 0.1
#: A JVM that lives for seconds gains nothing from the optimizing compiler.
_SHORT_LIVED_JVM: Final = {"JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
_LAST_WORDS: Final = 2_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = Settings.load(parsed.config, os.environ)
        if parsed.command == "sql":
            print(compose(settings.kafka))
        elif parsed.command == "upgrade":
            # Its keeper may be killed and not end it any more.
            signal.alarm(SUBMISSION_TIMEOUT_S)
            done = submit(settings, without=parsed.without, without_state=parsed.without_state)
            print(json.dumps(asdict(done)))
        else:
            keep(settings, parsed.config)
    except tuple(EXITS) as error:
        log("given up", reason=str(error))
        return EXITS[type(error)]
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flink_jobs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", type=Path, required=True, help="settings, see flink_jobs/settings.py")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("keep")
    commands.add_parser("sql")
    upgrade = commands.add_parser("upgrade", description=submit.__doc__)
    upgrade.add_argument("--without", metavar="NAME", action="append", default=[], help="state that may be lost")
    upgrade.add_argument("--without-state", action="store_true", help="go on at the offsets committed last")
    return parser


def keep(settings: Settings, config: Path) -> None:
    """Returns on SIGTERM; the job goes on. Raises GaveUp, StateLeftBehind, JarsMissing and PortTaken."""
    jars()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    submit_apart = partial(_submit_apart, config, ended)
    cluster = Cluster(settings.flink_address)
    keeper = Keeper(cluster, settings.name, fingerprint(settings), submit_apart, log)

    def status() -> Status:
        return Status(keeper.trouble, keeper.submissions, keeper.failed_submissions, keeper.checkpointed_s)

    server = serve(settings.metrics_address, status)
    try:
        while not ended.is_set():
            keeper.look()
            ended.wait(LOOK_EVERY_S)
    finally:
        server.shutdown()


def _submit_apart(config: Path, ended: threading.Event) -> Submission:
    """In a process of its own, so that PyFlink's JVM doesn't stay for as long as the job runs."""
    command = [sys.executable, "-m", "flink_jobs", "--config", str(config), "upgrade"]
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
    if child.returncode == EXITS[StateUnfit]:
        raise StateLeftBehind(json.loads(said.splitlines()[-1])["reason"])
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
