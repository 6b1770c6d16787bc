"""The page docs/benchmarks.md: tables between markers, made from what was measured, which lies beside the page as JSON.

The text around the tables is written by hand. A part that is measured again replaces only its own file, tables, plots.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .compare import Comparison, Measure, Results, Table


@dataclass(frozen=True)
class Record:
    """What was measured of one part: on which servers (name to full version), by which command, on what machine."""

    command: str
    machine: str
    versions: dict[str, str]
    results: dict[str, Results]  # by the server's name

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Record":
        data = json.loads(path.read_text(encoding="utf-8"))
        data["results"] = {server: {id: Comparison(**values) for id, values in results.items()}
                           for server, results in data["results"].items()}
        return cls(**data)


def verdict(measure: Measure, server: str, measured: Comparison) -> str:
    aim = measure.aim_on(server)
    return "" if aim is None else "kept" if aim.kept(measured) else "**missed**"


def number(value: float, digits: int) -> str:
    """With so many decimals; at most one from ten on, none from a hundred on, where they say nothing."""
    decimals = digits if value < 10 else min(digits, 1) if value < 100 else 0
    return f"{value:,.{decimals}f}"


def cell(measure: Measure, server: str, measured: Comparison | None) -> str:
    """PF → ours = ratio (spread), verdict. The ratio is the median of pairs, not that of the two figures."""
    if measured is None:
        return "–"
    text = f"{number(measured.pf, measure.digits)} → {number(measured.ours, measure.digits)}"
    if measured.ratio is not None:
        text += f" = {measured.ratio:.2f} ×"
    if measured.low is not None and measured.high is not None:
        text += f" ({measured.low:.2f}–{measured.high:.2f})"
    judged = verdict(measure, server, measured)
    return f"{text}, {judged}" if judged else text


def aims(measure: Measure, servers: Sequence[str]) -> str:
    """The aim, or where it is not the same everywhere, each with the servers it is for."""
    by_text: dict[str, list[str]] = {}
    for server in servers:
        aim = measure.aim_on(server)
        by_text.setdefault("–" if aim is None else str(aim), []).append(server)
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"{text} ({', '.join(names)})" for text, names in by_text.items())


def table(layout: Table, record: Record) -> str:
    servers = list(record.results)
    lines = ["| " + " | ".join([layout.heading, "aim", *(record.versions[server] for server in servers)]) + " |",
             "|---|---|" + "---|" * len(servers)]
    for measure in layout.measures:
        measured = [record.results[server].get(measure.id) for server in servers]
        if any(measured):
            cells = [cell(measure, server, one) for server, one in zip(servers, measured, strict=True)]
            lines.append("| " + " | ".join([measure.label, aims(measure, servers), *cells]) + " |")
    lines += ["", f"Made by `{record.command}`; {record.machine}."]
    return "\n".join(lines)


def summary(parts: Sequence[tuple[Sequence[Table], Record]]) -> str:
    """How many aims there are and are kept, and a row for every one that is missed anywhere."""
    kept = 0
    missed: list[str] = []
    for tables, record in parts:
        for layout in tables:
            for measure in layout.measures:
                misses = []
                for server, results in record.results.items():
                    aim = measure.aim_on(server)
                    if aim is None or measure.id not in results:
                        continue
                    if aim.kept(results[measure.id]):
                        kept += 1
                    else:
                        misses.append(f"{record.versions[server]}: {figure(measure, server, results[measure.id])}")
                if misses:
                    missed.append(f"| {layout.heading}: {measure.label} | {aims(measure, list(record.results))} | "
                                  f"{'; '.join(misses)} | {len(misses)} |")
    count = sum(int(row.rsplit("|", 2)[1]) for row in missed)
    lines = [f"Of {kept + count} aims (each on each server) {kept} are kept and {count} are missed."]
    if missed:
        lines += ["", "| missed | aim | measured |", "|---|---|---|", *(row.rsplit("|", 2)[0] + "|" for row in missed)]
    return "\n".join(lines)


def figure(measure: Measure, server: str, measured: Comparison) -> str:
    """The number that the aim is about."""
    aim = measure.aim_on(server)
    if aim is not None and aim.kind == "more":
        return f"{measured.ours - measured.pf:,.1f} more"
    if measured.ratio is None or (aim is not None and aim.kind == "itself"):
        return number(measured.ours, measure.digits)
    return f"{measured.ratio:.2f} ×"


def replace(text: str, name: str, content: str) -> str:
    """The page with something else between the two markers of that name."""
    begin, end = f"<!-- measured: {name} begins -->", f"<!-- measured: {name} ends -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the page needs one pair of markers for {name}: {begin}")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{content}\n{end}{rest.split(end)[1]}"
