"""A small static table in HTML, for notebooks: no script, no style sheet, nothing to fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_ROWS, WIDTH = 14, 40  # of the table, and characters of a value
LEFT = ' style="text-align:left"'  # of every cell, because notebooks would have it otherwise


def table(title: str, rows: Mapping[str, Any], head: Sequence[str] = ()) -> str:
    """A title over a table of names and values; a tuple takes several cells, of which `head` has the names.

    All is escaped, and what is long is cut.

    Colours are those of the page, be it light or dark.

    Examples
    --------
    >>> table("T", {"rule": "<b>"}).replace(LEFT, "")
    '<table style="white-space:nowrap"><caption><b>T</b></caption><tr><th>rule</th><td>&lt;b&gt;</td></tr></table>'
    """
    lines = [_line(name, *(value if isinstance(value, tuple) else (value,))) for name, value in rows.items()]
    if len(lines) > MOST_ROWS:
        lines[MOST_ROWS - 1 :] = [_line("…", f"{len(lines) - MOST_ROWS + 1} more")]
    caption = f"<caption{LEFT}><b>{_text(title)}</b></caption>"
    names = "".join(f"<th{LEFT}>{_text(name)}</th>" for name in head)
    above = f"<tr>{names}</tr>" if head else ""
    return f'<table style="white-space:nowrap">{caption}{above}{"".join(lines)}</table>'


def _line(name: str, *values: Any) -> str:
    cells = "".join(f"<td{LEFT}>{_text(value)}</td>" for value in values)
    return f"<tr><th{LEFT}>{_text(name)}</th>{cells}</tr>"


def _text(value: Any) -> str:
    from html import escape  # here, because `import wakesleep` does without it

    line = " ".join(str(value).split())
    return escape(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…", quote=False)
