"""The promises of the readers, of the synthetic stream, and of the command line; one test starts a server if there is one."""

import gzip
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

import pytest

from demo.__main__ import ROOT, arguments, steps_there
from demo.answers import Interval, as_map
from demo.events import DEVICES, STEPS, Event, synthetic_week
from demo.load import Exact
from demo.picture import chosen, svg
from demo.readers import OTHER, Columns, Frequent, InputError, Source, is_pipe

LOG_LINE = '192.0.2.{n} - - [02/Mar/2026:10:05:0{n} +0000] "GET /shop/{n}?q=1 HTTP/1.1" 200 17 "-" "Mozilla/5.0 (iPhone) Mobile"\n'


def read(path: Path, content: str | bytes, *arguments: object, **options: object) -> tuple[list[Event], Source]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    source = Source(path, *arguments, **options)
    return list(source), source


def test_synthetic_week_has_as_many_events_as_asked_and_repeats_for_a_seed():
    for events in (1, 2, 7, 100, 20_000):
        stream = list(synthetic_week(events, 1))
        assert len(stream) == events
        assert stream == list(synthetic_week(events, 1))
    assert stream != list(synthetic_week(20_000, 2))
    assert {e.step for e in stream} == set(STEPS) and {e.device for e in stream} == set(DEVICES)
    assert sorted({e.period for e in stream}) == [f"2026-03-{day:02d}" for day in range(2, 9)]
    assert 0.8 * 4000 < len({e.user for e in stream}) <= 4000


def test_synthetic_week_loses_visitors_at_every_step_and_some_skip_steps():
    users = {step: set() for step in STEPS}
    for event in synthetic_week(50_000, 3):
        users[event.step].add(event.user)
    sizes = [len(users[step]) for step in STEPS]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0
    assert users["product_view"] - users["landing"] and users["checkout"] - users["add_to_cart"]


def test_access_log(tmp_path):
    text = LOG_LINE.format(n=1) + "nonsense\n\n" + LOG_LINE.format(n=2)
    events, source = read(tmp_path / "log", text)
    assert source.format == "combined"
    assert events == [Event("2026-03-02", b"192.0.2.1", "/shop", "mobile"), Event("2026-03-02", b"192.0.2.2", "/shop", "mobile")]
    assert (source.tally.lines, source.tally.bad, source.tally.events) == (4, 1, 2)
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
    assert events == [Event("2026-03-02", b"a", "x, y", None), Event("2026-03-03", b"b", None, None)]
    assert (source.tally.no_user, source.tally.bad) == (1, 2)


def test_csv_with_a_byte_order_mark_and_semicolons(tmp_path):
    events, _ = read(tmp_path / "a.csv", b"\xef\xbb\xbftime;user\n2026-03-02;a\n")
    assert events == [Event("2026-03-02", b"a", None, None)]


@pytest.mark.parametrize("rest", [3, 50_000])  # up to the end of the file, and past the longest field that csv accepts
def test_csv_quotation_mark_that_is_never_closed_costs_lines_that_are_counted(tmp_path, rest):
    text = "time,user\n2026-03-02,a\n2026-03-02,\"b\n" + "2026-03-02,c\n" * rest
    events, source = read(tmp_path / "a.csv", text)
    assert {e.user for e in events} <= {b"a", b"c"} and events[0].user == b"a"
    assert source.tally.bad > 0 and source.tally.bad + source.tally.events == source.tally.lines == rest + 2


def test_users_of_different_bytes_stay_different(tmp_path):
    events, _ = read(tmp_path / "a.csv", b"time,user\n2026-03-02,\xe4\n2026-03-02,\xe5\n2026-03-02,\xc3\xa4\n")
    assert [e.user for e in events] == [b"\xe4", b"\xe5", b"\xc3\xa4"]


def test_json_lines_with_nested_columns(tmp_path):
    text = '{"ts": 1772445600000, "user": {"id": 7}, "event": "view"}\n[1]\n{"ts": \n{"ts": 1772445600, "user": {"id": null}}\n' \
           '{"ts": 1772445600, "user": {"id": [1]}}\n{"ts": 1e999, "user": {"id": 3}}\n'
    events, source = read(tmp_path / "a.jsonl", text, columns=Columns(user="user.id"))
    assert events == [Event("2026-03-02", b"7", "view", None)]
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
    assert source.tally.folded == {"step": 4}
    assert source.tally.events == source.tally.lines == 12


def test_a_step_that_was_named_is_kept_however_rare_it_is(tmp_path):
    text = values({f"s{i}": 2 for i in range(200)} | {"bought": 1})
    events, source = read(tmp_path / "a.csv", text, max_values=3, steps=["bought", "s1", "not there"])
    assert {e.step for e in events} == {"bought", "s0", "s1", "s2", "s3", "(other)"}
    assert source.tally.folded == {"step": 2 * 196}


def test_devices_are_kept_by_how_often_they_occur(tmp_path):
    text = "time,user,device\n" + "".join(f"2026-03-02,u,{d}\n" for d in ("x", "y", "z", "z", "y", "z"))
    events, _ = read(tmp_path / "a.csv", text, max_values=1)
    assert [e.device for e in events] == [*["(other)"] * 2, "z", "z", "(other)", "z"]


def test_lines_that_cannot_be_used_do_not_make_a_value_frequent(tmp_path):
    text = "time,user,step\n" + "2026-03-02,,empty\nsoon,u,late\n" * 9 + "2026-03-02,u,used\n"
    events, source = read(tmp_path / "a.csv", text, max_values=1)
    assert [e.step for e in events] == ["used"]
    assert (source.tally.no_user, source.tally.bad, source.tally.lines) == (9, 9, 19)  # counted once, though read twice


def test_counting_values_takes_bounded_memory_and_keeps_what_is_frequent():
    counted, most, total = Frequent(100), 0, 0
    for i in range(20_000):
        for value in (f"once {i}", "often" if i % 4 == 0 else f"twice {i // 2}"):
            counted.add(value)
            total += 1
        most = max(most, len(counted.counts))
    assert most <= 100 and counted.most(1) == ["often"]
    assert 5000 - 2 * total / 100 <= counted.counts["often"] <= 5000
    few = Frequent(100)
    for value in ["a"] * 3 + ["b"] * 5 + ["c"] * 3:
        few.add(value)
    assert few.most(2) == ["b", "a"] and few.counts == {"a": 3, "b": 5, "c": 3}


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
])
def test_a_wrong_call_is_said_and_is_no_step_that_failed(options, message):
    done = scripts_run(*options)
    assert done.returncode == 2 and message in done.stderr
    assert "FAILED" not in done.stdout + done.stderr and "[1/4]" not in done.stdout


def test_a_product_late_in_the_file_is_found_by_its_name(tmp_path):
    """The whole program, from a pipe: 152 products fill the table before the one that is asked for is met, and it is rare."""
    binary, module = ROOT / "target/servers/redis-7.0", ROOT / "target/release/libredis_hll.so"
    if not (binary.exists() and module.exists()):
        pytest.skip("no server or no module under target/")
    text = values({f"product {i}": 20 for i in range(152)} | {"cakestand": 13, "teapot": 12})
    line = [sys.executable, "-m", "demo", "-", "--server", binary, "--module", module, "--funnel", "cakestand,teapot", "--stop"]
    done = subprocess.run(line, input=text, capture_output=True, text=True, timeout=120, cwd=ROOT / "scripts")
    assert done.returncode == 0, done.stderr
    funnel = done.stdout.split("Funnel:")[1]
    rows = {row[0]: row[1:] for row in map(str.split, funnel.splitlines()) if row and row[0] in ("cakestand", "teapot")}
    assert rows["cakestand"][0] == "13" and rows["teapot"][0] == "12"
    assert "1,040 events of steps that are not named and not among the 100 most frequent" in done.stdout
    done = subprocess.run([*line[:-2], "nothing", "--stop"], input=text, capture_output=True, text=True, timeout=120, cwd=ROOT / "scripts")
    assert done.returncode == 2 and "no event has the step 'nothing'" in done.stderr


def test_replies_read_alike_in_both_protocols():
    assert as_map([b"a", b"1.5", b"b", b"x"]) == {"a": b"1.5", "b": b"x"}
    assert as_map({b"a": 1.5}) == {"a": 1.5}
    assert Interval(10, 9.6, 10.2).holds(10) and not Interval(10, 9, 11).holds(12) and Interval(10).holds(10) is None
