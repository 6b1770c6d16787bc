"""The dashboard: what a cube answers, each figure from one command, beside what is true."""

import math
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

from redis_hll.times import instant

from .cube import Cube, key_value
from .tables import amount, beside, bounds, count, error, heading, percent, plain, table

if TYPE_CHECKING:
    from .report import Report

RANGES = (("30 minutes", "30m"), ("24 hours", "24h"), ("7 days", "7d"), ("30 days", "30d"))
MOST_VALUES = 5  # of a dimension
MOST_STEPS = 8
DIMENSIONS_SHOWN = 3
CAMPAIGN_STEPS = 3  # that a table of campaigns needs: seen, clicked, bought
RETENTION_PERIODS = 5
DAY = timedelta(1)


def dashboard(report: "Report", cube: Cube) -> None:
    for section in (visitors, values, funnel, campaigns, retention):
        section(report, cube)


def visitors(report: "Report", cube: Cube) -> None:
    """Users, new and returning ones and events of the last minutes to the last month."""
    heading(f"Visitors up to {cube.now:%Y-%m-%d %H:%M UTC}, from one cube: one row, one command")
    rows = []
    for name, duration in RANGES:
        answer = cube.ask.query(last=duration, at=cube.now, metrics=["unique", "events", "new", "returning", *cube.shape.measures])
        events = cube.facts.where(answer.from_, answer.to)
        exact, new = cube.facts.count(events), int((events & cube.facts.first).sum())
        row = answer[0]
        report.judge(row.new, new)
        report.judge(row.returning, exact - new)
        rows.append([name, count(exact), count(row.unique.estimate), error(row.unique.estimate, exact), bounds(row.unique),
                     report.judge(row.unique, exact), *beside(row.new, new), *beside(row.returning, exact - new), count(row.events),
                     *(amount(row.measures[measure]) for measure in cube.shape.measures[:2])])
    table(["last", "exact", "estimate", "error", "95 % interval", "holds", "new", "(exact)", "returning", "(exact)", "events",
           *cube.shape.measures[:2]], rows)


def values(report: "Report", cube: Cube) -> None:
    """The values of the other dimensions with the most users."""
    elsewhere = ("step", "channel") if len(report.funnel_steps) >= CAMPAIGN_STEPS else ("step",) if report.funnel_steps else ()
    others = [name for name in cube.shape.dimensions if name not in elsewhere][:DIMENSIONS_SHOWN]
    if not others:
        return
    heading(f"Visitors by {', '.join(others)}: last 7 days (events{' and sums' if cube.shape.measures else ''} are exact)")
    rows = []
    for name in others:
        answer = cube.ask.top(name, MOST_VALUES, last="7d", at=cube.now)
        for row in answer:
            value = row.by[name]
            if value == "(other)":
                continue
            exact = cube.facts.count(cube.facts.where(answer.from_, answer.to, **{name: value}))
            holds = "at least" if row.at_least else report.judge(row.unique, exact)
            rows.append([plain(value), count(exact), count(row.unique.estimate), error(row.unique.estimate, exact), bounds(row.unique), holds,
                         count(row.events), *(amount(row.measures[measure]) for measure in cube.shape.measures[:2])])
    table(["", "exact", "estimate", "error", "95 % interval", "holds", "events", *cube.shape.measures[:2]], rows)


def funnel(report: "Report", cube: Cube) -> None:
    """How many took every step up to here, and conversion by device."""
    steps = list(report.funnel_steps)[:MOST_STEPS]
    if len(steps) < 2:
        return
    sent = [key_value(step) for step in steps]
    answer = cube.ask.funnel("step", sent, last="30d", at=cube.now)
    exact = _taken(cube, answer.from_, answer.to, steps)
    heading("Funnel, last 30 days: visitors who took this step and every earlier one (in any order: a cube knows no order)")
    rows = []
    for step, users, before, found in zip(steps, exact, [0, *exact], answer[0].steps):
        rows.append([plain(step), count(users), count(found.users.estimate), error(found.users.estimate, users), bounds(found.users),
                     report.judge(found.users, users), percent(users / before) if before else "",
                     percent(found.conversion.estimate) if before else ""])
    table(["step", "exact", "estimate", "error", "95 % interval", "holds", "conversion", "estimated"], rows)
    if "step,device" not in cube.shape.groups:
        return
    answer = cube.ask.funnel("step", sent, by="device", last="24h", at=cube.now)
    told = []
    for row in answer:
        exact = _taken(cube, answer.from_, answer.to, steps, device=row.by["device"])
        last = row.steps[-1].overall
        if not exact[0] or last is None:
            continue
        rate = exact[-1] / exact[0]
        report.judge_rate(last, rate)
        told.append(f"{plain(row.by['device'])} {percent(last.estimate)} ({percent(rate)})")
    if told:
        print(f"\n  From first to last step by device, last 24 hours (exact): {', '.join(told[:6])}.")


def _taken(cube: Cube, since: datetime, until: datetime, steps: list[str], **more: str) -> list[int]:
    """For each step how many took it and every earlier one."""
    users = [cube.facts.users(cube.facts.where(since, until, step=step, **more)) for step in steps]
    return [int(reduce(lambda a, b: a & b, users[:end]).sum()) for end in range(1, len(users) + 1)]


def campaigns(report: "Report", cube: Cube) -> None:
    """Rates and costs by channel."""
    steps = list(report.funnel_steps)
    if len(steps) < CAMPAIGN_STEPS or "step,channel" not in cube.shape.groups:
        return
    seen, clicked, bought = steps[0], steps[1], steps[-1]
    amounts = {name: name for name in ("cost", "revenue") if name in cube.shape.measures}
    answer = cube.ask.campaign("step", impression=key_value(seen), click=key_value(clicked), conversion=key_value(bought), **amounts,
                               by="channel", last="30d", at=cube.now)
    heading(f"Campaigns by channel, last 30 days: {plain(seen)}, {plain(clicked)}, {plain(bought)}; estimates, and (exact)")
    rows = []
    for row in answer:
        channel, found = row.by["channel"], row.report
        events = [cube.facts.where(answer.from_, answer.to, step=step, channel=channel) for step in (seen, clicked, bought)]
        people = [cube.facts.users(one) for one in events]
        sizes = [int(one.sum()) for one in people]
        sums = {name: math.fsum(cube.facts.measures[name][events[0] | events[1] | events[2]]) for name in amounts}
        cost, revenue = sums.get("cost"), sums.get("revenue")
        exact = [_ratio(int((people[0] & people[1]).sum()), sizes[0]), _ratio(int((people[1] & people[2]).sum()), sizes[1]),
                 _ratio(cost, sizes[1]), _ratio(cost, sizes[2]),
                 _ratio(None if revenue is None or cost is None else revenue - cost, cost)]
        for interval, size in zip((found.unique_impressions, found.unique_clicks, found.unique_conversions), sizes):
            report.judge(interval, size)
        for interval, rate in zip((found.ctr, found.conversion_rate), exact):
            if rate is not None and interval is not None and math.isfinite(interval.upper):
                report.judge_rate(interval, rate)
        cells = [*beside(found.unique_impressions, sizes[0]), *beside(found.unique_conversions, sizes[2])]
        for interval, value, shown in zip((found.ctr, found.conversion_rate, found.cpc, found.cpa, found.roi), exact,
                                          (percent, percent, _money, _money, percent)):
            cells += ["", ""] if interval is None or value is None else [shown(interval.estimate), f"({shown(value)})"]
        rows.append([plain(channel), *cells])
    table(["channel", "reached", "", "bought", "", "CTR", "", "conversion", "", "CPC", "", "CPA", "", "ROI", ""], rows)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _money(value: float) -> str:
    return f"{value:,.2f}"


def retention(report: "Report", cube: Cube) -> None:
    """Who came for the first time in a period, and how many of them came back."""
    span = cube.now - instant(int(cube.facts.when.min()))
    unit, duration = ("1mo", "150d") if report.per == "month" else ("1w", "28d") if span >= 7 * DAY else ("1d", "4d")
    if span < DAY:
        return
    rows = []
    for cohort in cube.ask.retention(unit, RETENTION_PERIODS, last=duration, at=cube.now):
        if cohort.size is None:
            continue
        since = cohort.cohort
        before = cube.facts.where(cohort.earlier_from or 0, since)
        inside = cube.facts.users(cube.facts.where(since, _after(since, unit))) & ~cube.facts.users(before)
        exact = int(inside.sum())
        if not exact:
            continue
        report.judge(cohort.size, exact)
        row = [f"{since:%Y-%m-%d}", *beside(cohort.size, exact)]
        for period in cohort.periods[1:]:
            if period.users is None:
                row += ["", ""]
                continue
            there = int((inside & cube.facts.users(cube.facts.where(period.bucket, _after(period.bucket, unit)))).sum())
            report.judge(period.users, there)
            row += [percent(period.rate.estimate), f"({percent(there / exact)})"]
        rows.append(row)
    head = [f"{_name(unit)} of", "new", ""]
    for number in range(1, RETENTION_PERIODS):
        head += [f"+{number}", ""]
    if rows:
        heading(f"Retention: who came for the first time, and how many of them were there {_name(unit)}s later; estimates, and (exact)")
        table(head, rows)


def _name(unit: str) -> str:
    return {"1d": "day", "1w": "week", "1mo": "month"}[unit]


def _after(moment: datetime, unit: str) -> datetime:
    """Where the period that begins then ends."""
    if unit != "1mo":
        return moment + {"1d": 1, "1w": 7}[unit] * DAY
    return (moment + 31 * DAY).replace(day=1)
