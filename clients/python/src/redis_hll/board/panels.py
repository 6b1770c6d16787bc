"""What each panel asks, and what its answer is made of.

A panel is a generator: it yields commands, is sent their results (or thrown their errors), and returns its answer. So nothing here
talks to a server; `hub` carries the conversations on, and notes what was sent. The panels are a fixed list, and every word of a
command comes from here, from what the cube declares, or from a checked view.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from ..commands import Command, cube, monitor, sketch, word
from ..errors import (BadArgument, Busy, CommandMissing, CrossSlot, Full, HLLError, KeyMissing, NoGroup, NotAllowed, WrongType)
from ..results import (Answer, Change, CubeCampaign, CubeFunnel, CubeInfo, Estimate, Interval, QueryResult, Row, Stats)
from ..times import EPOCH, MILLISECOND
from . import shapes
from .config import SketchSettings
from .discovery import CampaignHead, Layout, problem
from .views import View, bucket_end, bucket_of, milliseconds



@dataclass(frozen=True, slots=True)
class Known:
    """A command whose result is known already: it is noted, and not sent."""

    command: Command[Any]
    result: Any


Question = Generator[Command[Any] | Known, Any, Any]
"""Yields commands, is sent results, returns the answer in its shape."""

MOST_ROWS, MOST_FUNNELS, MOST_CAMPAIGNS, MOST_ALERTS = 10, 6, 12, 5
OTHER = "(other)"


class PanelProblem(Exception):
    """A panel that has nothing to show, and why."""

    def __init__(self, found: shapes.Problem) -> None:
        super().__init__(found["text"])
        self.problem = found


@dataclass(frozen=True, slots=True)
class Context:
    """What questions are asked with: what is shown of the cube, the view, and the board's clock in Unix milliseconds."""

    layout: Layout
    view: View
    now: int

    @property
    def stretch(self) -> dict[str, Any]:
        return self.view.stretch(self.layout.zone)

    @property
    def unit(self) -> str:
        """How long the buckets of a chart are."""
        return bucket_of(self.view, list(self.layout.tiers), self.layout.zone, self.now)

    def unfinished(self, begin: datetime, unit: str) -> bool:
        """Whether a bucket is not over yet."""
        return bucket_end(begin, unit) > EPOCH + self.now * MILLISECOND


# ---- figures as shapes


def plain(text: str) -> str:
    """Text that JSON and browsers can have: bytes that were no UTF-8 become marks."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def millis(time: datetime) -> int:
    """Unix milliseconds."""
    return (time - EPOCH) // MILLISECOND


def _maybe(time: datetime | None) -> int | None:
    return None if time is None else millis(time)


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def interval(found: Interval | Estimate | None) -> shapes.Interval | None:
    """An interval; a bound that is infinite is none."""
    return None if found is None else some(found)


def some(found: Interval | Estimate) -> shapes.Interval:
    """An interval that is there."""
    return {"estimate": found.estimate, "lower": _finite(found.lower), "upper": _finite(found.upper)}


def change(found: Change | None) -> shapes.Change | None:
    """A change; None where nothing was compared."""
    return None if found is None else {"previous": found.previous, "change": interval(found.change)}


def quotient(above: Interval, below: Interval) -> Interval | None:
    """One count divided by another, with the bounds of both at their worst. None where there is nothing to divide by."""
    if below.estimate <= 0:
        return None
    return Interval(above.estimate / below.estimate, max(above.lower, 0) / below.upper if below.upper > 0 else 0.0,
                    above.upper / below.lower if below.lower > 0 else math.inf)


def _exactly(number: float) -> Interval:
    return Interval(number, number, number)


def _head(answer: Answer[Any]) -> dict[str, Any]:
    return {"from": millis(answer.from_), "to": millis(answer.to), "zone": answer.zone}


def _compared(context: Context, asked: dict[str, Any]) -> Generator[Command[Any] | Known, Any, tuple[dict[str, Any], QueryResult | None]]:
    """The question once more beside the time before, and the borders of both sides. By itself, because COMPARE cuts the time to slices that
    both sides have: it would leave out this day, or this hour, of which the figures are to tell."""
    if not context.view.compare:
        return dict.fromkeys(("compared_from", "compared_to", "previous_from", "previous_to")), None
    answer: QueryResult = yield cube.query(context.layout.key, **asked, compare="previous")
    known = answer.previous_from is not None
    return {"compared_from": millis(answer.from_) if known else None, "compared_to": millis(answer.to) if known else None,
            "previous_from": _maybe(answer.previous_from), "previous_to": _maybe(answer.previous_to)}, answer


def _only(answer: QueryResult) -> Row:
    """The row of a question without buckets and dimensions. One about time that is not kept has a row of nulls."""
    return answer.rows[0] if answer.rows else Row(None, {})


def _is_kept(answer: Answer[Any], known: bool) -> None:
    """Raises PanelProblem where nothing of the time is kept."""
    if not known and answer.from_ == answer.to:
        raise PanelProblem(problem("not_kept", "Nothing is kept of this time, or what is asked about was not counted yet. What is kept "
                                   f"begins on {answer.from_:%Y-%m-%d} at {answer.from_:%H:%M} ({answer.zone})."))


# ---- panels


def _card(window: dict[str, Any], words: str, spark: tuple[dict[str, Any], str] | None) -> Callable[[Context], Question]:
    """A card of a fixed window; `spark` is the range and the bucket of its small line."""
    def ask(context: Context) -> Question:
        layout, where = context.layout, context.view.where
        asked = {"where": where, "metrics": ["unique", "events"], **window}
        answer: QueryResult = yield cube.query(layout.key, **asked)
        row = _only(answer)
        _is_kept(answer, row.unique is not None)
        borders, beside = yield from _compared(context, asked)
        changes = _only(beside).changes if beside else {}
        line: shapes.Spark | None = None
        if spark is not None:
            stretch, unit = spark
            drawn: QueryResult = yield cube.query(layout.key, where=where, metrics=["unique"], bucket=unit, fill_zero=True, **stretch)
            line = {"unit": unit, "points": [{"bucket": millis(point.bucket), "unique": point.unique.estimate if point.unique else None}
                                             for point in drawn if point.bucket is not None],
                    "unfinished": bool(drawn.rows) and drawn.rows[-1].bucket is not None and context.unfinished(drawn.rows[-1].bucket, unit)}
        return {"window": words, **_head(answer), "unique": interval(row.unique), "events": row.events,
                "unique_change": change(changes.get("unique")), "events_change": change(changes.get("events")), **borders,
                "wide": beside is not None and beside.wide, "spark": line}
    return ask


def card(name: str, layout: Layout, now: int) -> Callable[[Context], Question]:
    """The card of this name."""
    if name == "now":
        live = layout.live
        kept = max(milliseconds(kept) for slice_, kept in layout.tiers if slice_ == layout.finest)
        points = min(36, kept // milliseconds(live))
        spark = {"last": f"{points * milliseconds(live) // 60_000}m"} if live.endswith("m") else {"last": f"{points}{live.lstrip('0123456789')}"} if live.startswith("1") else None
        return _card({"last": live}, f"LAST {live}", (spark, live) if spark and points > 2 else None)
    view = View(cast(Any, name))
    stretch = view.stretch(layout.zone)
    words = "PERIOD TODAY" if name == "today" else f"LAST {name}"
    return _card(stretch, words, (stretch, bucket_of(view, list(layout.tiers), layout.zone, now)))


def series(context: Context) -> Question:
    unit = context.unit
    asked: dict[str, Any] = {"where": context.view.where, "metrics": ["unique", "events"], "bucket": unit, "fill_zero": True, **context.stretch}
    answer: QueryResult = yield cube.query(context.layout.key, **asked)
    _is_kept(answer, any(row.events is not None for row in answer))
    borders, beside = yield from _compared(context, asked)
    before = {row.bucket: row.changes for row in beside} if beside else {}
    rows: list[shapes.SeriesRow] = []
    for row in answer:
        if row.bucket is not None:
            changes = before.get(row.bucket, {})
            rows.append({"bucket": millis(row.bucket), "unique": interval(row.unique), "events": row.events,
                         "unique_previous": changes["unique"].previous if "unique" in changes else None,
                         "events_previous": _whole(changes["events"].previous) if "events" in changes else None,
                         "unfinished": context.unfinished(row.bucket, unit)})
    return {"unit": unit, **_head(answer), **borders, "rows": rows}


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)


def figures(context: Context) -> Question:
    layout, view = context.layout, context.view
    measures = layout.measures
    answer: QueryResult = yield cube.query(layout.key, where=view.where, metrics=["unique", "events", *measures, *(f"per:{name}" for name in measures)],
                                           **context.stretch)
    row = _only(answer)
    _is_kept(answer, row.events is not None)
    per = quotient(_exactly(row.events), row.unique) if row.events is not None and row.unique is not None else None
    return {**_head(answer), "unique": interval(row.unique), "events": row.events, "events_per_unique": interval(per),
            "measures": [{"name": name, "sum": row.measures.get(name), "per_unique": interval(row.per.get(name))} for name in measures],
            "converted": (yield from _converted(context, row.unique))}


def _converted(context: Context, everybody: Interval | None) -> Question:
    """Who had events of the last step; None where nobody can tell."""
    layout, view = context.layout, context.view
    if layout.step is None or not layout.steps or any(item.dimension == layout.step for item in view.filters):
        return None
    last = layout.steps[-1]
    try:
        answer: QueryResult = yield cube.query(layout.key, where={**view.where, layout.step: last}, metrics=["unique"], **context.stretch)
    except NoGroup:
        return None
    found = _only(answer).unique
    rate = quotient(found, everybody) if found is not None and everybody is not None else None
    if rate is not None:
        # Who bought was there, so it is no more than all of them.
        rate = Interval(min(rate.estimate, 1.0), min(rate.lower, 1.0), min(rate.upper, 1.0))
    return {"step": plain(last), "unique": interval(found), "rate": interval(rate)}


def newcomers(context: Context) -> Question:
    layout, where, unit = context.layout, context.view.where, context.unit
    total: QueryResult = yield cube.query(layout.key, where=where, metrics=["unique", "new", "returning"], **context.stretch)
    row = _only(total)
    _is_kept(total, row.unique is not None)
    answer: QueryResult = yield cube.query(layout.key, where=where, metrics=["new", "returning"], bucket=unit, fill_zero=True, **context.stretch)
    return {"unit": unit, **_head(answer), "unique": interval(row.unique), "new": interval(row.new), "returning": interval(row.returning),
            "rows": [{"bucket": millis(row.bucket), "new": interval(row.new), "returning": interval(row.returning),
                      "unfinished": context.unfinished(row.bucket, unit)} for row in answer if row.bucket is not None]}


def values_of(dimension: str, known: Callable[[str], int]) -> Callable[[Context], Question]:
    """The list of a dimension; `known` says how many values the cube has of it."""
    def ask(context: Context) -> Question:
        layout, view = context.layout, context.view.without(dimension)
        asked: dict[str, Any] = {"where": view.where, "by": dimension, "order": "unique", "limit": MOST_ROWS, **context.stretch}
        answer: QueryResult = yield cube.query(layout.key, metrics=["unique", "events", *layout.measures], **asked)
        total: QueryResult = yield cube.query(layout.key, where=view.where, metrics=["events"], **context.stretch)
        _is_kept(answer, bool(answer.rows))
        borders, beside = yield from _compared(context, {**asked, "metrics": ["unique"]})
        changes = {row.by[dimension]: row.changes.get("unique") for row in beside} if beside else {}
        return {"dimension": dimension, **_head(answer), **borders, "rows": [
            {"value": plain(row.by[dimension]), "unique": interval(row.unique), "events": row.events, "measures": row.measures,
             "unique_change": change(changes.get(row.by[dimension])), "at_least": row.at_least}
            for row in answer if row.by[dimension] != OTHER], "values": known(dimension), "events": _only(total).events,
            "other_events": answer.other_events}
    return ask


def funnel(context: Context) -> Question:
    layout, step = context.layout, context.layout.step
    if "funnel" in layout.problems or step is None:
        raise PanelProblem(layout.problems["funnel"])
    where, by = context.view.without(step).where, layout.funnel_by
    asked: dict[str, Any] = {"where": where, **context.stretch}
    try:
        answer: Answer[CubeFunnel] = yield cube.funnel(layout.key, step, layout.steps, by=by, **asked)
    except NoGroup:
        if by is None or by in where:
            raise
        by = None
        answer = yield cube.funnel(layout.key, step, layout.steps, **asked)
    _is_kept(answer, bool(answer.rows))
    found = sorted(answer.rows, key=lambda row: -row.steps[0].users.estimate)
    return {"dimension": step, "steps": list(map(plain, layout.steps)), "by": by, **_head(answer), "rows": [
        {"value": plain(row.by[by]) if by else None, "at_least": row.at_least, "steps": [
            {"step": plain(item.step), "uniques": some(item.uniques), "users": some(item.users), "conversion": interval(item.conversion),
             "overall": interval(item.overall)} for item in row.steps]} for row in found[:MOST_FUNNELS]],
        "more": max(0, len(found) - MOST_FUNNELS), "other_events": answer.other_events}


def campaign(context: Context) -> Question:
    layout, head = context.layout, context.layout.campaign
    if head is None:
        raise PanelProblem(layout.problems["campaign"])
    where = context.view.without(head.dimension).where
    answer: Answer[CubeCampaign] = yield cube.campaign(layout.key, head.dimension, impression=head.impression, click=head.click,
                                                       conversion=head.conversion, cost=head.cost, revenue=head.revenue, by=head.by, where=where,
                                                       **context.stretch)
    _is_kept(answer, bool(answer.rows))
    sums = (yield from _sums(context, head, where)) if answer.rows else {}
    found = sorted(answer.rows, key=lambda row: -row.report.unique_impressions.estimate)
    rows: list[shapes.CampaignRow] = []
    for row in found[:MOST_CAMPAIGNS]:
        report, sum_of = row.report, sums.get(row.by[head.by], {})
        rows.append({"value": plain(row.by[head.by]), "impressions": some(report.unique_impressions), "clicks": some(report.unique_clicks),
                     "conversions": some(report.unique_conversions), "ctr": interval(report.ctr), "conversion_rate": interval(report.conversion_rate),
                     "cost": sum_of.get(head.cost or ""), "revenue": sum_of.get(head.revenue or ""), "cpc": interval(report.cpc),
                     "cpa": interval(report.cpa), "roi": interval(report.roi), "at_least": row.at_least})
    return {"dimension": head.dimension, "impression": plain(head.impression), "click": plain(head.click), "conversion": plain(head.conversion),
            "by": head.by, "cost": head.cost, "revenue": head.revenue, **_head(answer), "rows": rows, "more": max(0, len(found) - MOST_CAMPAIGNS),
            "other_events": answer.other_events}


def _sums(context: Context, head: CampaignHead, where: Any) -> Question:
    """Cost and revenue of each row, over the events that HLL.CUBE.CAMPAIGN sums: those of the three steps."""
    measures = [name for name in dict.fromkeys((head.cost, head.revenue)) if name is not None]
    if not measures:
        return {}
    steps = list(dict.fromkeys((head.impression, head.click, head.conversion)))
    answer: QueryResult = yield cube.query(context.layout.key, where={**where, head.dimension: steps}, by=head.by, metrics=measures, **context.stretch)
    return {row.by[head.by]: row.measures for row in answer}


def retention(context: Context) -> Question:
    layout, view, every = context.layout, context.view, context.layout.every
    if every is None:
        raise PanelProblem(problem("not_configured", f"{layout.key} keeps no eight periods of a length that could be compared, such as weeks."))
    if len(view.filters) > 1:
        raise PanelProblem(problem("unanswerable", "Who comes back can be told under one filter at a time."))
    number, kind = every.rstrip("abcdefghijklmnopqrstuvwxyz"), every.lstrip("0123456789")
    answer = yield cube.retention(layout.key, every, layout.periods, cohort=view.where, returned=view.where,
                                  last=f"{int(number) * (layout.periods - 1)}{kind}")
    _is_kept(answer, bool(answer.rows))
    return {"every": every, **_head(answer), "rows": [
        {"cohort": millis(row.cohort), "size": interval(row.size), "periods": [
            {"period": item.period, "bucket": millis(item.bucket), "users": interval(item.users), "rate": interval(item.rate),
             "unfinished": context.unfinished(item.bucket, every)} for item in row.periods]} for row in answer]}


# ---- the state of the server, and plain sketches


def module_state(found: Stats) -> shapes.Module:
    """What the module says of itself. Counters that an older module lacks are 0."""
    def number(name: str) -> int:
        return int(found.get(name, 0))
    return {"version": found.version, "sketch_keys": number("sketch_keys"), "sketch_bytes": number("sketch_bytes"), "cube_keys": number("cube_keys"),
            "cube_bytes": number("cube_bytes"), "long_answers": {
                "running": number("long_answers_running"), "waiting": number("long_answers_waiting"), "done": number("long_answers_done"),
                "refused": number("long_answers_refused"), "timed_out": number("long_answers_timed_out")}}


def cube_state(info: CubeInfo, events: int | None, today: int | None, rate: float | None) -> shapes.CubeState:
    """What a cube holds and takes."""
    return {"slices": sum(tier.slices for tier in info.tiers),
            "tiers": [{"slice": tier.slice, "retention": tier.retention, "slices": tier.slices, "bytes": tier.bytes} for tier in info.tiers],
            "memory_bytes": info.memory_bytes, "max_bytes": info.max_bytes, "newest": _maybe(info.newest), "events": events,
            "events_today": today, "events_per_second": rate, "late": info.late, "too_late": info.too_late, "duplicates": info.duplicates,
            "waiting": info.waiting}


def _allowed(command: Command[Any] | Known) -> Question:
    """The result, or None where the board's user may not ask, or there is no such key."""
    try:
        return (yield command)
    except HLLError:
        return None
    except Exception as error:
        if is_refused(error):
            return None
        raise


def state(key: str | None, node_of: str, server: Callable[[], shapes.Server | None], monitor_key: str | None, events: Callable[[], tuple[int | None, float | None]],
          described: Callable[[], CubeInfo | None]) -> Callable[[], Question]:
    """Server, cube and alerts. Of a cluster it is the node that has the key `node_of`. What HLL.CUBE.INFO said last is known (`described`)."""
    def ask() -> Question:
        about: shapes.CubeState | None = None
        if key is not None:
            known = described()
            info: CubeInfo | None = yield from _allowed(Known(cube.info(key), known) if known else cube.info(key))
            if info is not None:
                today: QueryResult | None = yield from _allowed(cube.query(key, period="today", metrics=["events"]))
                total, rate = events()
                about = cube_state(info, total, _only(today).events if today else None, rate)
        # A key that the command does not have says which node of a cluster is meant.
        stats: Stats | None = yield from _allowed(replace(sketch.stats(), key=word(node_of), movable=True))
        alerts = (yield from _allowed(monitor.alerts(monitor_key, count=MOST_ALERTS))) if monitor_key else None
        return {"server": server(), "cube": about, "module": module_state(stats) if stats else None, "alerts": None if alerts is None else [
            {"at": millis(item.at), "context": plain(item.context), "level": plain(item.level), "estimate": item.estimate, "exact": item.exact,
             "error_rate": item.error_rate, "threshold": item.threshold} for item in alerts]}
    return ask


def sketches(settings: tuple[SketchSettings, ...]) -> Callable[[], Question]:
    """The counts of plain sketches."""
    def ask() -> Question:
        rows: list[shapes.SketchRow] = []
        for item in settings:
            row: shapes.SketchRow = {"key": item.key, "title": item.title or item.key, "estimate": None, "exact": False, "problem": None}
            try:
                found: Estimate = yield sketch.estimate(item.key)
                row["estimate"], row["exact"] = some(found), found.method == "exact"
            except Exception as error:
                if not isinstance(error, HLLError) and not is_refused(error):
                    raise
                row["problem"] = problem_of(error, item.key, (), ())
            rows.append(row)
        return {"rows": rows}
    return ask


# ---- problems


def is_refused(error: Exception) -> bool:
    """Whether the server said no to this user or this question, and not that it is gone."""
    kinds = {cls.__name__ for cls in type(error).__mro__}
    return "ResponseError" in kinds and "ConnectionError" not in kinds


def problem_of(error: Exception, key: str, filters: tuple[str, ...], about: tuple[str, ...]) -> shapes.Problem:
    """An error of the server as a panel tells it. `filters` are the dimensions that are filtered by, `about` those that the panel is of."""
    said = plain(str(error)).removeprefix("ERR ").removeprefix("HLL: ")
    match error:
        case KeyMissing():
            return problem("no_cube", f"There is no key '{key}' on this server.")
        case WrongType():
            return problem("wrong_type", f"'{key}' is not what the board was told: {said}")
        case NoGroup():
            wanted = list(dict.fromkeys((*about, *filters)))
            text = f"{key} does not count {' and '.join(wanted)} together, so it cannot answer this under the filter."
            if 2 <= len(wanted) <= 4:
                return problem("no_group", f"{text} From when this is typed on, it will:", f"HLL.CUBE.ALTER {key} ADD GROUP {','.join(wanted)}")
            return problem("unanswerable", text)
        case CommandMissing():
            return problem("no_module", "The server does not have this command: the module redis-hll is not loaded there, or is an older one.",
                           "MODULE LOAD /usr/local/lib/redis/libredis_hll.so")
        case Busy() | Full():
            return problem("busy", said)
        case CrossSlot() | BadArgument() | HLLError():
            return problem("not_allowed" if isinstance(error, NotAllowed) else "refused", said)
    if "NoPermissionError" in {cls.__name__ for cls in type(error).__mro__} or said.startswith("NOPERM"):
        return problem("not_allowed", f"The board's user may not ask this: {said}")
    if is_refused(error):
        return problem("refused", said)
    return problem("gone", f"The server did not answer: {said or type(error).__name__}")


def about_dimensions(name: str, layout: Layout) -> tuple[str, ...]:
    """The dimensions that a panel is of, as a GROUP for it would name them."""
    if name.startswith("list."):
        return (name.removeprefix("list."),)
    if name == "funnel" and layout.step:
        return (layout.step,)
    if name == "campaign" and layout.campaign:
        return (layout.campaign.dimension, layout.campaign.by)
    return ()
