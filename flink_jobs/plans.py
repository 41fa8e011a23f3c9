"""Where planned jobs are kept: LOCAL_FOLDER/plans/<version>.<key>, each a Flink job graph.

To plan the job takes Flink some ten seconds of CPU, to read the plan one. After a failure of the job manager that is
most of the time until the job is back, so what was planned once is kept for as long as nothing that went into it
changes: the SQL with its addresses, the settings, the jars.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from pathlib import Path


def place(local_folder: Path, fingerprint: str, sql: str, chosen: Mapping[str, str], files: Iterable[Path]) -> Path:
    """The plan of exactly this; there may be none yet. files: what the job is made with."""
    key = hashlib.sha256("\n".join((sql, json.dumps(chosen, sort_keys=True))).encode())
    for file in files:
        key.update(hashlib.sha256(file.read_bytes()).digest())
    return local_folder / "plans" / f"{fingerprint}.{key.hexdigest()[:12]}"


def begin(plan: Path) -> Path:
    """Where to write it, so that it is there whole or not at all; then `finish`."""
    plan.parent.mkdir(parents=True, exist_ok=True)
    return plan.with_name(f".{plan.name}")


def finish(written: Path, plan: Path) -> None:
    """Those that it replaces are removed."""
    written.rename(plan)
    for other in plan.parent.glob(f"{plan.stem}.*"):
        if other != plan:
            other.unlink(missing_ok=True)


def remove_old(local_folder: Path, kept: Container[str]) -> None:
    """Those of fingerprints that are not kept; half-written ones too."""
    for plan in (local_folder / "plans").glob("*"):
        if plan.name.lstrip(".").partition(".")[0] not in kept:
            plan.unlink(missing_ok=True)
