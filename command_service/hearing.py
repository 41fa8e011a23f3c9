"""Which gateways this command service hears, which ones its peers hear, and whom it asks for those that it lacks.

Pure. Each says which ones it hears, and asks one peer for each gateway that it lacks; so nothing about vehicles travels
between command services that hear them themselves, and nothing comes twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: Lacked for so long a gateway is asked for, seconds: one that has just started attaches to all within that time.
LACKED_FOR_S: Final = 0.5
#: Gateways that a peer may name; more are not taken. A command service has 64 streams from gateways at most.
MAX_NAMED: Final = 100

_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Hears:
    """What one command service says to a peer: the gateways that it hears, and those that it wants told of."""

    gateways: frozenset[str] = _NOTHING
    wanted: frozenset[str] = _NOTHING


class Hearing:
    """What the peers say that they hear, and since when this one has lacked what they have."""

    def __init__(self) -> None:
        self._peers: dict[str, tuple[int, frozenset[str]]] = {}
        self._lacked_since_s: dict[str, float] = {}

    def heard(self, peer: str, stream: int, gateways: frozenset[str]) -> bool:
        """The peer's own word. Returns whether it counts: not that of an older stream."""
        newest = self._peers.get(peer, (0, _NOTHING))[0]
        if stream >= newest:
            self._peers[peer] = stream, gateways
        return stream >= newest

    def ask(self, own: frozenset[str], reachable: Iterable[str], now_s: float) -> Mapping[str, frozenset[str]]:
        """Whom to ask for what: each gateway that this one lacks from the first peer by name that has it.

        `own`: gateways with a stream to this one. `reachable`: peers that can be asked. `now_s`: CLOCK_BOOTTIME.
        """
        last_to_first = sorted(self._peers.keys() & set(reachable), reverse=True)
        lacked = {gateway: peer for peer in last_to_first for gateway in self._peers[peer][1] - own}
        self._lacked_since_s = {gateway: self._lacked_since_s.get(gateway, now_s) for gateway in lacked}
        asked: dict[str, frozenset[str]] = {}
        for gateway, peer in lacked.items():
            if now_s - self._lacked_since_s[gateway] >= LACKED_FOR_S:
                asked[peer] = asked.get(peer, _NOTHING) | {gateway}
        return asked
