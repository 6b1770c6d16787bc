"""Loading files: what is read, what is refused, and that each event counts once, wherever a loading is killed."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redis
from crash import Fragile, Killed

from redis_hll import HLL
from redis_hll.cli.loading import Template
from redis_hll.cli.main import main
from redis_hll.sources import loading
from redis_hll.sources.columns import Columns, read_time, rows, usual
from redis_hll.sources.files import InputError, MaxBad, Table, TooManyBad
from redis_hll.sources.ranking import Frequent

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
MILLIS = 1_772_409_600_000
LOG = ('10.0.0.1 - - [02/Mar/2026:01:14:07 +0100] "GET /shop/item?id=3 HTTP/1.1" 200 512 "-" "Mozilla/5.0 (iPhone; Mobile)"\n'
       '10.0.0.2 - ada [02/Mar/2026:00:14:08 +0000] "POST /cart HTTP/1.1" 302 - "http://x/\\"q" "curl/8"\n')
ALL = MaxBad(share=1.0)


def write(path, text):
    data = text.encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read(path, columns, allowed=ALL, **options):
    table = Table(path, **options)
    return [row for _, row in rows(table, columns, allowed)], table.tally


COLUMNS = Columns("user", "time", (("step", "step"),), (("price", "price"),))
EXPECTED = [(b"ada", MILLIS, b"buy", b"9.5"), (b"\xff", MILLIS + 1000, b"", b"")]


@pytest.mark.parametrize(("name", "text"), [
    ("a.csv", "time,user,step,price\n2026-03-02T00:00:00Z,ada,buy,9.5\n2026-03-02T01:00:01+01:00, \udcff ,,\n"),
    ("bom.csv.gz", "\ufefftime,user,step,price\n1772409600,ada,buy,9.5\n1772409601000,\udcff,,\n"),
    ("a.tsv", "price\tstep\ttime\tuser\tother\n9.5\tbuy\t20260302T000000Z\tada\t\n\t\t2026-03-02 00:00:01\t\udcff\tx\n"),
    ("quoted.csv", 'time;user;step;price\n"2026-03-02";"ada";"buy";9.5\n2026-03-02T00:00:01;"\udcff";"";\n'),
    ("a.jsonl", '{"time": 1772409600, "user": "ada", "step": "buy", "price": 9.5}\n\n{"time": "2026-03-02T00:00:01Z", "user": "\udcff", "step": null}\n'),
])
def test_formats(tmp_path, name, text):
    found, tally = read(write(tmp_path / name, text), COLUMNS)
    assert found == EXPECTED and (tally.rows, tally.bad, tally.lines) == (2, 0, 2 + (name == "a.jsonl"))


def test_an_access_log(tmp_path):
    found, tally = read(write(tmp_path / "access.log.gz", LOG), Columns("host", "time", tuple((n, n) for n in ("method", "path", "section", "device"))))
    assert found == [(b"10.0.0.1", MILLIS + 847_000, b"GET", b"/shop/item", b"/shop", b"mobile"),
                     (b"10.0.0.2", MILLIS + 848_000, b"POST", b"/cart", b"/cart", b"robot")]


def test_nested_json(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"at": 1772409600000, "user": {"id": 7, "geo": {"country": "DE"}}}\n{"at": 1772409600000, "user": {"id": true}}\n')
    found, _ = read(path, Columns("user.id", "at", (("country", "user.geo.country"),)))
    assert found == [(b"7", MILLIS, b"DE"), (b"true", MILLIS, b"")]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet
    path = tmp_path / "a.parquet"
    berlin = ZoneInfo("Europe/Berlin")
    parquet.write_table(pyarrow.table({
        "time": pyarrow.array([BEGIN.astimezone(berlin), BEGIN + timedelta(seconds=1)], pyarrow.timestamp("ms", "Europe/Berlin")),
        "user": pyarrow.array([b"ada", b"\xff"], pyarrow.binary()), "step": ["buy", None], "price": [9.5, None]}), path)
    found, tally = read(path, COLUMNS)
    assert found == EXPECTED and tally.lines == 2


def test_bad_lines_are_counted_and_named(tmp_path):
    path = write(tmp_path / "bad.csv", "time,user,step,price\n2026-03-02,ada,buy,9.5\nsoon,u,,\n2026-03-02,u,buy\n2026-03-02,u,buy,1e16\n"
                                       "2026-03-02,u,buy,1.2.3\n1969-01-01,u,,\n2026-03-02,,x,1\n\n2026-03-02,\"open,x,1\n")
    found, tally = read(path, COLUMNS)
    assert len(found) == 1 and (tally.bad, tally.no_user) == (6, 1)
    assert tally.examples == ["line 3: cannot read the time 'soon' (--time-format says how)", "line 4: 3 fields, the header has 4",
                              "line 5: price is no number of at most 1e15: '1e16'"]
    with pytest.raises(TooManyBad, match=r"bad.csv line 3: cannot read the time 'soon' .* \(--max-bad 0\)"):
        read(path, COLUMNS, MaxBad(number=0))
    with pytest.raises(TooManyBad, match=r"6 of \d lines are bad"):
        read(path, COLUMNS, MaxBad.parse("50%"))


def test_how_many_may_be_bad():
    assert MaxBad.parse("1%").allows(10, 1000, False) and not MaxBad.parse("1%").allows(11, 1000, False)
    assert MaxBad.parse("1%").allows(11, 999, False) and not MaxBad.parse("1%").allows(11, 999, True)
    assert MaxBad.parse("3").allows(3, 5, False) and not MaxBad.parse("3").allows(4, 10**9, False)
    for wrong in ("-1", "x", "200%", ""):
        with pytest.raises(ValueError):
            MaxBad.parse(wrong)


def test_files_that_cannot_be_used(tmp_path):
    for text, message in (("", "is empty"), ("some prose\nmore of it\n", "looks neither like"), ("a,b\n1,2\n", "no column 'user'")):
        with pytest.raises(InputError, match=message):
            read(write(tmp_path / "a", text), COLUMNS)
    with pytest.raises(InputError, match="there is no file"):
        Table(tmp_path / "missing")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"time,user,step,price\n" + b"".join(b"2026-03-02,u%d,,\n" % n for n in range(5000)))[:-3000])
    found, tally = read(cut, COLUMNS)
    assert 0 < len(found) < 5000 and "breaks off" in tally.truncated


def test_a_pipe_is_read_too(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').write('time,user,step,price\\n2026-03-02,ada,buy,9.5\\n')"])
    found, _ = read(pipe, COLUMNS)
    assert writer.wait() == 0 and found == EXPECTED[:1]


def test_times_of_files():
    berlin = ZoneInfo("Europe/Berlin")
    assert read_time("2026-03-02 01:00", None, berlin) == MILLIS == read_time("02.03.2026", "%d.%m.%Y", UTC)
    assert read_time("1772409600.5", None, UTC) == MILLIS + 500 == read_time("1772409600500", "ms", UTC)
    for wrong in ("", "03/04/2026", "1e99"):
        with pytest.raises(ValueError):
            read_time(wrong, None, UTC)
    assert usual("user", ["Time", "Customer ID"]) == "Customer ID" and usual("user", ["x"]) is None


def test_keys_from_templates():
    template = Template("v:{day}:{step}", ZoneInfo("Asia/Kathmandu"))
    assert template.key(MILLIS + 18 * 3_600_000 + 900_000, {"step": b"\xff"}) == b"v:2026-03-03:\xff", "quarters of an hour east of Greenwich"
    assert template.key(MILLIS, {"step": b""}) is None and template.columns == ["step"]
    assert Template("{hour} {week} {month}", UTC).key(MILLIS, {}) == b"2026-03-02T00 2026-W10 2026-03"


# ---- into a server


@pytest.fixture
def url(server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_HLL_URL", f"redis://127.0.0.1:{server.port}")
    return server


def events(number, hours=1, seed=0):
    """A CSV of events; about one in `hours` begins a new hour, so that commands are refused and cut where hours are many."""
    lines = ["time,user,step,price"]
    for n in range(number):
        at = BEGIN + timedelta(hours=(n * hours) % 4000, seconds=n % 3600)
        lines.append(f"{at.isoformat()},u{(n * 7919 + seed) % 5000},{('look', 'cart', 'pay')[n % 3]},{n % 10}")
    return "\n".join(lines) + "\n"


def make_cube(port):
    cube = HLL(redis.Redis(port=port)).cube("shop")
    cube.create(tiers=[("1h", "400d")], dimensions=["step"], measures=["price"])
    return cube


def test_load_counts_each_event_once_however_often_it_runs(url, capsys):
    write(Path("shop.csv"), events(5000) + "x\n")
    cube = make_cube(url.port)
    assert main("load shop.csv --cube shop".split()) == 0
    assert "5,000 events counted, 0 known already, 0 too late, 1 bad line\n" in capsys.readouterr().out
    for _ in range(2):
        assert main("load shop.csv --cube shop".split()) == 0
        assert "5,000 rows of this file are loaded already" in capsys.readouterr().err
    found = cube.count()
    assert (found.events, found.measures["price"]) == (5000, sum(n % 10 for n in range(5000)))
    assert main("load shop.csv --cube shop --again".split()) == 0
    assert cube.count().events == 10_000
    assert main("load shop.csv --cube shop".split()) == 0
    assert cube.count().events == 10_000


def test_a_file_that_has_grown_is_loaded_on(url):
    cube = make_cube(url.port)
    text = events(6000)
    write(Path("shop.csv"), text[:text.index("\n", 120_000) + 1])
    main("load shop.csv --cube shop".split())
    before = cube.count().events
    write(Path("shop.csv"), text)
    main("load shop.csv --cube shop".split())
    assert 0 < before < cube.count().events == 6000


@pytest.mark.parametrize("hours", [1, 0], ids=["an hour each", "one hour"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_call(url, hours, after):
    """Wherever it is killed, the next run counts what was not counted, and nothing twice."""
    table = Table(write(Path("shop.csv"), events(450, hours)))
    ends, calls = False, 0
    while not ends:
        url.c("FLUSHALL")
        cube = make_cube(url.port)
        for client in (Fragile(redis.Redis(port=url.port), calls, after), redis.Redis(port=url.port)):
            try:
                run = loading.CubeLoading(HLL(client), "shop", COLUMNS.fields, "name", "error")
                assert list(run.load(rows(table, COLUMNS, ALL))) in ([450], [])
                ends = ends or isinstance(client, Fragile)
            except Killed:
                pass
        assert cube.count().events == 450, f"killed {'after' if after else 'before'} call {calls}"
        calls += 1
    assert calls > (6 if hours else 3)


def test_killed_by_the_system_in_the_middle(url):
    write(Path("shop.csv"), events(300_000))
    cube = make_cube(url.port)
    command = [sys.executable, "-m", "redis_hll.cli.main", "load", "shop.csv", "--cube", "shop"]
    for share in (10_000, 30_000):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and (cube.count().events or 0) < share:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was in the middle"
    assert 30_000 <= cube.count().events < 300_000
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    assert cube.count().events == 300_000
    assert cube.count().measures["price"] == sum(n % 10 for n in range(300_000))


def test_an_interrupted_load_says_where_it_stands(url):
    write(Path("shop.csv"), events(300_000))
    cube = make_cube(url.port)
    command = [sys.executable, "-m", "redis_hll.cli.main", "load", "shop.csv", "--cube", "shop"]
    # Where the tests run in the background, SIGINT is ignored, and the process would inherit that.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while process.poll() is None and (cube.count().events or 0) < 5000:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    assert "the same command goes on from there" in process.communicate()[1] and process.returncode == 130


def test_load_into_sketches(url):
    write(Path("shop.csv"), events(3000, hours=24))
    assert main(["load", "shop.csv", "--key", "visitors:{month}", "--key", "step:{step}"]) == 0
    hll = HLL(redis.Redis(port=url.port))
    assert hll.count("step:look", "step:cart", "step:pay") == hll.count("visitors:2026-03", "visitors:2026-04", "visitors:2026-05", "visitors:2026-06",
                                                                        "visitors:2026-07", "visitors:2026-08")
    assert hll.client.exists("visitors:2026-03", "visitors:2026-08") == 2


def test_a_cube_made_by_load(url, capsys):
    write(Path("shop.csv"), events(100))
    assert main("load shop.csv --cube new --dry-run --dimension step".split()) == 0
    out = capsys.readouterr().out
    assert "csv, columns time = time, user = user; dimensions step\n" in out
    assert "first row: 2026-03-02T00:00:00+00:00 u0 step=look\n100 rows read, 0 bad; nothing sent\n" in out
    assert main("load shop.csv --cube new --dimension step".split()) == 2
    assert "there is no cube new; --create makes one" in capsys.readouterr().err
    assert main("load shop.csv --cube new --create --dimension what=step --measure price".split()) == 0
    assert HLL(redis.Redis(port=url.port)).cube("new").info().dimensions == ("what",)


def test_exit_statuses_and_words(url, capsys):
    make_cube(url.port)
    write(Path("bad.csv"), events(10) + "1,2,3\n")
    assert main("load bad.csv --cube shop --max-bad 0".split()) == 3
    assert "ERROR: bad.csv line 12: 3 fields, the header has 4 (--max-bad 0)\n" in capsys.readouterr().err
    ahead = datetime.now(UTC) + timedelta(days=2)
    write(Path("ahead.csv"), events(10) + f"{ahead.isoformat()},u,look,1\n")
    assert main("load ahead.csv --cube shop --max-bad 0".split()) == 3
    assert "ERROR: ahead.csv line 12: timestamp" in capsys.readouterr().err
    assert main("load ahead.csv --cube shop --max-bad 1".split()) == 0
    assert "10 events counted" in capsys.readouterr().out
    assert main("load missing.csv --cube shop".split()) == 2
    assert main("load bad.csv".split()) == 2
    assert main("load bad.csv --cube shop --user nobody".split()) == 2
    assert main("load bad.csv --cube shop --url redis://:secret@127.0.0.1:1/".split()) == 1
    err = capsys.readouterr().err
    assert "secret" not in err and "***" in err
    with pytest.raises(SystemExit) as usage:
        main(["load", "bad.csv", "--max-bad", "x"])
    assert usage.value.code == 2


def test_json_lines_into_a_cube(url):
    Path("a.jsonl").write_text("".join(json.dumps({"time": MILLIS + n, "user": n, "step": "pay", "price": 1}) + "\n" for n in range(700)))
    cube = make_cube(url.port)
    assert main("load a.jsonl --cube shop".split()) == 0
    assert cube.count(where={"step": "pay"}).measures["price"] == 700


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
    assert few.kept(1, ["c", "new"]) == {"b", "c", "new"}
    assert few.most(2) == ["b", "a"] and few.counts == {"a": 3, "b": 5, "c": 3}
