"""Retention, churn and overlap of real data: a shop's customers by month, and a web server's visitors by day. Skipped, loudly,
where the data is missing.

The truth is counted with Python's own sets from the same files, and the best known figures stand here in full. Customers are
hashed with the default seed, so that every outcome is fixed: where a test says how many intervals hold the truth, it is
about the sketches of these very sets, and holds or fails alike on every run and every server.

Data: UCI Online Retail (CC BY 4.0) and elastic/examples (Apache-2.0).
"""

import pytest

import setcommands
from helpers import add, info
from setcommands import ask, assert_exact, holds
from test_realdata import DAILY, RETAINED, days, months  # noqa: F401 (fixtures)

pytestmark = pytest.mark.thorough

COHORT = "2010-12"


def fill(c, sets, precision=13):
    """One sketch for each set; `precision` may be a dict."""
    for name, items in sets.items():
        c("HLL.CREATE", name, "PRECISION", precision[name] if isinstance(precision, dict) else precision)
        add(c, name, sorted(items), batch=5000)


@pytest.fixture
def active(months):  # noqa: F811
    """Month -> its customers, as a set."""
    return {month: set(customers) for month, customers in sorted(months.items())}


def test_the_retention_of_the_first_cohort_is_exact_at_the_default_precision(client, active):
    fill(client, active)
    (row,) = ask(client, "HLL.RETENTION", "COHORTS", 1, COHORT, "PERIODS", len(active), *active)
    assert (row["cohort"], row["size"]) == (COHORT.encode(), 948)
    assert [cell["period"].decode() for cell in row["periods"]] == list(active)
    assert [cell["users"] for cell in row["periods"]] == RETAINED
    assert [(cell["lower"], cell["upper"]) for cell in row["periods"]] == [(n, n) for n in RETAINED]
    assert [cell["rate"] for cell in row["periods"]] == [n / 948 for n in RETAINED]


def test_the_whole_table_of_cohorts_is_exact_at_the_default_precision(client, active):
    fill(client, active)
    names = [month.encode() for month in active]
    answer = ask(client, "HLL.RETENTION", "COHORTS", len(active), *active, "PERIODS", len(active), *active)
    assert_exact(answer, setcommands.retention(names, active.values(), names, active.values()))
    assert_exact(ask(client, "HLL.OVERLAP", len(active), *active), setcommands.overlap(names, list(active.values())))


def test_a_funnel_of_months_is_exact(client, active):
    """Who bought in every month of a year so far."""
    steps = list(active)[:8]
    fill(client, active)
    answer = ask(client, "HLL.FUNNEL", 8, *steps)
    assert_exact(answer, setcommands.funnel([month.encode() for month in steps], [active[month] for month in steps]))


def held(row, truth):
    """How many cells of a row hold the truth."""
    return sum(holds(cell, "users", true) for cell, true in zip(row["periods"], truth))


@pytest.mark.parametrize("precision", [10, 9, 8])
def test_dense_sketches_hold_the_retention_within_95_percent_intervals(client, active, precision):
    """In at least 11 of the 12 later months. Twelve independent intervals of 95 % each do so in 88 % of all worlds; these are
    not independent, since all are about one cohort. One world is ours: the hash is fixed, and so is the outcome."""
    fill(client, active, precision)
    assert {info(client, month)["encoding"] for month in active} == {"dense"}
    (row,) = ask(client, "HLL.RETENTION", "COHORTS", 1, COHORT, "PERIODS", len(active), *active)
    own, later = row["periods"][0], {**row, "periods": row["periods"][1:]}
    assert own["rate"] == 1 and holds(own, "users", 948)
    assert held(later, RETAINED[1:]) >= 11
    # And they say something: a dense sketch of 2^10 registers knows these figures to a tenth.
    widest = max((cell["upper"] - cell["lower"]) / cell["users"] for cell in later["periods"])
    assert widest < {10: 0.4, 9: 0.6, 8: 0.9}[precision]


def test_all_cells_of_the_dense_table_are_within_their_intervals_nearly_as_often_as_promised(server, active):
    """All 156 pairs of different months. Half of them say the same as the other half, in the other direction."""
    c = server.client(3)
    fill(c, active, 10)
    table = ask(c, "HLL.RETENTION", "COHORTS", len(active), *active, "PERIODS", len(active), *active, "CONFIDENCE", "0.95")
    sets = list(active.values())
    right = pairs = 0
    for i, row in enumerate(table):
        for j, cell in enumerate(row["periods"]):
            if i != j:
                pairs += 1
                right += holds(cell, "users", len(sets[i] & sets[j]))
    print(f"{right} of {pairs}")
    assert pairs == 156 and right >= 0.9 * pairs
    certain = ask(c, "HLL.RETENTION", "COHORTS", len(active), *active, "PERIODS", len(active), *active, "CONFIDENCE", "0.9999")
    assert all(holds(cell, "users", len(a & b), widened=1.5) for row, a in zip(certain, sets) for cell, b in zip(row["periods"], sets))


def test_dense_and_sparse_months_in_one_table(client, active):
    """Every other month at precision 10. Cells of two sparse months are exact, the others are estimates whose intervals hold
    the truth in at least 11 of 12 months; nothing exceeds a month that is known exactly."""
    precision = {month: 10 if i % 2 else 13 for i, month in enumerate(active)}
    fill(client, active, precision)
    assert {month: info(client, month)["encoding"] for month in active} == {m: "dense" if p == 10 else "sparse" for m, p in precision.items()}
    (row,) = ask(client, "HLL.RETENTION", "COHORTS", 1, COHORT, "PERIODS", len(active), *active)
    assert row["size"] == 948
    for cell, true in zip(row["periods"], RETAINED):
        if precision[cell["period"].decode()] == 13:
            assert (cell["users"], cell["lower"], cell["upper"], cell["rate"]) == (true, true, true, true / 948)
        else:
            assert cell["lower"] < cell["users"] <= cell["upper"] <= 948 and cell["rate"] < 1
    assert held({**row, "periods": row["periods"][1:]}, RETAINED[1:]) >= 11


def test_new_and_lost_customers_of_each_month(client, active):
    """New: in this month and in none before. Lost: in the month before and not in this one. At precision 16 even the union of
    a year is sparse, and the figures are exact."""
    fill(client, active, 16)
    seen, before = set(), None
    for month, customers in active.items():
        if before:
            earlier = [m for m in active if m < month]
            new = ask(client, "HLL.SEGMENT", "ALL", 1, month, "NONE", len(earlier), *earlier)
            assert_exact(new, setcommands.segment([customers], [], [seen]))
            assert new["lower"] == new["upper"]
            lost = ask(client, "HLL.SEGMENT", "ALL", 1, before, "NONE", 1, month)
            assert_exact(lost, setcommands.segment([active[before]], [], [customers]))
        seen |= customers
        before = month


def test_new_customers_at_the_default_precision(client, active):
    """From the spring on, the union of the earlier months has outgrown its tokens. 12 intervals of 99.99 %."""
    fill(client, active)
    seen = set()
    for month, customers in active.items():
        earlier = [m for m in active if m < month]
        if earlier:
            new = ask(client, "HLL.SEGMENT", "ALL", 1, month, "NONE", len(earlier), *earlier, "CONFIDENCE", "0.9999")
            assert new["base"] <= len(customers)
            assert holds(new, "estimate", len(customers - seen)), month
        seen |= customers


def test_visitors_of_days_are_exact(client, days):  # noqa: F811
    visitors = {day: set(addresses) for day, addresses in sorted(days.items())}
    fill(client, visitors)
    names = [day.encode() for day in visitors]
    assert [row["uniques"] for row in ask(client, "HLL.FUNNEL", 4, *visitors)] == [DAILY[day] for day in visitors]
    assert_exact(ask(client, "HLL.FUNNEL", 4, *visitors), setcommands.funnel(names, list(visitors.values())))
    assert_exact(ask(client, "HLL.OVERLAP", 4, *visitors), setcommands.overlap(names, list(visitors.values())))
    assert_exact(ask(client, "HLL.INTERSECT", 4, *visitors), setcommands.intersect(list(visitors.values())))
