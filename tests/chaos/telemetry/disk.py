"""Disks that fail in the kernel's own way: a small one that is full, one that turns read-only under open files."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ext4:
    """Mounted with errors=remount-ro, as most computers' disks are."""

    folder: Path
    device: str

    def turn_read_only(self) -> None:
        """As at the first error that the kernel finds on it: every write from now on is refused."""
        Path(f"/sys/fs/ext4/{self.device}/trigger_fs_error").write_text("chaos", encoding="ascii")


@contextmanager
def ext4(folder: Path, size: str = "16M") -> Iterator[Ext4]:
    """Takes root and a loop device. Whoever has files open there must have ended before the block does."""
    folder.mkdir()
    image = folder.with_name(f"{folder.name}.img")
    _run("truncate", "-s", size, str(image))
    _run("mkfs.ext4", "-q", "-O", "^has_journal", str(image))
    _run("mount", "-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        source = _run("findmnt", "-n", "-o", "SOURCE", str(folder)).strip()
        yield Ext4(folder, Path(source).name)
    finally:
        _run("umount", str(folder))


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """Takes root."""
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder))


def remount(folder: Path, how: str) -> None:
    """`how`: ro or rw. Nobody may have a file open for writing."""
    _run("mount", "-o", f"remount,{how}", str(folder))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (this takes root)"
    return done.stdout
