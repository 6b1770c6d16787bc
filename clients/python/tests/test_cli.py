"""The command line's questions, and keys as files."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from redis_hll import HLL
from redis_hll.cli.connection import masked
from redis_hll.cli.main import main

MILLIS = 1_772_409_600_000
DAY = 86_400_000


@pytest.fixture
def hll(server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_HLL_URL", f"redis://127.0.0.1:{server.port}")
    return HLL(redis.Redis(port=server.port), strict=True)


@pytest.fixture
def shop(hll):
    shop = hll.cube("shop")
    shop.create(tiers=[("1h", "48h"), ("1d", "400d")], dimensions=["step", "device", "country"], groups=["step,device"], measures=["revenue"],
                new=12)
    rows = [(f"u{n}", MILLIS + n % 3 * DAY, "look", ("mobile", "desktop")[n % 2], "IN" if n % 4 == 0 else "DE", None) for n in range(400)]
    rows += [(f"u{n}", MILLIS + n % 3 * DAY, "pay", ("mobile", "desktop")[n % 2], "DE", 2.5) for n in range(100)]
    shop.add_many(rows, fields=["step", "device", "country", "revenue"])
    return shop


def lines(capsys, *arguments, status=0):
    assert main(list(arguments)) == status
    return capsys.readouterr().out.splitlines()


def words(line):
    return line.replace(" .. ", "..").split()


def within(number, interval):
    lower, upper = map(float, interval.split(".."))
    return lower <= number <= upper


def test_funnel(shop, hll, capsys):
    out = lines(capsys, "funnel", "look", "pay", "--cube", "shop")
    assert out[0].startswith("step") and "95 % interval" in out[0]
    for line, step, users in ((out[1], "look", 400), (out[2], "pay", 100)):
        assert words(line)[0] == step and within(users, words(line)[2])
    assert words(out[2])[3] in ("25.0%", "25.1%")
    assert "in any order" in out[3]
    by_device = json.loads("\n".join(lines(capsys, "funnel", "look", "pay", "--cube", "shop", "--by", "device", "-o", "json")))
    assert [(row["device"], row["step"], round(row["users"])) for row in by_device] == [
        ("desktop", "look", 200), ("desktop", "pay", 50), ("mobile", "look", 200), ("mobile", "pay", 50)]
    hll.add_many("look", range(50))
    hll.add_many("pay", range(10))
    assert words(lines(capsys, "funnel", "look", "pay")[2])[:4] == ["pay", "10", "10..10", "20.0%"]
    assert lines(capsys, "funnel", "look", "pay", "--last", "1d", status=2) == []


def test_top_and_series(shop, capsys):
    out = lines(capsys, "top", "country", "--cube", "shop", "--order", "events")
    assert words(out[1])[:4] == ["DE", "325", "325..325", "400"] and words(out[2])[:2] == ["IN", "100"]
    assert main("top device --cube shop --where country=IN".split()) == 1
    assert "ERROR: no GROUP holds device,country" in capsys.readouterr().err
    out = lines(capsys, "series", "--cube", "shop", "--between", "2026-03-02T00:00:00+00:00", "2026-03-05T00:00:00+00:00")
    assert [words(line)[0] for line in out[1:4]] == ["2026-03-02", "2026-03-03", "2026-03-04"] and words(out[1])[3] == "168"
    out = lines(capsys, "series", "--cube", "shop", "--where", "country=IN", "-o", "csv")
    found = list(csv.DictReader(io.StringIO("\n".join(out))))
    assert sum(int(row["events"]) for row in found) == 100 and float(found[0]["unique_lower"]) <= float(found[0]["unique"])
    out = lines(capsys, "series", "--cube", "shop", "--where", "step!=look", "--where", "device=mobile", "--confidence", "0.9")
    assert "90 % interval" in out[0]
    assert main("series --cube shop --last".split() + ["7 days"]) == 1
    assert main(["series", "--cube", "shop", "--between", "2026-03-02", "2026-03-03"]) == 2
    assert "names no zone" in capsys.readouterr().err


def test_retention(shop, hll, capsys):
    out = lines(capsys, "retention", "--cube", "shop", "--every", "1d", "--periods", "2", "--return", "step=pay")
    assert words(out[0])[:2] == ["cohort", "size"] and words(out[1])[:3] == ["2026-03-02", "134", "134..134"] and "25.4 ± 0.0 %" in out[1]
    hll.add_many("signed up", range(40))
    hll.add_many("active", range(30, 90))
    assert "25.0 ± 0.0 %" in lines(capsys, "retention", "--cohorts", "signed up", "--periods", "active")[1]
    assert main("retention --cube shop".split()) == 2
    assert "--every" in capsys.readouterr().err


def test_configuration(shop, capsys, server, monkeypatch):
    monkeypatch.delenv("REDIS_HLL_URL")
    Path("redis-hll.toml").write_text(f'url = "redis://127.0.0.1:{server.port}"\ncube = "shop"\n')
    assert len(lines(capsys, "top", "step")) == 4
    Path("other.toml").write_text("colour = 1\n")
    assert main(["top", "step", "--config", "other.toml"]) == 2
    assert "'colour' is not known there" in capsys.readouterr().err
    assert masked("redis://me:secret@host/0") == "redis://me:***@host/0" and masked("redis://host/0") == "redis://host/0"


@pytest.mark.parametrize("form", ["native", "datasketches", "redis"])
def test_sketches_as_files(hll, form):
    hll.create("users", precision=14, hash={"native": "xxh3"}.get(form, form))
    hll.add_many("users", range(1000))
    assert main(["export", "users", "--format", form, "--to", "file"]) == 0
    assert main(["import", "file", "copy"]) == 0
    assert main(["import", "file", "copy"]) == 1, "there is a key already"
    hll.add("copy", "one more")
    assert main(["import", "file", "copy", "--merge"]) == 0
    assert abs(hll.count("copy") - 1001) <= 10, "a PF key does not count small sets exactly"
    assert main(["import", "file", "copy", "--replace"]) == 0
    assert hll.count("copy") == pytest.approx(hll.count("users"), abs=5)


def test_several_keys_and_cubes_as_files(hll, shop, capsysbinary):
    hll.add("a/b", "x")
    assert main(["export", "a/b", "shop", "--to", "backup"]) == 0
    assert sorted(path.name for path in Path("backup").iterdir()) == ["a%2Fb.hll", "shop.cube"]
    assert main(["import", "backup/shop.cube", "again"]) == 0
    assert hll.cube("again").count() == shop.count()
    assert main(["import", "backup/shop.cube", "again", "--merge"]) == 2
    assert main(["export", "a/b", "shop"]) == 2
    assert main(["export", "shop", "--format", "redis"]) == 2
    capsysbinary.readouterr()
    assert main(["export", "a/b"]) == 0
    assert capsysbinary.readouterr().out == hll.export("a/b")
    Path("prose").write_text("prose")
    assert main(["import", "prose", "k"]) == 2


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_estimates_as_tables(hll, shop, form):
    hll.add("users", "a", "b")
    assert main(["export", "users", "shop", "--format", form, "--bucket", "1d", "--to", "out"]) == 0
    if form == "csv":
        with Path("out").open() as file:
            found = list(csv.DictReader(file))
    else:
        found = pytest.importorskip("pyarrow.parquet").read_table("out").to_pylist()
    assert len(found) == 4 and float(found[0]["estimate"]) == 2 and sum(int(row["events"]) for row in found[1:]) == 500
    assert main(["export", "missing", "--format", form, "--to", "out"]) == 1


def test_names_that_are_no_text_do_not_reach_the_terminal(hll, capsys):
    cube = hll.cube("shop")
    cube.create(dimensions=["page"])
    cube.add("u", MILLIS, page=b"\x1b[2J\xff")
    assert lines(capsys, "top", "page", "--cube", "shop")[1].startswith("\ufffd[2J\ufffd ")


def test_without_rich_it_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", "import sys; sys.modules['rich'] = None; from redis_hll.cli.main import main; sys.exit(main())"],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "the command line needs rich: pip install 'redis-hll[cli]'\n"
