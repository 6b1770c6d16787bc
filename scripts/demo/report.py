"""The report: what the cube and the sketches say beside what is true. One function per section. What the cube has answered,
the sketches are not asked again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis_hll import HLL, Estimate, Interval

from .cube import KEY, Cube
from .dashboard import dashboard
from .load import ALL_KEY, Exact, device_key, key_bytes, step_key, visitors_key
from .source import OTHER
from .tables import bounds, count, error, heading, percent, plain, size, table

MOST_ROWS = 31  # of a table; the rest is summed up in a line
MOST_ROWS_BESIDE = 7  # where there is a dashboard too
MOST_FUNNEL_STEPS = 8
MOST_RETENTION_PERIODS = 13
MOST_OVERLAP_KEYS = 5
SET_MEMBERS = 2_000_000  # no Redis set larger than this is built for comparison


@dataclass
class Report:
    """What all sections need."""

    hll: HLL
    exact: Exact
    funnel_steps: Sequence[str]
    per: str
    cube: Cube | None = None
    held: int = 0
    intervals: int = 0

    def memory(self, key: str) -> int:
        """Bytes of the key with everything that belongs to it."""
        return int(self.hll.client.memory_usage(key_bytes(key), samples=0))

    def users(self, keys: Sequence[str]) -> int:
        """Exact size of the union."""
        if len(keys) == 1:
            return len(self.exact.users[keys[0]])
        return len(set().union(*(self.exact.users[key] for key in keys)))

    def judge(self, interval: Interval | Estimate, exact: int) -> str:
        """Whether the interval holds the exact number, noted for the summary."""
        held = interval.holds(exact)
        self.intervals += 1
        self.held += held
        return "yes" if held else "NO"

    def judge_rate(self, interval: Interval, exact: float) -> None:
        """The same of a fraction, which is printed in tenths of a percent."""
        self.intervals += 1
        self.held += round(interval.lower, 3) <= round(exact, 3) <= round(interval.upper, 3)

    def print(self) -> None:
        if self.cube is not None:
            dashboard(self, self.cube)
        for section in (visitors, summary) if self.cube is not None else SECTIONS:
            section(self)


# Sections

def visitors(report: Report) -> None:
    """Distinct visitors per period and in total, and what they take in memory."""
    # Where there is a cube the periods are dates, in whatever order the file has them; else they are any words.
    periods = list(report.exact.periods) if report.cube is None else sorted(report.exact.periods)
    shown = periods[-(MOST_ROWS if report.cube is None else MOST_ROWS_BESIDE):]
    heading(f"Sketches: distinct visitors per {report.per} (precision {report.hll.info(ALL_KEY).precision})")
    rows = []
    for name, key in [(plain(p), visitors_key(p)) for p in shown] + [("all", ALL_KEY)]:
        exact = report.users([key])
        found = report.hll.estimate(key_bytes(key))
        pf_count, pf_bytes, set_bytes = _alternatives(report, key)
        rows.append([name, count(exact), count(found.estimate), error(found.estimate, exact), bounds(found),
                     report.judge(found, exact), size(report.memory(key)),
                     error(pf_count, exact), size(pf_bytes), size(set_bytes)])
    table([report.per, "exact", "estimate", "error", "95 % interval", "holds", "memory",
           "PF error", "PF memory", "as a set"], rows)
    keys = [visitors_key(p) for p in periods]
    union = report.hll.estimate(*map(key_bytes, keys))
    exact = report.users(keys)
    print(f"\n  {f'The last {len(shown)} of {len(keys)} are shown. ' if len(shown) < len(keys) else ''}The union of all by HLL.COUNT: "
          f"{count(union.estimate)} (exact {count(exact)}, {error(union.estimate, exact)}); added up they would give "
          f"{count(sum(report.users([k]) for k in keys))}.\n  PF is the server's own PFADD and PFCOUNT (2^14 registers) of the same "
          "elements, 'as a set' a Redis set of them, which is exact.")


def _alternatives(report: Report, key: str) -> tuple[int, int, int | None]:
    """The same visitors in the server's own HyperLogLog, which stays as pf:<key>, and in a set, which does not."""
    pf, plain_set = key_bytes(f"pf:{key}"), key_bytes(f"set:{key}")
    members = list(report.exact.users[key])
    as_set = len(members) <= SET_MEMBERS
    client = report.hll.client
    pipeline = client.pipeline(transaction=False)
    for start in range(0, len(members), 1000):
        pipeline.execute_command("PFADD", pf, *members[start:start + 1000])
        if as_set:
            pipeline.execute_command("SADD", plain_set, *members[start:start + 1000])
        if start % 50_000 == 49_000:
            pipeline.execute()
    pipeline.execute()
    set_bytes = report.memory(f"set:{key}") if as_set else None
    client.delete(plain_set)
    return int(client.execute_command("PFCOUNT", pf)), report.memory(f"pf:{key}"), set_bytes


def groups(report: Report) -> None:
    """Distinct visitors of each step and of each device."""
    for title, names, key_of in (("step", report.exact.steps, step_key), ("device", report.exact.devices, device_key)):
        if not names:
            continue
        heading(f"Distinct visitors per {title}")
        # The largest first; what was put together because it is rare comes last.
        ranked = sorted(names, key=lambda name: (name == OTHER, -report.users([key_of(name)])))
        rows = []
        for name in ranked[:12]:
            exact = report.users([key_of(name)])
            found = report.hll.estimate(key_bytes(key_of(name)))
            rows.append([plain(name), count(exact), count(found.estimate), error(found.estimate, exact), bounds(found),
                         report.judge(found, exact), size(report.memory(key_of(name)))])
        table([title, "exact", "estimate", "error", "95 % interval", "holds", "memory"], rows)
        if len(ranked) > 12:
            print(f"  and {len(ranked) - 12} smaller ones")


def funnel(report: Report) -> None:
    """How many took every step up to here."""
    steps = list(report.funnel_steps)[:MOST_FUNNEL_STEPS]
    if len(steps) < 2:
        return
    heading("Funnel: visitors who took this step and every earlier one (in any order: sketches know no order)")
    rows, both, before = [], None, None
    for step, answer in zip(steps, report.hll.funnel(*(key_bytes(step_key(step)) for step in steps))):
        users, found = report.exact.users[step_key(step)], answer.users
        both = users if both is None else both & users
        rows.append([plain(step), count(len(both)), count(found.estimate), error(found.estimate, len(both)),
                     bounds(found), report.judge(found, len(both)),
                     percent(len(both) / before) if before else "", percent(answer.conversion.estimate) if before else ""])
        before = len(both)
    table(["step", "exact", "estimate", "error", "95 % interval", "holds", "conversion", "estimated"], rows)


def retention(report: Report) -> None:
    """Who of one period was there in later ones."""
    periods = sorted(report.exact.periods)[:MOST_RETENTION_PERIODS]
    if len(periods) < 2:
        return
    keys = [visitors_key(p) for p in periods]
    sent = [key_bytes(key) for key in keys]
    found = [[period.users for period in cohort.periods] for cohort in report.hll.retention(sent, sent)]
    heading(f"Retention: visitors of {plain(periods[0])} who were there in a later {report.per}")
    cohort = report.exact.users[keys[0]]
    rows = []
    for period, key, interval in list(zip(periods, keys, found[0]))[1:]:
        exact = len(cohort & report.exact.users[key])
        rows.append([plain(period), count(exact), count(interval.estimate), error(interval.estimate, exact),
                     bounds(interval), "yes" if interval.holds(exact) else "NO",
                     percent(exact / len(cohort)), percent(interval.estimate / len(cohort))])
    table([report.per, "exact", "estimate", "error", "95 % interval", "holds", "rate", "estimated"], rows)
    # The other cohorts are in the same reply; a line says how they did.
    pairs = [(i, j) for i in range(len(keys)) for j in range(i + 1, len(keys))]
    errors = []
    for i, j in pairs:
        exact = len(report.exact.users[keys[i]] & report.exact.users[keys[j]])
        report.judge(found[i][j], exact)
        errors.append(abs(found[i][j].estimate - exact) / len(report.exact.users[keys[i]]))
    print(f"\n  All {len(periods)} cohorts, {len(pairs)} rates: off by {100 * sum(errors) / len(errors):.2f} percentage points "
          f"on average, {100 * max(errors):.2f} at most.")


def overlap(report: Report) -> None:
    """Who used two devices."""
    names = [name for name in report.exact.devices if name != OTHER]
    names = sorted(names, key=lambda name: -report.users([device_key(name)]))[:MOST_OVERLAP_KEYS]
    if len(names) < 2:
        return
    heading("Overlap: visitors who used both devices")
    rows = []
    for answer in report.hll.overlap(*(key_bytes(device_key(name)) for name in names)):
        found, jaccard = answer.both, answer.jaccard.estimate if answer.jaccard else 0
        first, second = answer.first, answer.second
        one, two = report.exact.users[first], report.exact.users[second]
        exact = len(one & two)
        rows.append([f"{plain(first.removeprefix('device:'))}, {plain(second.removeprefix('device:'))}", count(exact),
                     count(found.estimate), error(found.estimate, exact), bounds(found), report.judge(found, exact),
                     f"{exact / max(len(one | two), 1):.4f}", f"{jaccard:.4f}"])
    table(["devices", "exact", "estimate", "error", "95 % interval", "holds", "jaccard", "estimated"], rows)


def summary(report: Report) -> None:
    """How the intervals did, and what the cube takes."""
    if report.cube is not None:
        cube = report.cube
        print(f"\n  The cube takes {size(report.memory(KEY))} for {len(cube.facts.who):,} events, by 5 minutes, hour, day, week and month; its "
              f"{cube.questions.asked} answers above took {1000 * cube.questions.answering:,.0f} ms together.")
    if report.intervals:
        print(f"  {report.held} of {report.intervals} intervals hold the exact number. Each is meant to with a probability "
              "of 95 %; those of one report share visitors, so they tend to miss together.")


SECTIONS: tuple[Callable[[Report], None], ...] = (visitors, groups, funnel, retention, overlap, summary)
