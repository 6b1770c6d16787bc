"""What the command line prints: tables with intervals, or the same as JSON or CSV for programs."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from ..results import Interval

OutputFormat = Literal["table", "json", "csv"]
WIDTH = 10_000  # tables are as wide as they must be: half a number says nothing


def plain(value: Any) -> str:
    """Names from elsewhere, fit for a terminal: bytes that are no UTF-8 and control characters become marks."""
    text = str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def bounds(interval: Interval | None) -> str:
    return "" if interval is None else f"{count(interval.lower)} .. {count(interval.upper)}"


def percent(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.estimate:.1%}"


def amount(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def when(value: datetime | None, seconds: bool = False) -> str:
    """A time of the cube's zone; only the day where it is midnight."""
    if value is None:
        return ""
    if not (value.hour or value.minute or value.second):
        return f"{value:%Y-%m-%d}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if seconds else f"{value:%Y-%m-%d %H:%M}"


def heading(confidence: float | None) -> str:
    return f"{100 * (0.95 if confidence is None else confidence):g} % interval"


class Output:
    """Where results go and in which form. Progress and errors go to standard error."""

    def __init__(self, form: OutputFormat) -> None:
        from rich.console import Console  # late: loading a file prints no table and is quicker without

        self.form = form
        self.console = Console(highlight=False, soft_wrap=True, width=WIDTH)

    def rows(self, head: Sequence[str], cells: Iterable[Sequence[str]], dicts: list[dict[str, Any]], note: str = "") -> None:
        """A table of cells, or the dicts behind it: the first column to the left, the others to the right, empty ones left out."""
        from rich.table import Table
        from rich.text import Text

        if self.form != "table":
            self.dicts(dicts)
            return
        found = [list(row) for row in cells]
        if not found:
            self.console.print("no rows")
            return
        shown = [place for place in range(len(head)) if any(row[place] for row in found)]
        table = Table(box=None, pad_edge=False, padding=(0, 0, 0, 3), header_style="bold")
        for place in shown:
            table.add_column(head[place], justify="left" if place == 0 else "right", no_wrap=True)
        for row in found:
            table.add_row(*(Text(plain(row[place])) for place in shown))
        self.console.print(table)
        if note:
            self.console.print(Text(note, style="dim"))

    def dicts(self, dicts: list[dict[str, Any]]) -> None:
        """JSON, a list of objects, or CSV with a header."""
        if self.form == "json":
            print(json.dumps([{plain(name): _value(value) for name, value in row.items()} for row in dicts], indent=1))
            return
        write_csv(sys.stdout, dicts)


def write_csv(file: Any, dicts: list[dict[str, Any]]) -> None:
    """CSV with a header of all columns that occur."""
    names = list(dict.fromkeys(name for row in dicts for name in row))
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(plain, names))
    for row in dicts:
        writer.writerow(["" if (value := _value(row.get(name))) is None else value for name in names])


def _value(value: Any) -> Any:
    """A value that JSON has: no infinity, times in ISO 8601, text that is UTF-8."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return plain(value) if isinstance(value, str) else value
