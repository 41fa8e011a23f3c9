"""Which gateway to try next, and after which wait."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.limits import MAX_MAJORITY_WAIT_S, MIN_MAJORITY_WAIT_S
from pitwall.domain.permit import PermitDenial


@dataclass(frozen=True, slots=True)
class Try:
    """Connect to `address` after `wait_s`."""

    address: str
    wait_s: float


class GatewayList:
    """The addresses in turn. `start` spreads a fleet over them; `jitter_s(attempt)` is the backoff.

    A link that breaks leads to the next address, after waits that grow. A gateway without a majority of
    leases is left for the next one, but patiently: where all of them lack it, moving about would only cost readings
    their stream.
    """

    def __init__(self, addresses: Sequence[str], start: int, jitter_s: Callable[[int], float]) -> None:
        if not addresses:
            raise ValueError("gateways is empty; name at least one host:port")
        self._addresses, self._jitter_s = tuple(addresses), jitter_s
        self._at = start % len(addresses)
        self._failures = 0
        self._majority_wait_s = 0.0
        self._denied_since_s: float | None = None
        self._denied_away = False

    @property
    def address(self) -> str:
        return self._addresses[self._at]

    def broken(self) -> Try:
        """The link could not be made, or broke."""
        self._failures += 1
        self._next()
        return Try(self.address, self._jitter_s(self._failures))

    def moved(self) -> Try:
        """The link was left in good order. A drain has its own spread; without a majority all leave at one moment."""
        wait_s = self._jitter_s(1) if self._denied_away else 0.0
        self._denied_away = False
        self._next()
        return Try(self.address, wait_s)

    def _next(self) -> None:
        self._at = (self._at + 1) % len(self._addresses)
        self._denied_since_s = None

    def answered(self, denial: PermitDenial, now_s: float) -> bool:
        """Takes each permit's denial, NONE for one with time in it. True: leave for the next address."""
        self._failures = 0
        if denial is not PermitDenial.NO_MAJORITY:
            self._denied_since_s = None
            if denial is PermitDenial.NONE:
                self._majority_wait_s = 0.0
            return False
        if len(self._addresses) == 1:
            return False
        if self._denied_since_s is None:
            self._denied_since_s = now_s
        if now_s - self._denied_since_s < self._majority_wait_s:
            return False
        self._majority_wait_s = min(MAX_MAJORITY_WAIT_S, max(MIN_MAJORITY_WAIT_S, 2 * self._majority_wait_s))
        self._denied_away = True
        return True
