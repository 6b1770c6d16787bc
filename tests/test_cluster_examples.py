"""The programs under examples/cluster do what they say, on real clusters, and what docs/cluster.md says of hot cubes is so."""

import os
import subprocess
import sys

import pytest
import redis

from clusters import Cluster
from conftest import ROOT
from helpers import elements
from test_cluster import supported

EXAMPLES = os.path.join(ROOT, "examples", "cluster")
sys.path.insert(0, EXAMPLES)

import hot_cube  # noqa: E402 (the path comes first)

DAY, BEGIN = 86_400_000, 1_764_547_200_000


@pytest.fixture
def cluster(start, server_name):
    supported(server_name)
    return Cluster(start, server_name)


def run(program, cluster, *options):
    command = [sys.executable, os.path.join(EXAMPLES, program), "--port", str(cluster.primaries[1].port), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_client_fetches_and_unites_where_the_bus_is_not_to_be_had(cluster):
    """What it says is what HLL.CLUSTER says, and it leaves nothing behind."""
    routed = cluster.client()
    keys = [f"visits:{i}" for i in range(9)]
    for i, key in enumerate(keys):
        for at in range(0, 3000 if i % 2 else 40, 500):
            routed("HLL.ADD", key, *elements(i * 1000 + at, i * 1000 + at + 500))
    assert len({cluster.node_of(key) for key in keys}) == 3
    before = [node.c("DBSIZE") for node in cluster.primaries]
    expected = routed("HLL.CLUSTER", "COUNT", *keys, "missing")
    assert int(run("fetch_and_unite.py", cluster, *keys, "missing")) == expected
    assert [node.c("DBSIZE") for node in cluster.primaries] == before


def events(rng):
    """Of three days: (time, user, country, step), some users often and some once."""
    for user in range(120):
        for day in range(3):
            if rng.random() < 0.6:
                country = rng.choice(["DE", "FR", "IT"])
                for at, step in enumerate(["view", "cart", "buy"]):
                    if rng.random() > (1, 0.5, 0.3)[at]:
                        break
                    yield BEGIN + day * DAY + user * 1000 + at, f"user:{user}", country, step


@pytest.fixture
def split(cluster, start, server_name, rng):
    """A cube in parts on a cluster, whole on one server, and their events."""
    alone = start(server_name)
    what = ("DIMENSION", "country", "VALUES", 250, "DIMENSION", "step", "VALUES", 20)
    with redis.RedisCluster(host="127.0.0.1", port=cluster.primaries[0].port) as client, redis.Redis(port=alone.port) as one:
        hot_cube.create(client, "split", *what)
        one.execute_command("HLL.CUBE.CREATE", "whole", *what)
        made = list(events(rng))
        for at, user, country, step in made:
            values = ("country", country, "step", step)
            hot_cube.add(client, "split", at, user, *values)
            one.execute_command("HLL.CUBE.ADD", "whole", at, user, *values)
        assert len({cluster.node_of(hot_cube.key("split", part)) for part in range(hot_cube.PARTS)}) > 1
        yield client, one, made


def ask_one(one, command, *question):
    return hot_cube.fields(one.execute_command(command, "whole", *question))


def close(found, wanted):
    """Sums of estimates that are exact but for their last digits."""
    return abs(found - wanted) <= 1e-6 * max(1, abs(wanted))


def test_parts_of_a_hot_cube_add_up_to_the_whole(split):
    """Users, events, funnels and retention, which are exact at these sizes, beside one cube with all events and beside the truth."""
    client, one, made = split
    time = ("FROM", BEGIN, "TO", BEGIN + 3 * DAY)
    users, lower, upper = hot_cube.added(hot_cube.ask(client, "HLL.CUBE.COUNT", "split", *time))
    assert close(users, len({user for _, user, *_ in made})) and close(lower, users) and close(upper, users)
    rows = hot_cube.by_value(client, "split", "country", *time)
    whole = {row["country"]: row for row in map(hot_cube.fields, ask_one(one, "HLL.CUBE.QUERY", *time, "BY", "country")["rows"])}
    assert rows.keys() == whole.keys() == {b"DE", b"FR", b"IT"}
    for country, ((users, _, _), number) in rows.items():
        assert close(users, float(whole[country]["unique"])) and number == float(whole[country]["events"])
        assert number == sum(c.encode() == country for *_, c, _ in made)
    funnel = ("step", "STEPS", 3, "view", "cart", "buy", *time)
    parts = [hot_cube.fields(answer["rows"][0])["steps"] for answer in hot_cube.ask(client, "HLL.CUBE.FUNNEL", "split", *funnel)]
    steps = hot_cube.fields(ask_one(one, "HLL.CUBE.FUNNEL", *funnel)["rows"][0])["steps"]
    for at, step in enumerate(map(hot_cube.fields, steps)):
        assert close(sum(float(hot_cube.fields(part[at])["users"]) for part in parts), float(step["users"]))
    kept = ("EVERY", "1d", "PERIODS", 2, *time)
    tables = [[hot_cube.fields(row) for row in answer["rows"]] for answer in hot_cube.ask(client, "HLL.CUBE.RETENTION", "split", *kept)]
    for at, row in enumerate(map(hot_cube.fields, ask_one(one, "HLL.CUBE.RETENTION", *kept)["rows"])):
        assert close(sum(float(table[at]["size"]) for table in tables), float(row["size"]))
        for period, cell in enumerate(map(hot_cube.fields, row["periods"])):
            if cell["users"] is not None:
                assert close(sum(float(hot_cube.fields(table[at]["periods"][period])["users"]) for table in tables), float(cell["users"]))


def test_half_widths_of_parts_are_added_as_squares():
    parts = [{"unique": 100, "unique_lower": 97, "unique_upper": 104}, {"unique": 50, "unique_lower": 46, "unique_upper": 53}]
    assert hot_cube.added(parts) == (150, 145, 155)


def test_a_hot_cube_of_many_users_is_within_its_interval(cluster):
    """99.99 % intervals of four parts: one run in 10,000 fails by chance."""
    users = 40_000
    with redis.RedisCluster(host="127.0.0.1", port=cluster.primaries[0].port) as client:
        hot_cube.create(client, "many", "DIMENSION", "country", "VALUES", 250)
        for part in range(hot_cube.PARTS):
            mine = [f"user:{n}" for n in range(users) if hot_cube.part_of(f"user:{n}") == part]
            assert abs(len(mine) - users / hot_cube.PARTS) < 600
            for at in range(0, len(mine), 1000):
                rows = [word for user in mine[at:at + 1000] for word in (BEGIN, user, "DE")]
                client.execute_command(hot_cube.Name("HLL.CUBE.MADD"), hot_cube.key("many", part), "FIELDS", 1, "country", "ROWS", *rows)
        found, lower, upper = hot_cube.added(hot_cube.ask(client, "HLL.CUBE.COUNT", "many", "CONFIDENCE", 0.9999))
        print(found, lower, upper)
        assert lower <= users <= upper and upper - lower < users * 0.1


def test_the_program_shows_what_it_promises(cluster):
    shown = run("hot_cube.py", cluster, "--users", 300).splitlines()
    assert shown[0] == "300 users (300 to 300), exactly 300" and [line[:3] for line in shown[1:]] == ["DE:", "FR:", "IT:"]
    assert [node.c("DBSIZE") for node in cluster.primaries] == [0, 0, 0]
