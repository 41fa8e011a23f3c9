"""ListGaps, and what is missing of a window."""

from itertools import islice

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2

from fleet_service import answers
from fleet_service.filter_fields import GAP_FIELDS
from fleet_service.filters import Value
from fleet_service.gap_keeper import GapKeeper
from fleet_service.gap_ledger import Listed
from fleet_service.gaps import GapState
from fleet_service.records import WindowFigures
from fleet_service.views import instant
from pitwall.rpc.errors import Unavailable


class GapDesk:
    """Answers come from memory: a store that is away makes none of them old."""

    def __init__(self, keeper: GapKeeper) -> None:
        self._keeper = keeper

    def list(self, request: fleet_pb2.ListGapsRequest) -> fleet_pb2.ListGapsResponse:
        chosen = answers.parsed_filter(request.filter, GAP_FIELDS)
        query = f"ListGaps {request.show_filled} {request.filter}"
        asked = answers.asked_page(request.page_size, request.page_token, query, (str, int, int))
        if not self._keeper.ready:
            raise Unavailable("NOT_READY", "the gap ledger has not been read from PostgreSQL yet; try again")

        def wanted(listed: Listed) -> bool:
            if listed.gap.state is GapState.FILLED and not request.show_filled:
                return False
            return chosen.matches(lambda field: _value(listed, field))

        after = None if asked.after is None else (str(asked.after[0]), int(asked.after[1]), int(asked.after[2]))
        found = list(islice(self._keeper.ledger.listed(after, wanted), asked.size + 1))
        page = asked.cut(found, lambda listed: listed.key)
        return fleet_pb2.ListGapsResponse(
            gaps=map(_gap, page.items), next_page_token=page.next_token, stale=self._keeper.stale
        )

    def missing_in(self, window: WindowFigures) -> int | None:
        """As the stream job said it where the ledger doesn't know."""
        start_ns = window.window_start_ns
        end_ns = start_ns + window.window_length_ms * 1_000_000
        known = self._keeper.ledger.missing_in(window.vehicle_id, start_ns, end_ns) if self._keeper.ready else None
        return window.missing_count if known is None else known


def _value(listed: Listed, field: str) -> Value:
    return listed.vehicle_id if field == "vehicle_id" else int(listed.gap.state)


def _gap(listed: Listed) -> vehicle_pb2.Gap:
    gap, place = listed.gap, listed.place
    times = {"closed_time": gap.closed_ns}
    if place is not None:
        times |= {"after_time": place.after_ns, "before_time": place.before_ns}
    return vehicle_pb2.Gap(
        vehicle_id=listed.vehicle_id,
        boot_epoch=listed.boot_epoch,
        first_sequence=gap.first,
        last_sequence=gap.last,
        state=gap.state,  # type: ignore[arg-type]  # the contract's numbers
        reason=gap.reason,
        found_time=instant(gap.found_ns),
        approximate=gap.approximate,
        **{name: instant(time_ns) for name, time_ns in times.items() if time_ns},
    )
