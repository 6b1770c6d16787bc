"""One session, by every client library, protocol and decoding, waited for and awaited: the results are the same."""

import asyncio
import importlib
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from redis_hll import HLL, AsyncHLL, Dimension, Event, HLLError, KeyExists, KeyMissing, Not, WrongType

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
BINARY = b"\xff\x00\xfe"


@pytest.fixture(params=["redis", "valkey"])
def library(request):
    return importlib.import_module(request.param)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["bytes", "decoded"])
def options(request, library, protocol, server):
    return {"host": "127.0.0.1", "port": server.port, "protocol": protocol, "decode_responses": request.param}


def session(hll):
    """Calls and their names; those that write come before those that read them. `hll` may be any of the shells."""
    cube, monitor = hll.cube("shop"), hll.monitor("watch")
    yield "create", hll.create("mon", precision=14)
    yield "add", hll.add("mon", "ada", b"grace", 7, BINARY)
    yield "again", hll.add("mon", "ada")
    yield "more", hll.add(BINARY, "ada", *(f"u{i}" for i in range(1500)))
    yield "merge", hll.merge("all", "mon", BINARY)
    yield "count", hll.count("mon", BINARY)
    yield "estimate", hll.estimate("mon", BINARY, confidence=0.9)
    yield "intersect", hll.intersect("mon", BINARY)
    yield "segment", hll.segment(all=["all"], any=["mon", BINARY], none=["mon"])
    yield "overlap", hll.overlap("mon", BINARY, "missing")
    yield "funnel", hll.funnel(BINARY, "mon")
    yield "retention", hll.retention(["mon"], [BINARY, "missing"])
    yield "campaign", hll.campaign(BINARY, "mon", "missing", cost=100, revenue=250.5)
    yield "info", hll.info("mon")
    yield "accuracy", hll.accuracy(BINARY)
    yield "export", hll.export("mon")
    yield "stats", hll.stats()
    yield "cube create", cube.create(tiers=[("1h", "48h"), ("1d", "400d")], dimensions=["step", Dimension("device", values=8)],
                                     groups=[("step", "device")], measures=["revenue"], new=12, timezone="Europe/Berlin")
    yield "cube add", cube.add("u:1", BEGIN, step="view", device="mobile")
    yield "cube value", cube.add("u:1", BEGIN + timedelta(minutes=1), event_id="e-1", step="buy", device=b"\xff", revenue=59.9)
    yield "cube twice", cube.add("u:1", BEGIN + timedelta(minutes=1), event_id="e-1", step="buy", device=b"\xff", revenue=59.9)
    yield "cube late", cube.add("u:1", 1000, late="drop")
    yield "cube count", cube.count(last="1d", at=BEGIN, where={"step": ["view", "buy"]})
    yield "cube nobody", cube.count(where={"step": "no such step"})
    yield "cube query", cube.query(between=(BEGIN, "2026-03-05T00:00:00+01:00"), by=("step", "device"), bucket="1d")
    yield "cube metrics", cube.query(by="step", metrics=["unique", "returning", "avg:revenue", "per:revenue"], order=("unique", "asc"))
    yield "cube compare", cube.query(last="1d", at=BEGIN, by="device", compare={"step": "view"}, where={"step": "buy"})
    yield "cube previous", cube.query(last="1d", at=BEGIN, compare="previous")
    yield "cube not", cube.count(where={"step": Not("view")})
    yield "cube top", cube.top("device", 3)
    yield "cube series", cube.series("1d", last="3d", at=BEGIN)
    yield "cube funnel", cube.funnel("step", ["view", "buy"], by="device")
    yield "cube retention", cube.retention("1d", 2, cohort={"step": "view"})
    yield "cube lifecycle", cube.lifecycle("1d")
    yield "cube campaign", cube.campaign("step", impression="view", click="view", conversion="buy", revenue="revenue")
    yield "cube store", cube.store("users", where={"step": "buy"})
    yield "stored", hll.count("users")
    yield "cube alter", cube.alter(add_measure="cost")
    yield "cube info", cube.info()
    yield "track", monitor.track("mon", exact=5, context="mobile", at=BEGIN)
    yield "track cube", monitor.track(cube="shop", where={"step": "buy"}, exact=1, at=BEGIN)
    yield "report", monitor.report(window="30d", at=BEGIN)
    yield "alerts", monitor.alerts()
    yield "reset", monitor.reset(context="mobile")


VOLATILE = ("stats", "cube info", "info")  # bytes differ by the allocator, counters by what came before


def checked(found):
    for name in VOLATILE:
        assert found.pop(name) is not None
    return found


@pytest.fixture(scope="module")
def expected():
    """What the first client found, which all others must find too."""
    return {}


def same(expected, server_name, found):
    first = expected.setdefault("all", checked(found))
    assert found.keys() == first.keys()
    for name, value in first.items():
        assert found[name] == value, name
    assert found["count"] == 1504 and found["estimate"].method == "exact" and found["again"] is False
    assert found["cube twice"] is False and found["cube late"] is False
    assert {row.by["device"] for row in found["cube top"]} == {"mobile", "\udcff"}
    assert found["overlap"][0].second == BINARY.decode("utf-8", "surrogateescape")


def test_waiting(library, options, expected, server_name):
    with library.Redis(**options) as client:
        hll = HLL(client, strict=True)
        same(expected, server_name, dict(session(hll)))
        payload = hll.export("mon")
        hll.restore("copy", payload)
        assert hll.export("copy") == payload
        with pytest.raises(KeyExists) as refused:
            hll.restore("copy", payload)
        assert isinstance(refused.value, library.exceptions.ResponseError)
        assert type(pickle.loads(pickle.dumps(refused.value))) is type(refused.value)
        assert client.get("no such key") is None, "the client itself is as it was"


async def test_awaited(library, options, expected, server_name):
    asyncio_of = importlib.import_module(f"{library.__name__}.asyncio")
    async with getattr(asyncio_of, library.__name__.capitalize())(**options) as client:
        hll = AsyncHLL(client, strict=True)
        same(expected, server_name, {name: await call for name, call in session(hll)})
        with pytest.raises(WrongType) as refused:
            await client.set("text", "x")
            await hll.add("text", "a")
        assert isinstance(refused.value, library.exceptions.ResponseError)


@pytest.mark.parametrize("transaction", [False, True], ids=["pipeline", "multi"])
def test_in_a_pipeline(library, options, expected, server_name, transaction):
    with library.Redis(**options, encoding_errors="surrogateescape") as client:
        with HLL(client, strict=True).pipeline(transaction) as pipeline:
            laters = dict(session(pipeline))
            pipeline.raw.set("text", "x")
            with pytest.raises(HLLError, match="not been executed"):
                laters["count"].value
            results = pipeline.execute()
        same(expected, server_name, {name: later.value for name, later in laters.items()})
        assert len(results) == len(laters) + 1, "the client's own command has a place among them"
        with HLL(client).pipeline(transaction) as pipeline:
            bad, good = pipeline.info("missing"), pipeline.count("mon")
            with pytest.raises(KeyMissing):
                pipeline.execute()
            assert good.value == 4
            with pytest.raises(KeyMissing):
                bad.value


@pytest.mark.parametrize("transaction", [False, True], ids=["pipeline", "multi"])
async def test_in_an_awaited_pipeline(library, options, expected, server_name, transaction):
    asyncio_of = importlib.import_module(f"{library.__name__}.asyncio")
    async with getattr(asyncio_of, library.__name__.capitalize())(**options, encoding_errors="surrogateescape") as client:
        async with AsyncHLL(client, strict=True).pipeline(transaction) as pipeline:
            laters = dict(session(pipeline))
            await pipeline.execute()
        same(expected, server_name, {name: later.value for name, later in laters.items()})


async def test_elements_and_rows_that_are_awaited(library, options):
    async def elements():
        for number in range(2500):
            yield f"u{number % 2000}"
            if number % 500 == 0:
                await asyncio.sleep(0)

    async def rows():
        for number in range(700):
            yield Event(f"u{number}", BEGIN, {"step": "view"} if number % 2 else {})

    asyncio_of = importlib.import_module(f"{library.__name__}.asyncio")
    async with getattr(asyncio_of, library.__name__.capitalize())(**options) as client:
        hll = AsyncHLL(client, strict=True)
        sent = await hll.add_many("many", elements())
        assert (sent.elements, sent.commands, await hll.count("many")) == (2500, 3, 2000)
        assert (await hll.add_many_to((f"key:{n % 3}", n) for n in range(30))).elements == 30
        assert await hll.count("key:0", "key:1", "key:2") == 30
        cube = hll.cube("shop")
        await cube.create(tiers=[("1d", "400d")], dimensions=["step"])
        assert (await cube.add_many(rows())).counted == 700
        async with cube.writer() as writer:
            await writer.add("u:new", BEGIN, step="view")
        assert writer.counted.counted == 1
        assert (await cube.count()).events == 701
