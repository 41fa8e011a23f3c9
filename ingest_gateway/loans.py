"""Who may have more readings on their way than their own share, lent out of one pool.

Every vehicle has its own share, whoever else brings what: the room for all of them is set apart. What is left is the
pool. A vehicle that brings history is lent a piece of it, told with its next ack; one for which there is none goes on
with its share. Nothing is taken back from a vehicle that uses it, and nothing is lent twice: a loan is back in the pool
when its vehicle has brought no history for LOAN_IDLE_S and has no more than its share on its way.

So a loan that Kafka's absence holds fast is bounded as all the rest is, and no vehicle is asked to wait for another's.
"""

from dataclasses import dataclass

from ingest_gateway.acks import AckTracker
from ingest_gateway.limits import LOAN_IDLE_S


@dataclass(slots=True)
class _Loan:
    acks: AckTracker
    used_s: float


class Loans:
    """Counts in readings. `share`: each vehicle's own; `most`: lent to one vehicle; `pool`: lent to all together."""

    def __init__(self, share: int, most: int, pool: int) -> None:
        self._share, self._most = share, most
        self._count = pool // most if most else 0
        self._loans: dict[str, _Loan] = {}

    def __len__(self) -> int:
        """Vehicles that have one."""
        return len(self._loans)

    def of(self, vehicle_id: str) -> int:
        """What it has on loan."""
        return self._most if vehicle_id in self._loans else 0

    def lend(self, vehicle_id: str, acks: AckTracker, now_s: float) -> int:
        """It has brought history. Returns what it has on loan now."""
        loan = self._loans.get(vehicle_id)
        if loan is not None:
            loan.used_s = now_s
        elif len(self._loans) < self._count:
            self._loans[vehicle_id] = _Loan(acks, now_s)
        return self.of(vehicle_id)

    def settle(self, now_s: float) -> list[str]:
        """To be called every TICK_S. Returns the vehicles whose loan has ended."""
        ended = [vehicle_id for vehicle_id, loan in self._loans.items() if self._is_over(loan, now_s)]
        for vehicle_id in ended:
            del self._loans[vehicle_id]
        return ended

    def _is_over(self, loan: _Loan, now_s: float) -> bool:
        return now_s - loan.used_s >= LOAN_IDLE_S and loan.acks.in_flight <= self._share
