"""The promises of the measurement's own arithmetic and pages, and, if there is a server, that a small one runs."""

import subprocess
import xml.etree.ElementTree as xml
from collections import Counter

import pytest

from measure import balance, cube_waits, cubes, others, page, plot
from measure.__main__ import FIGURES, PAGE, PARTS, SERVERS, draw, parse, render
from measure.balance import BEYOND, Beyond, filled
from measure.compare import OURS, PF, Aim, Comparison, Measure, Table, at_most, of_runs, of_values, order
from measure.context import ROOT, Context
from measure.page import Record, replace, summary, table
from measure.stream import HOUR, KEY, START, STEPS, Plan
from measure.wire import ARGUMENT, Chunk, Elements, add_chunks, adds, command

TABLE = Table("t", "things", (
    Measure("a", "first", at_most(0.5), {"old": at_most(0.04)}),
    Measure("b", "second", digits=1),
))
RECORD = Record("scripts/bench", "a machine", {"old": "Redis 1", "new": "Redis 2"}, {
    "old": {"a": Comparison(1000, 50, 0.05, 0.04, 0.06), "b": of_values(0, 0)},
    "new": {"a": Comparison(10, 5, 0.5, 0.4, 0.6)},
})


def test_the_ratio_is_the_median_of_pairs_and_not_the_quotient_of_medians():
    measured = of_runs([10, 20, 40], [5, 20, 10])
    assert (measured.pf, measured.ours, measured.ratio) == (20, 10, 0.5)
    assert measured.low == pytest.approx(0.3) and measured.high == pytest.approx(0.9)
    assert of_runs([4], [2]) == Comparison(4, 2, 0.5, 0.5, 0.5)
    assert of_values(0, 1).ratio is None


def test_sides_take_turns_and_name_their_keys_alike():
    assert order(0) == (PF, OURS) and order(1) == (OURS, PF)
    assert len(PF.key("x")) == len(OURS.key("x")) and PF.key("x") != OURS.key("x")


@pytest.mark.parametrize("aim, pf, ours, kept", [
    (at_most(0.5), 2, 1, True), (at_most(0.5), 2, 1.01, False), (Aim("at least", 0.98), 100, 98, True),
    (Aim("at least", 0.98), 100, 97, False), (Aim("more", 32), 72, 104, True), (Aim("more", 32), 72, 105, False),
    (Aim("itself", 1.05), 0.5, 1.05, True), (Aim("itself", 1.05), 2, 1.06, False), (at_most(1), 0, 1, False),
])
def test_an_aim_is_kept_up_to_its_bound(aim, pf, ours, kept):
    assert aim.kept(of_values(pf, ours)) == kept


def test_commands_are_what_a_client_would_send():
    elements = Elements(1, 7)
    words = [elements.slice(i, i + 1).split(b"\r\n")[1].decode() for i in range(7)]
    assert len(set(words)) == 7 and len(elements.slice(0, 1)) == ARGUMENT
    singles = adds("PFADD", "k", elements, 1, 3)
    assert singles[0] == Chunk(b"".join(command("PFADD", "k", word) for word in words[:3]), 3)
    assert [chunk.replies for chunk in singles] == [3, 3, 1]
    many = adds("HLL.ADD", "k", elements, 2, 3)
    assert many == [Chunk(b"".join(command("HLL.ADD", "k", *words[i : i + 2]) for i in (0, 2, 4)), 3),
                    Chunk(command("HLL.ADD", "k", words[6]), 1)]
    users = [elements.slice(i, i + 1) for i in range(7)]
    assert b"".join(c.sent for c in add_chunks("HLL.ADD", "k", users, 2)) == b"".join(c.sent for c in many)
    assert Elements(1, 7).encoded == elements.encoded != Elements(2, 7).encoded


def test_a_table_names_aims_and_says_whether_they_are_kept():
    assert table(TABLE, RECORD).splitlines()[:4] == [
        "| things | aim | Redis 1 | Redis 2 |",
        "|---|---|---|---|",
        "| first | ≤ 0.04 × (old); ≤ 0.5 × (new) | 1,000 → 50 = 0.05 × (0.04–0.06), **missed** "
        "| 10 → 5 = 0.50 × (0.40–0.60), kept |",
        "| second | – | 0.0 → 0.0 | – |",
    ]


def test_the_summary_counts_every_server():
    lines = summary([((TABLE,), RECORD)]).splitlines()
    assert lines[0].startswith("Of 2 aims (each on each server) 1 are kept and 1 are missed, and 0 could not be kept")
    assert lines[-1] == "| things: first | ≤ 0.04 × (old); ≤ 0.5 × (new) | Redis 1: 0.05 × |"


def test_an_aim_out_of_reach_is_marked_with_its_reason_and_counted_apart(monkeypatch):
    """On the one server that the reason is for; and never where the aim is kept all the same."""
    monkeypatch.setattr(balance, "BEYOND", (Beyond("x", "There is no way.", frozenset({"a"}), frozenset({"old"})),))
    monkeypatch.setattr(page, "BEYOND", balance.BEYOND)
    assert "0.05 × (0.04–0.06), missed (x) |" in table(TABLE, RECORD)
    lines = summary([((TABLE,), RECORD)]).splitlines()
    assert lines[0].startswith("Of 2 aims (each on each server) 1 are kept and 0 are missed, and 1 could not be kept")
    assert "* (x), 1 aims: There is no way." in lines and lines[-1].endswith("Redis 1: 0.05 × (x) |")
    monkeypatch.setattr(balance, "BEYOND", (Beyond("x", "There is no way.", frozenset({"a"})),))
    assert "0.50 × (0.40–0.60), kept |" in table(TABLE, RECORD)


def test_reasons_are_of_measures_that_have_an_aim():
    """And a mark has one reason."""
    aims = {m.id for part in PARTS.values() for layout in part.TABLES for m in layout.measures if m.aim or m.aims_on}
    for one in BEYOND:
        assert one.ids <= aims and (one.servers or set()) <= set(SERVERS)
    assert len({one.mark for one in BEYOND}) == len(BEYOND)


def test_sentences_have_their_figures_from_the_measurement():
    figures = RECORD.results
    assert filled("{times:a} times, {pf:a} instead of {ours:a}", figures) == "0.05 to 0.50 times, 10.0 to 1,000 instead of 5.0 to 50.0"
    assert filled("{more:a}", {"old": {"a": of_values(8, 9)}}) == "1.0"
    with pytest.raises(KeyError):
        filled("{ours:c}", figures)


def test_the_opening_of_the_page_names_only_what_is_measured_and_no_line_is_too_long():
    ids = {measure.id for part in PARTS.values() for layout in part.TABLES for measure in layout.measures}
    for sentence in (*balance.GAINS, *balance.PAYS):
        assert {id for _, id in balance.FIGURE.findall(sentence)} <= ids
    written = balance.balance({server: dict.fromkeys(ids, of_values(2, 3)) for server in SERVERS}, SERVERS)
    assert "{" not in written and max(map(len, written.splitlines())) <= 120
    assert all(line.startswith(("* ", "  ")) for line in written.split("**What you pay**")[1].splitlines() if line)


def test_the_page_says_what_the_figures_kept_say():
    """Whoever measures again, or changes a sentence, makes the page anew: scripts/bench --page."""
    text = PAGE.read_text(encoding="utf-8")
    assert render(text, tuple(PARTS)) == text
    assert text.index("measured: balance begins") < text.index("measured: add-time begins") < text.index("measured: summary begins")


def test_figures_come_back_as_they_were_kept(tmp_path):
    RECORD.write(tmp_path / "t.json")
    assert Record.read(tmp_path / "t.json") == RECORD


def test_only_what_stands_between_the_markers_is_replaced():
    text = "a\n<!-- measured: t begins -->\nold\n<!-- measured: t ends -->\nb\n"
    assert replace(text, "t", "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="markers for u"):
        replace(text, "u", "new")


def test_plots_are_xml_and_show_every_server_and_aim():
    measured = {server: results["a"] for server, results in RECORD.results.items()}
    row = plot.Row("first", {"old": at_most(0.04), "new": at_most(0.5)}, measured)
    for drawn in (draw(TABLE, RECORD), plot.lines("x", RECORD.versions, {10: row, 1000: row})):
        assert xml.fromstring(drawn).tag.endswith("svg")
        assert "Redis 1" in drawn and "Redis 2" in drawn and 'stroke="#000" stroke-width="2"' in drawn


@pytest.mark.parametrize("low, high", [(0.001, 1000), (0.01, 60), (0.3, 3), (0.8, 1.5), (0.96, 1.04)])
def test_an_axis_has_ticks_that_do_not_touch_and_one_at_1(low, high):
    axis = plot.Log(low, high, 0, 400)
    ticks = axis.ticks(apart=40)
    assert 1 in ticks and low <= min(ticks) and max(ticks) <= high
    assert all(axis(b) - axis(a) >= 40 for a, b in zip(ticks, ticks[1:]))


def test_the_page_has_a_place_for_every_table_and_shows_every_plot():
    text = PAGE.read_text(encoding="utf-8")
    names = ["balance", "summary"] + [layout.name for part in PARTS.values() for layout in part.TABLES]
    assert len(names) == len(set(names))
    for name in names:
        replace(text, name, "")
    for part in PARTS.values():
        for layout in part.TABLES:
            assert (f"{FIGURES.name}/{layout.name}.svg" in text) == (layout.plot is not None), layout.name
            assert len({measure.id for measure in layout.measures}) == len(layout.measures)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_runs_on_a_server_and_fills_its_tables(part):
    context = Context("redis-7.0", 2, True, 1)
    if not all(path.exists() for path in context.programs):
        pytest.skip("no server or no module under target/")
    results = PARTS[part].measure(context)
    for layout in PARTS[part].TABLES:
        measured = [results[measure.id] for measure in layout.measures if measure.id in results]
        assert measured and all(one.pf >= 0 and one.ours >= 0 for one in measured)


def test_arguments():
    assert parse(["--only", "speed,keys", "redis-7.0"]).only == ("speed", "keys")
    assert parse([]).only == tuple(PARTS)
    with pytest.raises(SystemExit):
        parse(["--only", "sped"])


# ---- cubes ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def events_program():
    """benches/events.rs as a program; it depends on nothing, so that it is built within seconds."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", "-p", "benches", "--bin", "events"], cwd=ROOT, check=True)


def printed(plan, way, *more):
    return subprocess.run(plan.program(way, *more), stdout=subprocess.PIPE, check=True).stdout


def sent_words(data):
    """Commands as lists of words."""
    words, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        count, at, one = int(data[at + 1 : end]), end + 2, []
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size, at = int(data[at + 1 : end]), end + 2
            one.append(data[at : at + size].decode())
            at += size + 2
        words.append(one)
    return words


def rows_of(plan, *more):
    head, *rows = printed(plan, "rows", *more).decode().splitlines()
    return head.split(","), [row.split(",") for row in rows]


@pytest.mark.usefixtures("events_program")
def test_events_have_the_values_that_the_cube_is_made_for():
    plan = Plan(50_000, pages=True, steps=True)
    names, rows = rows_of(plan)
    assert names == ["at", "user", *plan.dimensions] and len(rows) == plan.events
    for place, (name, count) in enumerate(plan.dimensions.items(), 2):
        values = Counter(row[place] for row in rows)
        # All of few values occur, and none of many is beyond the last.
        assert len(values) == count if count <= 200 else len(values) <= count, name
        prefix = {"page": "/page/", "step": ""}.get(name, "value-")
        numbers = list(STEPS) if name == "step" else [str(i) for i in range(count)]
        assert set(values) <= {prefix + number for number in numbers}, name
        # Zipf's law, within five standard deviations: the first value is as frequent as it should be.
        share = 0.7 if name == "step" else 1 / sum(1 / k for k in range(1, count + 1))
        first = values[prefix + numbers[0]]
        assert abs(first - share * plan.events) < 5 * (share * (1 - share) * plan.events) ** 0.5, name


@pytest.mark.usefixtures("events_program")
def test_every_way_sends_the_same_events():
    plan = Plan(250, pages=True)
    names, rows = rows_of(plan)
    wanted = [[row[0], f"user:{row[1]}", *row[2:]] for row in rows]
    adds = sent_words(printed(plan, "add"))
    assert all(words[:2] == ["HLL.CUBE.ADD", KEY] and words[4::2] == names[2:] for words in adds)
    assert [[*words[2:4], *words[5::2]] for words in adds] == wanted
    madds = sent_words(printed(plan, "madd"))
    head = ["HLL.CUBE.MADD", KEY, "FIELDS", str(len(plan.dimensions)), *plan.dimensions, "ROWS"]
    assert [words[: len(head)] for words in madds] == [head] * 3
    in_rows = [word for words in madds for word in words[len(head) :]]
    assert in_rows == [word for row in wanted for word in row]
    for way, tiers in (("hand", ("1h", "1d", "1w", "30d")), ("hand-hours", ("1h",))):
        by_hand = sent_words(printed(plan, way))
        keys = [f"{KEY}:{tier}:0" + rest for row in wanted for tier in tiers
                for rest in ("", *(f":{name}:{value}" for name, value in zip(plan.dimensions, row[2:], strict=True)))]
        each = len(tiers) * (1 + len(plan.dimensions))
        users = [row[1] for row in wanted for _ in range(each)]
        assert by_hand[::2] == [["PFADD", key, user] for key, user in zip(keys, users, strict=True)]
        assert by_hand[1::2] == [["INCRBY", key + ":n", "1"] for key in keys]


@pytest.mark.usefixtures("events_program")
def test_events_are_the_same_whatever_is_left_out():
    plan = Plan(3_000, seed=5, pages=True, steps=True)
    _, all_rows = rows_of(plan)
    assert rows_of(plan, "--first", 1_000, "--last", 2_000)[1] == all_rows[1_000:2_000]
    assert rows_of(Plan(3_000, seed=5))[1] == [row[:7] for row in all_rows]
    assert rows_of(Plan(3_000, seed=6))[1] != [row[:7] for row in all_rows]


@pytest.mark.usefixtures("events_program")
def test_events_come_in_the_order_that_is_asked_for():
    times = {order: [int(row[0]) for row in rows_of(Plan(28_002, order=order))[1]] for order in ("time", "backfill", "silence")}
    assert times["time"] == [START + i * HOUR // 14_000 for i in range(28_002)]
    half = 14_001
    assert times["silence"] == [at + (i >= half) * 40 * 24 * HOUR for i, at in enumerate(times["time"])]
    year = 365 * 24 * HOUR
    assert START <= min(times["backfill"]) < START + year // 1_000 and START + year * 999 // 1_000 < max(times["backfill"]) < START + year
    assert times["backfill"] != sorted(times["backfill"])


def test_goals_are_those_of_the_parts_that_were_measured():
    names = {way: title for way, (title, _) in cubes.WAYS.items()}
    figures = {"events a second": 10.0, "memory, MB": 1.0, "database file, MB": 1.0, "time in the server, µs an event": 1.0,
               "99.99 % of commands take at most, µs": 101.0, "commands above 1 ms": 0}
    found = {"plain": {names["add"]: figures | {"events a second": 200.0}, names["hand"]: figures, names["hand-hours"]: figures}}
    told = cubes.goals(found, {"plain": {"COUNT, 24 h": cubes.Told(41.0, False)}}).splitlines()
    assert "| events a second, ADD, by hand with four tiers = 1 | ≥ 20 | 20 | kept |" in told
    assert "| 99.99 % of ADDs, µs | ≤ 100 | 101 | **missed** |" in told and "| COUNT, 24 h, µs | ≤ 40 | 41 | **missed** |" in told
    assert not any("pages" in line or "MADD" in line for line in told)


@pytest.fixture
def server_is_there():
    if not all(path.exists() for path in Context("redis-7.0", 1, True, 1).programs):
        pytest.skip("no server or no module under target/")


@pytest.mark.usefixtures("events_program", "server_is_there")
def test_every_way_is_measured_with_the_same_figures():
    measured = {way: cubes.in_order("redis-7.0", Plan(1_500), way) for way in cubes.WAYS}
    assert set(measured["add"][0]) == set(measured["madd"][0]) > set(measured["hand-hours"][0])
    assert list(measured["add"][1]) == [title for title, question in cubes.QUESTIONS if " page " not in question]
    table = cubes.table("x", {way: figures for way, (figures, _) in measured.items()}, {way: asked for way, (_, asked) in measured.items()})
    assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.usefixtures("events_program", "server_is_there")
def test_cubes_are_filled_out_of_order_and_after_silence():
    figures, answers = cubes.in_other_orders("redis-7.0", Plan(2_000))
    assert figures["backfill, the tenth after it"]["late events"] > 0 == figures["the tenth after it"]["late events"]
    assert all(len(asked) == len(cubes.QUESTIONS) for asked in answers.values())


@pytest.mark.usefixtures("events_program", "server_is_there")
def test_waits_are_told_of_every_question_or_it_is_named(monkeypatch):
    monkeypatch.setattr(cube_waits, "SECONDS", 0.0)
    monkeypatch.setattr(cube_waits, "QUESTIONS", (*cube_waits.QUESTIONS[:3], ("nonsense", "HLL.CUBE.NONSENSE shop"),
                                                  ("unknown word", "HLL.CUBE.COUNT shop NONSENSE")))
    told = cube_waits.measure("redis-7.0", Plan(2_000, pages=True, steps=True), 1)
    for title in ("nothing", "ADD", "MADD of 150 rows"):
        assert f"| {title} |" in told
    assert "left out: HLL.CUBE.NONSENSE." in told and "| unknown word | HLL: unknown option 'NONSENSE'" in told


@pytest.mark.usefixtures("events_program", "server_is_there")
def test_others_are_asked_over_the_borders_of_the_cube():
    plan = Plan(2_000, pages=True, steps=True)
    ways, borders = others.cube_way("redis-7.0", plan)
    assert all(begin < end and begin % HOUR == end % HOUR == 0 for begin, end in borders.values())
    ways |= {"exact": others.Measured({}, dict.fromkeys(others.UNIQUES, 1_000.0), {"on disk, MB": 1.0})}
    table = others.tables(ways)
    assert "| uniques, 24 h | " in table and len({line.count("|") for line in table.splitlines()}) == 1
    assert "error of uniques, 24 h, %" in table
