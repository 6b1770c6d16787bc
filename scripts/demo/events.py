"""Events, and a synthetic stream of them: five weeks of a shop that does not exist, up to a Sunday evening.

What the stream is made to look like, because each trait is something the sketches must cope with:

* most visitors come once, a few come back again and again (a skewed choice among the known visitors);
* some turned up before the first week, the others in every week that follows, so days overlap only in part;
* weekdays differ, and so do hours;
* few of those who land also buy, each step loses some, and some skip a step (a link straight to a product, "buy now"
  without a cart, a cart that was filled on another day);
* a visitor has a favourite device and sometimes uses another one, and mostly comes by the channel that was the first;
* few pages are seen by many, and many by few;
* landing costs what the channel takes for it, and a purchase brings what was bought.

The rates are made up. Only counts and sums matter here, and those are known exactly because we made them.
The same seed gives the same stream. For a live page it may end now instead, and go on with visits that happen meanwhile.
"""

import random
import time
from bisect import bisect
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from itertools import accumulate
from typing import NamedTuple


class Event(NamedTuple):
    """One thing that one visitor did. `period` is the day (or month, ...) the event counts for."""

    period: str
    user: bytes
    step: str | None
    device: str | None
    time: int | None = None  # Unix milliseconds; None where only the period is known
    others: tuple[str | None, ...] = ()  # values of the dimensions beside step and device
    sums: tuple[float | None, ...] = ()  # values of the measures


STEPS = ("landing", "product_view", "add_to_cart", "checkout", "purchase")
DEVICES = ("mobile", "desktop", "tablet")
CHANNELS = {"search": 0.45, "social": 0.32, "affiliate": 0.95, "newsletter": 0.06, "direct": 0.0}  # what a landing costs
OTHERS = ("channel", "page")  # of Event.others
MEASURES = ("cost", "revenue")  # of Event.sums

DAYS = 35
FIRST_DAY = date(2026, 2, 2)  # a Monday
LAST_HOUR = 20  # of the last day: the evening on which the stream ends
DAY_WEIGHTS = (1.04, 1.00, 0.97, 1.01, 1.10, 0.96, 0.92)  # share of a week's traffic, Monday first
HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 7, 7, 6, 6, 6, 7, 8, 10, 11, 10, 7, 4)

EVENTS_PER_VISITOR = 5  # half a million events, 100,000 visitors
KNOWN_BEFORE = 0.2  # share of visitors who can come back from the first day on
SKEW = 2.5  # of the choice of who comes back: 1 is even, larger favours fewer
HOME_DEVICE = (0.57, 0.36, 0.07)  # shares of DEVICES
KEEPS_DEVICE = 0.85  # how often a visit happens on the favourite device
FIRST_CHANNEL = (0.38, 0.27, 0.12, 0.08, 0.15)  # shares of CHANNELS
KEEPS_CHANNEL = 0.6  # how often a visit comes by the channel of the first; the others are direct
PRODUCTS = 300


def until(end: datetime) -> tuple[date, int]:
    """The first day and the last hour of a stream that ends with the last whole hour before then."""
    end = (end.astimezone(timezone.utc) - timedelta(minutes=15)).replace(minute=0, second=0, microsecond=0)
    last = (end - timedelta(microseconds=1)).date()  # at midnight it is the day before, of 24 hours
    return last - timedelta(DAYS - 1), end.hour or 24


def synthetic_stream(events: int, seed: int, first: date = FIRST_DAY, last_hour: int = LAST_HOUR) -> Iterator[Event]:
    """Exactly `events` events of about events / 5 visitors, day by day in order of time."""
    rng = random.Random(seed)
    visitors = max(1, events // EVENTS_PER_VISITOR)
    devices = rng.choices(range(len(DEVICES)), HOME_DEVICE, k=visitors)
    channels = rng.choices(list(CHANNELS), FIRST_CHANNEL, k=visitors)
    # Visitors are numbers. Those below `known` can come back; the next newcomer is number `known`.
    known = int(visitors * KNOWN_BEFORE)
    order = list(range(visitors))  # by eagerness to come back, the most eager first
    rng.shuffle(order)

    # The last day ends in the evening and has less.
    hours = list(accumulate(HOUR_WEIGHTS))
    weights = [DAY_WEIGHTS[(first + timedelta(day)).weekday()] for day in range(DAYS)]
    weights[-1] *= hours[last_hour - 1] / hours[-1]
    shares = list(accumulate(weights))
    for day in range(DAYS):
        until = round(events * shares[day] / shares[-1])
        since = round(events * shares[day - 1] / shares[-1]) if day else 0
        newcomers_end = round(visitors * (KNOWN_BEFORE + (1 - KNOWN_BEFORE) * shares[day] / shares[-1]))
        newcomers = list(range(known, min(newcomers_end, visitors)))
        yield from _day(rng, first + timedelta(day), until - since, known, newcomers, order, devices, channels,
                        hours if day < DAYS - 1 else hours[:last_hour])
        known = max(known, newcomers_end)


def _day(rng: random.Random, day: date, budget: int, known: int, newcomers: list[int], order: list[int],
         devices: list[int], channels: list[str], hours: list[int]) -> list[Event]:
    """One day of `budget` events: every newcomer visits once, and known visitors come back for the rest."""
    period = day.isoformat()
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()) * 1000
    timed: list[Event] = []
    newcomers = newcomers[::-1]
    while len(timed) < budget:
        if newcomers:
            visitor, first_visit = newcomers.pop(), True
        else:
            visitor, first_visit = order[int(len(order) * rng.random() ** SKEW)] % max(known, 1), False
        device = devices[visitor]
        if rng.random() > KEEPS_DEVICE:
            device = rng.randrange(len(DEVICES))
        channel = channels[visitor] if first_visit or rng.random() < KEEPS_CHANNEL else "direct"
        user = b"visitor-%06d" % visitor
        # A visit begins at least half an hour before midnight, so that it ends on the day on which it began.
        hour = bisect(hours, rng.random() * hours[-1])
        second = hour * 3600 + rng.randrange(3600 if hour < 23 else 1800)
        for step in _visit(rng, first_visit, DEVICES[device] == "desktop"):
            timed.append(Event(period, user, STEPS[step], DEVICES[device], midnight + second * 1000, (channel, _page(rng, step)),
                               _sums(rng, step, channel)))
            second += rng.randrange(5, 90)
    # The last visit may have gone over the budget.
    timed = timed[:budget]
    timed.sort(key=lambda event: event.time or 0)
    return timed


def visit_now(rng: random.Random, visitors: int) -> list[Event]:
    """A visit of one of so many visitors, or of somebody new, in the last minute."""
    first = rng.random() < 0.3
    user = b"visitor-%06d" % (visitors + rng.randrange(1 << 40) if first else int(visitors * rng.random() ** SKEW))
    device, channel = rng.choices(DEVICES, HOME_DEVICE)[0], rng.choices(list(CHANNELS), FIRST_CHANNEL)[0]
    steps = list(_visit(rng, first, device == "desktop"))
    now = int(time.time() * 1000)
    times = sorted(now - rng.randrange(60_000) for _ in steps)
    period = datetime.fromtimestamp(now / 1000, timezone.utc).date().isoformat()
    return [Event(period, user, STEPS[step], device, at, (channel, _page(rng, step)), _sums(rng, step, channel)) for step, at in zip(steps, times)]


def _page(rng: random.Random, step: int) -> str:
    if step == 0:
        return "/" if rng.random() < 0.7 else "/sale"
    if step == 1:
        return f"/product/{1 + int(PRODUCTS * rng.random() ** 3)}"
    return ("/cart", "/checkout", "/thanks")[step - 2]


def _sums(rng: random.Random, step: int, channel: str) -> tuple[float | None, float | None]:
    """What the event cost, and what it brought."""
    return CHANNELS[channel] if step == 0 else None, round(rng.lognormvariate(3.2, 0.6), 2) if step == 4 else None


def _visit(rng: random.Random, first_visit: bool, desktop: bool) -> Iterator[int]:
    """The steps of one visit, as indices into STEPS."""
    chance = rng.random
    eager = (1.0 if first_visit else 1.5) * (1.25 if desktop else 1.0)
    cart = False
    if not first_visit and chance() < 0.04:
        cart = True  # filled on an earlier day
    else:
        if chance() < 0.88:
            yield 0
            if chance() < 0.30:
                return
        views = 1 + (chance() < 0.6) + (chance() < 0.4) + (chance() < 0.25)
        for _ in range(views):
            yield 1
        if chance() < 0.17 * eager:
            cart = True
            yield 2
    if cart and chance() < 0.45 or not cart and chance() < 0.012:
        yield 3
        if chance() < 0.62:
            yield 4
