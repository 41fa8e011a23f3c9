"""One frame of `pitwall watch`, for a terminal of some width and height.

Whatever a colour says is also said in words or by a sign: `!` needs a look, `~` is an old value, `–` an unknown one.
"""

from collections.abc import Sequence

from haul.command.v1 import stop_pb2
from haul.telemetry.v1 import alert_pb2
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from console import words
from console.news import Feed
from console.picture import Picture, in_need, statuses
from console.stops import progress_words, scope_words
from console.vehicle_row import LOST, Known, Need, Row

#: From this width on payloads have decimals, values their own age, and alerts their names, characters.
WIDE = 110
#: Of the ids that fit the fleet's own scheme nothing is cut.
MAX_ID = 16
MOST_STOPS = 5
#: The table's titles, and the line on what is left out.
_TABLE_EXTRA = 2

_STYLES = {
    Need.MOVES_UNDER_STOP: "bold red",
    Need.CRITICAL: "bold red",
    Need.SILENT: "bold yellow",
    Need.HELD: "yellow",
    Need.WARNING: "yellow",
    Need.NONE: "",
}
_SEVERITIES = {
    alert_pb2.ALERT_SEVERITY_INFO: "INFO",
    alert_pb2.ALERT_SEVERITY_WARNING: "WARN",
    alert_pb2.ALERT_SEVERITY_CRITICAL: "CRIT",
    alert_pb2.ALERT_SEVERITY_EMERGENCY: "EMER",
}


def frame(picture: Picture, now_s: float, heading: str, console: Console, height: int, ending: str = "") -> Group:
    """As many vehicles as there is room for, those in need first. `ending`: how to end it, where somebody has to."""
    rows = picture.rows(now_s)
    above: list[Text] = [
        Text(f"{heading}  {_counts(rows)}", style="bold"),
        Text(f"{_needs(picture, rows)}{ending}"),
        *notes(picture, rows, now_s),
        *_stop_lines(picture, console.width),
    ]
    used = sum(len(text.wrap(console, console.width)) for text in above)
    room = max(1, height - used - _TABLE_EXTRA)
    room = room if len(rows) > room else room + 1  # no line on what is left out
    left_out = rows[room:]
    return Group(
        *above,
        _table(rows[:room], wide=console.width >= WIDE),
        *([Text(_rest(left_out), overflow="ellipsis", no_wrap=True)] if left_out else []),
    )


def _counts(rows: Sequence[Row]) -> str:
    lost = sum(row.connectivity == LOST for row in rows)
    kinds = ", ".join(f"{count} {words.status(status)}" for status, count in statuses(rows))
    return f"{len(rows)} vehicles{f', {lost} LOST' if lost else ''}{': ' if kinds else ''}{kinds}"


def _needs(picture: Picture, rows: Sequence[Row]) -> str:
    """With – for what nobody can tell now."""
    stops = str(len(picture.stops)) if Feed.STOPS in picture.live else words.UNKNOWN
    alerts = str(sum(row.alert_count for row in rows)) if picture.live & {Feed.ALERTS, Feed.VEHICLES} else words.UNKNOWN
    return f"need a look (!): {in_need(rows)}, active stops: {stops}, open alerts: {alerts}"


def notes(picture: Picture, rows: Sequence[Row], now_s: float) -> list[Text]:
    """What is away, since when, and what the picture is then made of."""
    told = []
    for feed, what, instead in _AWAY:
        trouble = picture.troubles.get(feed)
        # One server gone is one note.
        if trouble is not None and not (feed is Feed.ALERTS and Feed.VEHICLES in picture.troubles):
            since = words.span(now_s - trouble.since_s)
            told.append(f"{what} AWAY for {since}: {trouble.error.message}. {instead}")
    if Feed.VEHICLES in picture.live and picture.motion and picture.wants_motion(now_s):
        told.append(_OLD)
    return [Text(f"! {text}", style="bold red") for text in told]


_AWAY = (
    (
        Feed.STOPS,
        "COMMAND SERVICE",
        "Stops are shown as last known. To stop a vehicle: `pitwall stop` tries every command service; else by radio.",
    ),
    (
        Feed.VEHICLES,
        "FLEET SERVICE",
        "Stops and motion are the command service's; payload, engine, fuel and alerts as last known. `pitwall doctor`.",
    ),
    (Feed.ALERTS, "ALERTS", "Vehicles show how many they have as last known. `pitwall doctor`."),
)
_OLD = "OLD: the fleet service tells nothing new of some. Their motion is the command service's. `pitwall doctor`."


def _stop_lines(picture: Picture, width: int) -> list[Text]:
    """Each with its N of N, and the whole id: `pitwall release` takes it."""
    lines = []
    for state in list(picture.stops.values())[:MOST_STOPS]:
        text = Text(_stop_words(state), style="bold" if _stands(state) else "bold red")
        text.truncate(2 * width, overflow="ellipsis")
        lines.append(text)
    more = len(picture.stops) - len(lines)
    return [*lines, *([Text(f"… and {more} more stops: `pitwall stops`")] if more > 0 else [])]


def _stop_words(state: stop_pb2.StopState) -> str:
    stop = state.stop
    reason = f": {stop.reason}" if stop.reason else ""
    return f"STOP {stop.stop_id} of {scope_words(stop)}: stand {progress_words(state)}. {stop.issued_by}{reason}"


def _stands(state: stop_pb2.StopState) -> bool:
    return state.summary.standstill == state.summary.in_scope and state.summary.confirmed


def _table(rows: Sequence[Row], *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, header_style="bold")
    for title, narrow_width, wide_width in _TEXTS:
        table.add_column(title, no_wrap=True, min_width=wide_width if wide else narrow_width)
    for title, narrow_width, wide_width in _NUMBERS:
        table.add_column(title, no_wrap=True, min_width=wide_width if wide else narrow_width, justify="right")
    table.add_column("OPEN ALERTS" if wide else "ALERTS", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*map(Text, cells(row, wide=wide)), style=_STYLES[row.need])
    return table


#: Title, width, and width where there is room: of the longest usual value, so that nothing jumps. Alerts take the rest.
_TEXTS = ((" VEHICLE", 17, 17), ("STATUS", 14, 14), ("HOLD", 9, 9))
_NUMBERS = (("km/h", 5, 5), ("t", 4, 6), ("°C", 4, 6), ("fuel", 4, 4), ("AGE", 9, 10))
assert sum(width + 1 for _, width, _ in _TEXTS + _NUMBERS) + len("2 CRIT") <= 80


def cells(row: Row, *, wide: bool) -> tuple[str, ...]:
    """The columns above, the first with the sign, then alerts."""
    return (
        f"{' ' if row.need is Need.NONE else '!'}{_id(row.vehicle_id)}",
        words.status(row.status),
        words.hold(row.hold),
        _value(row, row.speed_kph, ".1f", wide),
        _value(row, row.payload_tons, ".1f" if wide else ".0f", wide),
        _value(row, row.engine_celsius, ".1f" if wide else ".0f", wide),
        _value(row, row.fuel_percent, ".0f", wide, "%"),
        _age(row, wide),
        _alerts(row, wide),
    )


def _id(vehicle_id: str) -> str:
    """The end tells vehicles of one kind apart."""
    return vehicle_id if len(vehicle_id) <= MAX_ID else f"…{vehicle_id[1 - MAX_ID :]}"


def _value(row: Row, known: Known | None, digits: str, wide: bool, unit: str = "") -> str:
    if known is None:
        return words.UNKNOWN
    text = f"{known.value:{digits}}{unit}"
    if not known.old:
        return text
    outlived = wide and row.age_s is not None and known.age_s > row.age_s
    return f"~{text} ({words.span(known.age_s)})" if outlived else f"~{text}"


def _age(row: Row, wide: bool) -> str:
    """Of the newest reading; where values are older than that and don't say their own age, of the oldest."""
    values = (row.speed_kph, row.payload_tons, row.engine_celsius, row.fuel_percent)
    oldest_s = max((known.age_s for known in values if known is not None and known.old), default=0.0)
    age_s = row.age_s if wide else max(oldest_s, row.age_s or 0.0) if row.age_s is not None else None
    if age_s is None:
        return "LOST" if row.connectivity == LOST else words.UNKNOWN
    mark = "LOST " if row.connectivity == LOST else "OLD " if row.old or (oldest_s and not wide) else ""
    return f"{mark}{words.span(age_s) if wide else _short_span(age_s)}"


def _short_span(seconds: float) -> str:
    """0.4s, 12s, 3m, 2h, 5d: so that everything fits into 80 columns."""
    return words.span(seconds).replace(" ", "").replace("min", "m")


def _alerts(row: Row, wide: bool) -> str:
    if not row.alerts:
        return str(row.alert_count or "")
    if wide:
        return ", ".join(f"{words.severity(alert.severity)} {alert.rule}" for alert in row.alerts)
    return f"{row.alert_count} {_SEVERITIES.get(row.alerts[0].severity, '')}"


def _rest(rows: Sequence[Row]) -> str:
    """As in `… and 962 more, of whom 0 need a look: 400 HAULING, …`."""
    kinds = ", ".join(f"{count} {words.status(status)}" for status, count in statuses(rows))
    return f"… and {len(rows)} more, of which {in_need(rows)} need a look: {kinds}"
