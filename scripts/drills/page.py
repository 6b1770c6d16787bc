"""The table of docs/recovery.md, between two markers; the text around it is written by hand."""

from collections.abc import Sequence
from pathlib import Path

from .scenarios import Row

BEGIN, END = "<!-- scripts/drill: begin -->", "<!-- scripts/drill: end -->"
# The objectives, in seconds: how long writes may stand still, and how much of what was acknowledged may be lost.
RTO, RPO = 300.0, 60.0


def seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 20 or value == 0 else f"{value:.1f} s"


def lost_time(row: Row) -> str:
    return f"its age, {seconds(row.rpo)} here" if row.by_age else seconds(row.rpo)


def verdict(row: Row) -> str:
    missed = [name for name, value, most in (("RTO", row.rto, RTO), ("RPO", row.rpo, RPO)) if value > most]
    if missed:
        return "missed: " + " and ".join(missed)
    return f"kept, while it is less than {RPO / 60:.0f} min old" if row.by_age else "kept"


def table(rows: Sequence[Row]) -> str:
    lines = [f"| what happens | what makes writes safe | RTO (objective {RTO / 60:.0f} min) | RPO (objective {RPO / 60:.0f} min) | "
             "acknowledged and lost | objectives |", "|---|---|---:|---:|---:|---|"]
    lines += [f"| {row.event} | {row.kept} | {seconds(row.rto)} | {lost_time(row)} | {row.lost:,} of {row.of:,} {row.what} | {verdict(row)} |"
              for row in rows]
    return "\n".join(lines)


def replaced(text: str, about: str, rows: Sequence[Row]) -> str:
    """The page with this table; raises ValueError where it does not have the markers once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the page must have one {BEGIN} and one {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{about}\n\n{table(rows)}\n{END}{after}"


def write(path: Path, about: str, rows: Sequence[Row]) -> None:
    path.write_text(replaced(path.read_text(encoding="utf-8"), about, rows), encoding="utf-8")
