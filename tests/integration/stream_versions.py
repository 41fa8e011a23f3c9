"""Other versions of the stream jobs' code: copies with another table, as people deploy them."""

import re
import shutil
from pathlib import Path

from deploy.local.tools import CHECKOUT

#: Raises at another speed; clears at another too.
LOWER_SPEED = """
from dataclasses import replace
RULES = tuple(replace(r, raise_at=50, clear_at=45) if r.name == "HIGH_SPEED" else r for r in RULES)
"""


def version(folder: Path, name: str, *, rules: str = "", without_figures: str = "") -> Path:
    """A folder for PYTHONPATH.

    rules: Python that makes another RULES of RULES. without_figures: the quantity whose row in FIGURES goes.
    """
    code = folder / name
    skipped = shutil.ignore_patterns(".venv", "target", "__pycache__")
    shutil.copytree(CHECKOUT / "flink_jobs", code / "flink_jobs", ignore=skipped)
    (code / "flink_jobs/target").symlink_to(CHECKOUT / "flink_jobs/target")
    (code / "pitwall").symlink_to(CHECKOUT / "pitwall")
    with (code / "flink_jobs/rules.py").open("a") as file:
        file.write(f"\n{rules}\n")
    if without_figures:
        metrics = code / "flink_jobs/metrics_sql.py"
        text, changes = re.subn(rf'    Figures\("{without_figures}".*\n', "", metrics.read_text())
        assert changes == 1
        metrics.write_text(text)
    return code
