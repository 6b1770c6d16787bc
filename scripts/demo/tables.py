"""Printing: headings, tables, and how figures look in them."""

from collections.abc import Sequence

from redis_hll import Interval


def heading(text: str) -> None:
    print(f"\n{text}\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be: the first to the left, the others to the right; empty ones are left out."""
    shown = [c for c in range(len(head)) if any(row[c] for row in rows)]
    widths = [max(len(head[c]), *(len(row[c]) for row in rows)) for c in shown]
    for line in [head, *rows]:
        cells = [line[c].ljust(w) if c == 0 else line[c].rjust(w) for c, w in zip(shown, widths)]
        print("  " + "  ".join(cells).rstrip())


def count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def size(value: int | None) -> str:
    if value is None:
        return ""
    return f"{value:,} B" if value < 10_000 else f"{value / 1024:,.1f} KiB" if value < 10 << 20 else f"{value / (1 << 20):,.1f} MiB"


def percent(value: float) -> str:
    return f"{value:.1%}"


def error(estimate: float, exact: float) -> str:
    if exact == 0:
        return "" if estimate < 0.5 else "-"
    value = (estimate - exact) / exact
    return "0" if abs(value) < 5e-6 else f"{value:+.2%}"


def bounds(interval: Interval) -> str:
    return f"{count(interval.lower)} .. {count(interval.upper)}"


def plain(name: str) -> str:
    """A name from a file, fit for a terminal."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 32 else text[:31] + "…"


def amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.2f}"


def beside(found: Interval, exact: float) -> tuple[str, str]:
    """An estimate and the exact number behind it."""
    return count(found.estimate), f"({count(exact)})"
