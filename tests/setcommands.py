"""The commands on several sets, as the tests see them: the exact form of their replies, and the truth from ordinary sets.

`ask` sends a command and takes its reply apart. On the way it checks what must hold for every reply of every one of them:
names and order of the fields, the wire type of each value, and that no number is infinite, undefined or a negative zero.
"""

import math

from helpers import add, elements

# What may stand in a field.
NUMBER = "a number that is not negative"
RATE = "a number from 0 to 1, or null"
MONEY = "a number that is not negative, or null"
SIGNED = "a number, or null"
COUNT = "an integer"
WORD = "a word"
KEY = "bytes"


class Maybe:
    """Fields, or null."""

    def __init__(self, shape):
        self.shape = shape


INTERVAL = {"lower": NUMBER, "upper": NUMBER}


def _with_bounds(shape, *names):
    """Fields of this shape, each with its bounds behind it."""
    return {field: shape for name in names for field in (name, f"{name}_lower", f"{name}_upper")}


# Maps are dicts, in the order of the design; arrays are lists with the form of each element.
SHAPES = {
    "HLL.INTERSECT": {"estimate": NUMBER, **INTERVAL, "confidence": NUMBER, **_with_bounds(NUMBER, "union"),
                      **_with_bounds(RATE, "jaccard")},
    "HLL.SEGMENT": {"estimate": NUMBER, **INTERVAL, "confidence": NUMBER, **_with_bounds(NUMBER, "base"), **_with_bounds(RATE, "share")},
    "HLL.OVERLAP": [{"first": KEY, "second": KEY, "estimate": NUMBER, **INTERVAL,
                     **_with_bounds(RATE, "jaccard", "first_in_second", "second_in_first")}],
    "HLL.FUNNEL": [{"step": KEY, **_with_bounds(NUMBER, "uniques"), "users": NUMBER, **INTERVAL,
                    **_with_bounds(RATE, "conversion", "overall", "drop_off")}],
    "HLL.RETENTION": [{"cohort": KEY, **_with_bounds(NUMBER, "size"),
                       "periods": [{"period": KEY, "users": NUMBER, **INTERVAL, **_with_bounds(RATE, "rate")}]}],
    "HLL.CAMPAIGN": {**_with_bounds(NUMBER, "unique_impressions", "unique_clicks", "unique_conversions"),
                     **_with_bounds(RATE, "ctr", "conversion_rate"), **_with_bounds(MONEY, "cpc", "cpa"), **_with_bounds(SIGNED, "roi")},
    "HLL.ACCURACY": {"precision": COUNT, "encoding": WORD, "estimator": WORD, "estimate": NUMBER, **INTERVAL,
                     "confidence": NUMBER, "standard_error": NUMBER, "bytes": COUNT,
                     "advice": Maybe({"precision": COUNT, "standard_error": NUMBER, "bytes": COUNT})},
}


def ask(client, command, *args):
    """The reply as dicts, lists, floats, ints, words as str, keys as bytes and None; checked as the head of this file says."""
    return read(client, client(command, *args), SHAPES[command.upper()])


def read(client, value, shape, name="reply"):
    if isinstance(shape, Maybe):
        return None if value is None else read(client, value, shape.shape, name)
    if isinstance(shape, list):
        assert type(value) is list, f"{name} is {value!r}"
        return [read(client, element, shape[0], name) for element in value]
    if isinstance(shape, dict):
        if client.protocol == 3:
            assert type(value) is dict, f"{name} is {value!r}"
            pairs = list(value.items())
        else:
            assert type(value) is list and len(value) % 2 == 0, f"{name} is {value!r}"
            pairs = list(zip(value[::2], value[1::2]))
        assert [key.decode() for key, _ in pairs] == list(shape), name
        return {key: read(client, inner, shape[key], key) for key, inner in ((key.decode(), inner) for key, inner in pairs)}
    if shape is KEY:
        assert type(value) is bytes, f"{name} is {value!r}"
        return value
    if shape is WORD:
        assert type(value) is bytes, f"{name} is {value!r}"
        return value.decode()
    if shape is COUNT:
        assert type(value) is int, f"{name} is {value!r}"
        return value
    if value is None:
        assert shape is not NUMBER, f"{name} is null"
        return None
    assert type(value) is (float if client.protocol == 3 else bytes), f"{name} is {value!r}"
    number = float(value)
    assert math.isfinite(number), f"{name} is {value!r}"
    assert number != 0 or math.copysign(1, number) > 0, f"{name} is a negative zero: {value!r}"
    assert shape is SIGNED or number >= 0, f"{name} is {value!r}"
    assert shape is not RATE or number <= 1, f"{name} is {value!r}"
    return number


def raw(client, *command):
    """The reply's bytes on the wire."""
    client.send(*command)
    client.send("ECHO", "end of the reply")
    end, seen = b"$16\r\nend of the reply\r\n", b""
    while not seen.endswith(end):
        seen += client.file.readline()
    return seen[:-len(end)]


# Sketches

_payloads = {}


def put(client, key, items, precision=None):
    """A sketch of these elements. Ranges are `user:<i>` for their numbers, and are added once for all servers: later
    ones import the sketch."""
    name = None
    if all(isinstance(item, range) for item in items):
        name = (tuple(items), precision)
        if name in _payloads:
            client("HLL.IMPORT", key, "FORMAT", "NATIVE", _payloads[name], "REPLACE")
            return
        items = [element for numbers in items for element in elements(numbers.start, numbers.stop)]
    client("DEL", key)
    client("HLL.CREATE", key, *([] if precision is None else ["PRECISION", precision]))
    add(client, key, list(items), batch=5000)
    if name:
        _payloads[name] = client("HLL.EXPORT", key)


def foreign_payload(start, name, items):
    """An export of a sketch that was made with another hash seed."""
    other = start(name, {"hll.hash-seed": "7"})
    add(other.c, "k", items)
    return other.c("HLL.EXPORT", "k")


# The truth, from Python sets: the fields of the reply without the bounds of its intervals.


def share(part, whole):
    return part / whole if whole else None


def intersect(sets):
    common, union = len(set.intersection(*sets)), len(set.union(*sets))
    return {"estimate": common, "union": union, "jaccard": share(common, union)}


def segment(all_, any_, none):
    """Each a list of sets."""
    base = set.intersection(*all_) if all_ else set.union(*any_)
    if any_:
        base &= set.union(*any_)
    found = len(base - set().union(*none))
    return {"estimate": found, "base": len(base), "share": share(found, len(base))}


def overlap(names, sets):
    rows = []
    for i in range(len(sets)):
        for j in range(i + 1, len(sets)):
            a, b = sets[i], sets[j]
            rows.append({"first": names[i], "second": names[j], "estimate": len(a & b), "jaccard": share(len(a & b), len(a | b)),
                         "first_in_second": share(len(a & b), len(a)), "second_in_first": share(len(a & b), len(b))})
    return rows


def funnel(names, sets):
    rows, before, first = [], None, len(sets[0])
    for i, (name, alone) in enumerate(zip(names, sets)):
        users = len(set.intersection(*sets[:i + 1]))
        conversion = share(users, users if before is None else before)
        rows.append({"step": name, "uniques": len(alone), "users": users, "conversion": conversion, "overall": share(users, first),
                     "drop_off": None if conversion is None else 1 - conversion})
        before = users
    return rows


def retention(cohorts, cohort_sets, periods, period_sets):
    return [{"cohort": cohort, "size": len(a),
             "periods": [{"period": period, "users": len(a & b), "rate": share(len(a & b), len(a))} for period, b in zip(periods, period_sets)]}
            for cohort, a in zip(cohorts, cohort_sets)]


def campaign(impressions, clicks, conversions, cost=None, revenue=None):
    return {"unique_impressions": len(impressions), "unique_clicks": len(clicks), "unique_conversions": len(conversions),
            "ctr": share(len(impressions & clicks), len(impressions)), "conversion_rate": share(len(clicks & conversions), len(clicks)),
            "cpc": None if cost is None else share(cost, len(clicks)), "cpa": None if cost is None else share(cost, len(conversions)),
            "roi": None if cost is None or revenue is None or cost == 0 else (revenue - cost) / cost}


# Comparing

BOUNDED = ["estimate", "users"]  # their bounds are called lower and upper, those of all others <name>_lower and <name>_upper
NAMES = ["first", "second", "step", "cohort", "period"]  # of keys: in no doubt


def bounds(answer, name):
    """(lower, upper) of a figure."""
    before = "" if name in BOUNDED else f"{name}_"
    return answer[f"{before}lower"], answer[f"{before}upper"]


def figures(answer):
    """The names of the figures of a map that have bounds."""
    return [name for name in answer if name in BOUNDED and "lower" in answer or f"{name}_lower" in answer]


def assert_exact(answer, truth):
    """Every figure is the true one, and its interval is that figure alone."""
    if isinstance(truth, list):
        assert len(answer) == len(truth)
        for a, t in zip(answer, truth):
            assert_exact(a, t)
        return
    for name, true in truth.items():
        given = answer[name]
        if isinstance(true, list):
            assert_exact(given, true)
            continue
        if isinstance(true, float):
            assert given is not None and abs(given - true) <= 1e-9 * max(1, abs(true)), (name, given, true)
        else:
            assert given == true, (name, given, true)
        if name not in NAMES:
            assert bounds(answer, name) == (given, given), (name, answer)


def holds(answer, name, true, widened=None):
    """Whether the interval of a field holds the truth. With `widened`, whether the truth is no further from the estimate
    than so many times the longer half of the interval: the other half may have been cut by what is possible at all."""
    value, (lower, upper) = answer[name], bounds(answer, name)
    assert lower <= value <= upper, (name, answer)
    if widened:
        return abs(true - value) <= widened * max(value - lower, upper - value) + 1e-9
    return lower <= true <= upper
