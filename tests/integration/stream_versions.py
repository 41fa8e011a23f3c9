"""Other versions of the stream jobs' code: copies with another table, as people deploy them."""

import re
import shutil
from pathlib import Path

from deploy.local.tools import CHECKOUT

#: Raises at another speed; clears at another too.
LOWER_SPEED = """
from dataclasses import replace
LOWER = replace(RULES[0].when, raise_at=50, clear_at=45)
RULES = tuple(replace(r, when=LOWER) if r.name == "HIGH_SPEED" else r for r in RULES)
"""


def version(folder: Path, name: str, *, rules: str = "", without_figures: str = "", failing_on: str = "") -> Path:
    """A folder for PYTHONPATH.

    rules: Python that makes another RULES of RULES. without_figures: the quantity whose row in FIGURES goes.
    failing_on: a vehicle whose readings end the job's tasks.
    """
    code = folder / name
    skipped = shutil.ignore_patterns(".venv", "target", "__pycache__")
    shutil.copytree(CHECKOUT / "flink_jobs", code / "flink_jobs", ignore=skipped)
    (code / "flink_jobs/target").symlink_to(CHECKOUT / "flink_jobs/target")
    (code / "pitwall").symlink_to(CHECKOUT / "pitwall")
    with (code / "flink_jobs/rules.py").open("a") as file:
        file.write(f"\n{rules}\n")
    if without_figures:
        _change(code / "flink_jobs/metrics_sql.py", rf'    Figures\("{without_figures}".*\n', "")
    if failing_on:
        divided = f"1 / CASE WHEN vehicle_id = '{failing_on}' THEN 0 ELSE 1 END = 1"
        _change(code / "flink_jobs/readings_sql.py", "(WHERE undecodable IS NULL)", rf"\1 AND {divided}")
    return code


def _change(file: Path, pattern: str, to: str) -> None:
    text, changes = re.subn(pattern, to, file.read_text())
    assert changes == 1, (file, pattern)
    file.write_text(text)
