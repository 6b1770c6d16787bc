"""`redis-hll funnel`, `retention`, `top` and `series`: questions as tables with intervals."""

import argparse
import re
from typing import Any

from ..commands.cube import Not
from ..results import Interval, Rows
from ..shells import HLL
from ..sources.files import InputError
from .output import Output, amount, bounds, count, heading, percent, when


def condition(text: str) -> tuple[str, Any]:
    """An argument that is a condition: device=mobile, country=DE,FR, page!=/."""
    found = re.match(r"(\w+)(!?=)(.*)", text, re.S)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is no condition; write dimension=value, dimension=a,b or dimension!=value")
    dimension, sign, values = found.groups()
    several = values.split(",")
    return dimension, Not(*several) if sign == "!=" else several if len(several) > 1 else values


def _add_time(parser: argparse.ArgumentParser) -> None:
    stretch = parser.add_mutually_exclusive_group()
    stretch.add_argument("--last", metavar="DURATION", help="1h, 7d, 1mo, ...")
    stretch.add_argument("--between", nargs=2, metavar=("FROM", "TO"), help="two times in ISO 8601 with their offsets")
    stretch.add_argument("--period", choices=("today", "yesterday", "week", "lastweek", "month", "lastmonth", "quarter", "year"))
    parser.add_argument("--at", metavar="TIME", help="the end of --last, or a time within --period (default: now)")
    parser.add_argument("--confidence", type=float, metavar="C", help="of intervals (default: 0.95)")


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--where", action="append", type=condition, default=[], metavar="CONDITION", help="device=mobile, country=DE,FR, page!=/")


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """The time and the confidence as the methods take them."""
    between = tuple(arguments.between) if arguments.between else None
    return {"last": arguments.last, "between": between, "period": arguments.period, "at": arguments.at, "confidence": arguments.confidence}


def _where(arguments: argparse.Namespace) -> dict[str, Any]:
    found = dict(arguments.where)
    if len(found) < len(arguments.where):
        raise InputError("a dimension has one condition; of several values write --where country=DE,FR")
    return found


def _cube(arguments: argparse.Namespace) -> str:
    key = arguments.cube or arguments.settings.get("cube")
    if not key:
        raise InputError("which cube? Say it with --cube KEY, or cube = \"KEY\" in the configuration")
    return str(key)


def add_funnel(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `funnel`."""
    parser = commands.add_parser("funnel", parents=[common], help="who did a step and every one before it",
                                 description="Steps are keys of sketches, or with --cube values of a dimension.")
    parser.add_argument("steps", nargs="+", metavar="STEP", help="2 to 8, in their order")
    parser.add_argument("--cube", metavar="KEY")
    parser.add_argument("--dimension", default="step", help="of the cube, whose values the steps are (default: step)")
    parser.add_argument("--by", metavar="DIMENSION", help="a funnel for each value")
    _add_time(parser)
    _add_where(parser)
    parser.set_defaults(run=funnel)


def funnel(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `funnel`."""
    output = Output(arguments.output)
    if arguments.cube:
        answer = hll.cube(arguments.cube).funnel(arguments.dimension, arguments.steps, by=arguments.by, where=_where(arguments),
                                                 **_asked(arguments))
        found = [(row.by.get(arguments.by, ""), step) for row in answer for step in row.steps]
        dicts, note = answer.to_dicts(), f"{when(answer.from_)} to {when(answer.to)} ({answer.zone}), in any order"
    else:
        if arguments.by or arguments.where or any(_asked(arguments)[name] for name in ("last", "between", "period", "at")):
            raise InputError("a time, --by and --where belong to a cube: give --cube KEY")
        steps = hll.funnel(*arguments.steps, confidence=arguments.confidence)
        found, dicts, note = [("", step) for step in steps], steps.to_dicts(), "In any order."
    output.rows([arguments.by or "", "step", "users", heading(arguments.confidence), "of previous", "interval", "of first"] if arguments.by else
                ["step", "users", heading(arguments.confidence), "of previous", "interval", "of first"],
                [[*([value] if arguments.by else []), step.step, count(step.users.estimate), bounds(step.users),
                  *(["", "", ""] if place == 0 else [percent(step.conversion), _rates(step.conversion), percent(step.overall)])]
                 for place, (value, step) in enumerate(found)], dicts, note)
    return 0


def _rates(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.lower:.1%} .. {interval.upper:.1%}"


def add_retention(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `retention`."""
    parser = commands.add_parser("retention", parents=[common], help="who came back in the periods that followed")
    parser.add_argument("--cube", metavar="KEY")
    parser.add_argument("--every", metavar="UNIT", help="how long periods are: 1d, 1w, 1mo")
    parser.add_argument("--periods", nargs="+", metavar="N", help="how many of them; or keys of sketches, with --cohorts")
    parser.add_argument("--cohorts", nargs="+", metavar="KEY", help="sketches of those who have something in common")
    parser.add_argument("--cohort", action="append", type=condition, metavar="CONDITION", help="what makes a user of a cohort: step=buy")
    parser.add_argument("--return", dest="returned", action="append", type=condition, metavar="CONDITION", help="what is coming back")
    parser.add_argument("--by", metavar="DIMENSION", help="cohorts for each value")
    _add_time(parser)
    parser.set_defaults(run=retention)


def retention(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `retention`."""
    output = Output(arguments.output)
    rates: list[list[Interval | None]]
    if arguments.cohorts:
        if not arguments.periods:
            raise InputError("which periods? Say it with --periods KEY ...")
        cohorts = hll.retention(arguments.cohorts, arguments.periods, confidence=arguments.confidence)
        names, head, dicts = [[cohort.cohort] for cohort in cohorts], ["cohort"], cohorts.to_dicts()
        sizes: list[Interval | None] = [cohort.size for cohort in cohorts]
        rates, periods = [[period.rate for period in cohort.periods] for cohort in cohorts], list(arguments.periods)
    else:
        number = (arguments.periods or ["8"])[0]
        if not arguments.every or not number.isdigit():
            raise InputError("give --every UNIT and --periods N, or --cohorts and --periods with keys of sketches")
        answer = hll.cube(_cube(arguments)).retention(
            arguments.every, int(number), cohort=dict(arguments.cohort or []), returned=dict(arguments.returned or []), by=arguments.by,
            **_asked(arguments))
        names = [[*row.by.values(), when(row.cohort)] for row in answer]
        head, dicts = [*([arguments.by] if arguments.by else []), "cohort"], answer.to_dicts()
        sizes, rates = [row.size for row in answer], [[period.rate for period in row.periods] for row in answer]
        periods = list(map(str, range(int(number))))
    output.rows([*head, "size", heading(arguments.confidence), *periods],
                [[*name, count(size.estimate if size else None), bounds(size), *map(_percent_and_half, row)]
                 for name, size, row in zip(names, sizes, rates, strict=True)], dicts)
    return 0


def _percent_and_half(rate: Interval | None) -> str:
    """A rate and half the width of its interval, in percent: a table of bounds would be too wide to be read."""
    return "" if rate is None else f"{100 * rate.estimate:.1f} ± {50 * (rate.upper - rate.lower):.1f} %"


def _figures(rows: Rows[Any], head: list[str], names: list[list[str]], measures: list[str], output: Output, confidence: float | None,
             dicts: list[dict[str, Any]], note: str) -> None:
    output.rows([*head, "users", heading(confidence), "events", "new", *measures],
                [[*name, count(row.unique.estimate if row.unique else None), bounds(row.unique), count(row.events),
                  count(row.new.estimate if row.new else None), *(amount(row.measures.get(measure)) for measure in measures)]
                 for name, row in zip(names, rows, strict=True)], dicts, note)


def add_top(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `top`."""
    parser = commands.add_parser("top", parents=[common], help="the values of a dimension with most users")
    parser.add_argument("dimension", metavar="DIMENSION")
    parser.add_argument("--cube", metavar="KEY")
    parser.add_argument("-n", type=int, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument("--order", metavar="METRIC", help="events, new, a measure, ... (default: users)")
    _add_time(parser)
    _add_where(parser)
    parser.set_defaults(run=top)


def top(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `top`."""
    answer = hll.cube(_cube(arguments)).top(arguments.dimension, arguments.n, order=arguments.order, where=_where(arguments),
                                            **_asked(arguments))
    measures = list(dict.fromkeys(name for row in answer for name in row.measures))
    note = f"{when(answer.from_)} to {when(answer.to)} ({answer.zone})"
    if any(row.at_least for row in answer):
        note += f"; at least: {answer.other_events:,} events are in the cell (other)"
    _figures(answer.rows, [arguments.dimension], [[row.by[arguments.dimension]] for row in answer], measures, Output(arguments.output),
             arguments.confidence, answer.to_dicts(), note)
    return 0


def add_series(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `series`."""
    parser = commands.add_parser("series", parents=[common], help="users and events by time")
    parser.add_argument("--cube", metavar="KEY")
    parser.add_argument("--bucket", default="1d", metavar="UNIT", help="5m, 1h, 1d, 1w, 1mo, ... (default: 1d)")
    _add_time(parser)
    _add_where(parser)
    parser.set_defaults(run=series)


def series(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `series`."""
    answer = hll.cube(_cube(arguments)).series(arguments.bucket, where=_where(arguments), **_asked(arguments))
    measures = list(dict.fromkeys(name for row in answer for name in row.measures))
    _figures(answer.rows, ["from"], [[when(row.bucket)] for row in answer], measures, Output(arguments.output), arguments.confidence,
             answer.to_dicts(), f"in {answer.zone}")
    return 0
