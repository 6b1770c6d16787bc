"""The dashboard: what a cube answers, each figure from one command, beside what is true."""

import math
from datetime import datetime, timedelta, timezone
from functools import reduce
from typing import TYPE_CHECKING, Any

from .answers import Interval, as_map, as_text, named
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
DAY = 86_400_000


def dashboard(report: "Report", cube: Cube) -> None:
    for section in (visitors, values, funnel, campaigns, retention):
        section(report, cube)


def visitors(report: "Report", cube: Cube) -> None:
    """Users, new and returning ones and events of the last minutes to the last month."""
    heading(f"Visitors up to {_clock(cube.now)}, from one cube: one row, one command")
    rows = []
    for name, duration in RANGES:
        answer = cube.ask("QUERY", "LAST", duration, "AT", cube.now, "METRICS", 4 + len(cube.shape.measures), "unique", "events", "new",
                          "returning", *cube.shape.measures)
        events = cube.facts.where(int(answer["from"]), int(answer["to"]))
        exact, new = cube.facts.count(events), int((events & cube.facts.first).sum())
        row = as_map(answer["rows"][0])
        found = named(row, "unique")
        report.judge(named(row, "new"), new)
        report.judge(named(row, "returning"), exact - new)
        rows.append([name, count(exact), count(found.estimate), error(found.estimate, exact), bounds(found), report.judge(found, exact),
                     *beside(named(row, "new"), new), *beside(named(row, "returning"), exact - new), count(float(row["events"])),
                     *(amount(float(row[measure])) for measure in cube.shape.measures[:2])])
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
        answer = cube.ask("TOP", name, MOST_VALUES, "LAST", "7d", "AT", cube.now)
        for row in map(as_map, answer["rows"]):
            value, found = row[name], named(row, "unique")
            if as_text(value) == "(other)":
                continue
            exact = cube.facts.count(cube.facts.where(int(answer["from"]), int(answer["to"]), **{name: value}))
            holds = "at least" if int(row["at_least"]) else report.judge(found, exact)
            rows.append([plain(as_text(value)), count(exact), count(found.estimate), error(found.estimate, exact), bounds(found), holds,
                         count(float(row["events"])), *(amount(float(row[measure])) for measure in cube.shape.measures[:2])])
    table(["", "exact", "estimate", "error", "95 % interval", "holds", "events", *cube.shape.measures[:2]], rows)


def funnel(report: "Report", cube: Cube) -> None:
    """How many took every step up to here, and conversion by device."""
    steps = list(report.funnel_steps)[:MOST_STEPS]
    if len(steps) < 2:
        return
    words = ["step", "STEPS", str(len(steps)), *map(key_value, steps)]
    answer = cube.ask("FUNNEL", *words, "LAST", "30d", "AT", cube.now)
    exact = _taken(cube, answer, steps)
    heading("Funnel, last 30 days: visitors who took this step and every earlier one (in any order: a cube knows no order)")
    rows = []
    for step, users, before, row in zip(steps, exact, [0, *exact], map(as_map, as_map(answer["rows"][0])["steps"])):
        found = Interval(float(row["users"]), float(row["lower"]), float(row["upper"]))
        rows.append([plain(step), count(users), count(found.estimate), error(found.estimate, users), bounds(found), report.judge(found, users),
                     percent(users / before) if before else "", percent(float(row["conversion"])) if before else ""])
    table(["step", "exact", "estimate", "error", "95 % interval", "holds", "conversion", "estimated"], rows)
    if "step,device" not in cube.shape.groups:
        return
    answer = cube.ask("FUNNEL", *words, "BY", "device", "LAST", "24h", "AT", cube.now)
    told = []
    for row in map(as_map, answer["rows"]):
        exact = _taken(cube, answer, steps, device=row["device"])
        last = named(as_map(row["steps"][-1]), "overall") if exact[0] else None
        if last is None:
            continue
        rate = exact[-1] / exact[0]
        report.judge_rate(last, rate)
        told.append(f"{plain(as_text(row['device']))} {percent(last.estimate)} ({percent(rate)})")
    if told:
        print(f"\n  From first to last step by device, last 24 hours (exact): {', '.join(told[:6])}.")


def _taken(cube: Cube, answer: Any, steps: list[str], **more: str | bytes) -> list[int]:
    """For each step how many took it and every earlier one."""
    users = [cube.facts.users(cube.facts.where(int(answer["from"]), int(answer["to"]), step=step, **more)) for step in steps]
    return [int(reduce(lambda a, b: a & b, users[:end]).sum()) for end in range(1, len(users) + 1)]


def campaigns(report: "Report", cube: Cube) -> None:
    """Rates and costs by channel."""
    steps = list(report.funnel_steps)
    if len(steps) < CAMPAIGN_STEPS or "step,channel" not in cube.shape.groups:
        return
    seen, clicked, bought = steps[0], steps[1], steps[-1]
    amounts = [(word, word.lower()) for word in ("COST", "REVENUE") if word.lower() in cube.shape.measures]
    answer = cube.ask("CAMPAIGN", "step", "IMPRESSION", key_value(seen), "CLICK", key_value(clicked), "CONVERSION", key_value(bought),
                      *(part for pair in amounts for part in pair), "BY", "channel", "LAST", "30d", "AT", cube.now)
    heading(f"Campaigns by channel, last 30 days: {plain(seen)}, {plain(clicked)}, {plain(bought)}; estimates, and (exact)")
    rows = []
    for row in map(as_map, answer["rows"]):
        channel = row["channel"]
        events = [cube.facts.where(int(answer["from"]), int(answer["to"]), step=step, channel=channel) for step in (seen, clicked, bought)]
        people = [cube.facts.users(one) for one in events]
        sizes = [int(one.sum()) for one in people]
        sums = {word: math.fsum(cube.facts.measures[name][events[0] | events[1] | events[2]]) for word, name in amounts}
        cost, revenue = sums.get("COST"), sums.get("REVENUE")
        exact = [_ratio(int((people[0] & people[1]).sum()), sizes[0]), _ratio(int((people[1] & people[2]).sum()), sizes[1]),
                 _ratio(cost, sizes[1]), _ratio(cost, sizes[2]),
                 _ratio(None if revenue is None or cost is None else revenue - cost, cost)]
        for name, size in zip(("unique_impressions", "unique_clicks", "unique_conversions"), sizes):
            report.judge(named(row, name), size)
        for name, rate in zip(("ctr", "conversion_rate"), exact):
            if rate is not None and row[name] is not None and row[f"{name}_upper"] is not None:
                report.judge_rate(named(row, name), rate)
        cells = [part for name, size in zip(("unique_impressions", "unique_conversions"), (sizes[0], sizes[2]))
                 for part in (count(float(row[name])), f"({count(size)})")]
        for name, value, shown in zip(("ctr", "conversion_rate", "cpc", "cpa", "roi"), exact, (percent, percent, _money, _money, percent)):
            cells += ["", ""] if row[name] is None or value is None else [shown(float(row[name])), f"({shown(value)})"]
        rows.append([plain(as_text(channel)), *cells])
    table(["channel", "reached", "", "bought", "", "CTR", "", "conversion", "", "CPC", "", "CPA", "", "ROI", ""], rows)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _money(value: float) -> str:
    return f"{value:,.2f}"


def retention(report: "Report", cube: Cube) -> None:
    """Who came for the first time in a period, and how many of them came back."""
    span = cube.now - int(cube.facts.when.min())
    unit, duration = ("1mo", "150d") if report.per == "month" else ("1w", "28d") if span >= 7 * DAY else ("1d", "4d")
    if span < DAY:
        return
    answer = cube.ask("RETENTION", "EVERY", unit, "PERIODS", RETENTION_PERIODS, "LAST", duration, "AT", cube.now)
    rows = []
    for cohort in map(as_map, answer["rows"]):
        if cohort["size"] is None:
            continue
        since = int(cohort["cohort"])
        before = cube.facts.where(int(cohort["earlier_from"] or 0), since)
        inside = cube.facts.users(cube.facts.where(since, _after(since, unit))) & ~cube.facts.users(before)
        size, exact = named(cohort, "size"), int(inside.sum())
        if not exact:
            continue
        report.judge(size, exact)
        row = [datetime.fromtimestamp(since / 1000, timezone.utc).strftime("%Y-%m-%d"), count(size.estimate), f"({count(exact)})"]
        for period in list(map(as_map, cohort["periods"]))[1:]:
            if period["users"] is None:
                row += ["", ""]
                continue
            start = int(period["bucket"])
            there = int((inside & cube.facts.users(cube.facts.where(start, _after(start, unit)))).sum())
            report.judge(Interval(float(period["users"]), float(period["lower"]), float(period["upper"])), there)
            row += [percent(float(period["rate"])), f"({percent(there / exact)})"]
        rows.append(row)
    head = [f"{_name(unit)} of", "new", ""]
    for number in range(1, RETENTION_PERIODS):
        head += [f"+{number}", ""]
    if rows:
        heading(f"Retention: who came for the first time, and how many of them were there {_name(unit)}s later; estimates, and (exact)")
        table(head, rows)


def _name(unit: str) -> str:
    return {"1d": "day", "1w": "week", "1mo": "month"}[unit]


def _after(moment: int, unit: str) -> int:
    """Where the period that begins then ends."""
    if unit != "1mo":
        return moment + {"1d": 1, "1w": 7}[unit] * DAY
    next_month = (datetime.fromtimestamp(moment / 1000, timezone.utc) + timedelta(31)).replace(day=1)
    return int(next_month.timestamp() * 1000)


def _clock(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
