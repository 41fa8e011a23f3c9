"""Disks of what a test runs by itself: a small one, one that can be remounted, one that turns read-only in use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.disks import FailingDisk, device_of, mount

_IMAGE_BYTES = 16 << 20


@contextmanager
def failing_disk_at(folder: Path) -> Iterator[FailingDisk]:
    """Takes root and a loop device. Whoever has files open there must have ended before the block does."""
    folder.mkdir()
    image = folder.with_name(f"{folder.name}.ext4")
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    mount("mkfs.ext4", "-q", "-F", str(image))
    mount("mount", "-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        yield FailingDisk(device_of(folder))
    finally:
        mount("umount", str(folder))


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """Takes root."""
    folder.mkdir()
    mount("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        mount("umount", str(folder))


def remount(folder: Path, how: str) -> None:
    """`how`: ro or rw. Nobody may have a file open for writing."""
    mount("mount", "-o", f"remount,{how}", str(folder))
