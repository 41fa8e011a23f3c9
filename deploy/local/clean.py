"""`make clean`: stops the stack and removes what the other commands made."""

import shutil
from contextlib import suppress
from pathlib import Path

from deploy.local import lifecycle
from deploy.local.options import StackOptions
from deploy.local.places import OUR_ENTRIES, Places


def clean(options: StackOptions) -> None:
    """Removes the home and the places outside it. Tools and environments are the Makefile's to remove."""
    lifecycle.down(options.home)
    remove(Places(options.home))


def remove(places: Places) -> None:
    """All that a stopped stack left on disk; of the home only what is ours, whatever else is in it."""
    for name in OUR_ENTRIES:
        _remove(places.home / name)
    _remove(places.postgres)
    _remove(places.sockets)
    with suppress(OSError):
        places.home.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
