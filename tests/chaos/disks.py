"""Disks of one process alone, that are full or have turned read-only. They take root."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.stacks import RunningStack

#: Made by mkfs in every ext4.
_FOUND = "lost+found"
_IMAGE_BYTES = 48 << 20


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """What one process writes to, and nobody else."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """To the last byte; what is there already can be overwritten in place, and nothing can grow."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(stack: RunningStack, name: str, folder: str, size: str) -> Iterator[SmallDisk]:
    """A folder below data/ of one process on a disk of its own. Its files come along, both ways."""
    with _own_disk(stack, name, folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs") as place:
        disk = SmallDisk(place)
        try:
            yield disk
        finally:
            disk.free()


@dataclass(frozen=True, slots=True)
class FailingDisk:
    """A file system that is mounted as most are: from its first error on it takes no writes."""

    device: str

    def fail(self) -> None:
        """Files that are open for writing stay so, and each write is refused. Only a new mount mends that."""
        Path("/sys/fs/ext4", self.device, "trigger_fs_error").write_text("a test", encoding="ascii")


@contextmanager
def failing_disk(stack: RunningStack, name: str, folder: str) -> Iterator[FailingDisk]:
    """A folder below data/ of one process on a disk of its own that works at first. Its files come along, both ways."""
    image = stack.places.data / f"{folder}.ext4"
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    mount("mkfs.ext4", "-q", "-F", str(image))
    try:
        with _own_disk(stack, name, folder, "-o", "loop,errors=remount-ro", str(image)) as place:
            yield FailingDisk(device_of(place))
    finally:
        image.unlink()


def device_of(place: Path) -> str:
    """The name of what is mounted there, below /dev."""
    mounts = (text.split() for text in Path("/proc/mounts").read_text(encoding="utf-8").splitlines())
    return next(device for device, where, *_ in mounts if where == str(place)).removeprefix("/dev/")


@contextmanager
def _own_disk(stack: RunningStack, name: str, folder: str, *what: str) -> Iterator[Path]:
    place = stack.places.data / folder
    aside = place.with_name(f"{folder}.aside")
    stack.supervisor.stop(name)
    shutil.copytree(place, aside)
    mount("mount", *what, str(place))
    try:
        _copied(aside, place)
        stack.supervisor.start(name)
        stack.await_healthy(name)
        yield place
    finally:
        if stack.runs(name):
            stack.supervisor.stop(name)
        shutil.rmtree(aside)
        shutil.copytree(place, aside, ignore=shutil.ignore_patterns(_FOUND, "ballast"))
        mount("umount", str(place))
        _copied(aside, place)
        shutil.rmtree(aside)
        stack.supervisor.start(name)
        stack.await_healthy(name)


def _copied(source: Path, target: Path) -> None:
    for entry in target.iterdir():
        if entry.name != _FOUND:
            entry.unlink()
    shutil.copytree(source, target, dirs_exist_ok=True)


def mount(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (this takes root)"
