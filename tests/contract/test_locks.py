"""requirements.lock: what pip needs of it, beyond the versions."""

import re
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).parents[2] / "requirements.lock"


def pinned() -> set[tuple[str, str]]:
    """(name, extra) of every pin; the extra is empty for the package itself."""
    found: set[tuple[str, str]] = set()
    for name, extras in re.findall(r"^([a-z0-9-]+)(?:\[([a-z0-9,-]+)\])?==", LOCK.read_text(), re.MULTILINE):
        found |= {(name, extra) for extra in ("", *filter(None, extras.split(",")))}
    return found


def test_every_extra_that_a_package_asks_for_is_pinned_by_its_name() -> None:
    """An older pip takes `coverage==7` for no pin of `coverage[toml]`, and refuses the first newer release of it."""
    installed = {(dist.metadata["Name"].lower().replace("_", "-"), "") for dist in distributions()}
    asked: set[tuple[str, str]] = set()
    for dist in distributions():
        for line in dist.requires or ():
            needed = Requirement(line)
            applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if applies and (needed.name.lower(), "") in installed:
                asked |= {(needed.name.lower(), extra) for extra in needed.extras}
    assert ("coverage", "toml") in asked, "pytest-cov asks for it: if not, this test looks at nothing"
    assert asked <= pinned()
