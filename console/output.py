"""Tables for people, lines of proto3 JSON for programs."""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

if TYPE_CHECKING:  # a stop starts without rich
    from rich.table import Table

#: Where no terminal says how wide it is, nothing is cut or wrapped, characters.
WIDE = 400


def emit(message: Message, **more: object) -> None:
    """One line: the message as proto3 JSON, with `more` beside its fields."""
    emit_fields({**json_fields(message), **more})


def emit_fields(fields: dict[str, object]) -> None:
    print(json.dumps(fields, ensure_ascii=False), flush=True)


def json_fields(message: Message) -> dict[str, Any]:
    """proto3 JSON of a message: absent fields stay absent."""
    fields: dict[str, Any] = MessageToDict(message)
    return fields


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Prints rows under column titles, or `empty` where there are none."""
    if not rows:
        print(empty, flush=True)
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    Console(width=width, highlight=False, soft_wrap=width is None).print(make_table(columns, rows))


def make_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """For a rich Console or Live. Cells are text, whatever brackets they hold."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def hush(stream: TextIO) -> None:
    """Lets what is written to it vanish, once its reader has gone; else the interpreter would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(text: str) -> None:
    print(text, flush=True)


def say_if_heard(text: str, stream: TextIO) -> None:
    """For what goes on whether or not anybody hears it: the reader may be gone, or the disk under it full."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        hush(stream)
