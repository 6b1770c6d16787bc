"""How right the counts are, and that they are the ones the design's mathematics gives.

Exact promises are checked against `reference.py`, which computes the sketch a second time from its definition, and
against figures of an independent implementation. Where a promise is statistical, the test says how often it would fail
by chance alone.
"""

import itertools
import math

import pytest

import reference
from helpers import add, digest, elements, estimate, info, sd, state


def random_elements(rng, n):
    """n different elements that no other draw repeats."""
    prefix = f"{rng.getrandbits(64):x}"
    return [f"{prefix}:{i}" for i in range(n)]


# Exact counts of small sets


@pytest.mark.parametrize("precision", [4, 8, 10, 13, 16])
def test_a_sketch_counts_exactly_up_to_a_quarter_of_its_registers_and_is_dense_from_there(client, precision):
    limit = (1 << precision) // 4
    # The first elements of this sequence have different tokens: checked here, so that "exact" is no luck.
    items = elements(0, limit, "person")
    assert len(reference.tokens(items)) == limit
    client("HLL.CREATE", "k", "PRECISION", precision)
    add(client, "k", items[:-1])
    described = info(client, "k")
    assert (described["encoding"], described["estimator"]) == ("sparse", "exact")
    # Up to some 10,000 that is the number of tokens; beyond, the few elements are added that are expected to share one.
    expected = limit - 1 if limit < 10_000 else round(reference.sparse_count(limit - 1))
    assert client("HLL.COUNT", "k") == expected
    e = estimate(client, "k")
    assert (e["method"], e["estimate"]) == ("exact", expected)
    assert client("HLL.ADD", "k", items[-1]) == 1
    described = info(client, "k")
    assert (described["encoding"], described["estimator"]) == ("dense", "hip")
    assert client("HLL.COUNT", "k") == expected + 1  # the estimate of a dense sketch starts from the exact count


def test_every_count_on_the_way_to_dense_is_exact(server):
    items = elements(0, 2048)
    replies = server.c.pipe(command for item in items for command in (("HLL.ADD", "k", item), ("HLL.COUNT", "k")))
    assert replies[0::2] == [1] * 2048
    assert replies[1::2] == list(range(1, 2049))


def test_the_order_of_arrival_does_not_matter(server, rng):
    c = server.c
    for n in (100, 2000, 5000):
        items = random_elements(rng, n)
        shuffled = rng.sample(items, n) + rng.choices(items, k=n)
        c("FLUSHALL")
        add(c, "a", items)
        add(c, "b", shuffled, batch=rng.randrange(1, 500))
        if n <= 2000:
            assert state(c, "a") == state(c, "b")
        # Dense sketches count with history, which depends on the order; what they hold does not. A merge shows it.
        c("HLL.CREATE", "empty")
        add(c, "other", random_elements(rng, n))
        c("HLL.MERGE", "ma", "a", "other")
        c("HLL.MERGE", "mb", "b", "other")
        assert state(c, "ma") == state(c, "mb")
        assert c("HLL.EXPORT", "ma") == c("HLL.EXPORT", "mb")


# Against the definition


@pytest.mark.thorough
@pytest.mark.parametrize("precision", [4, 7, 10, 13])
def test_a_merged_sketch_estimates_what_the_definition_gives(server, rng, precision):
    c, m = server.c, 1 << precision
    for n in (m, 3 * m, 40 * m if precision <= 10 else 6 * m):
        items = random_elements(rng, n)
        c("FLUSHALL")
        for key, part in (("a", items[:n // 2 + 1]), ("b", items[n // 3:])):
            c("HLL.CREATE", key, "PRECISION", precision)
            add(c, key, part)
        c("HLL.MERGE", "m", "a", "b")
        e = estimate(c, "m")
        assert e["method"] == "ml"
        expected = reference.dense(items, precision).ml()
        assert e["estimate"] == pytest.approx(expected, rel=1e-6)
        assert c("HLL.COUNT", "m") == math.floor(e["estimate"] + 0.5)


@pytest.mark.parametrize("precision", [4, 7, 10, 13])
def test_an_unmerged_sketch_estimates_what_the_definition_gives(server, rng, precision):
    c, m = server.c, 1 << precision
    for n in (1, m // 4 - 1, m // 4, m // 4 + 1, m, 20 * m if precision <= 10 else 4 * m):
        items = random_elements(rng, n)
        c("FLUSHALL")
        c("HLL.CREATE", "k", "PRECISION", precision)
        add(c, "k", items, batch=rng.randrange(1, 1000))
        method, expected = reference.added(items, precision)
        e = estimate(c, "k")
        assert e["method"] == method
        assert e["estimate"] == pytest.approx(expected, rel=1e-6)


# From an independent implementation: the set `user:<i>`, i below n, XXH3-64 with seed 0, maximum likelihood without the
# bias factor, and its standard deviation.
VECTORS = [
    (4, 5000, 7715.528237, 1456.363527), (4, 200000, 228970.818607, 42164.804844),
    (10, 5000, 5045.144451, 99.461152), (10, 200000, 208430.402152, 4943.427502),
    (12, 5000, 5008.493266, 41.894095), (12, 200000, 201421.138902, 2363.827829),
    (13, 5000, 4995.853683, 28.588268), (13, 200000, 201395.879035, 1640.364605),
    (14, 5000, 5013.687668, 19.947284), (14, 200000, 200658.229369, 1106.629219),
    (18, 200000, 199805.171828, 203.530421),
]


@pytest.mark.parametrize("precision, n, ml, deviation", VECTORS)
def test_estimates_and_intervals_agree_with_an_independent_implementation(server, precision, n, ml, deviation):
    c = server.c
    for key, (start, stop) in {"a": (0, n * 9 // 10), "b": (n * 2 // 5, n)}.items():
        c("HLL.CREATE", key, "PRECISION", precision)
        add(c, key, elements(start, stop), batch=5000)
    c("HLL.MERGE", "m", "a", "b")
    e = estimate(c, "m", confidence="0.95")
    assert e["method"] == "ml"
    assert e["estimate"] == pytest.approx(ml / (1 + 0.48147 / (1 << precision)), rel=2e-6)
    assert e["relative_error"] * e["estimate"] == pytest.approx(deviation, rel=0.02 if precision > 4 else 0.1)


def test_a_merge_agrees_with_an_independent_implementation(server):
    c = server.c
    add(c, "a", elements(0, 60_000), batch=5000)
    add(c, "b", elements(40_000, 150_000), batch=5000)
    c("HLL.MERGE", "m", "a", "b")
    expected = 150512.843537 / (1 + 0.48147 / 8192)
    assert estimate(c, "m")["estimate"] == pytest.approx(expected, rel=2e-6)
    assert estimate(c, "a", "b")["estimate"] == pytest.approx(expected, rel=2e-6)
    assert c("HLL.COUNT", "a", "b") == round(expected)


# Within the stated error


@pytest.mark.parametrize("n", [3_000, 10_000, 100_000])
def test_counts_are_within_five_standard_deviations(server, rng, n):
    """False alarms: 6 in ten million for each count, 30 counts: below 1 in 50,000 runs."""
    check_counts(server.c, rng, n)


@pytest.mark.thorough
def test_a_million_is_within_five_standard_deviations(one_server, rng):
    """False alarms: 1 in a million."""
    check_counts(one_server.c, rng, 1_000_000)


def check_counts(c, rng, n):
    items = random_elements(rng, n)
    add(c, "all", items, batch=10_000)
    add(c, "part", items[: n * 2 // 3], batch=10_000)
    assert info(c, "all")["estimator"] == "hip"
    assert abs(c("HLL.COUNT", "all") - n) < 5 * sd("hip", 13) * n
    c("HLL.CREATE", "rest")
    add(c, "rest", items[n // 2:], batch=10_000)
    c("HLL.MERGE", "part", "rest")
    assert abs(c("HLL.COUNT", "part") - n) < 5 * sd("ml", 13) * n or info(c, "part")["estimator"] == "exact"


@pytest.mark.thorough
@pytest.mark.parametrize("precision", [4, 8, 10, 12, 14, 18])
def test_every_precision_keeps_its_error(server, rng, precision):
    """False alarms: the mean of 30 sketches is normal to a good approximation, 5 standard deviations: some 1 in a million."""
    c, m, rounds = server.c, 1 << precision, 30 if precision < 18 else 1
    n = 4 * m if precision < 18 else 2 * m
    errors = []
    for i in range(rounds):
        c("HLL.CREATE", f"k{i}", "PRECISION", precision)
        items = random_elements(rng, n)
        add(c, f"k{i}", items, batch=10_000)
        errors.append(estimate(c, f"k{i}")["estimate"] / n - 1)
        if precision >= 14 and i == 4:
            break
    mean = sum(errors) / len(errors)
    assert abs(mean) < 5 * sd("hip", precision) / math.sqrt(len(errors))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["hip", "ml"])
def test_intervals_hold_the_truth_as_often_as_they_promise(one_server, rng, kind):
    """300 sketches, 95 % intervals. A cover of at least .935 (the design's figure) holds the truth in 280.5 +- 4.3 of them;
    fewer than 258 are 5 standard deviations away: 1 in 3 million runs. At .97 more than 299 of 300 are 1 in 900 runs, so
    there is no upper limit; that the intervals are not too wide is checked by their mean width."""
    c, n, held, widths = one_server.c, 4000, 0, []
    for _ in range(300):
        items = random_elements(rng, n)
        c("FLUSHALL")
        for key, part in (("k", items if kind == "hip" else items[:2500]), ("other", items[1500:])):
            c("HLL.CREATE", key, "PRECISION", 9)
            add(c, key, part, batch=2000)
        if kind == "ml":
            c("HLL.MERGE", "k", "other")
        e = estimate(c, "k")
        assert e["method"] == kind
        held += e["lower"] <= n <= e["upper"]
        widths.append((e["upper"] - e["lower"]) / n)
    assert held >= 258
    mean_width = sum(widths) / len(widths)
    # The asymptotic width, less what 8 elements for each register fall short of "many".
    assert 0.8 < mean_width / (2 * 1.96 * sd(kind, 9)) < 1.05


def test_the_stated_error_is_that_of_the_precision(server):
    c, n = server.c, 100_000
    for precision in (8, 10, 12):
        c("FLUSHALL")
        for key, (start, stop) in {"k": (0, n), "a": (0, n // 2), "b": (n // 3, n)}.items():
            c("HLL.CREATE", key, "PRECISION", precision)
            add(c, key, elements(start, stop), batch=5000)
        c("HLL.MERGE", "m", "a", "b")
        for key, estimator in (("k", "hip"), ("m", "ml")):
            e, described = estimate(c, key), info(c, key)
            assert described["estimator"] == estimator
            assert described["standard_error"] == pytest.approx(sd(estimator, precision), rel=0.15)
            assert e["relative_error"] == pytest.approx(sd(estimator, precision), rel=0.25)


def test_a_growing_count_never_falls(server, rng):
    """The estimate of a sketch that is only added to does not fall, and rises exactly when HLL.ADD says 1 and it is dense."""
    c = server.c
    c("HLL.CREATE", "k", "PRECISION", 8)
    items = random_elements(rng, 3000)
    replies = c.pipe(command for item in items for command in (("HLL.ADD", "k", item), ("HLL.ESTIMATE", 1, "k")))
    changed, values = replies[0::2], [float(reply[1]) for reply in replies[1::2]]
    assert values == sorted(values)
    for i in range(1, len(values)):
        assert (values[i] > values[i - 1]) == bool(changed[i])


# Merge and union


@pytest.mark.parametrize("left, right", [(13, 13), (10, 10), (14, 11), (11, 14), (18, 4), (4, 18), (12, 13)])
@pytest.mark.parametrize("n_left, n_right", [(50, 70), (200, 20_000), (20_000, 200), (12_000, 15_000)])
def test_merging_equals_adding_everything_to_one_sketch(server, rng, left, right, n_left, n_right):
    """A sketch of everything and the merge of two parts hold the same: neither adds to the other. The precision is the smallest of
    dense parts, whose registers have no finer ones in them; tokens serve every precision, and lower nobody's."""
    c = server.c
    items = random_elements(rng, max(n_left, n_right) + 100)
    parts = {"left": (left, items[:n_left]), "right": (right, items[-n_right:])}
    for key, (precision, part) in parts.items():
        c("HLL.CREATE", key, "PRECISION", precision)
        add(c, key, part, batch=5000)
    forms = {key: info(c, key) for key in ("left", "right")}
    dense = [form["precision"] for form in forms.values() if form["encoding"] == "dense"]
    expected = min(dense) if dense else max(left, right)
    c("HLL.CREATE", "whole", "PRECISION", expected)
    add(c, "whole", items[:n_left] + items[-n_right:], batch=5000)
    c("HLL.MERGE", "merged", "left", "right")
    assert info(c, "merged")["precision"] == expected
    before = state(c, "merged"), state(c, "whole")
    c("HLL.MERGE", "merged", "whole")
    c("HLL.MERGE", "whole", "merged")
    assert (state(c, "merged"), state(c, "whole")) == before
    # The union computed without a key to store it in is the same again, in any order, and with repetitions.
    answers = [estimate(c, *keys) for keys in (["left", "right"], ["right", "left"], ["left", "right", "left", "none"])]
    assert answers[0] == answers[1] == answers[2] == estimate(c, "merged")
    assert c("HLL.COUNT", "left", "right") == c("HLL.COUNT", "merged")


def test_merging_in_any_order_and_grouping_gives_the_same_sketch(server, rng):
    c, keys = server.c, [f"k{i}" for i in range(6)]
    for key in keys:
        c("HLL.CREATE", key, "PRECISION", rng.choice([10, 11, 12]))
        add(c, key, random_elements(rng, rng.choice([10, 300, 3000, 10_000])) + elements(0, 500), batch=5000)
    c("HLL.CREATE", "smallest", "PRECISION", 10)
    c("HLL.MERGE", "m0", "smallest", *keys)
    for i in range(1, 6):
        order = rng.sample(keys, len(keys))
        cut = rng.randrange(1, len(keys))
        c("HLL.MERGE", f"m{i}", "smallest", *order[:cut])
        c("HLL.MERGE", f"m{i}", *order[cut:])
        assert digest(c, f"m{i}") == digest(c, "m0")
        assert c("HLL.COUNT", f"m{i}") == c("HLL.COUNT", "m0")


def test_an_empty_sketch_of_a_smaller_precision_changes_nothing(server):
    c = server.c
    c("HLL.CREATE", "coarse", "PRECISION", 10)
    add(c, "fine", elements(0, 10_000))
    before = state(c, "fine")
    c("HLL.MERGE", "fine", "coarse")
    assert state(c, "fine") == before
    assert (info(c, "fine")["precision"], info(c, "fine")["estimator"]) == (13, "hip")


def test_adding_after_a_merge_goes_on_counting(server, rng):
    """5 standard deviations: false alarms 6 in ten million."""
    c = server.c
    items = random_elements(rng, 60_000)
    add(c, "a", items[:20_000], batch=5000)
    add(c, "b", items[10_000:30_000], batch=5000)
    c("HLL.MERGE", "a", "b")
    add(c, "a", items[30_000:], batch=5000)
    assert info(c, "a")["estimator"] == "ml"
    assert estimate(c, "a")["estimate"] == pytest.approx(reference.dense(items, 13).ml(), rel=1e-6)
    assert abs(c("HLL.COUNT", "a") - 60_000) < 5 * sd("ml", 13) * 60_000


def test_a_merge_of_sparse_sketches_that_outgrows_tokens_is_dense_and_right(server):
    """The seed and the elements are fixed: no chance involved. 2 % are 2.4 standard deviations."""
    c = server.c
    add(c, "a", elements(0, 1500))
    add(c, "b", elements(1000, 3000))
    c("HLL.MERGE", "m", "a", "b")
    assert info(c, "m")["encoding"] == "dense"
    assert abs(c("HLL.COUNT", "m") - 3000) < 0.02 * 3000
    assert c("HLL.COUNT", "a", "b") == c("HLL.COUNT", "m")


@pytest.mark.parametrize("sizes", [(1500, 1500, 100), (1500, 100, 3000), (3000, 100, 100), (1500, 1500, 1500), (2000, 40, 3)])
def test_a_union_does_not_depend_on_the_order_of_its_keys(server, sizes):
    """Whatever becomes dense on the way, and whichever key holds the others: one set, one estimate."""
    c, start = server.c, 0
    for key, n in zip("abc", sizes):
        add(c, key, elements(start, start + n))
        start += n
    add(c, "all", elements(0, start))
    for keys in ("abc", ("all", "a"), ("all", "a", "b", "c"), ("all", "b", "none")):
        answers = {}
        for order in itertools.permutations(keys):
            answers[order] = (c("HLL.COUNT", *order), *estimate(c, *order).values())
            c("DEL", "m")
            c("HLL.MERGE", "m", *order)
            assert (c("HLL.COUNT", "m"), *estimate(c, "m").values()) == answers[order]
        assert len(set(answers.values())) == 1, answers
