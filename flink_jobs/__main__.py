"""python -m flink_jobs --config FILE [keep | upgrade | recompute --from T --to T | sql]

keep (the default): the process that keeps the job running on the cluster, in the place of an older version. upgrade:
hand the job over once, from the newest state. recompute: the windows of that time from all their readings; those that
differ go out with a revision more. sql: print what would run.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from flink_jobs.apart import ApartFailed, run_apart
from flink_jobs.checkpoints import StateGone
from flink_jobs.cluster import Cluster, ClusterUnreachable
from flink_jobs.history import HistoryGone, HistoryUnreachable
from flink_jobs.job import compose
from flink_jobs.keeper import GaveUp, Keeper, StateLeftBehind, Submission, SubmissionFailed
from flink_jobs.mender import GONE, NOT_OUT_YET, Mender
from flink_jobs.recompute import ClusterBusy, NoFreeSlot, NotOutYet, recompute
from flink_jobs.settings import InvalidSettings, Settings
from flink_jobs.status import PortTaken, Status, serve
from flink_jobs.submit import AlreadyThere, JarsMissing, NotCheckpointed, StateUnfit, fingerprint, jars, submit
from flink_jobs.timespans import InvalidSpan, Span, around, merged, starts
from flink_jobs.uids import SameName

#: As pitwall.exits has them; of pitwall only the domain may be imported here.
EXITS: Final[dict[type[Exception], int]] = {
    GaveUp: 1,
    AlreadyThere: 1,
    NotCheckpointed: 1,
    SameName: 1,
    InvalidSpan: 2,
    StateGone: 1,
    StateLeftBehind: 65,
    HistoryGone: GONE,
    HistoryUnreachable: 69,
    StateUnfit: 65,
    ClusterUnreachable: 69,
    JarsMissing: 69,
    PortTaken: 71,
    NotOutYet: NOT_OUT_YET,
    ClusterBusy: NOT_OUT_YET,
    NoFreeSlot: 69,
    InvalidSettings: 78,
}

LOOK_EVERY_S: Final = 0.5
#: To plan takes 12 s alone, a savepoint and the end of the old job up to a minute each.
SUBMISSION_TIMEOUT_S: Final = 240


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
            done = submit(
                settings, without=parsed.without, without_state=parsed.without_state, replace=not parsed.replace_none
            )
            print(json.dumps(asdict(done)))
        elif parsed.command == "recompute":
            print(json.dumps(asdict(recompute(settings, _spans(vars(parsed)), log))))
        else:
            keep(settings, parsed.config)
    except HistoryGone as error:
        log("given up", reason=str(error), since_s=error.since_s)
        return EXITS[HistoryGone]
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
    upgrade.add_argument("--replace-none", action="store_true", help="leave alone whatever version runs, and fail")
    again = commands.add_parser("recompute", description="RFC 3339, or seconds since 1970; several pairs if you like")
    for name in ("from", "to"):
        again.add_argument(f"--{name}", metavar="T", action="append", default=[])
    return parser


def keep(settings: Settings, config: Path) -> None:
    """Returns on SIGTERM; the job goes on. Raises GaveUp, StateLeftBehind, InvalidSettings, JarsMissing, PortTaken."""
    jars()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    submit_apart = partial(_submit_apart, config, ended)
    cluster = Cluster(settings.flink_address)
    keeper = Keeper(cluster, settings.name, fingerprint(settings), submit_apart, log)

    mender = Mender.of(settings, config, ended, log, lambda: keeper.trouble is None)

    def status() -> Status:
        done = (keeper.submissions, keeper.failed_submissions)
        return Status(keeper.trouble, *done, keeper.checkpointed_s, mender.mending.samples())

    server = serve(settings.metrics_address, status)
    mender.start()
    try:
        while not ended.is_set():
            keeper.look()
            mender.check()
            ended.wait(LOOK_EVERY_S)
    finally:
        ended.set()
        server.shutdown()
        mender.join()


def _submit_apart(config: Path, ended: threading.Event, replace: bool) -> Submission:
    words = ["upgrade"] if replace else ["upgrade", "--replace-none"]
    try:
        return Submission(**json.loads(run_apart(config, words, ended, SUBMISSION_TIMEOUT_S)))
    except ApartFailed as error:
        if error.code == EXITS[StateUnfit]:
            raise StateLeftBehind(json.loads(error.last_line)["reason"]) from error
        if error.code == EXITS[InvalidSettings]:
            raise InvalidSettings(json.loads(error.last_line)["reason"]) from error
        raise SubmissionFailed(str(error)) from error


def _spans(parsed: Mapping[str, Sequence[str]]) -> list[Span]:
    """Raises InvalidSpan."""
    if not parsed["from"] or len(parsed["from"]) != len(parsed["to"]):
        raise InvalidSpan("say --from and --to, as often as each other")
    now_s = time.time()
    pairs = zip(parsed["from"], parsed["to"], strict=True)
    return merged(starts(around(begin, end, now_s) for begin, end in pairs))


def log(event: str, **details: object) -> None:
    """One JSON object a line on standard output, as the services log."""
    line = {"timestamp": datetime.now(UTC).isoformat(), "service": "stream-jobs", "event": event, **details}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
