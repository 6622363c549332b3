"""A small static table in HTML, for notebooks: no script, no style sheet, nothing to fetch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_ROWS, WIDTH = 14, 40  # of the table, and characters of a value


def table(title: str, rows: Mapping[str, Any]) -> str:
    """A title over a table of names and values. Everything is escaped, and what is long is cut.

    Examples
    --------
    >>> table("T", {"rule": "<b>"})
    '<table><caption>T</caption><tr><th>rule</th><td>&lt;b&gt;</td></tr></table>'
    """
    cells = [f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows.items()]
    if len(cells) > MOST_ROWS:
        cells[MOST_ROWS - 1 :] = [f"<tr><th>…</th><td>{len(cells) - MOST_ROWS + 1} more</td></tr>"]
    return f"<table><caption>{_text(title)}</caption>{''.join(cells)}</table>"


def _text(value: Any) -> str:
    from html import escape  # here, because `import wakesleep` does without it

    line = " ".join(str(value).split())
    return escape(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…", quote=False)
