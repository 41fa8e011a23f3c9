"""A picture of the fleet, out on a terminal or into a file."""

import io
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, Group

from console.failures import ConsoleError
from console.picture import Picture
from console.picture_text import frame
from pitwall.clock import monotonic_s

#: Of a picture that goes into a file, characters.
FILE_WIDTH, FILE_HEIGHT = 120, 40

#: rich's own asks the web for a font. https://rich.readthedocs.io/en/stable/console.html#svg-exports
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(picture: Picture, console: Console) -> Group:
    """For the whole of a terminal, again and again."""
    return frame(picture, monotonic_s(), _clock(), console, console.height, ending=". Ctrl-C ends.")


def show(picture: Picture) -> None:
    """On the standard output, as wide and high as the terminal, or as $COLUMNS and $LINES say."""
    console = Console(highlight=False)
    # The prompt that follows takes a line.
    console.print(frame(picture, monotonic_s(), _clock(), console, console.height - 1))


def save(picture: Picture, path: Path) -> None:
    """As SVG. Raises ConsoleError where the file can't be written."""
    console = Console(
        record=True, width=FILE_WIDTH, height=FILE_HEIGHT, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(frame(picture, monotonic_s(), _clock(), console, console.height))
    try:
        path.write_text(console.export_svg(title="pitwall watch", code_format=_SVG), encoding="utf-8")
    except OSError as error:
        raise ConsoleError(
            f"--svg {path}: {error.strerror}", fix="name a file that can be written", reason="FILE_UNWRITABLE"
        ) from error


def _clock() -> str:
    return f"{datetime.now(UTC).astimezone():%H:%M:%S}"
