"""Whether a command service knows all that it ever confirmed, after its journal was lost.

Pure. What it has confirmed counts to majorities, so it may grant leases only while it knows all of it. A stop that was
issued is on the disks of a majority of the site. One that lost its journal was perhaps among them, and the others are
then one short of a majority; a majority of the *peers* still shares a member with them. So it has to hear everything
from so many peers, each of which knows all that it confirmed itself.

And from every other one too, complete or not. A stop that is not issued yet may count the lost disk already, where it
was issued, and get its majority later. Whoever counts so tells it; in a site of five it might be the one left out.
"""

from pitwall.domain.permit import majority


class Recall:
    """`complete`: the journal was never lost. `peers`: how many other command services the site has."""

    def __init__(self, peers: int, *, complete: bool) -> None:
        self.complete = complete
        self.peers = peers
        #: How many of the peers have to be complete themselves.
        self.needed = majority(peers) if peers else 0
        self._heard: set[str] = set()
        self._from_complete: set[str] = set()

    @property
    def silent(self) -> int:
        """Peers that have not told everything yet."""
        return self.peers - len(self._heard)

    @property
    def heard(self) -> int:
        """Complete peers that have told everything."""
        return len(self._from_complete)

    def told(self, peer: str, *, complete: bool) -> bool:
        """A peer has told all that it knows, and it is on disk here. `complete`: it was so when it began.

        Returns whether that made this one complete.
        """
        self._heard.add(peer)
        if complete:
            self._from_complete.add(peer)
        if self.complete or self.silent or self.heard < self.needed:
            return False
        self.complete = True
        return True
