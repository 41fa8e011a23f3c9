"""What a gateway holds each of its vehicles to, and tells it in Welcome."""

from dataclasses import dataclass

from ingest_gateway.allowance import UNLIMITED, Rates


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every session of this gateway. `max_unacked_readings`: on their way without an ack, each vehicle's
    own share; `max_lent_readings`: what one that brings history may have on top, while there is some of `lent_pool`.
    `rates`: what one vehicle may send."""

    gateway: str
    permit_ttl_s: float
    max_unacked_readings: int
    rates: Rates = UNLIMITED
    max_lent_readings: int = 0
    lent_pool: int = 0
