"""The promises of the readers and of the synthetic stream. Needs no server."""

import gzip
from pathlib import Path

import pytest

from demo.answers import Interval, as_map
from demo.events import DEVICES, STEPS, Event, synthetic_week
from demo.readers import Columns, InputError, Source

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


def test_more_values_than_allowed_are_counted_together(tmp_path):
    text = "time,user,step\n" + "".join(f"2026-03-02,u,s{i}\n" for i in range(5))
    events, source = read(tmp_path / "a.csv", text, max_values=3)
    assert [e.step for e in events] == ["s0", "s1", "s2", "(other)", "(other)"]
    assert source.tally.folded == {"step": 2}


def test_replies_read_alike_in_both_protocols():
    assert as_map([b"a", b"1.5", b"b", b"x"]) == {"a": b"1.5", "b": b"x"}
    assert as_map({b"a": 1.5}) == {"a": 1.5}
    assert Interval(10, 9.6, 10.2).holds(10) and not Interval(10, 9, 11).holds(12) and Interval(10).holds(10) is None
