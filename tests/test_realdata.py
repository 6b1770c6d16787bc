"""Real data: a shop's invoices and a web server's log, whose exact counts are known. Skipped, loudly, where they are missing.

The figures were counted with ordinary sets. With the default seed the sketches are deterministic, so nothing here is a
matter of chance. They were taken from UCI Online Retail (CC BY 4.0) and from elastic/examples (Apache-2.0).
"""

import csv
import functools
import gzip

import pytest

from helpers import add, estimate, info

pytestmark = pytest.mark.thorough

CUSTOMERS = 4372
MONTHLY = {
    "2010-12": 948, "2011-01": 783, "2011-02": 798, "2011-03": 1020, "2011-04": 899, "2011-05": 1079, "2011-06": 1051,
    "2011-07": 993, "2011-08": 980, "2011-09": 1302, "2011-10": 1425, "2011-11": 1711, "2011-12": 686,
}
# Of the customers of December 2010, those who bought again in each month.
RETAINED = [948, 362, 317, 367, 341, 376, 360, 336, 336, 374, 354, 474, 260]
ADDRESSES = 1753
DAILY = {"17": 341, "18": 627, "19": 561, "20": 505}


@functools.cache
def read_months(path):
    """Month -> the customers of each line item, repeated as in the file; rows without a customer left out."""
    months, rows, anonymous = {}, 0, 0
    with gzip.open(path, "rt", newline="") as f:
        for row in csv.DictReader(f):
            rows += 1
            customer = row["customer_id"]
            if customer:
                months.setdefault(month_of(row["date"]), []).append(customer)
            else:
                anonymous += 1
    assert (rows, anonymous) == (541_909, 135_080)
    return months


def month_of(date):
    return date[:7]


@functools.cache
def read_days(path):
    """Day of the month -> the addresses of its lines, repeated as in the file."""
    days = {}
    with gzip.open(path, "rt") as f:
        for line in f:
            address, _, _, when = line.split(" ", 4)[:4]
            days.setdefault(when[1:3], []).append(address)
    assert sum(map(len, days.values())) == 10_000
    return days


@pytest.fixture
def months(data):
    return read_months(data("online_retail.csv.gz"))


@pytest.fixture
def days(data):
    return read_days(data("apache_logs.gz"))


def test_customers_of_a_year_are_counted_within_2_5_percent_at_the_default_precision(server, months):
    c = server.c
    for month, customers in months.items():
        add(c, "year", customers, batch=5000)
        add(c, f"month:{month}", customers, batch=5000)
    assert abs(c("HLL.COUNT", "year") - CUSTOMERS) <= 0.025 * CUSTOMERS
    union = c("HLL.COUNT", *[f"month:{month}" for month in months])
    assert abs(union - CUSTOMERS) <= 0.025 * CUSTOMERS
    c("HLL.MERGE", "merged", *[f"month:{month}" for month in months])
    assert c("HLL.COUNT", "merged") == union
    e = estimate(c, "year", confidence="0.9999")
    assert e["lower"] <= CUSTOMERS <= e["upper"]


def test_monthly_active_customers_are_exact(server, months):
    c = server.c
    for month, customers in months.items():
        add(c, f"month:{month}", customers, batch=5000)
    assert {month: c("HLL.COUNT", f"month:{month}") for month in months} == MONTHLY
    assert {info(c, f"month:{month}")["estimator"] for month in months} == {"exact"}


def test_customers_of_a_year_are_exact_at_precision_15(server, months):
    c = server.c
    c("HLL.CREATE", "year", "PRECISION", 15)
    for customers in months.values():
        add(c, "year", customers, batch=5000)
    assert c("HLL.COUNT", "year") == CUSTOMERS
    assert info(c, "year")["estimator"] == "exact"


def test_retention_of_the_first_cohort_is_exact_at_precision_15(server, months):
    """What two sets have in common is |A| + |B| - |A or B|, which is exact where the three counts are."""
    c = server.c
    for month, customers in months.items():
        c("HLL.CREATE", f"month:{month}", "PRECISION", 15)
        add(c, f"month:{month}", customers, batch=5000)
    first = "month:2010-12"
    common = [c("HLL.COUNT", first) + c("HLL.COUNT", f"month:{month}") - c("HLL.COUNT", first, f"month:{month}")
              for month in sorted(months)]
    assert common == RETAINED


def test_addresses_of_a_web_log_are_exact(server, days):
    c = server.c
    for day, addresses in days.items():
        add(c, "all", addresses)
        add(c, f"day:{day}", addresses)
    assert c("HLL.COUNT", "all") == ADDRESSES
    assert {day: c("HLL.COUNT", f"day:{day}") for day in days} == DAILY
    assert c("HLL.COUNT", *[f"day:{day}" for day in days]) == ADDRESSES
    c("HLL.MERGE", "merged", *[f"day:{day}" for day in days])
    assert c("HLL.COUNT", "merged") == ADDRESSES
    assert info(c, "merged")["estimator"] == "exact"
