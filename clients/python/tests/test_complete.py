"""The package has what the server has: every command, every option, every field of a reply, every error that is documented."""

import re
import shlex

import pytest
import redis

from conftest import ROOT
from redis_hll import (HLL, AheadOfClock, BadArgument, BadPayload, Busy, ClusterDown, CommandMissing, Dimension, Full, Group, HLLError, Incompatible,
                       KeyExists, KeyMissing, NoGroup, Not, NotAllowed, PFKeyReadOnly, Tier, TooLate, TooManyCells, WrongType)
from redis_hll.commands import cluster, cube, monitor, ok, sketch
from redis_hll.errors import translate
from redis_hll.replies import Reply

PAGES = sorted((ROOT / "docs" / "commands").glob("hll.*.md"))
OWN_USE = {"HLL.REPLAY", "HLL.REBUILD", "HLL.PROBE"}  # of the module, between servers and files
FOR_TESTS = re.compile(r"HLL\.(PANIC|TEST\..*)$")  # in the checked build alone
NOT_SENT = {("HLL.IMPORT", "BASE64"): "payloads are bytes",
            ("HLL.CUBE.QUERY", "DESC"): "the pair of a metric and its direction is tested with asc",
            ("HLL.CUBE.TOP", "DESC"): "as above"}

RANGES = [{"last": "1d", "at": 5}, {"between": (1, 2)}, *({"period": period, "at": 5} for period in (
    "today", "yesterday", "week", "lastweek", "month", "lastmonth", "quarter", "year"))]
WHERES = [{"d": "v"}, {"d": ["v", "w"]}, {"d": Not("v")}]


def with_ranges(build, *arguments, where="where", **options):
    """The same question with every way to say the time, and every condition."""
    for asked in RANGES:
        yield build(*arguments, **options, **asked)
    for condition in WHERES:
        yield build(*arguments, **options, **({where: condition} if where else {}))


def all_calls():
    """Calls that together use all that the builders can say."""
    yield from (sketch.create("k", precision=12), sketch.count("k"), sketch.info("k"), sketch.stats(), sketch.merge("d", "k"))
    yield from (sketch.create("k", error=0.01, hash=hash) for hash in ("xxh3", "redis", "datasketches"))
    yield from (sketch.add("k", "e"), sketch.accuracy("k", confidence=0.9))
    yield from (build("a", "b", confidence=0.9) for build in (sketch.estimate, sketch.intersect, sketch.overlap, sketch.funnel))
    yield from (cluster.count("k"), cluster.merge("d", "k"), cluster.segment(all=["a"], any=["b"], none=["c"], confidence=0.9),
                cluster.retention(["a"], ["b"], confidence=0.9), cluster.campaign("a", "b", "c", cost=1, revenue=2, confidence=0.9))
    yield from (build("a", "b", confidence=0.9) for build in (cluster.estimate, cluster.intersect, cluster.overlap, cluster.funnel))
    yield sketch.segment(all=["a"], any=["b"], none=["c"], confidence=0.9)
    yield sketch.retention(["a"], ["b"], confidence=0.9)
    yield sketch.campaign("a", "b", "c", cost=1, revenue=2, confidence=0.9)
    yield from (sketch.export("k", format=format) for format in ("native", "redis", "datasketches"))
    yield from (sketch.restore("k", b"x", format=format, mode=mode) for format in ("native", "redis", "datasketches")
                for mode in ("replace", "merge"))
    yield from (cube.create("k", tiers=[Tier("1h", "2d", 10)], precision=12, dimensions=[Dimension("d", 5, 10, True)],
                            groups=[Group(("d", "e"), 7)], measures=["m"], new=12, timezone="UTC", week_start=day, max_bytes=1 << 30, hash=hash)
                for day, hash in (("mon", "xxh3"), ("sun", "redis"), ("sat", "datasketches")))
    yield from (cube.alter("k", add=Dimension("d", 5, 10, True)), cube.alter("k", add=Group(("d", "e"), 5)), cube.alter("k", add_measure="m"),
                cube.alter("k", retention=("1d", "9d")), cube.alter("k", values=("d", 5)))
    yield from (cube.add("k", "e", late=late, event_id=1, d="v").stamped("p", str) for late in ("error", "drop"))
    yield from (cube.madd("k", ["d"], [b"1", b"e", b"v"], late=late).stamped("p", lambda: "1") for late in ("error", "drop"))
    yield from with_ranges(cube.count, "k", users=True, confidence=0.9)
    for compare in ("previous", (1, 2), *WHERES):
        yield from with_ranges(cube.query, "k", by="d", bucket="1d", metrics=["events"], order=("events", "asc"), limit=5, offset=2,
                               fill_zero=True, timezone="UTC", compare=compare, users=True, confidence=0.9)
    yield from with_ranges(cube.top, "k", "d", 5, order=("events", "asc"), confidence=0.9)
    yield from with_ranges(cube.series, "k", "1d", confidence=0.9)
    yield from with_ranges(cube.funnel, "k", "d", ["a", "b"], by="e", confidence=0.9)
    for cohort in WHERES:
        yield from with_ranges(cube.retention, "k", "1d", 3, cohort=cohort, by="e", confidence=0.9, where="returned")
    yield from with_ranges(cube.lifecycle, "k", "1d", confidence=0.9)
    yield from with_ranges(cube.campaign, "k", "d", impression="a", click="b", conversion="c", cost="m", revenue="n", by="e", confidence=0.9)
    yield from with_ranges(cube.store, "k", "destination")
    yield cube.info("k")
    for asked in RANGES:
        yield monitor.track("m", cube="c", exact=5, context="x", at=1,
                            **{"range_at" if name == "at" else name: value for name, value in asked.items()})
    yield from (monitor.track("m", cube="c", where=condition, exact_key="s") for condition in WHERES)
    yield from (monitor.track("m", "k", exact=1), monitor.report("m", window="1d", at=1), monitor.alerts("m", count=5),
                monitor.reset("m", context="x"))


def test_every_command_of_the_server_can_be_called(server):
    names = {name.decode().upper() for name in server.c("COMMAND", "LIST") if name.upper().startswith(b"HLL.")}
    wanted = {name for name in names - OWN_USE if not FOR_TESTS.match(name)}
    called = {call.name for call in all_calls()}
    # Subcommands are listed besides what holds them, as all servers of a later version do, or not at all.
    called |= {f"{call.name}|{call.words[0].decode()}" for call in all_calls() if call.name == "HLL.CLUSTER"}
    assert {name for name in called if "|" not in name} == {name for name in wanted if "|" not in name}
    listed = {name for name in wanted if "|" in name}
    assert not listed or listed == {name for name in called if "|" in name}


def tokens(arguments):
    """All option words below these arguments of COMMAND DOCS."""
    for argument in arguments:
        fields = dict(zip(argument[::2], argument[1::2]))
        fields = {name.decode(): value for name, value in fields.items()}
        if "token" in fields:
            yield fields["token"].decode()
        yield from tokens(fields.get("arguments", []))


def test_every_option_of_the_server_can_be_said(server):
    said = {}
    for call in all_calls():
        said.setdefault(call.name, set()).update(call.words)
    missing = []
    for name, words in said.items():
        docs = server.c("COMMAND", "DOCS", name)[1]
        fields = {field.decode(): value for field, value in zip(docs[::2], docs[1::2])}
        arguments = list(fields.get("arguments", []))
        for about in fields.get("subcommands", [])[1::2]:
            arguments += dict(zip(about[::2], about[1::2])).get(b"arguments", [])
        missing += [(name, token) for token in tokens(arguments)
                    if token.encode() not in words and (name, token) not in NOT_SENT]
    assert not missing


def test_the_server_understands_every_call(server):
    """None of them is a word too many or in a wrong place: errors are about keys that are missing, and about what a cube lacks."""
    hll = HLL(redis.Redis(port=server.port))
    for call in all_calls():
        hll.client.flushall()
        try:
            hll.run(call)
        except BadArgument as error:
            assert not re.search(r"unknown option|, write HLL|given twice|wrong number", str(error)), call
        except HLLError:
            pass


# ---- replies, as the documentation shows them


def by_of(words):
    """The dimensions behind BY, up to the next option."""
    if b"BY" not in words:
        return ()
    behind = words[words.index(b"BY") + 1:]
    options = (b"LAST", b"FROM", b"PERIOD", b"WHERE", b"BUCKET", b"METRICS", b"ORDER", b"LIMIT", b"FILL", b"TIMEZONE", b"COMPARE", b"USERS",
               b"CONFIDENCE")
    end = next((place for place, word in enumerate(behind) if word in options), len(behind))
    return tuple(word.decode() for word in behind[:end])


READERS = {
    "HLL.CLUSTER": lambda words: READERS[f"HLL.{words[1].decode().upper()}"](words[1:]),
    "HLL.CREATE": lambda _: ok, "HLL.ADD": lambda _: Reply.integer, "HLL.COUNT": lambda _: Reply.integer, "HLL.MERGE": lambda _: ok,
    "HLL.ESTIMATE": lambda _: sketch.read_estimate, "HLL.INTERSECT": lambda _: sketch.read_intersection,
    "HLL.SEGMENT": lambda _: sketch.read_segment, "HLL.OVERLAP": lambda _: sketch.rows(sketch.read_overlap),
    "HLL.FUNNEL": lambda _: sketch.rows(sketch.read_step), "HLL.RETENTION": lambda _: sketch.rows(sketch.read_cohort),
    "HLL.CAMPAIGN": lambda _: sketch.read_campaign, "HLL.INFO": lambda _: sketch.read_info, "HLL.ACCURACY": lambda _: sketch.read_accuracy,
    "HLL.EXPORT": lambda words: sketch.read_payload if b"BASE64" in words else lambda reply: reply, "HLL.IMPORT": lambda _: ok,
    "HLL.STATS": lambda _: sketch.read_stats, "HLL.CUBE.CREATE": lambda _: ok, "HLL.CUBE.ALTER": lambda _: ok,
    "HLL.CUBE.ADD": lambda _: Reply.integer, "HLL.CUBE.MADD": lambda _: cube.read_counted, "HLL.CUBE.COUNT": lambda _: cube.read_count,
    "HLL.CUBE.QUERY": lambda words: cube.reads_query(by_of(words)), "HLL.CUBE.TOP": lambda words: cube.reads_query((words[2].decode(),)),
    "HLL.CUBE.SERIES": lambda _: cube.reads_query(()),
    "HLL.CUBE.FUNNEL": lambda words: cube.answers(lambda reply, _: cube.read_funnel(reply, by_of(words))),
    "HLL.CUBE.RETENTION": lambda words: cube.answers(lambda reply, where: cube.read_cohort(reply, where, by_of(words))),
    "HLL.CUBE.LIFECYCLE": lambda _: cube.answers(cube.read_lifecycle),
    "HLL.CUBE.CAMPAIGN": lambda words: cube.answers(lambda reply, _: cube.read_campaign(reply, by_of(words))),
    "HLL.CUBE.STORE": lambda _: ok, "HLL.CUBE.INFO": lambda _: cube.read_info, "HLL.ACCURACY.TRACK": lambda _: monitor.read_tracked,
    "HLL.ACCURACY.REPORT": lambda _: monitor.read_report, "HLL.ACCURACY.ALERTS": lambda _: sketch.rows(monitor.read_alert),
    "HLL.ACCURACY.RESET": lambda _: ok,
}
BLOCK = re.compile(r"^```(?:redis|redis resp3|console)\n(.*?)^```", re.S | re.M)
SEQUENCE = re.compile(r"\$ seq -f 'HLL\.ADD (\S+) (\S*)%\.0f' (\d+) (\d+) \| redis-cli --pipe")


def examples(page):
    """The commands that a page types, in order; loops of the shell as the HLL.ADD they come to."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("> "):
                yield [word.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1") if "\\" in word else word.encode()
                       for word in shlex.split(line[2:].replace("\\", "\\\\"))]
            elif found := SEQUENCE.match(line):
                key, begin, first, last = found.groups()
                yield [b"HLL.ADD", key.encode(), *(f"{begin}{number}".encode() for number in range(int(first), int(last) + 1))]
            elif line.startswith("$ redis-cli HLL."):
                yield [word.encode() for word in shlex.split(line.removeprefix("$ redis-cli ").split(" | ")[0])]


@pytest.mark.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_documented_reply_is_read_and_nothing_in_it_is_unknown(one_server, page, protocol):
    with redis.Redis(port=one_server.port, protocol=protocol) as client:
        read = 0
        for words in examples(page):
            name = words[0].decode().upper()
            if name == "CONFIG":
                one_server.set(words[2].decode(), words[3])  # until the end of the test
                continue
            try:
                reply = client.execute_command(name, *words[1:], NEVER_DECODE=[])
            except redis.ResponseError:
                continue
            if name in READERS:
                READERS[name](words)(Reply(reply, strict=True))
                read += 1
        assert read or page.stem.upper() in OWN_USE


def test_a_field_that_is_not_known_is_an_error_where_reading_is_strict():
    reply = [b"estimate", b"1", b"lower", b"1", b"upper", b"1", b"confidence", b"0.95", b"relative_error", b"0", b"method", b"exact"]
    assert sketch.read_estimate(Reply([*reply, b"colour", b"red"])).estimate == 1
    with pytest.raises(HLLError, match="does not know the fields: colour"):
        sketch.read_estimate(Reply([*reply, b"colour", b"red"], strict=True))


# ---- errors


# What each documented error is, first match counts; all else is a BadArgument.
KINDS = [
    (r"^WRONGTYPE", WrongType), (r"there is no such key", KeyMissing), (r"the key is there already", KeyExists),
    (r"is a PF key and only read here", PFKeyReadOnly), (r"^ERR HLL: (PF key .* is damaged|payload )", BadPayload),
    (r"cannot be combined|this format needs|another hll.hash-seed", Incompatible), (r"no GROUP", NoGroup), (r"before everything", TooLate),
    (r"max-memory-per-key is|MAXBYTES of", Full), (r"try again later|took longer|cannot wait", Busy), (r"ahead of the server", AheadOfClock),
    (r"in more than \d+ cells", TooManyCells),
]


def documented_errors():
    found = set()
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        found |= set(re.findall(r"^\(error\) (.+)$", text, re.M)) | set(re.findall(r"^`?(ERR HLL: .+?)`?\.?$", text, re.M))
    return sorted(found)


@pytest.mark.parametrize("error", [redis.ResponseError, redis.exceptions.ExecAbortError])
def test_every_documented_error_has_its_class(error):
    lines = documented_errors()
    assert len(lines) > 80
    for line in lines:
        kind = next((kind for pattern, kind in KINDS if re.search(pattern, line)), BadArgument)
        for said in (line, line.removeprefix("ERR ")):  # redis-py takes the ERR away
            raised = translate(error(said))
            assert isinstance(raised, error), line
            if "HLL" in line or "WRONGTYPE" in line:
                assert type(raised).__mro__[1] is kind, line


@pytest.mark.parametrize(("error", "kind"), [
    ("TRYAGAIN HLL: the slot of key 'a' is being moved, ask again", Busy),
    ("TRYAGAIN HLL: node 1 at 127.0.0.1:7000 answers as many questions as it may, ask again", Busy),
    ("TRYAGAIN HLL: the answer was not ready within hll.cluster-timeout, ask for less or raise it", Busy),
    ("CLUSTERDOWN HLL: node 1 at 127.0.0.1:7000 did not answer, see that it runs", ClusterDown),
    ("CLUSTERDOWN HLL: the slot of key 'a' is served by no node", ClusterDown),
    ("NOPERM HLL: this user may not run HLL.COUNT with these keys, which HLL.CLUSTER would do for it", NotAllowed),
    ("ERR HLL: node 1 at 127.0.0.1:7000 has another hll.hash-seed, give all nodes the same", Incompatible),
])
def test_errors_of_clusters(error, kind):
    assert type(translate(redis.ResponseError(error))).__mro__[1] is kind


def test_errors_that_are_not_of_the_module_stay_as_they_are():
    for error in (redis.ConnectionError("refused"), redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'."), ValueError("x")):
        assert translate(error) is error


def test_a_server_without_the_module(start, request):
    server = start(next(iter(request.config.hll_servers)), module=False)
    with pytest.raises(CommandMissing):
        HLL(redis.Redis(port=server.port)).count("k")


def test_errors_that_only_a_server_in_trouble_raises(server):
    hll = HLL(redis.Redis(port=server.port))
    shop = hll.cube("shop")
    shop.create(tiers=[("1h", "48h")], dimensions=["page"], max_bytes=4096)
    with pytest.raises(Full):
        for number in range(20_000):
            shop.add(f"u{number}", page=f"/{number}")
    hll.cube("other").create()
    with pytest.raises(AheadOfClock):
        hll.cube("other").add("u", 4102444800000)
    server.set("hll.max-memory-per-key", "4kb")
    with pytest.raises(Full):
        hll.create("large")
