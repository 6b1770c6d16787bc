"""One thing measured on both sides, the aim it is held against, and the tables these stand in."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Side(NamedTuple):
    """PF or this module. Key prefixes and so key names are of the same length on both."""

    name: str
    prefix: str
    add: str
    count: str
    merge: str

    def key(self, name: str) -> str:
        return self.prefix + name


PF = Side("PF", "p:", "PFADD", "PFCOUNT", "PFMERGE")
OURS = Side("redis-hll", "h:", "HLL.ADD", "HLL.COUNT", "HLL.MERGE")


def order(number: int) -> tuple[Side, Side]:
    """Who goes first: by turns, so that neither side always finds the caches the other left."""
    return (PF, OURS) if number % 2 == 0 else (OURS, PF)


@dataclass(frozen=True)
class Comparison:
    """Both sides of one measurement. The ratio is ours to PF's; `low` and `high` are its 10th and 90th percentile."""

    pf: float
    ours: float
    ratio: float | None
    low: float | None = None
    high: float | None = None


def of_runs(pf: Sequence[float], ours: Sequence[float]) -> Comparison:
    """Medians of both sides, and the median of the ratios of runs that were made next to each other.

    The latter is what aims are held against: a machine that slows down for a second slows both runs of a pair, and
    moves their ratio less than either time.
    """
    ratios = [b / a for a, b in zip(pf, ours, strict=True)]
    tenths = statistics.quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else ratios
    return Comparison(statistics.median(pf), statistics.median(ours), statistics.median(ratios), tenths[0], tenths[-1])


def of_values(pf: float, ours: float) -> Comparison:
    """Of quantities that do not vary from run to run, such as bytes."""
    return Comparison(pf, ours, ours / pf if pf else None)


@dataclass(frozen=True)
class Aim:
    """A bound on the ratio, on the difference (`more`), or on our own figure alone (`itself`)."""

    kind: Literal["at most", "at least", "more", "itself"]
    bound: float

    def __str__(self) -> str:
        return {
            "at most": f"≤ {self.bound:g} ×",
            "at least": f"≥ {self.bound:g} ×",
            "more": f"≤ {self.bound:g} more",
            "itself": f"ours ≤ {self.bound:g}",
        }[self.kind]

    def kept(self, measured: Comparison) -> bool:
        match self.kind:
            case "more":
                return measured.ours - measured.pf <= self.bound
            case "itself":
                return measured.ours <= self.bound
            case "at least":
                return measured.ratio is not None and measured.ratio >= self.bound
            case _:
                return measured.ratio is not None and measured.ratio <= self.bound


def at_most(bound: float) -> Aim:
    return Aim("at most", bound)


@dataclass(frozen=True)
class Measure:
    """A row of a table. `aims_on` are aims of single servers, by name, that differ from `aim`."""

    id: str
    label: str
    aim: Aim | None = None
    aims_on: Mapping[str, Aim] = field(default_factory=dict)
    digits: int = 0

    def aim_on(self, server: str) -> Aim | None:
        return self.aims_on.get(server, self.aim)


@dataclass(frozen=True)
class Table:
    """Stands on the page between markers that carry its name. Its plot, if any, has a row or a point to a measure."""

    name: str
    heading: str
    measures: tuple[Measure, ...]
    plot: Literal["dots", "lines"] | None = "dots"


Results = dict[str, Comparison]  # by the id of the measure
