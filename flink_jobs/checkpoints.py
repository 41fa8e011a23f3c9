"""Where the job's state lies on disk: CHECKPOINT_DIR/<fingerprint of the job>/<Flink's job id>/chk-<n>/_metadata.

Each submission gets a new job id from Flink. State fits only the text that made it, hence the fingerprint.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from shutil import rmtree

#: States of other texts that are kept, the newest: whoever goes back to one of them goes on from there.
KEPT_OTHERS = 3

_COMPLETE = "_metadata"
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")


@contextmanager
def locked(checkpoint_dir: str) -> Iterator[None]:
    """For one process at a time, which may end in any way."""
    Path(checkpoint_dir).mkdir(parents=True, exist_ok=True)
    with (Path(checkpoint_dir) / "lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def directory(checkpoint_dir: str, fingerprint: str) -> Path:
    """All checkpoints that fit this job."""
    return Path(checkpoint_dir) / fingerprint


def latest(jobs: Path) -> Path | None:
    """The newest complete checkpoint; None where there is none. Its _metadata comes last, and whole."""
    found = _newest(jobs)
    return found[1] if found else None


def completed_s(jobs: Path) -> float:
    """When that one was complete, in seconds since 1970; 0 where there is none."""
    found = _newest(jobs)
    return found[0] / 1e9 if found else 0


def _newest(jobs: Path) -> tuple[int, Path] | None:
    """Nanoseconds since 1970 and the checkpoint. A job that runs removes its older ones meanwhile."""
    complete = []
    for job in jobs.glob("*/"):
        # What goes while it is looked at counts no more, and nothing else with it: hence job by job.
        with suppress(FileNotFoundError):
            for file in job.glob(f"chk-*/{_COMPLETE}"):
                with suppress(FileNotFoundError):
                    complete.append((file.stat().st_mtime_ns, file.parent))
    return max(complete, default=None)


def remove_remains(jobs: Path) -> None:
    """Of jobs that are gone: what has no complete checkpoint. Only while none of them runs."""
    for job in jobs.iterdir() if jobs.exists() else ():
        if not any(job.glob(f"chk-*/{_COMPLETE}")):
            rmtree(job, ignore_errors=True)


def remove_old(checkpoint_dir: str, fingerprint: str) -> set[str]:
    """Of other texts all but KEPT_OTHERS. Returns the fingerprints that are left. Only while no job runs."""
    folders = [path for path in Path(checkpoint_dir).iterdir() if _FINGERPRINT.fullmatch(path.name)]
    others = sorted((path for path in folders if path.name != fingerprint), key=_used_s, reverse=True)
    for old in others[KEPT_OTHERS:]:
        rmtree(old, ignore_errors=True)
    return {fingerprint, *(path.name for path in others[:KEPT_OTHERS])}


def _used_s(jobs: Path) -> float:
    return max(completed_s(jobs), jobs.stat().st_mtime)
