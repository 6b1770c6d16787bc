"""Plots as SVG, in two kinds: ratios as dots, one row to a measure, and lines over the number of elements.

They bring their own white ground, so that they read alike on light and dark pages. Servers differ in colour and shape.
Aims are drawn in black; in the first kind, what is on the side of the short stroke keeps them, in the second what is
below.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from .compare import Aim, Comparison

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")  # told apart by colour-blind readers as well
WIDTH = 820


@dataclass(frozen=True)
class Row:
    """A measure: its aims and what was measured, by server."""

    label: str
    aims: Mapping[str, Aim | None]
    measured: Mapping[str, Comparison | None]


def text(x: float, y: float, content: str, anchor: str = "start", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = "#ddd", width: float = 1, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width}"{dashes}/>'


def mark(x: float, y: float, kind: int) -> str:
    """A circle, a square or a diamond, in the colour of that server."""
    colour = COLOURS[kind % len(COLOURS)]
    if kind % 3 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if kind % 3 == 2 else ""
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="{colour}"{turn}/>'


def document(title: str, height: float, body: Sequence[str]) -> str:
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" '
            f'fill="#222">\n<title>{escape(title)}</title>\n<rect width="100%" height="100%" fill="#fff"/>\n')
    return head + text(20, 24, title, size=15) + "\n" + "\n".join(body) + "\n</svg>\n"


def legend(names: Sequence[str], y: float, aim: Literal["upright", "level"]) -> list[str]:
    body, x = [], 20.0
    for kind, name in enumerate(names):
        body += [mark(x + 4, y - 4, kind), text(x + 13, y, name)]
        x += 35 + 6.5 * len(name)
    ends = (x + 4, y - 10, x + 4, y + 2) if aim == "upright" else (x - 2, y - 4, x + 10, y - 4)
    return [*body, line(*ends, "#000", 2), text(x + 13, y, "aim")]


class Log:
    """A logarithmic axis of ratios from `low` to `high`, drawn from `start` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = math.log(low), math.log(high)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (math.log(value) - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, apart: float) -> list[float]:
        """Powers of ten, divided as finely as leaves so many pixels between neighbours."""
        decades = [10.0**e for e in range(-6, 10)]
        for parts in ([n / 10 for n in range(10, 100)], range(1, 10), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            inside = [m * ten for ten in decades for m in parts if self.low <= math.log(m * ten) <= self.high]
            places = [self(tick) for tick in inside]
            if all(abs(b - a) >= apart for a, b in zip(places, places[1:], strict=False)):
                break
        return inside


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """A range of ratios that holds all of them, and 1, with room at both ends."""
    return min([1.0, *values]) / 1.25, max([1.0, *values]) * 1.25


def dots(title: str, versions: Mapping[str, str], rows: Sequence[Row]) -> str:
    """A row to a measure, a mark to a server, a thin bar for the spread, a black stroke for each server's aim."""
    servers = list(versions)
    step = 9.0 * len(servers) + 8
    top, left, right = 76.0, 350.0, WIDTH - 30.0
    values = [v for row in rows for c in row.measured.values() if c is not None for v in (c.low, c.ratio, c.high) if v]
    values += [aim.bound for row in rows for aim in row.aims.values() if aim is not None]
    axis = Log(*bounds(values), left, right)
    bottom = top + step * len(rows)
    body = legend([versions[server] for server in servers], 46, "upright")
    for tick in axis.ticks(apart=40):
        body += [line(axis(tick), top - 4, axis(tick), bottom), text(axis(tick), top - 9, f"{tick:g} ×", "middle")]
    body.append(line(axis(1), top - 4, axis(1), bottom, "#888"))
    for number, row in enumerate(rows):
        y = top + step * number
        body += [line(20, y, right, y), text(left - 10, y + step / 2 + 4, row.label, "end")]
        for kind, server in enumerate(servers):
            at, aim, measured = y + 8 + 9.0 * kind, row.aims.get(server), row.measured.get(server)
            if aim is not None:
                x, way = axis(aim.bound), 1 if aim.kind == "at least" else -1
                body += [line(x, at - 5, x, at + 5, "#000", 2), line(x, at, x + 6 * way, at, "#000", 1)]
            if measured is not None and measured.ratio:
                if measured.low and measured.high:
                    colour = COLOURS[kind % len(COLOURS)]
                    body.append(line(axis(measured.low), at, axis(measured.high), at, colour, 1.5))
                body.append(mark(axis(measured.ratio), at, kind))
    body += [line(20, bottom, right, bottom), text((left + right) / 2, bottom + 18, "ours / PF", "middle", 12)]
    return document(title, bottom + 30, body)


def lines(title: str, versions: Mapping[str, str], points: Mapping[int, Row]) -> str:
    """Ratios over the number of elements: a line to a server, and a black stroke for an aim."""
    servers = list(versions)
    top, bottom, left, right = 66.0, 336.0, 66.0, WIDTH - 30.0
    rows = list(points.values())
    values = [c.ratio for row in rows for c in row.measured.values() if c is not None and c.ratio]
    values += [aim.bound for row in rows for aim in row.aims.values() if aim is not None and aim.kind == "at most"]
    across, up = Log(min(points) / 1.3, max(points) * 1.3, left, right), Log(*bounds(values), bottom, top)
    body = legend([versions[server] for server in servers], 46, "level")
    for n in points:
        body += [line(across(n), top, across(n), bottom), text(across(n), bottom + 16, _short(n), "middle", 10)]
    for tick in up.ticks(apart=18):
        body += [line(left, up(tick), right, up(tick)), text(left - 8, up(tick) + 4, f"{tick:g} ×", "end")]
    body.append(line(left, up(1), right, up(1), "#888"))
    for kind, server in enumerate(servers):
        seen = [(across(n), up(c.ratio)) for n, row in points.items() if (c := row.measured.get(server)) and c.ratio]
        colour = COLOURS[kind % len(COLOURS)]
        if seen:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in seen)
            body.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        body += [mark(x, y, kind) for x, y in seen]
    for n, row in points.items():
        for bound in {aim.bound for aim in row.aims.values() if aim is not None and aim.kind == "at most"}:
            body.append(line(across(n) - 14, up(bound), across(n) + 14, up(bound), "#000", 2))
    body += [text((left + right) / 2, bottom + 36, "elements", "middle", 12), text(left, top - 6, "ours / PF", "end")]
    return document(title, bottom + 48, body)


def _short(n: int) -> str:
    return f"{n / 1e6:g}M" if n >= 1_000_000 else f"{n / 1e3:g}k" if n >= 1_000 else str(n)
