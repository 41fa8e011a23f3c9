"""Releases: asked for by one person, put in force by another, and by nobody before a majority has them on disk.

Pure. What a release does is the stop set's and the ledger's; here is who has asked and who has agreed.

An id may come with two contents, where whoever makes ids makes them badly and asks two command services in one moment.
Each of these keeps the first one that it was told is approved, and its disk counts for no other. Two majorities share a
member, so one content at most is ever in force, the same one everywhere; where none has a majority, none is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from command_service.effects import Content, approval
from pitwall.domain.permit import majority
from pitwall.domain.stop_set import Release

#: Releases that may wait for an approval. The next request is refused.
MAX_WAITING = 1_000
#: So long a request may wait. A release says that it is safe, and that is true of the shift that looked; a token lasts
#: no longer either. Whoever comes later looks again and asks anew.
REQUEST_VALID: Final = timedelta(hours=12)


def has_expired(release: Release, now: datetime) -> bool:
    """Nobody has agreed to it in time."""
    return not release.approved_by and now - release.requested_time > REQUEST_VALID


@dataclass(slots=True)
class ReleaseEntry:
    """One release. `in_force` is `release` with who approved it, once a majority has that on disk.

    `rival`: somebody has approved another one of the same id.
    """

    release: Release
    requested_on_disk: bool = False
    approval: Release | None = None
    journaled_by: set[str] = field(default_factory=set)
    in_force: bool = False
    rival: bool = False

    @property
    def current(self) -> Release:
        return self.approval if self.in_force and self.approval else self.release


class ReleaseBook:
    """Every release that this site remembers."""

    def __init__(self, members: Sequence[str]) -> None:
        self._members = frozenset(members)
        self._entries: dict[str, ReleaseEntry] = {}
        self._waiting: dict[str, ReleaseEntry] = {}  # of these, those that are not in force

    def get(self, release_id: str) -> ReleaseEntry | None:
        return self._entries.get(release_id)

    def entries(self) -> Iterable[ReleaseEntry]:
        return self._entries.values()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def waiting_releases(self) -> list[Release]:
        """Those that are not in force; with who approved it where somebody has."""
        return [entry.approval or entry.release for entry in self._waiting.values()]

    def request(self, release: Release) -> bool:
        """Returns False where it is known already."""
        if release.release_id in self._entries:
            return False
        self._entries[release.release_id] = self._waiting[release.release_id] = ReleaseEntry(release)
        return True

    def request_journaled(self, release_id: str) -> None:
        """The request is on this command service's disk."""
        if release_id in self._entries:
            self._entries[release_id].requested_on_disk = True

    def approve(self, approved: Release) -> bool:
        """Somebody has agreed; it is not in force yet. Returns False where somebody had before.

        What was asked for here under the same id, and is something else, makes way: nobody has agreed to that.
        """
        self.request(approved)
        entry = self._entries[approved.release_id]
        if entry.approval is not None:
            entry.rival |= approval(entry.approval) != approval(approved)
            return False
        if approval(entry.release) != approval(approved):
            entry.release = replace(approved, approved_by="", approved_time=None)
        entry.approval = approved
        return True

    def is_rival(self, release: Release) -> bool:
        """Whether it is approved, and another one of the same id is here."""
        known = self.approved_content(release.release_id)
        return bool(release.approved_by) and known not in (approval(release).content, None)

    def approved_content(self, release_id: str) -> Content | None:
        """What the release does that somebody has agreed to; None where nobody has, or none is known."""
        entry = self._entries.get(release_id)
        return None if entry is None or entry.approval is None else approval(entry.approval).content

    def journaled(self, release_id: str, content: Content | None, member: str) -> None:
        """A member has the approval of that content on disk."""
        entry = self._entries.get(release_id)
        if entry is not None and member in self._members and content == self.approved_content(release_id):
            entry.journaled_by.add(member)

    def agreed(self) -> list[Release]:
        """Those that a majority has on disk, and that are to be put in force."""
        return [
            entry.approval
            for entry in self._waiting.values()
            if entry.approval is not None and len(entry.journaled_by) >= majority(len(self._members))
        ]

    def enforce(self, release: Release) -> Release:
        """It is in force: journaled by a majority, or brought along by somebody for whom it is."""
        entry = self._entries.setdefault(release.release_id, ReleaseEntry(release))
        entry.rival |= entry.approval is not None and approval(entry.approval) != approval(release)
        entry.approval, entry.in_force = release, True
        self._waiting.pop(release.release_id, None)
        return release

    def expired(self, now: datetime) -> list[str]:
        """Requests that nobody has agreed to in time; to be dropped once that is journaled."""
        return [
            release_id
            for release_id, entry in self._waiting.items()
            if has_expired(entry.approval or entry.release, now)
        ]

    def drop(self, release_id: str) -> None:
        """A request that has expired, as if nobody had asked."""
        if self._waiting.pop(release_id, None) is not None:
            del self._entries[release_id]

    def forget(self, gone: frozenset[str]) -> None:
        """Drops releases that name none but these stops."""
        for release_id in [r for r, entry in self._entries.items() if entry.release.stop_ids <= gone]:
            del self._entries[release_id]
            self._waiting.pop(release_id, None)
