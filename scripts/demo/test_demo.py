"""The promises of the readers, of the synthetic stream, and of the command line; one test starts a server if there is one."""

import gzip
import os
import random
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as xml
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from demo.__main__ import ROOT, arguments, steps_there
from demo.cube import Facts, Shape, key_value
from demo.events import CHANNELS, DEVICES, MEASURES, OTHERS, STEPS, Event, synthetic_stream, until, visit_now
from demo.load import Exact
from demo.picture import chosen, svg
from demo.source import OTHER, Columns, Source
from redis_hll.sources.files import InputError, is_pipe

LOG_LINE = '192.0.2.{n} - - [02/Mar/2026:10:05:0{n} +0000] "GET /shop/{n}?q=1 HTTP/1.1" 200 17 "-" "Mozilla/5.0 (iPhone) Mobile"\n'


def read(path: Path, content: str | bytes, *arguments: object, **options: object) -> tuple[list[Event], Source]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    source = Source(path, *arguments, **options)
    return list(source), source


def four(events: list[Event]) -> list[tuple]:
    """Of each event the period, user, step and device."""
    return [event[:4] for event in events]


def test_synthetic_stream_has_as_many_events_as_asked_and_repeats_for_a_seed():
    for events in (1, 2, 7, 100, 20_000):
        stream = list(synthetic_stream(events, 1))
        assert len(stream) == events
        assert stream == list(synthetic_stream(events, 1))
    assert stream != list(synthetic_stream(20_000, 2))
    assert {e.step for e in stream} == set(STEPS) and {e.device for e in stream} == set(DEVICES)
    days = sorted({e.period for e in stream})
    assert len(days) == 35 and (days[0], days[-1]) == ("2026-02-02", "2026-03-08")
    assert all(datetime.fromtimestamp(e.time / 1000, timezone.utc).date().isoformat() == e.period for e in stream)
    assert [e.time for e in stream] == sorted(e.time for e in stream)
    assert {e.others[0] for e in stream} == set(CHANNELS)
    assert all((e.sums[0] is not None) == (e.step == "landing") and (e.sums[1] is not None) == (e.step == "purchase") for e in stream)
    assert 0.8 * 4000 < len({e.user for e in stream}) <= 4000


@pytest.mark.parametrize("now, last", [("2026-11-29T15:20:00+00:00", "2026-11-29T15"), ("2026-11-29T15:10:00+00:00", "2026-11-29T14"),
                                       ("2026-11-29T00:05:00+01:00", "2026-11-28T22"), ("2026-11-29T00:20:00+00:00", "2026-11-29T00")])
def test_a_synthetic_stream_may_end_now(now, last):
    now = datetime.fromisoformat(now)
    end = datetime.fromisoformat(f"{last}:00+00:00")
    stream = list(synthetic_stream(20_000, 1, *until(now)))
    times = [datetime.fromtimestamp(e.time / 1000, timezone.utc) for e in stream]
    assert end - timedelta(hours=1) < times[-1] < min(now, end + timedelta(minutes=15)) and times == sorted(times)
    assert (times[-1].date() - times[0].date()).days == 34 and {e.period for e in stream} == {f"{time:%Y-%m-%d}" for time in times}


def test_visits_go_on():
    rng = random.Random(1)
    visits = [visit_now(rng, 100) for _ in range(300)]
    now = time.time() * 1000
    assert all(now - 70_000 < event.time <= now for visit in visits for event in visit)
    assert {event.step for visit in visits for event in visit} == set(STEPS)
    assert 50 < sum(int(visit[0].user.removeprefix(b"visitor-")) >= 100 for visit in visits if visit) < 150


def test_synthetic_stream_loses_visitors_at_every_step_and_some_skip_steps():
    users = {step: set() for step in STEPS}
    for event in synthetic_stream(50_000, 3):
        users[event.step].add(event.user)
    sizes = [len(users[step]) for step in STEPS]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0
    assert users["product_view"] - users["landing"] and users["checkout"] - users["add_to_cart"]


def test_access_log(tmp_path):
    text = LOG_LINE.format(n=1) + "nonsense\n\n" + LOG_LINE.format(n=2)
    events, source = read(tmp_path / "log", text)
    assert source.format == "combined"
    assert four(events) == [("2026-03-02", b"192.0.2.1", "/shop", "mobile"), ("2026-03-02", b"192.0.2.2", "/shop", "mobile")]
    assert (source.tally.lines, source.tally.bad, source.tally.rows) == (4, 1, 2)
    assert source.tally.examples == ["line 2: not a line of the combined log format"]


def test_compressed_file_is_known_by_its_content_not_its_name(tmp_path):
    events, source = read(tmp_path / "log", gzip.compress(LOG_LINE.format(n=1).encode()))
    assert len(events) == 1 and source.tally.truncated is None


def test_compressed_file_that_breaks_off_is_used_as_far_as_it_goes(tmp_path):
    whole = gzip.compress("".join(f"{i},u{i * 7919 % 10007}\n" if i else "ts,user\n" for i in range(20_000)).encode())
    events, source = read(tmp_path / "a.csv.gz", whole[:len(whole) // 2], columns=Columns(time_format="s"))
    assert 0 < len(events) < 20_000
    assert "breaks off" in source.tally.truncated


def test_csv_counts_bad_lines_and_skips_events_without_a_user(tmp_path):
    text = 'date,customer_id,event\n2026-03-02,a,"x, y"\n2026-03-02,,x\n2026-03-02,a\nsoon,a,x\n2026-03-03 10:00:00,b,\n'
    events, source = read(tmp_path / "a.csv", text)
    assert four(events) == [("2026-03-02", b"a", "x, y", None), ("2026-03-03", b"b", None, None)]
    assert (source.tally.no_user, source.tally.bad) == (1, 2)


def test_csv_with_a_byte_order_mark_and_semicolons(tmp_path):
    events, _ = read(tmp_path / "a.csv", b"\xef\xbb\xbftime;user\n2026-03-02;a\n")
    assert four(events) == [("2026-03-02", b"a", None, None)]


@pytest.mark.parametrize("rest", [3, 50_000])  # up to the end of the file, and past the longest field that csv accepts
def test_csv_quotation_mark_that_is_never_closed_costs_lines_that_are_counted(tmp_path, rest):
    text = "time,user\n2026-03-02,a\n2026-03-02,\"b\n" + "2026-03-02,c\n" * rest
    events, source = read(tmp_path / "a.csv", text)
    assert {e.user for e in events} <= {b"a", b"c"} and events[0].user == b"a"
    assert source.tally.bad > 0 and source.tally.bad + source.tally.rows == source.tally.lines == rest + 2


def test_users_of_different_bytes_stay_different(tmp_path):
    events, _ = read(tmp_path / "a.csv", b"time,user\n2026-03-02,\xe4\n2026-03-02,\xe5\n2026-03-02,\xc3\xa4\n")
    assert [e.user for e in events] == [b"\xe4", b"\xe5", b"\xc3\xa4"]


def test_json_lines_with_nested_columns(tmp_path):
    text = '{"ts": 1772445600000, "user": {"id": 7}, "event": "view"}\n[1]\n{"ts": \n{"ts": 1772445600, "user": {"id": null}}\n' \
           '{"ts": 1772445600, "user": {"id": [1]}}\n{"ts": 1e999, "user": {"id": 3}}\n'
    events, source = read(tmp_path / "a.jsonl", text, columns=Columns(user="user.id"))
    assert four(events) == [("2026-03-02", b"7", "view", None)]
    assert (source.tally.no_user, source.tally.bad) == (1, 4)


@pytest.mark.parametrize("per, expected", [("hour", "2026-03-02T10"), ("day", "2026-03-02"), ("week", "2026-W10"), ("month", "2026-03")])
@pytest.mark.parametrize("text", ["2026-03-02T10:00:00Z", "2026-03-02 10:00:00.5", "02/Mar/2026:10:00:00 +0100", "1772445600", "1772445600000"])
def test_times_are_read_as_they_are_commonly_written(tmp_path, text, per, expected):
    events, _ = read(tmp_path / "a.csv", f"time,user\n{text},a\n", per=per)
    assert [e.period for e in events] == [expected]


def test_a_named_time_format_and_a_ready_day(tmp_path):
    events, _ = read(tmp_path / "a.csv", "when,user\n03/04/2026,a\n", columns=Columns(time="when", time_format="%d/%m/%Y"))
    assert events[0].period == "2026-04-03"
    events, _ = read(tmp_path / "b.csv", "d,user\nMonday,a\n", columns=Columns(day="d"))
    assert events[0].period == "Monday"


def test_times_become_milliseconds_and_those_of_another_age_are_refused(tmp_path):
    text = "time,user\n2026-03-02T10:00:00+01:00,a\n2026-03-02 10:00:00.5,a\n1950-01-01,a\n9000-01-01,a\n"
    events, source = read(tmp_path / "a.csv", text)
    assert [e.time for e in events] == [1772442000000, 1772445600500]
    assert source.tally.bad == 2 and "is before 1970 or far ahead" in source.tally.examples[0]


def test_other_dimensions_and_measures(tmp_path):
    text = "time,user,source,country,price\n2026-03-02,a,mail,DE,1.5\n2026-03-02,b,,FR,\n2026-03-02,c,mail,,x\n2026-03-02,d,mail,,1e99\n2026-03-02,e,,,1e15\n"
    events, source = read(tmp_path / "a.csv", text, columns=Columns(dimensions=["country"], measures=["price"]))
    assert source.other_dimensions == ("channel", "country") and source.measures == ("price",)
    assert [(e.others, e.sums) for e in events] == [(("mail", "DE"), (1.5,)), ((None, "FR"), (None,)), ((None, None), (1e15,))]
    assert source.tally.examples == ["line 4: price is no number of at most 1e15: 'x'", "line 5: price is no number of at most 1e15: '1e99'"]
    with pytest.raises(InputError, match="no column 'cost' .--measure.; it has: time, user, source, country, price"):
        read(tmp_path / "a.csv", text, columns=Columns(measures=["cost"]))


def test_a_log_is_counted_by_its_pages_and_a_table_by_its_usual_dimension(tmp_path):
    events, source = read(tmp_path / "log", LOG_LINE.format(n=1))
    assert source.other_dimensions == ("path",) and events[0].others == ("/shop/1",)
    _, source = read(tmp_path / "a.csv", "time,user,price,url\n2026-03-02,a,1,/\n")
    assert source.other_dimensions == ("url",)


def test_a_cube_has_plain_names_each_there_once():
    shape = Shape.of(["channel", "user.agent", "user agent", "2nd", "step"], ["größe"], (True, True), 64)
    assert shape.dimensions == ("step", "device", "channel", "user_agent", "user_agent_", "_2nd", "step_") and shape.measures == ("gr__e",)
    assert shape.groups == ["step,device", "step,channel"]
    assert shape.without("_2nd").dimensions[5] == "_2nd_"
    assert Shape.of(["page"], [], (False, True), 64).groups == []
    assert [key_value(value) for value in (None, "a", "(other)", "\udce4", "x" * 2000)] == [b"", b"a", b"(rest)", b"\xe4", b"x" * 1024]


def test_facts_are_what_was_noted():
    shape = Shape.of(OTHERS, MEASURES, (True, True), 64)
    facts, events = Facts(shape), list(synthetic_stream(5000, 4))
    for event in events:
        facts.note(event, [key_value(value) for value in shape.values_of(event)])
    facts.finish()
    since, until = events[1000].time, events[4000].time
    chosen_ones = [e for e in events if since <= e.time < until and e.step == "product_view" and e.device == "mobile"]
    found = facts.where(since, until, step="product_view", device="mobile")
    assert found.sum() == len(chosen_ones) > 0 and facts.count(found) == len({e.user for e in chosen_ones})
    assert facts.count(facts.where(since, until, step="nowhere")) == 0
    inside = facts.where(since, until)
    assert facts.measures["revenue"][inside].sum() == pytest.approx(sum(e.sums[1] or 0 for e in events if since <= e.time < until))
    before = {e.user for e in events if e.time < since}
    assert (inside & facts.first).sum() == len({e.user for e in events if since <= e.time < until} - before)


@pytest.mark.parametrize("content, options, message", [
    ("", {}, "is empty"),
    ("time,who\n1,2\n", {}, "which column is the user"),
    ("time,user\n1,2\n", {"columns": Columns(step="action")}, "no column 'action' (--step); it has: time, user"),
    ("hello world\n", {}, "neither like an access log"),
    ("hello world\n", {"format": "jsonl"}, "no JSON object"),
])
def test_what_is_wrong_with_the_whole_file_is_said(tmp_path, content, options, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "file", content, **options)
    assert message in str(caught.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        Source(tmp_path / "nowhere")


def values(counts: dict[str, int]) -> str:
    """A CSV file whose steps occur that often, in that order."""
    return "time,user,step\n" + "".join(f"2026-03-02,u{i},{step}\n" for step, count in counts.items() for i in range(count))


def test_the_most_frequent_values_are_kept_wherever_they_stand_in_the_file(tmp_path):
    text = values({"early": 1, "once": 1, "some": 3, "rare": 2, "late": 5})
    events, source = read(tmp_path / "a.csv", text, max_values=2)
    assert Counter(e.step for e in events) == {"late": 5, "some": 3, "(other)": 4}
    assert source.folded == {"step": 4}
    assert source.tally.rows == source.tally.lines == 12


def test_a_step_that_was_named_is_kept_however_rare_it_is(tmp_path):
    text = values({f"s{i}": 2 for i in range(200)} | {"bought": 1})
    events, source = read(tmp_path / "a.csv", text, max_values=3, steps=["bought", "s1", "not there"])
    assert {e.step for e in events} == {"bought", "s0", "s1", "s2", "s3", "(other)"}
    assert source.folded == {"step": 2 * 196}


def test_devices_are_kept_by_how_often_they_occur(tmp_path):
    text = "time,user,device\n" + "".join(f"2026-03-02,u,{d}\n" for d in ("x", "y", "z", "z", "y", "z"))
    events, _ = read(tmp_path / "a.csv", text, max_values=1)
    assert [e.device for e in events] == [*["(other)"] * 2, "z", "z", "(other)", "z"]


def test_lines_that_cannot_be_used_do_not_make_a_value_frequent(tmp_path):
    text = "time,user,step\n" + "2026-03-02,,empty\nsoon,u,late\n" * 9 + "2026-03-02,u,used\n"
    events, source = read(tmp_path / "a.csv", text, max_values=1)
    assert [e.step for e in events] == ["used"]
    assert (source.tally.no_user, source.tally.bad, source.tally.lines) == (9, 9, 19)  # counted once, though read twice


@pytest.mark.parametrize("compressed", [False, True])
def test_a_pipe_is_read_as_the_file_would_be(tmp_path, compressed):
    text = values({"rare": 1, "frequent": 9}).encode()
    content = gzip.compress(text) if compressed else text
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert is_pipe(pipe) and is_pipe(Path("-")) and not is_pipe(tmp_path) and not is_pipe(tmp_path / "nowhere")
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    source = Source(pipe, max_values=1)
    writer.join()
    events = list(source)
    assert events == read(tmp_path / "file", content, max_values=1)[0] and len(events) == 10
    assert source.size == source.position == len(content)


def test_names_of_a_funnel_may_have_commas_in_them():
    assert arguments(["f", "--funnel", 'view, "T-LIGHT, RED" ,pay']).funnel == ["view", "T-LIGHT, RED", "pay"]
    assert arguments(["f"]).funnel == []
    with pytest.raises(SystemExit):
        arguments(["f", "--funnel", "view,,pay"])


def test_who_names_a_step_that_is_not_there_is_shown_those_that_are():
    exact = Exact()
    assert "no steps" in steps_there(exact)
    for i in range(30):
        for user in range(i):
            exact.note(Event("2026-03-02", b"%d" % user, f"s{i}" if i else OTHER, None))
    assert steps_there(exact).startswith("those with the most users are: s29, s28, ") and steps_there(exact).endswith("s10")


def test_a_picture_shows_the_tables_that_were_asked_for():
    printed = "before\nA heading <1>\n\n  x  holds\n  1    yes\n  2     NO\n\n  a remark\n\nOther\n\n  y\n  3\n"
    assert chosen(printed, ["Other", "A head"]) == [["Other", "", "  y", "  3"], ["A heading <1>", "", "  x  holds", "  1    yes", "  2     NO"]]
    drawn = xml.fromstring(svg(chosen(printed, ["A heading"])))
    assert ["".join(line.itertext()) for line in drawn.iter("{http://www.w3.org/2000/svg}text")] == ["A heading <1>", "  x  holds", "  1    yes", "  2     NO"]
    with pytest.raises(SystemExit, match="nothing begins with 'Nothing'"):
        chosen(printed, ["Nothing"])


def scripts_run(*options: str, **more: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([ROOT / "scripts" / "run", *options], capture_output=True, text=True, timeout=60, **more)


@pytest.mark.parametrize("options, message", [
    (["--no-such-option"], "unrecognized arguments: --no-such-option"),
    (["--precision", "19"], "19 is not between 4 and 18"),
    (["nowhere.csv"], "there is no file nowhere.csv"),
    (["--funnel", "a,b"], "--funnel is for a file, and there is none"),
    (["--board", "--keep"], "not allowed with argument"),
    (["nowhere.csv", "--day", "d", "--board"], "with --day there is none"),
])
def test_a_wrong_call_is_said_and_is_no_step_that_failed(options, message):
    done = scripts_run(*options)
    assert done.returncode == 2 and message in done.stderr
    assert "FAILED" not in done.stdout + done.stderr and "[1/" not in done.stdout


def run(*options: object, typed: str | None = None) -> "subprocess.CompletedProcess[str]":
    """The whole program on a server, if there is one."""
    binary, module = ROOT / "target/servers/redis-7.0", ROOT / "target/release/libredis_hll.so"
    if not (binary.exists() and module.exists()):
        pytest.skip("no server or no module under target/")
    line = [sys.executable, "-m", "demo", "--server", binary, "--module", module, "--stop", *options]
    return subprocess.run(line, input=typed, capture_output=True, text=True, timeout=120, cwd=ROOT / "scripts")


def section(printed: str, beginning: str) -> list[list[str]]:
    """The rows of the table under that heading, as words without brackets and thousands separators."""
    lines = chosen(printed, [beginning])[0][3:]
    return [line.replace(",", "").replace("(", "").replace(")", "").split() for line in lines]


def test_the_dashboard_of_the_synthetic_shop_is_true():
    """Few enough visitors that the counts of the last days are exact; what is exact in the report is counted here once more."""
    done = run("--events", "20000", "--seed", "5")
    assert done.returncode == 0, done.stderr
    events = list(synthetic_stream(20_000, 5))
    day = 86_400_000
    rows = {" ".join(row[:2]): row[2:] for row in section(done.stdout, "Visitors up to")}
    # Hours of a week ago are gone, and five minutes of yesterday: the border is the nearer end of the slice that is there.
    for name, length, slice_ in (("7 days", 7 * day, day), ("24 hours", day, day // 24), ("30 minutes", day // 48, day // 288)):
        since = (events[-1].time - length + slice_ // 2) // slice_ * slice_
        assert int(rows[name][0]) == len({e.user for e in events if e.time >= since}), name
        assert rows[name][0] == rows[name][1], name
    assert list(rows) == ["30 minutes", "24 hours", "7 days", "30 days"]
    assert {row[0] for row in section(done.stdout, "Campaigns")} == set(CHANNELS)
    for row in section(done.stdout, "Campaigns"):
        # Some of these are of a thousand users and more, and are estimated: six standard deviations of precision 14.
        assert int(row[1]) == pytest.approx(int(row[2]), rel=0.05) and float(row[7].rstrip("%")) == pytest.approx(float(row[8].rstrip("%")), abs=3), row
    first = {}
    for e in events:
        first.setdefault(e.user, (e.time - events[0].time // 86_400_000 * 86_400_000) // (7 * 86_400_000))
    sizes = Counter(first.values())
    assert [int(row[2]) for row in section(done.stdout, "Retention")] == [sizes[number] for number in range(5)]
    steps = {row[0]: int(row[1]) for row in section(done.stdout, "Funnel")}
    assert list(steps) == list(STEPS) and sorted(steps.values(), reverse=True) == list(steps.values())


def test_the_dashboard_of_a_file_has_its_dimensions_and_sums(tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text("when,who,what,from,land,cost,price\n" + "".join(
        f"2026-03-{1 + n % 20:02d}T10:00:00Z,u{n % 50},{('seen', 'clicked', 'bought')[n % 3]},{('mail', 'ad')[n % 2]},{('DE', 'FR')[n % 4 // 2]},0.5,2\n"
        for n in range(600)))
    done = run(file, "--time", "when", "--user", "who", "--step", "what", "--channel", "from", "--dimension", "land", "--dimension", "from",
               "--measure", "cost", "--measure", "price", "--funnel", "seen,clicked,bought")
    assert done.returncode == 0, done.stderr
    rows = section(done.stdout, "Visitors up to")
    assert rows[-1][:3] == ["30", "days", "50"] and rows[-1][-3:] == ["600", "300", "1200"]
    # A column called like a word of questions has a name of its own in the cube.
    assert "Visitors by land, from_: last 7 days" in done.stdout
    assert {row[0] for row in section(done.stdout, "Campaigns")} == {"mail", "ad"}
    assert [row[:2] for row in section(done.stdout, "Funnel")] == [["seen", "50"], ["clicked", "50"], ["bought", "50"]]


def test_days_without_a_time_have_sketches_and_no_dashboard(tmp_path):
    file = tmp_path / "days.csv"
    file.write_text("d,user,step\nMonday,a,x\nMonday,b,y\nTuesday,a,y\n")
    done = run(file, "--day", "d", "--funnel", "x,y")
    assert done.returncode == 0, done.stderr
    assert "Visitors up to" not in done.stdout and "HLL.CUBE" not in done.stdout
    assert [row[:2] for row in section(done.stdout, "Funnel")] == [["x", "1"], ["y", "1"]]


def test_a_product_late_in_the_file_is_found_by_its_name(tmp_path):
    """The whole program, from a pipe: 152 products fill the table before the one that is asked for is met, and it is rare."""
    text = values({f"product {i}": 20 for i in range(152)} | {"cakestand": 13, "teapot": 12})
    done = run("-", "--funnel", "cakestand,teapot", typed=text)
    assert done.returncode == 0, done.stderr
    rows = {row[0]: row[1:] for row in section(done.stdout, "Funnel")}
    assert rows["cakestand"][0] == "13" and rows["teapot"][0] == "12"
    assert "1,040 events of steps that are not named and not among the 100 most frequent" in done.stdout
    done = run("-", "--funnel", "cakestand,nothing", typed=text)
    assert done.returncode == 2 and "no event has the step 'nothing'" in done.stderr
