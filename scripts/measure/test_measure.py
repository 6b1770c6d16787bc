"""The promises of the measurement's own arithmetic and pages, and, if there is a server, that a small one runs."""

import xml.etree.ElementTree as xml

import pytest

from measure import balance, page, plot
from measure.__main__ import FIGURES, PAGE, PARTS, SERVERS, draw, parse, render
from measure.balance import BEYOND, Beyond, filled
from measure.compare import OURS, PF, Aim, Comparison, Measure, Table, at_most, of_runs, of_values, order
from measure.context import Context
from measure.page import Record, replace, summary, table
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
