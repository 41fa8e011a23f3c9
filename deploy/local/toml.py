"""Writes the flat TOML that our processes read; the standard library only reads it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Value = str | int | float | bool | Path | Sequence[str]


def toml_text(keys: Mapping[str, Value], tables: Mapping[str, Mapping[str, Value]] | None = None) -> str:
    """``keys`` first, then one [table] after another."""
    parts = [_lines(keys)]
    parts += [f"\n[{name}]\n{_lines(values)}" for name, values in (tables or {}).items()]
    return "".join(parts)


def _lines(keys: Mapping[str, Value]) -> str:
    return "".join(f"{key} = {_literal(value)}\n" for key, value in keys.items())


def _literal(value: Value) -> str:
    """JSON's strings, numbers, booleans and lists of strings are TOML's too."""
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
