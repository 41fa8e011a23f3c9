"""Small pieces of SQL text. Names and numbers come from our own tables; nothing here quotes for strangers."""

from collections.abc import Iterable, Mapping


def literal(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def number(value: float) -> str:
    """A DOUBLE in SQL, exactly this one."""
    return f"CAST({value!r} AS DOUBLE)"


def lines(parts: Iterable[str], indent: int = 2) -> str:
    """Parts of a list, a line each."""
    return (",\n" + " " * indent).join(parts)


def options(pairs: Mapping[str, str]) -> str:
    """The WITH clause of a table."""
    inside = lines(f"{literal(key)} = {literal(value)}" for key, value in pairs.items())
    return f"WITH (\n  {inside}\n)"


def headers(pairs: Mapping[str, str]) -> str:
    """A record's headers from SQL expressions of strings."""
    inside = lines((f"{literal(key)}, ENCODE({value}, 'UTF-8')" for key, value in pairs.items()), 4)
    return f"MAP[\n    {inside}\n  ]"


def timestamp(nanos: str) -> str:
    """google.protobuf.Timestamp from an expression of nanoseconds since 1970."""
    return f"ROW({nanos} / 1000000000, CAST(MOD({nanos}, 1000000000) AS INT))"


def rfc3339(nanos: str) -> str:
    """Text from the same, in UTC, as the job's time zone is."""
    return f"DATE_FORMAT(TO_TIMESTAMP_LTZ({nanos} / 1000000, 3), 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')"
