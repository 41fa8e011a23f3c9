"""When a vehicle's line goes into its plant file, and what it says. Read by tests, never by a service."""

import json
from functools import lru_cache
from typing import Final

from edge_agent.simulator.plant import STEP_PERIOD_S
from edge_agent.simulator.plant_vehicle import PlantState

#: The contract: a line at least so often.
LONGEST_SILENCE_S: Final = 1.0
#: So the next one is written from here on: the step after would be too late.
SILENCE_S: Final = LONGEST_SILENCE_S - 1.5 * STEP_PERIOD_S
#: A change of speed by so much is a change; so is every start and every standstill.
SPEED_CHANGE_KPH: Final = 1.0


class LineClock:
    """Decides for one vehicle. What changes is brake, permitted, status, cause, boot_epoch, standing or not, and the
    speed by SPEED_CHANGE_KPH; the sequence rides along, because it grows with every reading.
    """

    __slots__ = ("_key", "_speed_kph", "_written_s")

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._speed_kph = 0.0
        self._written_s = float("-inf")

    def due(self, state: PlantState, now_s: float) -> bool:
        """True at most once for the same thing: the caller writes the line."""
        key = (
            state.brake,
            state.permitted,
            state.status,
            state.cause,
            state.boot_epoch,
            state.speed_kph == 0,
        )
        if (
            key == self._key
            and abs(state.speed_kph - self._speed_kph) < SPEED_CHANGE_KPH
            and now_s - self._written_s < SILENCE_S
        ):
            return False
        self._key, self._speed_kph, self._written_s = key, state.speed_kph, now_s
        return True


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return json.dumps(text)


def plant_line(state: PlantState, monotonic_s: float) -> str:
    """One line of JSON. `status` is null before the first verdict."""
    status = "null" if state.status is None else f'"{state.status.name}"'
    return (
        f'{{"t": {monotonic_s:.6f}, "speed_kph": {state.speed_kph:.3f}, '
        f'"brake": {_bool(state.brake)}, "permitted": {_bool(state.permitted)}, '
        f'"status": {status}, "cause": {_quoted(state.cause)}, '
        f'"boot_epoch": {state.boot_epoch}, "sequence": {state.sequence}}}\n'
    )


def _bool(value: bool) -> str:
    return "true" if value else "false"
