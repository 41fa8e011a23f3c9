"""How the vehicles of a simulated fleet are called."""

from typing import Final

REPLAY_VEHICLE_ID: Final = "REPLAY-TRUCK-001"

#: Vehicles that one plant or one agent process hosts at most. Theirs is a 16-bit index on the vehicle socket.
MAX_FLEET: Final = 5_000


def fleet_ids(count: int, first: int = 1) -> tuple[str, ...]:
    """The ids of `count` vehicles: odd numbers are 930E, even ones 980E. ValueError beyond MAX_FLEET."""
    if not (count >= 0 and 1 <= first <= first + count <= MAX_FLEET + 1):
        raise ValueError(f"fleet is {count} vehicles from number {first} on; it must be within 1 to {MAX_FLEET}")
    return tuple(f"KOMATSU-{'930E' if number % 2 else '980E'}-{number:03d}" for number in range(first, first + count))
