"""Events, and a synthetic stream of them: one week of a shop that does not exist.

What the stream is made to look like, because each trait is something the sketches must cope with:

* most visitors come once, a few come back again and again (a skewed choice among the known visitors);
* some are known from before the week, the others turn up during it, so days overlap only in part;
* weekdays differ, and so do hours;
* few of those who land also buy, each step loses some, and some skip a step (a link straight to a product, "buy now"
  without a cart, a cart that was filled on another day);
* a visitor has a favourite device and sometimes uses another one.

The rates are made up. Only counts of distinct visitors matter here, and those are known exactly because we made them.
The same seed gives the same stream.
"""

import random
from bisect import bisect
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import accumulate
from typing import NamedTuple


class Event(NamedTuple):
    """One thing that one visitor did. `period` is the day (or month, ...) the event counts for."""

    period: str
    user: bytes
    step: str | None
    device: str | None


STEPS = ("landing", "product_view", "add_to_cart", "checkout", "purchase")
DEVICES = ("mobile", "desktop", "tablet")

WEEK_STARTS = date(2026, 3, 2)  # a Monday
DAY_WEIGHTS = (1.04, 1.00, 0.97, 1.01, 1.10, 0.96, 0.92)  # share of the week's traffic, Monday first
HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 7, 7, 6, 6, 6, 7, 8, 10, 11, 10, 7, 4)

EVENTS_PER_VISITOR = 5  # a million events, 200,000 visitors
KNOWN_BEFORE = 0.35  # share of visitors who had been there before the week
SKEW = 2.5  # of the choice of who comes back: 1 is even, larger favours fewer
HOME_DEVICE = (0.57, 0.36, 0.07)  # shares of DEVICES
KEEPS_DEVICE = 0.85  # how often a visit happens on the favourite device


def synthetic_week(events: int, seed: int) -> Iterator[Event]:
    """Exactly `events` events of about events / 5 visitors, in order of time."""
    rng = random.Random(seed)
    visitors = max(1, events // EVENTS_PER_VISITOR)
    devices = rng.choices(range(len(DEVICES)), HOME_DEVICE, k=visitors)
    # Visitors are numbers. Those below `known` can come back; the next newcomer is number `known`.
    known = int(visitors * KNOWN_BEFORE)
    order = list(range(visitors))  # by eagerness to come back, the most eager first
    rng.shuffle(order)

    shares = list(accumulate(DAY_WEIGHTS))
    for day in range(7):
        until = round(events * shares[day] / shares[-1])
        since = round(events * shares[day - 1] / shares[-1]) if day else 0
        newcomers_end = round(visitors * (KNOWN_BEFORE + (1 - KNOWN_BEFORE) * shares[day] / shares[-1]))
        newcomers = list(range(known, min(newcomers_end, visitors)))
        yield from _day(rng, WEEK_STARTS + timedelta(day), until - since, known, newcomers, order, devices)
        known = max(known, newcomers_end)


def _day(rng: random.Random, day: date, budget: int, known: int, newcomers: list[int],
         order: list[int], devices: list[int]) -> list[Event]:
    """One day of `budget` events: every newcomer visits once, and known visitors come back for the rest."""
    period = day.isoformat()
    timed: list[tuple[int, Event]] = []
    newcomers = newcomers[::-1]
    hours = list(accumulate(HOUR_WEIGHTS))
    while len(timed) < budget:
        if newcomers:
            visitor, first_visit = newcomers.pop(), True
        else:
            visitor, first_visit = order[int(len(order) * rng.random() ** SKEW)] % max(known, 1), False
        device = devices[visitor]
        if rng.random() > KEEPS_DEVICE:
            device = rng.randrange(len(DEVICES))
        user = b"visitor-%06d" % visitor
        # A visit begins at least half an hour before midnight, so that it ends on the day on which it began.
        hour = bisect(hours, rng.random() * hours[-1])
        second = min(hour * 3600 + rng.randrange(3600), 86400 - 1800)
        for step in _visit(rng, first_visit, DEVICES[device] == "desktop"):
            timed.append((second, Event(period, user, STEPS[step], DEVICES[device])))
            second += rng.randrange(5, 90)
    timed.sort(key=lambda pair: pair[0])
    # The last visit may have gone over the budget.
    return [event for _, event in timed[:budget]]


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
