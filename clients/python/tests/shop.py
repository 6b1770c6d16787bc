"""A made-up shop for the tests of the board and for its picture: a cube, and events that end now.

Visitors come once or again and again, on a device and by a channel that they mostly keep; few of those who look buy; weekdays
and hours differ; one week sees a campaign. The rates are made up: tests compare what the page shows with what the server says,
and never with these.
"""

import random
from bisect import bisect
from datetime import datetime
from itertools import accumulate
from zoneinfo import ZoneInfo

from redis_hll import Dimension, Event

BOARD = """
[board]
[[board.cubes]]
key = "shop"
step = "step"
steps = ["view", "cart", "checkout", "buy"]
lists = ["page", "country", "device", "channel"]
currency = "EUR"
money = ["cost", "revenue"]
"""
DAY = 86_400_000
MINUTE = 60_000
ZONE = "Europe/Berlin"
STEPS = ("view", "cart", "checkout", "buy")
DEVICES = {"mobile": 0.58, "desktop": 0.37, "tablet": 0.05}
COUNTRIES = {"DE": 0.51, "AT": 0.12, "CH": 0.10, "FR": 0.07, "NL": 0.06, "PL": 0.045, "IT": 0.03, "DK": 0.02, "CZ": 0.016, "SE": 0.013, "BE": 0.01, "ES": 0.006}
CHANNELS = {"search": 0.36, "direct": 0.28, "social": 0.14, "email": 0.12, "ads": 0.10}
COST = {"search": 0.42, "direct": 0.0, "social": 0.61, "email": 0.12, "ads": 2.4}  # of a look
PAGES = {"/": 0.30, "/collections/spring": 0.17, "/products/linen-shirt": 0.11, "/sale": 0.10, "/products/canvas-tote": 0.07, "/cart": 0.06,
         "/products/wool-blanket-grey-140x200": 0.05, "/blog/how-to-wash-linen": 0.04, "/checkout": 0.03, "/pages/shipping-and-returns": 0.025,
         "/pages/about": 0.02, "/products/oak-stool": 0.015, "/products/tea-towel": 0.01}
ONWARD = (0.13, 0.5, 0.55)  # of the visits that went as far as a step, how many take the next one
HOURS = (9, 5, 3, 2, 2, 4, 11, 24, 36, 46, 52, 55, 58, 56, 52, 51, 54, 59, 66, 73, 76, 66, 43, 21)
WEEKDAYS = (1.02, 1.05, 1.04, 1.0, 0.97, 0.88, 0.86)
NEWCOMERS = 0.4  # of a day's visits, those by somebody who was never there


def create(cube, *, pages_known=200):
    """The shop's cube: steps by device and by channel, and devices by country; pages and countries by themselves."""
    cube.create(tiers=[("5m", "6h"), ("1h", "72h"), ("1d", "400d")],
                dimensions=[Dimension("step", values=20), Dimension("device", values=8), Dimension("country", values=250), Dimension("channel", values=50),
                            Dimension("page", values=pages_known)],
                groups=["step,device", "step,channel", "device,country"], measures=["cost", "revenue"], new=14, timezone=ZONE)


def _pick(rng, shares):
    return rng.choices(list(shares), list(shares.values()))[0]


def events(now, days, visits, rng):
    """Events of so many days up to `now` (Unix milliseconds), about `visits` visits a day, in order of time."""
    hours = list(accumulate(HOURS))
    made = []
    people = 16 * visits  # of whom some were there before the first day
    today = datetime.fromtimestamp(now / 1000, ZoneInfo(ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(days - 1, -1, -1):
        midnight = int(datetime.fromordinal(today.toordinal() - back).replace(tzinfo=ZoneInfo(ZONE)).timestamp()) * 1000
        weekday = WEEKDAYS[(today.toordinal() - back - 1) % 7]
        campaign = 1.25 if 11 <= back <= 13 else 1.0
        day = []
        for _ in range(round(visits * weekday * campaign * (1 + 0.002 * (days - back)) * rng.uniform(0.97, 1.03))):
            number, people = somebody(people, rng)
            hour = bisect(hours, rng.random() * hours[-1])
            start = midnight + hour * 60 * MINUTE + rng.randrange(60 * MINUTE)
            day.extend(event for event in visit(number, start, rng) if event.at <= now)
        if back == 0:
            for minute in range(60):  # somebody is always there
                day.extend(event for event in visit(rng.randrange(people), now - minute * MINUTE - rng.randrange(MINUTE), rng)[:2] if midnight <= event.at <= now)
        made.extend(day)
    return sorted(made, key=lambda event: event.at)


def somebody(people, rng):
    """Who comes now: somebody new, or one of the `people` so far, rather a recent one; and how many they are then."""
    return (people, people + 1) if rng.random() < NEWCOMERS else (people - 1 - int(people * rng.random() ** 2), people)


def visit(number, at, rng):
    """What a visitor of this number does from `at` on. Device, country and channel are those of the number, mostly."""
    own = random.Random(number)
    device, country, channel = _pick(own, DEVICES), _pick(own, COUNTRIES), _pick(own, CHANNELS)
    if rng.random() < 0.15:
        device = _pick(rng, DEVICES)
    if rng.random() < 0.4:
        channel = "direct"
    name, common = f"v{number}", {"device": device, "country": country, "channel": channel}
    made = [Event(name, at, {"step": "view", "page": _pick(rng, PAGES), "cost": COST[channel], **common})]
    for _ in range(rng.randrange(4)):
        at += rng.randrange(5_000, 90_000)
        made.append(Event(name, at, {"step": "view", "page": _pick(rng, PAGES), **common}))
    eager = 1.5 if device == "desktop" else 1.0
    for step, onward in zip(STEPS[1:], ONWARD, strict=True):
        if rng.random() > onward * (eager if step == "cart" else 1.0):
            break
        at += rng.randrange(10_000, 120_000)
        fields = {"step": step, "page": "/cart" if step == "cart" else "/checkout", **common}
        if step == "buy":
            fields["revenue"] = round(rng.uniform(15, 90), 2)
        made.append(Event(name, at, fields))
    return made


def fill(cube, *, days=40, visits=150, seed=1, now):
    """Makes the cube and fills it; the same for the same arguments."""
    create(cube)
    cube.add_many(events(now, days, visits, random.Random(seed)))
