"""How close together things may go: a few at once, and then at a rate. Pure."""


class Pacer:
    """A bucket of `burst` that fills by one each `every_s`. `now_s` is CLOCK_BOOTTIME, seconds."""

    __slots__ = ("_burst_s", "_every_s", "_full_s")

    def __init__(self, every_s: float, burst: int) -> None:
        self._every_s, self._burst_s = every_s, burst * every_s
        self._full_s = float("-inf")  # when the bucket is full again

    def wait_s(self, now_s: float) -> float:
        """How long until the next one may go; 0 where it may go at once."""
        return max(0.0, self._full_s + self._every_s - self._burst_s - now_s)

    def take(self, now_s: float) -> None:
        """It goes now, or is sure to go as soon as it may."""
        self._full_s = max(self._full_s, now_s) + self._every_s
