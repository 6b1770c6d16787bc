"""What the README, the documentation and redis.conf say is so.

* Every example is executed as a reader would: what is printed there is what comes. A page is read from top to bottom
  against an empty server. Of its blocks, `redis` ones are typed into redis-cli, and of `console` ones the lines that need
  nothing but redis-cli and the usual text tools go to a shell; the examples are from Redis 7.0, where numbers print as
  they do there.
* Every setting, command, limit and access right that is described is what the server has, and the server has no other.
* Figures in sentences: a function marked `says` makes the sentence from what the server, the measurements kept in
  docs/benchmarks or the source say, and the page must have it word for word. So a sentence that is changed or taken out
  fails here, as does one that is no longer true.
* Every link leads to a file, and to a heading in it.
"""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import ROOT
from helpers import add, elements
from resp import ReplyError
from servers import DidNotStart

sys.path.insert(0, os.path.join(ROOT, "scripts"))

from measure.balance import filled  # noqa: E402 (the path comes first)
from measure.page import Record  # noqa: E402

pytestmark = pytest.mark.shipped

PAGES = [Path(ROOT) / "README.md", *sorted((Path(ROOT) / "docs").rglob("*.md"))]
CONFIGURATION = Path(ROOT) / "redis.conf"
SERVER = "redis-7.0"
NAMES = {"redis-7.0": "Redis 7.0.15", "redis-7.4": "Redis 7.4.1", "redis-8.2": "Redis 8.2.3", "valkey-8.1": "Valkey 8.1.8",
         "valkey-9.1": "Valkey 9.1.2"}

TOOLS = re.compile(r"^(seq|awk|redis-cli|for|\(echo)\b")
BLOCK = re.compile(r"^```(redis|redis resp3|console)\n(.*?)^```", re.S | re.M)
CLI = {"redis": "redis-cli --no-raw", "redis resp3": "redis-cli -3 --no-raw"}


def commands(kind, text):
    """Pairs of a command, its continued lines included, and what is printed under it."""
    mark = "> " if kind in CLI else "$ "
    found = []
    for line in text.splitlines():
        if found and found[-1][0].endswith("\\"):
            found[-1][0] = f"{found[-1][0]}\n{line}"
        elif line.startswith(mark):
            found.append([line[len(mark):], []])
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(printed)) for command, printed in found]


@pytest.fixture
def reader(start, request, tmp_path):
    """Runs a command in a shell whose redis-cli talks to a new server, in an empty directory."""
    if SERVER not in request.config.hll_servers:
        pytest.skip(f"the examples are from {SERVER}, which is not among the servers of this run")
    server = start(SERVER)
    cli = tmp_path / "bin" / "redis-cli"
    cli.parent.mkdir()
    cli.write_text(f'#!/bin/sh\nPATH="${{PATH#*:}}"\nexec redis-cli -p {server.port} "$@"\n')
    cli.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "PATH": f"{cli.parent}:{os.environ['PATH']}", "LC_ALL": "C"}

    def run(command, typed=None):
        done = subprocess.run(["sh", "-c", command], input=typed, capture_output=True, text=True, timeout=120, cwd=work, env=environment)
        return done.stdout.rstrip("\n")

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_is_what_comes(reader, page):
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        for command, printed in commands(kind, text):
            if kind in CLI:
                assert reader(CLI[kind], command + "\n") == printed.rstrip("\n"), command
            elif TOOLS.match(command):
                assert reader(command) == printed.rstrip("\n"), command


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(start, server_name):
    """A client of a server that was told nothing but to load the module."""
    return start(server_name).c


def settings_of(c):
    """name -> (default, what it may be: (lowest, highest), or a list of words, or None where the server does not say)."""
    flat = [item.decode() for item in c("CONFIG", "GET", "hll.*")]
    found = {}
    for name, value in zip(flat[::2], flat[1::2]):
        with pytest.raises(ReplyError) as refused:
            c("CONFIG", "SET", name, "no such value")
        words = re.search(r"must be one of the following: (.+)", str(refused.value))
        limits = None
        if not words:
            with pytest.raises(ReplyError) as refused:
                c("CONFIG", "SET", name, "-1")
            limits = re.search(r"between (\d+) and (\d+)", str(refused.value))
        found[name] = (value, words[1].split(", ") if words else limits and (int(limits[1]), int(limits[2])))
    return found


def configuration():
    """redis.conf: its active lines as a list of (directive, value), and of each `# hll.` line its value and the comment above."""
    active, off, comment = [], {}, []
    for line in CONFIGURATION.read_text(encoding="utf-8").splitlines():
        if line.startswith("# hll."):
            name, value = line[2:].split()
            off[name] = (value, " ".join(comment))
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        else:
            comment = []
            if line:
                active.append(tuple(line.split(maxsplit=1)))
    return active, off


def rows(page, head):
    """The cells of the table under this head."""
    text = (Path(ROOT) / page).read_text(encoding="utf-8")
    assert text.count(head) == 1, f"{page} has no table, or several, with the head {head}"
    table = text.split(head)[1].lstrip("\n").split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[1:]]


def test_redis_conf_has_every_setting_of_the_module_with_its_default_and_what_it_may_be(plain):
    known = settings_of(plain)
    off = configuration()[1]
    assert {name: value for name, (value, _) in off.items()} == {name: value for name, (value, _) in known.items()}
    for name, (_, allowed) in known.items():
        if isinstance(allowed, list):
            assert all(re.search(rf"\b{word}\b", off[name][1]) for word in allowed), name
        elif allowed and allowed[1] < 1 << 62:
            assert f"{allowed[0]} to {allowed[1]}" in off[name][1], name


def test_operations_has_every_setting_of_the_module_with_its_default_and_what_it_may_be(plain, start, server_name):
    known = settings_of(plain)
    table = {row[0].strip("`"): row[1:] for row in rows("docs/operations.md", "| setting | default | values | can be changed while running |")}
    assert table.keys() == known.keys()
    for name, (default, values, changes) in table.items():
        value, allowed = known[name]
        assert default.split(" (")[0] == value, name
        if isinstance(allowed, list):
            assert values.split(", ") == allowed, name
        elif allowed and not values.startswith("bytes"):
            assert values.startswith(f"{allowed[0]} to {allowed[1]}"), name
        if changes == "yes":
            assert plain("CONFIG", "SET", name, value) == "OK", name
        else:
            with pytest.raises(ReplyError, match="immutable"):
                plain("CONFIG", "SET", name, value)
            low, high = values.split(" to ")
            assert settings_of(start(server_name, module_args=[name.removeprefix("hll."), high]).c)[name][0] == high
            with pytest.raises(DidNotStart):
                start(server_name, module_args=[name.removeprefix("hll."), int(low) - 1])


def test_the_readme_has_every_setting_with_its_default(plain):
    known = settings_of(plain)
    table = {row[0].strip("`"): row[1] for row in rows("README.md", "| setting | default | |")}
    assert table == {name: value for name, (value, _) in known.items()}


def test_a_server_starts_from_redis_conf_and_is_set_as_it_says(start, server_name):
    """Every line of it, on every server; and the line of a user that is off works where modules have categories."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    user = re.findall(r"^# (user .+)$", text, re.M)
    assert len(user) == 1
    server = start(server_name, options={"include": str(CONFIGURATION)})
    for directive, value in configuration()[0]:
        if (directive, server_name) == ("sanitize-dump-payload", "valkey-9.1"):
            assert server.c("CONFIG", "GET", directive) == [] and "Valkey 9.1 ignores this line" in words(text)
        elif directive not in ("dir", "port"):  # where the tests want them
            assert server.c("CONFIG", "GET", directive) == [directive.encode(), value.strip('"').encode()], directive
    if server_name != "redis-7.0":
        path = Path(server.directory) / "user.conf"
        path.write_text(text + user[0] + "\n", encoding="utf-8")
        assert_analyst(start(server_name, options={"include": str(path)}).c)


def test_max_memory_per_key_refuses_what_the_pages_say_and_nothing_else(plain):
    """Creation by commands of the module; not later writes, nor what the server does by itself."""
    c = plain
    add(c, "small", ["a"])
    add(c, "large", elements(0, 5000))
    payload, dump = c("HLL.EXPORT", "large"), c("DUMP", "large")
    c("CONFIG", "SET", "hll.max-memory-per-key", "4kb")
    for refused in (["HLL.CREATE", "n"], ["HLL.ADD", "n", "a"], ["HLL.MERGE", "n", "large"], ["HLL.IMPORT", "n", "FORMAT", "NATIVE", payload],
                    ["HLL.IMPORT", "small", "FORMAT", "NATIVE", payload, "REPLACE"]):
        with pytest.raises(ReplyError, match="hll.max-memory-per-key is 4096"):
            c(*refused)
    assert c("EXISTS", "n") == 0
    add(c, "small", elements(0, 5000))
    assert c("MEMORY", "USAGE", "small") > 4096
    assert c("HLL.MERGE", "small", "large") == c("HLL.IMPORT", "small", "FORMAT", "NATIVE", payload, "MERGE") == "OK"
    assert c("RESTORE", "restored", 0, dump) == "OK" and c("COPY", "large", "copied") == 1


def test_operations_has_every_field_of_info(plain):
    fields = [line.split(":")[0] for line in plain("INFO", "hll").decode().splitlines() if ":" in line]
    assert [row[0].strip("`") for row in rows("docs/operations.md", "| field | meaning |")] == fields


# ---- commands and access rights -------------------------------------------------------------------------------------


def commands_of(c):
    """Without subcommands: these stand on the page of their command."""
    listed = [name.decode().upper() for name in c("COMMAND", "LIST")]
    return sorted(name for name in listed if name.startswith("HLL.") and "|" not in name)


def test_the_pages_have_every_command_and_no_other(plain):
    """What is for the module's own use has a page and a place among the commands, but the README does without it."""
    known = commands_of(plain)
    names = {page: [re.search(r"\[(HLL[\w.]+)\]", row[0])[1] for row in rows(page, "| command | what it does |")]
             for page in ("README.md", "docs/commands/README.md")}
    assert sorted(names["docs/commands/README.md"]) == known
    assert sorted([*names["README.md"], "HLL.REPLAY", "HLL.REBUILD", "HLL.PROBE"]) == known
    assert sorted(path.stem.upper() for path in (Path(ROOT) / "docs/commands").glob("hll.*.md")) == known


def test_the_readme_shows_the_form_that_a_commands_page_shows():
    for row in rows("README.md", "| command | what it does |"):
        name, page, arguments = re.match(r"\[(HLL[\w.]+)\]\((\S+)\)(?: `(.*)`)?", row[0]).groups("")
        form = re.search(r"^```text\n(.+?)\n```", (Path(ROOT) / page).read_text(encoding="utf-8"), re.S | re.M)[1]
        assert " ".join(form.split()).replace("key [key ...]", "key ...") == \
            f"{name} {arguments}".strip().replace("\\|", "|").replace("key [key ...]", "key ..."), name


def test_the_page_of_a_command_has_its_flags_and_categories(plain, server_name):
    for name in commands_of(plain):
        text = (Path(ROOT) / f"docs/commands/{name.lower()}.md").read_text(encoding="utf-8")
        facts = dict(re.findall(r"^\| (since|complexity|flags|ACL categories) \| (.+) \|$", text, re.M))
        about = plain("COMMAND", "INFO", name)[0]
        # Valkey 8.1 and later have another name for the slow log.
        flags = {"skip_slowlog" if flag == "skip_commandlog" else str(flag) for flag in about[2]} - {"module"}
        assert set(facts["flags"].split(", ")) == flags, name
        if server_name != "redis-7.0":
            assert {c.strip() for c in facts["ACL categories"].split(",")} == set(map(str, about[6])), name
        docs = plain("COMMAND", "DOCS", name)[1]
        docs = {key.decode(): value for key, value in zip(docs[::2], docs[1::2])}
        assert (facts["since"], facts["complexity"]) == (docs["since"].decode(), docs["complexity"].decode().rstrip(".")), name


def assert_analyst(c):
    """Asks everything, changes nothing, and does not get at the hash seed."""
    for name in set(commands_of(c)) - {"HLL.PROBE"}:
        flags = list(map(str, c("COMMAND", "INFO", name)[0][2]))
        arguments = {"HLL.EXPORT": ["k"], "HLL.INFO": ["k"], "HLL.COUNT": ["k"], "HLL.CLUSTER": ["COUNT", "k"], "HLL.ACCURACY": ["k"], "HLL.CAMPAIGN": ["a", "b", "c"],
                     "HLL.SEGMENT": ["ALL", 1, "k"], "HLL.RETENTION": ["COHORTS", 1, "k", "PERIODS", 1, "l"],
                     "HLL.CREATE": ["k"], "HLL.REPLAY": ["k", "x"], "HLL.REBUILD": ["k", "HLLSKETCH", 0, "x"],
                     "HLL.IMPORT": ["k", "FORMAT", "NATIVE", "x"], "HLL.CUBE.STORE": ["d", "k"],
                     "HLL.CUBE.TOP": ["k", "d", 1], "HLL.CUBE.INFO": ["k"], "HLL.CUBE.ADD": ["k", 1, "x"],
                     "HLL.ACCURACY.TRACK": ["m", "k", "EXACT", 1], "HLL.ACCURACY.REPORT": ["m"], "HLL.ACCURACY.ALERTS": ["m"],
                     "HLL.ACCURACY.RESET": ["m"], "HLL.STATS": [], "HLL.CUBE.SERIES": ["k", "BUCKET", "1d"], "HLL.CUBE.FUNNEL": ["k", "d", "STEPS", 2, "v", "w"],
                     "HLL.CUBE.RETENTION": ["k", "EVERY", "1d", "PERIODS", 2], "HLL.CUBE.LIFECYCLE": ["k", "EVERY", "1d"],
                     "HLL.CUBE.CAMPAIGN": ["k", "d", "IMPRESSION", "v", "CLICK", "w", "CONVERSION", "x"],
                     "HLL.CUBE.COUNT": ["k"], "HLL.CUBE.QUERY": ["k"], "HLL.CUBE.CREATE": ["k"],
                     "HLL.CUBE.ALTER": ["k", "VALUES", "d", 1], "HLL.CUBE.MADD": ["k", "FIELDS", 0, "ROWS", 1, "x"]}.get(name, [2, "k", "l"])
        may = "readonly" in flags and name != "HLL.EXPORT"
        assert (c("ACL", "DRYRUN", "analyst", name, *arguments) == "OK") == may, name
    for other in (["CONFIG", "GET", "hll.hash-seed"], ["DUMP", "k"], ["GET", "k"], ["HLL.CLUSTER", "MERGE", "k", "l"]):
        assert c("ACL", "DRYRUN", "analyst", *other) != "OK"


def test_the_users_of_operations_may_do_what_it_says(plain, server_name):
    text = (Path(ROOT) / "docs/operations.md").read_text(encoding="utf-8")
    by_category, collector, by_name = re.findall(r"^ACL SETUSER .+$", text, re.M)
    plain(*shlex.split(collector))
    assert plain("ACL", "DRYRUN", "collector", "HLL.ADD", "visitors:1", "ada") == "OK"
    for other in (["HLL.ADD", "orders:1", "ada"], ["HLL.COUNT", "visitors:1"]):
        assert plain("ACL", "DRYRUN", "collector", *other) != "OK"
    plain(*shlex.split(by_name))
    assert_analyst(plain)
    plain("ACL", "DELUSER", "analyst")
    if server_name == "redis-7.0":
        with pytest.raises(ReplyError, match="@hll"):
            plain(*shlex.split(by_category))
    else:
        plain(*shlex.split(by_category))
        assert_analyst(plain)


# ---- log lines ------------------------------------------------------------------------------------------------------


def test_the_log_says_what_operations_says(start, server_name):
    page = (Path(ROOT) / "docs/operations.md").read_text(encoding="utf-8")
    server = start(server_name)
    assert "`redis-hll 0.1.0 loaded`" in page and "<module> <hll> redis-hll 0.1.0 loaded" in server.log_tail(50)
    options = ", ".join(name.removeprefix("hll.") for name in settings_of(server.c))
    for arguments, message in ((["default-precision", 30], "default-precision must be 4 to 18, got 30"),
                               (["precision", 14], "unknown option 'precision', known here: ")):
        with pytest.raises(DidNotStart) as ended:
            start(server_name, module_args=arguments)
        assert f"module not loaded: ERR HLL: {message}" in str(ended.value) and f"ERR HLL: {message}" in page
    known = re.search(r"known here: ([\w, -]+)`", page)[1]
    assert set(known.split(", ")) == set(options.split(", "))
    legacy = re.search(r"^\* (Legacy Redis Module) /path/libredis_hll.so (found)$", page, re.M).groups()
    unload = re.search(r"^# (Failed to unload module hll: .+)$", page, re.M)[1]
    assert all((word in server.log_tail(50)) == server_name.startswith("valkey") for word in legacy[:1])
    server.stop()
    assert server.process.returncode == 0
    assert (unload in server.log_tail(50)) == (server_name == "valkey-9.1")


# ---- programs and pictures ------------------------------------------------------------------------------------------


def test_the_python_of_the_readme_prints_what_it_says(start, request):
    if SERVER not in request.config.hll_servers:
        pytest.skip(f"the examples are from {SERVER}, which is not among the servers of this run")
    server = start(SERVER)
    text = (Path(ROOT) / "README.md").read_text(encoding="utf-8")
    program, printed = re.search(r"^```python\n(.+?)^```\n\n```text\n(.+?)^```", text, re.S | re.M).groups()
    assert program.count("port=7000") == 1
    around = {**os.environ, "PYTHONPATH": str(Path(ROOT) / "clients/python/src")}
    for package, client in (("redis", "redis.Redis"), ("valkey", "valkey.Valkey")):
        server.c("FLUSHALL")
        source = program.replace("import redis\n", f"import {package}\n").replace("redis.Redis", client).replace("port=7000", f"port={server.port}")
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, env=around)
        assert done.stdout == printed, done.stderr


def test_the_picture_of_the_readme_is_what_scripts_run_prints(request):
    """The same seed gives the same events. To make it anew: scripts/demo/picture.py."""
    from demo.picture import chosen, svg

    if SERVER not in request.config.hll_servers:
        pytest.skip(f"the picture is from {SERVER}, which is not among the servers of this run")
    assert "](docs/run.svg)" in (Path(ROOT) / "README.md").read_text(encoding="utf-8")
    line = [sys.executable, "-m", "demo", "--stop", "--server", request.config.hll_servers[SERVER], "--module", request.config.option.module]
    done = subprocess.run(line, capture_output=True, text=True, timeout=170, cwd=Path(ROOT) / "scripts")
    assert done.returncode == 0, done.stderr
    assert svg(chosen(done.stdout, ["Visitors up to", "Campaigns", "Retention"])) == (Path(ROOT) / "docs/run.svg").read_text(encoding="utf-8")


# ---- links ----------------------------------------------------------------------------------------------------------


def anchors(page):
    """The anchors of a page's headings, as they are made where the pages are shown."""
    found = set()
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.M):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        anchor, count = plain.replace(" ", "-"), 0
        while anchor + (f"-{count}" if count else "") in found:
            count += 1
        found.add(anchor + (f"-{count}" if count else ""))
    return found


@pytest.mark.parametrize("page", [*PAGES, Path(ROOT) / "CHANGELOG.md", Path(ROOT) / "tests/README.md"],
                         ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target}: there is no such file"
        if anchor:
            assert anchor in anchors(there), f"{target}: there is no such heading"


# ---- figures in sentences -------------------------------------------------------------------------------------------

SENTENCES = []


def says(page):
    """Marks a function that makes sentences which must stand on the page. It gets a client and helpers: see `Asked`."""
    def mark(function):
        SENTENCES.append(pytest.param(page, function, id=f"{page}:{function.__name__}"))
        return function
    return mark


def words(text):
    """Text as words with single spaces between, without the marks of comments and lists at the beginning of lines."""
    return " ".join(re.sub(r"^(#|\*|>) ", "", text, flags=re.M).split())


class Asked:
    """What sentences are made from: one server of the kind the examples are from, and what was measured."""

    def __init__(self, c):
        self.c = c

    def fields(self, *command):
        flat = self.c(*command)
        return {name.decode(): value for name, value in zip(flat[::2], flat[1::2])}

    def usage(self, key):
        return self.c("MEMORY", "USAGE", key, "SAMPLES", 0)

    def filled(self, key, number, command="HLL.ADD"):
        """Bytes of a new key with so many elements."""
        self.c("DEL", key)
        items = elements(0, number)
        self.c.pipe([command, key, *items[i:i + 1000]] for i in range(0, number, 1000))
        return self.usage(key)

    @cache
    def hip(self, precision):
        """One standard deviation of a sketch that is only added to, as the server's advice has it."""
        self.c("HLL.CREATE", f"advice:{precision}", "PRECISION", 11)
        advice = self.fields("HLL.ACCURACY", f"advice:{precision}")["advice"]
        advice = {name.decode(): value for name, value in zip(advice[::2], advice[1::2])}
        assert advice["precision"] == 13
        return float(advice["standard_error"]) * 2 ** ((13 - precision) / 2)

    @cache
    def merged(self, precision):
        """One standard deviation after merging: the least ERROR for which HLL.CREATE still chooses the precision."""
        value = 0.7609 / 2 ** (precision / 2)
        self.c("HLL.CREATE", f"e:{precision}", "ERROR", f"{value:.12f}"[:-1] + "9")
        assert self.fields("HLL.INFO", f"e:{precision}")["precision"] == precision
        if precision < 18:
            self.c("HLL.CREATE", f"f:{precision}", "ERROR", f"{value * 0.9999:.12f}")
            assert self.fields("HLL.INFO", f"f:{precision}")["precision"] == precision + 1
        return value

    @cache
    def exact_below(self, precision):
        """Elements up to which a sketch keeps them apart. (From precision 16 on some look alike, so it is a few more.)"""
        bound, key = 2**precision // 4, f"bound:{precision}"
        self.c("HLL.CREATE", key, "PRECISION", precision)
        add(self.c, key, elements(0, bound - 1))
        assert self.fields("HLL.INFO", key)["encoding"] == b"sparse"
        add(self.c, key, elements(bound - 1, bound + bound // 2000))
        assert self.fields("HLL.INFO", key)["encoding"] == b"dense"
        return bound


@cache
def measured():
    """server -> id -> comparison, and server -> version, of docs/benchmarks/*.json."""
    figures, versions = {}, {}
    for path in sorted((Path(ROOT) / "docs/benchmarks").glob("*.json")):
        record = Record.read(path)
        versions |= record.versions
        for server, results in record.results.items():
            figures.setdefault(server, {}).update(results)
    return SimpleNamespace(figures=figures, versions=versions)


@pytest.fixture
def asked(start, request):
    if SERVER not in request.config.hll_servers:
        pytest.skip(f"the figures are from {SERVER}, which is not among the servers of this run")
    return Asked(start(SERVER).c)


@says("README.md")
def _what_a_sketch_is(asked):
    yield (f"Exact while a set is small (below {asked.exact_below(13):,} elements at the default precision), then an error of about "
           f"{100 * asked.hip(13):.1f} % in {2**13 // 1024} KiB, however many elements follow.")


@says("README.md")
def _errors_by_precision(asked):
    for p in (10, 12, 13, 14, 16, 18):
        cells = [str(p), f"{2**p // 1024} KiB", f"{100 * asked.hip(p):.2f} %", f"{100 * asked.merged(p):.2f} %", f"{asked.exact_below(p):,}"]
        yield "| " + " | ".join(f"**{cell}**" if p == 13 else cell for cell in cells) + " |"


@says("README.md")
def _when_pf_or_a_set_is_smaller(asked):
    pf, sketch = ({n: asked.filled(f"{key}:x", n, command) for n in (*range(200, 1701, 100), 3000)}
                  for key, command in (("p", "PFADD"), ("h", "HLL.ADD")))
    assert all(pf[n] <= sketch[n] for n in range(300, 1601, 100)) and pf[1700] > sketch[1700]
    yield "**your sets have some hundred to some 1,700 elements** and memory matters"
    yield (f"with 1,000 elements a PF key takes {pf[1000]:,} bytes and a sketch {sketch[1000]:,}, because it counts them exactly. "
           f"Beyond, PF takes {pf[3000]:,} bytes and a sketch {sketch[3000]:,}.")
    asked.c("SADD", "s:x", *range(1, 101))
    asked.c("SADD", "u:x", *elements(0, 100))
    yield (f"an exact set of the integers from 1 to 100 takes {asked.usage('s:x'):,} bytes, a sketch of them {asked.filled('h:x', 100):,}. "
           f"(Of a hundred names like `user:17` the set takes {asked.usage('u:x'):,}.)")
    yield f"Bytes are MEMORY USAGE on {NAMES[SERVER]};"
    yield f"with an error of {104 / 2**7:.2f} % that nobody has to prove."


@says("README.md")
def _what_an_add_costs(asked):
    yield filled("a single ADD takes {times:one-us} times as long as PFADD inside the server, and clients get {times:one-rate} times as "
                 "many through.", measured().figures)


@says("README.md")
def _limits(asked):
    def most(*command):
        with pytest.raises(ReplyError) as refused:
            asked.c(*command)
        return int(re.search(r"\d+ to (\d+)", str(refused.value))[1])

    keys = [f"k{i}" for i in range(99)]
    sets = {most("HLL.INTERSECT", 99, *keys), most("HLL.FUNNEL", 99, *keys)}
    tables = {most("HLL.OVERLAP", 99, *keys), most("HLL.RETENTION", "COHORTS", 99, *keys, "PERIODS", 1, "k"),
              most("HLL.RETENTION", "COHORTS", 1, "k", "PERIODS", 99, *keys)}
    yield (f"**At most {sets.pop()} sets** in one intersection or funnel, {tables.pop()} keys in an overlap or on either side of a "
           "retention table.")
    assert not sets and not tables


@says("README.md")
def _what_building_needs(asked):
    rust = re.search(r'^rust-version *= *"(.+)"', (Path(ROOT) / "Cargo.toml").read_text(), re.M)[1]
    python = re.search(r"sys\.version_info < \((\d+), (\d+)\)", (Path(ROOT) / "scripts/lib.sh").read_text()).groups()
    yield f"(Elsewhere they need Rust {rust} or later, a C compiler, libclang, Python {'.'.join(python)} or later"
    yield "Python, with redis-py 5.0 or later, or valkey-py 6.0 or later"


@says("redis.conf")
def _errors_in_redis_conf(asked):
    yield "The relative standard error is .7609 / sqrt(2^p): " + ", ".join(
        f"{p} gives {100 * asked.merged(p):.{digits}f} % in {2**p // 1024} KiB" for p, digits in ((13, 2), (12, 1), (16, 1)))


@says("docs/commands/hll.create.md")
def _precisions(asked):
    """Each cell to as many digits as it has; the bound of ERROR is rounded up, so that it still chooses the precision."""
    head = "| precision | `ERROR` down to | standard error, added to only | standard error, merged | dense bytes | exact below |"
    found = rows("docs/commands/hll.create.md", head)
    assert [int(row[0]) for row in found] == [4, 8, *range(10, 19)]
    for p, error, added, merged, dense, exact in found:
        p = int(p)
        asked.c("HLL.CREATE", f"row:{p}", "ERROR", error)
        assert asked.fields("HLL.INFO", f"row:{p}")["precision"] == p
        for text, value in ((added, asked.hip(p)), (merged, asked.merged(p))):
            digits = len(text.removesuffix(" %").partition(".")[2])
            assert abs(float(text.removesuffix(" %")) - 100 * value) <= 0.5 * 10**-digits + 1e-9, (p, text)
        assert (dense, exact) == (f"{2**p:,}", f"{asked.exact_below(p):,}")
    yield head


@says("docs/commands/hll.export.md")
def _bytes_of_a_dense_pf_key(asked):
    asked.filled("pf", 20_000, "PFADD")
    yield f"otherwise dense, {asked.c('STRLEN', 'pf'):,} bytes."


@says("docs/operations.md")
def _memory(asked):
    table = {int(n.replace(",", "")): int(b.replace(",", "")) for n, b in rows("docs/operations.md", "| elements | precision 13 |")}
    found = {n: asked.filled(f"visitors:{n}", n) for n in table if n < 1_000_000}
    assert {n: b for n, b in table.items() if n < 1_000_000} == found
    assert table[1_000_000] == table[10_000]  # and that of a million is an example of the tour
    asked.c("HLL.CREATE", "empty")
    yield f"A sketch takes {asked.fields('HLL.INFO', 'empty')['memory_bytes']} bytes, four bytes for each element and some room to grow"
    yield (f"So a thousand large keys at the default precision are {found[10_000] / 1000:.0f} MB, a million small ones of ten elements each "
           f"{found[10]} MB.")


@says("docs/operations.md")
def _compressions(asked):
    table = rows("docs/operations.md", "| | precision 13 (8,192 registers) | precision 14 (16,384) | precision 13, one export |")
    for p in (13, 14):
        asked.c("HLL.CREATE", f"c{p}", "PRECISION", p)
        add(asked.c, f"c{p}", elements(1, 100_001))
    for name, *sizes, _ in table:
        asked.c("CONFIG", "SET", "hll.rdb-compression", name)
        assert sizes == [f"{asked.fields('HLL.INFO', f'c{p}')['serialized_bytes']:,}" for p in (13, 14)], name
    yield "Bytes of a sketch with 100,000 elements, from `HLL.INFO`"


@says("docs/operations.md")
def _what_adding_costs(asked):
    each = [results["thousand-us"].ours for results in measured().figures.values()]
    yield f"In an HLL.ADD of a thousand elements each takes the server {min(each):.0f} to {max(each):.0f} nanoseconds."
    yield filled("An HLL.ADD of one element takes {ours:one-us} µs where its key is in use all the time, {ours:many-us} µs where it is "
                 "another small key each time, and {ours:new-us} µs where it makes the key", measured().figures)


@says("docs/tour.md")
def _beside_pf(asked):
    def percent(what, server):
        return f"{100 * measured().figures[server][what].ratio:.0f} %"

    yield (f"Large keys take {percent('usage-1000000', SERVER)} of the memory ({percent('usage-1000000', 'valkey-9.1')} on "
           f"{measured().versions['valkey-9.1']}")
    yield f"and {percent('dump-1000000', SERVER)} of the bytes of a dump."


@says("docs/tour.md")
def _where_output_is_from(asked):
    yield f"All output is from {NAMES[SERVER]}"


@says("docs/commands/README.md")
def _where_examples_are_from(asked):
    yield f"The examples on these pages are from {NAMES[SERVER]}"


@says("docs/operations.md")
def _versions(asked):
    redis, valkey = ([name.split()[1] for name in NAMES.values() if name.startswith(kind)] for kind in ("Redis", "Valkey"))
    yield f"The test suite runs against Redis {', '.join(redis[:-1])} and {redis[-1]} and Valkey {' and '.join(valkey)}."


@pytest.mark.parametrize("page, function", SENTENCES)
def test_a_figure_in_a_sentence_is_what_it_says(asked, page, function):
    text = words((Path(ROOT) / page).read_text(encoding="utf-8"))
    for sentence in function(asked):
        assert words(sentence) in text, f"{page} does not say: {sentence}"


def test_servers_are_of_the_versions_that_the_pages_name(plain, server_name):
    about = dict(line.split(":", 1) for line in plain("INFO", "server").decode().splitlines() if ":" in line)
    kind = server_name.split("-")[0]
    assert NAMES[server_name] == f"{kind.capitalize()} {about[f'{kind}_version']}"
