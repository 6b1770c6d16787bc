"""The page docs/benchmarks.md: tables between markers, made from what was measured, which lies beside the page as JSON.

The text around the tables is written by hand, but for the sentences the page opens with (balance.py). A part that is
measured again replaces only its own file, tables and plots; the sentences and the list of aims are of all parts.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .balance import BEYOND, balance, beyond, wrapped
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
    if aim is None:
        return ""
    if aim.kept(measured):
        return "kept"
    reason = beyond(measure.id, server)
    return "**missed**" if reason is None else f"missed ({reason.mark})"


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


def opening(parts: Sequence[tuple[Sequence[Table], Record]]) -> str:
    """What a user gains and pays, if all that the sentences speak of was measured."""
    figures: dict[str, dict[str, Comparison]] = {}
    versions: dict[str, str] = {}
    for _, record in parts:
        versions |= record.versions
        for server, results in record.results.items():
            figures.setdefault(server, {}).update(results)
    return balance(figures, list(versions.values()))


def summary(parts: Sequence[tuple[Sequence[Table], Record]]) -> str:
    """How many aims there are and are kept, and a row for every one that is missed anywhere."""
    kept = 0
    reachable = 0
    missed: list[str] = []
    marks: dict[str, int] = {}
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
                        continue
                    reason = beyond(measure.id, server)
                    shown = f"{record.versions[server]}: {figure(measure, server, results[measure.id])}"
                    if reason is None:
                        reachable += 1
                    else:
                        marks[reason.mark] = marks.get(reason.mark, 0) + 1
                        shown += f" ({reason.mark})"
                    misses.append(shown)
                if misses:
                    missed.append(f"| {layout.heading}: {measure.label} | {aims(measure, list(record.results))} | {'; '.join(misses)} |")
    out_of_reach = sum(marks.values())
    lines = [wrapped(f"Of {kept + reachable + out_of_reach} aims (each on each server) {kept} are kept and {reachable} are missed, and "
                     f"{out_of_reach} could not be kept, for reasons that are marked in the tables:")]
    lines += ["", *(wrapped(f"({one.mark}), {marks[one.mark]} aims: {one.why}", "* ") for one in BEYOND if one.mark in marks)]
    if missed:
        lines += ["", "| not kept | aim | measured |", "|---|---|---|", *missed]
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
