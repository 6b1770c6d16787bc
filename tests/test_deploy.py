"""What lies under deploy/ works as it lies there: the configuration and the users on every server, the monitoring with the real
exporter and the real Prometheus, the timers with the programs they start."""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

import servers
from conftest import ROOT
from helpers import add, elements
from resp import Client, ReplyError
from servers import wait_for

sys.path.insert(0, os.path.join(ROOT, "scripts"))

from care.__main__ import parse  # noqa: E402 (the path comes first)

DEPLOY = Path(ROOT) / "deploy"
MONITORING = DEPLOY / "monitoring"

# ---- the configuration and the users --------------------------------------------------------------------------------

ROLES = ["reader", "board", "writer", "operator", "care", "exporter", "replica", "sentinel"]


def password(role):
    return f"the password of {role}"


def deployed(directory, module):
    """The directory as /etc/redis and /var/lib/redis would be; the path of redis.conf in it."""
    users = (DEPLOY / "users.acl").read_text()
    for role in ROLES:
        word = f"#{role.upper()}_SHA256"
        assert users.count(word) == 1
        users = users.replace(word, "#" + hashlib.sha256(password(role).encode()).hexdigest())
    Path(directory, "users.acl").write_text(users)
    Path(directory, "secret.conf").write_text(f'hll.hash-seed 6184920391763254411\nmasterauth "{password("replica")}"\n')
    text = (DEPLOY / "redis.conf").read_text()
    for path, there in (("/usr/local/lib/redis/libredis_hll.so", module), ("/etc/redis/", f"{directory}/"), ("/var/lib/redis", directory)):
        active = [line for line in text.splitlines() if path in line and not line.startswith("#")]
        assert active, path
        text = "\n".join(line if line.startswith("#") else line.replace(path, str(there)) for line in text.splitlines()) + "\n"
    conf = Path(directory, "redis.conf")
    conf.write_text(text)
    return conf


class Production(servers.Server):
    """A server set up as deploy/ says, with nothing on its command line but the port."""

    def command_line(self):
        return [self.binary, os.path.join(self.directory, "redis.conf"), "--port", str(self.port)]

    def _wait_until_ready(self):
        def answers():
            if self.process.poll() is not None:
                pytest.fail(f"{self.name} did not start; its log ends:\n{self.log_tail(20)}")
            with contextlib.suppress(OSError, ReplyError), self.as_user("operator") as c:
                return c("PING") == "PONG"
        return wait_for(f"{self.name} to answer", answers)

    def as_user(self, role):
        c = self.client()
        c("AUTH", role, password(role))
        return c


@pytest.fixture
def production(request):
    """production(name, *lines) starts a server as deploy/ says, with these lines at the end of its file."""
    config = request.config
    started = []

    def factory(name, *lines):
        server = Production(name, config.hll_servers[name], config.option.module)
        conf = deployed(server.directory, config.option.module)
        with open(conf, "a") as f:
            f.writelines(f"{line}\n" for line in lines)
        started.append(server)
        return server.start()

    yield factory
    troubles = [server.trouble() for server in started]
    for server in started:
        server.remove()
    assert not any(troubles), troubles


def test_a_server_starts_as_configured_and_is_set_as_every_line_says(production, server_name):
    server = production(server_name)
    c = server.as_user("operator")
    seen = 0
    for line in Path(server.directory, "redis.conf").read_text().splitlines():
        name, _, value = line.partition(" ")
        if not line or name.startswith("#") or name in ("include", "loadmodule", "port"):
            continue
        reply = c("CONFIG", "GET", name)
        if (name, server_name) == ("sanitize-dump-payload", "valkey-9.1"):
            assert reply == []
            continue
        assert reply, f"{server_name} has no setting {name}"
        found, wanted = reply[1].decode(), value.strip('"')
        if name == "client-output-buffer-limit":
            found, wanted = found.split("slave ")[-1].split("replica ")[-1].split(" pubsub")[0], "536870912 134217728 60"
        if wanted.endswith(("kb", "mb", "gb")):
            wanted = str(int(wanted[:-2]) << {"k": 10, "m": 20, "g": 30}[wanted[-2]])
        assert found == wanted, name
        seen += 1
    assert seen > 40
    assert c("CONFIG", "GET", "hll.hash-seed")[1] == b"6184920391763254411"
    assert c("HLL.CREATE", "large", "PRECISION", 16) == "OK"
    with pytest.raises(ReplyError, match="hll.max-memory-per-key"):
        c("HLL.CREATE", "larger", "PRECISION", 17)
    add(c, "k", elements(0, 10))
    # While the disk is busy a server may put off what it writes for two seconds.
    wait_for("the file to have it", lambda: b"aof_buffer_length:0" in c("INFO", "persistence"))
    server.kill()
    server.start()
    assert server.as_user("operator")("HLL.COUNT", "k") == 10


def test_a_server_does_not_start_with_a_password_nobody_chose(production, newest, request):
    server = Production(newest, request.config.hll_servers[newest], request.config.option.module)
    deployed(server.directory, request.config.option.module)
    shutil.copy(DEPLOY / "users.acl", server.directory)
    server.port = servers.free_port()
    done = subprocess.run(server.command_line(), capture_output=True, text=True, timeout=20, cwd=server.directory)
    assert done.returncode != 0 and "users.acl" in done.stdout + done.stderr
    server.remove()


# What each role may do of the module's commands; operator may do everything but what replicas and files are for.
# The probe is asked by the module itself, for nobody.
READS_OF_A_READER_NOT = {"hll.export", "hll.probe"}
OF_A_WRITER = {"hll.create", "hll.add", "hll.merge", "hll.cluster|merge", "hll.cube.create", "hll.cube.add", "hll.cube.madd", "hll.cube.store"}
OF_CARE = {"hll.count", "hll.merge", "hll.export", "hll.import", "hll.accuracy.track"}
OF_THE_BOARD = {"hll.count", "hll.estimate", "hll.cube.count", "hll.cube.query", "hll.cube.top", "hll.cube.funnel", "hll.cube.retention", "hll.cube.campaign",
                "hll.cube.info", "hll.accuracy.alerts", "hll.stats"}
OF_THE_EXPORTER = {"hll.count", "hll.cube.info"}


def may(role, name, flags):
    match role:
        case "reader":
            return "readonly" in flags and name not in READS_OF_A_READER_NOT
        case "board":
            return name in OF_THE_BOARD
        case "writer":
            return name in OF_A_WRITER
        case "operator":
            return name not in {"hll.replay", "hll.rebuild"}
        case "care":
            return name in OF_CARE
        case "exporter":
            return name in OF_THE_EXPORTER
        case _:
            return False


def test_every_role_may_do_what_it_is_for_of_every_command(production, server_name):
    c = production(server_name).as_user("operator")
    names = [name.decode().lower() for name in c("COMMAND", "LIST", "FILTERBY", "MODULE", "hll")]
    assert len(names) > 25
    abouts = [c("COMMAND", "INFO", name)[0] for name in names]
    # Of a command that is a container, each of its commands.
    abouts = [one for about in abouts for one in (about[9] or [about])]
    assert any(about[0] == b"hll.cluster|merge" for about in abouts)
    for about in abouts:
        name = about[0].decode().lower()
        flags = set(map(str, about[2]))
        words = name.split("|")
        for role in ["default", *ROLES]:
            # The board may read its own keys only; a key of commands that take several stands behind their number.
            key = "shop" if role == "board" else "1"
            arguments = (["1", key] + [key] * 9 if "movablekeys" in flags else [key] * 10)[:max(abs(about[1]) - len(words), 0)]
            allowed = c("ACL", "DRYRUN", role, *words, *arguments) == "OK"
            assert allowed == may(role, name, flags), f"{role} {'may' if allowed else 'may not'} {name}"


OTHERS = {
    "default": (["PING"], ["AUTH", "x", "y"]),
    "reader": (["GET", "k"], ["SET", "k", "v"], ["DUMP", "k"], ["KEYS", "*"], ["CONFIG", "GET", "hll.hash-seed"], ["EVAL", "return 1", "0"],
               ["SUBSCRIBE", "other"], ["CLIENT", "KILL", "TYPE", "normal"], ["MONITOR"], ["DEL", "k"]),
    "board": (["GET", "shop"], ["SET", "shop", "v"], ["HLL.CUBE.QUERY", "other"], ["HLL.COUNT", "shop", "other"], ["HLL.CUBE.ADD", "shop", "*", "a"], ["DUMP", "shop"],
              ["INFO"], ["KEYS", "*"], ["CONFIG", "GET", "hll.hash-seed"], ["SUBSCRIBE", "hll:alerts"], ["EVAL", "return 1", "0"], ["HLL.EXPORT", "shop"]),
    "writer": (["GET", "k"], ["FLUSHALL"], ["CONFIG", "GET", "hll.hash-seed"], ["DUMP", "k"], ["RESTORE", "k", "0", "x"], ["KEYS", "*"],
               ["SUBSCRIBE", "hll:alerts"], ["EVAL", "return 1", "0"], ["SET", "k", "v"]),
    "care": (["FLUSHALL"], ["CONFIG", "SET", "save", ""], ["SET", "k", "v"], ["KEYS", "*"], ["SHUTDOWN"]),
    "exporter": (["CONFIG", "GET", "hll.hash-seed"], ["SET", "k", "v"], ["GET", "k"], ["SCAN", "0"], ["SLOWLOG", "RESET"]),
    "replica": (["GET", "k"], ["INFO"], ["CONFIG", "GET", "*"]),
    "sentinel": (["GET", "k"], ["SET", "k", "v"], ["CONFIG", "GET", "*"]),
}


def test_no_role_may_do_what_it_is_not_for(production, server_name):
    server = production(server_name)
    c = server.as_user("operator")
    for role, refused in OTHERS.items():
        for command in refused:
            if (role, command[0]) != ("default", "AUTH"):
                assert c("ACL", "DRYRUN", role, *command) != "OK", (role, command)
    for role, allowed in (("reader", ["SUBSCRIBE", "hll:alerts"]), ("reader", ["PING"]), ("reader", ["CLIENT", "SETNAME", "x"]), ("reader", ["SELECT", "1"]), ("board", ["HELLO"]), ("board", ["HLL.CUBE.QUERY", "shop"]), ("board", ["HLL.ACCURACY.ALERTS", "hll:accuracy"]),
                          ("writer", ["EXPIRE", "k", "9"]), ("writer", ["MULTI"]), ("writer", ["WAIT", "1", "9"]), ("operator", ["CONFIG", "SET", "hll.default-precision", "14"]),
                          ("operator", ["SHUTDOWN"]), ("operator", ["SUBSCRIBE", "hll:alerts"]), ("operator", ["HLL.EXPORT", "k"])):
        assert c("ACL", "DRYRUN", role, *allowed) == "OK", (role, allowed)
    with server.client() as nobody, pytest.raises(ReplyError, match="NOAUTH|WRONGPASS"):
        nobody("PING")
    reader = server.as_user("reader")
    assert reader("HLL.COUNT", "none") == 0
    with pytest.raises(ReplyError, match="^NOPERM"):
        reader("HLL.ADD", "k", "a")


@pytest.mark.thorough
def test_replicas_follow_and_sentinel_fails_over_with_the_rights_they_have(production, newest, tmp_path):
    primary = production(newest)
    replica = production(newest, f"replicaof 127.0.0.1 {primary.port}")
    c, r = primary.as_user("operator"), replica.as_user("operator")
    add(c, "k", elements(0, 3000))
    assert wait_for("the replica", lambda: c("WAIT", 1, 1000))
    assert r("HLL.EXPORT", "k") == c("HLL.EXPORT", "k")
    port = servers.free_port()
    text = (DEPLOY / "sentinel.conf").read_text().replace("port 26379", f"port {port}").replace("127.0.0.1 6379 2", f"127.0.0.1 {primary.port} 1")
    text = re.sub(r"^# (sentinel auth-\w+ hll )(.*)$", lambda m: m[1] + (m[2] if "user" in m[1] else json.dumps(password("sentinel"))), text, flags=re.M)
    assert len(re.findall("^sentinel auth", text, re.M)) == 2
    conf = tmp_path / "sentinel.conf"
    conf.write_text(text)
    process = subprocess.Popen([primary.binary, str(conf), "--sentinel"], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=tmp_path)
    try:
        def sentinel(*command):
            with contextlib.suppress(OSError, ReplyError), Client(port, timeout=5) as s:
                return s(*command)

        wait_for("Sentinel to know the replica", lambda: b"slaves=1" in (sentinel("INFO", "sentinel") or b""))
        wait_for("Sentinel to agree", lambda: sentinel("SENTINEL", "FAILOVER", "hll") == "OK")

        def about(server):  # Sentinel has connections closed where a role changes
            with contextlib.suppress(OSError, ReplyError), server.as_user("operator") as again:
                return server.info(again, "replication")
            return {}

        wait_for("the replica to be primary", lambda: about(replica).get("role") == "master", seconds=60)
        wait_for("the primary to follow", lambda: about(primary).get("master_link_status") == "up", seconds=60)
        assert primary.as_user("operator")("HLL.COUNT", "k") == replica.as_user("operator")("HLL.COUNT", "k")
    finally:
        process.kill()
        process.wait()


# ---- monitoring -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tools():
    """The directory of promtool, prometheus and the exporter; a loud skip where apt cannot get them."""
    done = subprocess.run(["bash", "-c", 'source scripts/lib.sh; need_monitoring; echo "MONITORING=$MONITORING"'], cwd=ROOT, capture_output=True,
                          text=True, timeout=170)
    found = re.search(r"^MONITORING=(.+)$", done.stdout, re.M)
    if done.returncode or not found:
        pytest.skip(f"no Prometheus here: {(done.stderr or done.stdout)[-300:]}")
    return Path(found[1])


def promtool(tools, *words):
    done = subprocess.run([tools / "promtool", *words], capture_output=True, text=True, timeout=60, cwd=MONITORING)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_the_rules_and_the_configuration_right(tools, tmp_path):
    promtool(tools, "check", "rules", "rules.yml")
    promtool(tools, "check", "config", "prometheus.yml")


def test_every_alert_fires_alone_where_it_should_and_not_before(tools):
    promtool(tools, "test", "rules", "rules-test.yml")
    alerts = re.findall(r"^      - alert: (\w+)$", (MONITORING / "rules.yml").read_text(), re.M)
    assert len(alerts) == len(set(alerts)) > 15
    cases = re.split(r"^  - name: ", (MONITORING / "rules-test.yml").read_text(), flags=re.M)[1:]
    fired = set()
    for case in cases:
        samples = re.findall(r"exp_samples: (.*)$", case, re.M)
        assert samples[0] == "[]", f"a case begins quiet: {case}"
        fired |= {re.fullmatch(r"""\[\{labels: '\{alertname="(\w+)"\}', value: 1\}\]""", sample)[1] for sample in samples if sample != "[]"}
    assert fired == set(alerts)


def test_every_alert_has_a_severity_and_says_what_to_do():
    for rule in re.split(r"^      - alert: ", (MONITORING / "rules.yml").read_text(), flags=re.M)[1:]:
        assert re.search(r"^        labels: \{severity: (warning|critical)\}$", rule, re.M), rule
        assert re.search(r"^          summary: '\{\{ \$labels.instance \}\}: ", rule, re.M) and re.search(r"^          do: '.+'$", rule, re.M), rule


def test_the_page_on_monitoring_has_every_alert_and_every_metric_of_watched_keys():
    page = Path(ROOT, "docs/monitoring.md").read_text()
    rules = re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", (MONITORING / "rules.yml").read_text(), re.S)
    assert re.findall(r"^\| (\w+) \| (warning|critical) \|", page, re.M) == rules
    keyed = re.findall(r"'(hll_key_\w+):'", (MONITORING / "hll.lua").read_text())
    assert list(dict.fromkeys(re.findall(r"^\| `redis_(hll_key_\w+)` \|", page, re.M))) == list(dict.fromkeys(keyed))
    assert {path.name for path in MONITORING.iterdir()} == set(re.findall(r"\.\./deploy/monitoring/([\w.-]+)\)", page))


def get(port, path, **query):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def process(what, line, port, path, log, **more):
    """A program that serves HTTP, until the end of the block."""
    with open(log, "wb") as output:
        running = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=servers._die_with_parent, **more)
    try:
        def ready():
            assert running.poll() is None, f"{what} ended:\n{Path(log).read_text()[-2000:]}"
            with contextlib.suppress(OSError):
                return get(port, path) or True
        wait_for(what, ready, seconds=60)
        yield
    finally:
        running.kill()
        running.wait()


@contextlib.contextmanager
def exporter(tools, server, directory, watched=(), user="exporter", secret=None):
    """The exporter as deploy/ starts it, beside a server; its port."""
    script = Path(directory) / f"hll-{server.port}.lua"
    text = (MONITORING / "hll.lua").read_text()
    assert text.count("local watched = {}") == 1
    script.write_text(text.replace("local watched = {}", "local watched = {%s}" % ", ".join(f"'{key}'" for key in watched)))
    (arguments,) = re.findall(r'^ARGS="(.+)"$', (MONITORING / "prometheus-redis-exporter").read_text(), re.M)
    port = servers.free_port()
    for there, here in (("127.0.0.1:6379", f"127.0.0.1:{server.port}"), ("127.0.0.1:9121", f"127.0.0.1:{port}"), ("/etc/redis/hll.lua", str(script))):
        assert arguments.count(there) == 1
        arguments = arguments.replace(there, here)
    environment = {**os.environ, "REDIS_USER": user, "REDIS_PASSWORD": secret or password(user)}
    with process("the exporter", [tools / "prometheus-redis-exporter", *shlex.split(arguments)], port, "/", Path(directory) / f"exporter-{port}.log", env=environment):
        yield port


def metrics(port):
    """name and labels -> value, of a scrape."""
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in get(port, "/metrics").splitlines() if not line.startswith("#"))}


def test_the_exporter_tells_every_number_of_info_and_the_figures_of_watched_keys(tools, production, server_name, tmp_path):
    """With the rights of its user, on every server; a value that is no number would make the whole server look down."""
    server = production(server_name)
    c = server.as_user("operator")
    add(c, "visitors", elements(0, 5000))
    c("HLL.CUBE.CREATE", "shop", "DIMENSION", "page", "VALUES", 2)
    for i in range(50):
        c("HLL.CUBE.ADD", "shop", 1764000000000 + i * 7_200_000, f"u{i}", "page", f"p{i % 9}")
    with exporter(tools, server, tmp_path, ["visitors", "shop", "none"]) as port:
        found = metrics(port)
        assert found["redis_up"] == 1
        assert not [name for name in found if name.startswith("redis_exporter_last_scrape_error") and found[name]]
        info = {name: value for name, value in server.info(c, "hll").items() if re.fullmatch(r"[\d.]+", value) and value.count(".") < 2}
        scripted = {name.split('"')[1]: value for name, value in found.items() if name.startswith("redis_script_values{")}
        assert set(info) <= set(scripted) and "hll_version" not in scripted
        for name in ("hll_sketch_keys", "hll_sketch_bytes", "hll_cube_keys", "hll_cube_bytes"):
            assert scripted[name] == float(info[name])
        keyed = {name: value for name, value in scripted.items() if name.startswith("hll_key_")}
        cube = c("HLL.CUBE.INFO", "shop")
        cube = dict(zip(cube[::2], cube[1::2]))
        assert keyed == {"hll_key_elements:visitors": c("HLL.COUNT", "visitors"), "hll_key_bytes:visitors": c("MEMORY", "USAGE", "visitors", "SAMPLES", 0),
                         "hll_key_bytes:shop": cube[b"memory_bytes"], "hll_key_newest_event_seconds:shop": cube[b"newest"] / 1000,
                         "hll_key_late_events:shop": cube[b"late"], "hll_key_waiting:shop": cube[b"waiting"],
                         "hll_key_other_events:shop": sum(dict(zip(column[::2], column[1::2]))[b"other_events"] for column in cube[b"columns"])}
        assert keyed["hll_key_other_events:shop"] > 0
        c("DEL", "shop", "visitors")
        assert not [name for name in metrics(port) if "hll_key_" in name]


@contextlib.contextmanager
def prometheus(tools, targets, directory, waits="0s"):
    """Prometheus with deploy/'s configuration and rules, but that it looks every second and that alerts wait as given; its port."""
    place = Path(directory) / "prometheus"
    place.mkdir()
    rules, changed = re.subn(r"^        for: \w+$", f"        for: {waits}", (MONITORING / "rules.yml").read_text(), flags=re.M)
    assert changed > 10
    (place / "rules.yml").write_text(rules)
    text = (MONITORING / "prometheus.yml").read_text()
    for there, here in (("_interval: 15s", "_interval: 1s"), ("['127.0.0.1:9121']", json.dumps([f"127.0.0.1:{target}" for target in targets]))):
        assert there in text
        text = text.replace(there, here)
    text = text[:text.index("\nalerting:")]
    (place / "prometheus.yml").write_text(text)
    port = servers.free_port()
    line = [tools / "prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with process("Prometheus", line, port, "/-/ready", place / "log"):
        yield port


def query(port, expression):
    """The samples of an instant query: labels -> value."""
    answer = json.loads(get(port, "/api/v1/query", query=expression))
    assert answer["status"] == "success"
    return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]


def firing(port):
    return {labels["alertname"] for labels, _ in query(port, 'ALERTS{alertstate="firing"}')}


@pytest.mark.thorough
def test_an_alert_goes_up_and_comes_down(tools, production, newest, tmp_path):
    """Memory over 80 % of maxmemory: from the server through the exporter and Prometheus to a firing rule, and back."""
    server = production(newest)
    c = server.as_user("operator")
    add(c, "k", elements(0, 100))
    c("SETRANGE", "filler", 20 << 20, "x")  # beside which what connections take is little
    c("SAVE")
    with exporter(tools, server, tmp_path) as scraped, prometheus(tools, [scraped], tmp_path) as port:
        wait_for("the first scrape", lambda: query(port, "redis_hll_sketch_keys"))
        assert [value for _, value in query(port, "redis_hll_sketch_keys")] == [1]
        assert "RedisMemoryHigh" not in firing(port)
        used = int(server.info(c, "memory")["used_memory"])
        c("CONFIG", "SET", "maxmemory", int(used * 1.15))
        wait_for("the alert", lambda: "RedisMemoryHigh" in firing(port), seconds=30)
        (alert,) = [a for a in json.loads(get(port, "/api/v1/alerts"))["data"]["alerts"] if a["labels"]["alertname"] == "RedisMemoryHigh"]
        assert re.fullmatch(r"127\.0\.0\.1:\d+: 8\d\.\d+% of maxmemory are in use", alert["annotations"]["summary"])
        c("CONFIG", "SET", "maxmemory", used * 10)
        wait_for("its end", lambda: "RedisMemoryHigh" not in firing(port), seconds=30)


@pytest.mark.thorough
def test_a_sketch_that_is_off_raises_its_alert_everywhere_once_until_it_is_reset(tools, production, newest, tmp_path):
    """7 % off is a warning and 12 % critical: for the program that asks, a subscriber, INFO, the exporter and a firing rule."""
    server = production(newest)
    c, reader = server.as_user("operator"), server.as_user("reader")
    add(c, "visitors", elements(0, 10_000))
    count = c("HLL.COUNT", "visitors")
    reader("SUBSCRIBE", "hll:alerts")
    url = f"redis://care@127.0.0.1:{server.port}/0"

    def check(factor):
        """How the weekly check ends, twice."""
        for _ in range(2):
            done = subprocess.run([os.path.join(ROOT, "scripts/caretaker"), "accuracy", "--url", url, "--monitor", "hll:accuracy"], text=True,
                                  input=f"visitors\t{round(count / factor)}\tdaily\n", capture_output=True, env={**os.environ, "REDISCLI_AUTH": password("care")})
        return done.returncode

    def now():
        info = server.info(c, "hll")
        return [int(info[f"hll_accuracy_{name}"]) for name in ("alerts_warning", "alerts_critical", "warning_now", "critical_now")]

    def told():
        channel, message = reader.read()[1:]
        assert channel == b"hll:alerts"
        return json.loads(message)["level"]

    accuracy = {"HllAccuracyWarning", "HllAccuracyCritical"}
    with exporter(tools, server, tmp_path) as scraped, prometheus(tools, [scraped], tmp_path) as port:
        wait_for("the first scrape", lambda: query(port, "redis_hll_accuracy_warning_now"))
        assert check(1) == 0 and now() == [0, 0, 0, 0] and not accuracy & firing(port)
        assert check(1.07) == 1 and now() == [1, 0, 1, 0] and told() == "warning"
        wait_for("the warning", lambda: accuracy & firing(port) == {"HllAccuracyWarning"}, seconds=30)
        assert check(1.12) == 1 and now() == [1, 1, 0, 1] and told() == "critical"
        wait_for("the critical one", lambda: accuracy & firing(port) == {"HllAccuracyCritical"}, seconds=30)
        assert metrics(scraped)['redis_script_values{key="hll_accuracy_critical_now"}'] == 1
        c("HLL.ACCURACY.RESET", "hll:accuracy")
        assert now() == [1, 1, 0, 0]
        wait_for("the end", lambda: not accuracy & firing(port), seconds=30)
        c("PUBLISH", "hll:alerts", '{"level": "no more than these two"}')
        assert told() == "no more than these two"


@pytest.mark.thorough
def test_every_metric_of_the_rules_and_every_panel_of_the_dashboard_is_there(tools, production, newest, tmp_path):
    """On a primary with a replica, a cube and a watched key: each name in the rules exists, each panel's question has an answer."""
    server = production(newest)
    replica = production(newest, f"replicaof 127.0.0.1 {server.port}")
    c = server.as_user("operator")
    add(c, "visitors", elements(0, 5000))
    add(c, "buyers", elements(4000, 9000))
    c("HLL.CUBE.CREATE", "shop", "DIMENSION", "page", "VALUES", 20)
    c("SAVE")
    board = json.loads((MONITORING / "dashboard.json").read_text())
    asked = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(asked) > 40
    with exporter(tools, server, tmp_path, ["visitors", "shop"]) as first, exporter(tools, replica, tmp_path) as second, \
            prometheus(tools, [first, second], tmp_path) as port:
        wait_for("the first scrapes", lambda: query(port, "redis_master_link_up") and query(port, "redis_connected_slave_lag_seconds"))
        for i in range(12):  # calls over some scrapes, so that rates are there
            c("HLL.INTERSECT", 2, "visitors", "buyers")
            c("HLL.CUBE.ADD", "shop", "*", f"u{i}", "page", "/")
            time.sleep(0.4)
        names = {name for name in json.loads(get(port, "/api/v1/label/__name__/values"))["data"]}
        rules = re.sub(r"'.*?'", "", (MONITORING / "rules.yml").read_text())
        wanted = set(re.findall(r"\b(redis_\w+)", rules))
        assert len(wanted) > 15 and wanted <= names, wanted - names
        for title, expression in asked:
            expression = expression.replace("$job", "redis").replace("$instance", ".+")
            assert query(port, expression), f"{title}: {expression}"


# ---- timers ---------------------------------------------------------------------------------------------------------

PROGRAMS = ["rollup", "accuracy", "archive", "backup"]
CARETAKER = "/opt/redis-hll/scripts/caretaker"


def calls_of(line):
    """The arguments of each call of the caretaker in a line of a shell."""
    found = []
    for piece in re.split(r"\||&&|;", line):
        words = shlex.split(piece)
        if CARETAKER in words:
            found.append(words[words.index(CARETAKER) + 1:])
    return found


def of_unit(program):
    text = (DEPLOY / f"care/hll-{program}.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.+)$", text, re.M)
    line = line.replace("%%", "%")
    if line.startswith("/bin/bash"):
        line = shlex.split(line)[-1]
    (call,) = calls_of(line)
    return call


def of_cron():
    """program -> (schedule, arguments)."""
    found = {}
    for line in (DEPLOY / "care/hll-care.cron").read_text().splitlines():
        if re.match(r"[\d*]", line):
            *schedule, user, command = line.split(None, 6)
            (call,) = calls_of(command.replace("\\%", "%"))
            assert re.sub(r"\\%", "", command).count("%") == 0, "a % ends a command of cron"
            assert user == "redis"
            found[call[0]] = (schedule[:5], call)
    return found


def test_cron_and_systemd_start_the_same_at_the_same_time():
    cron = of_cron()
    assert list(cron) == PROGRAMS
    for program in PROGRAMS:
        (minute, hour, of_month, month, of_week), call = cron[program]
        assert call == of_unit(program)
        timer = (DEPLOY / f"care/hll-{program}.timer").read_text()
        week = {"1": "Mon ", "*": ""}[of_week]
        on = "*" if of_month == "*" else f"{int(of_month):02}"
        assert month == "*" and f"\nOnCalendar={week}*-*-{on} {int(hour):02}:{int(minute):02}:00\n" in timer


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_timer_starts_is_a_call_that_the_program_takes(program, tmp_path, request):
    call = [word.replace("/var/backups/redis-hll", str(tmp_path)) for word in of_unit(program)]
    (tmp_path / "dump.rdb").write_bytes(b"REDIS")
    if program == "backup":
        call = [request.config.option.module if word.endswith(".so") else word for word in call] + ["--server", "/bin/true"]
    assert parse(call).program == program


def test_systemd_finds_the_units_right(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    for unit in sorted((DEPLOY / "care").glob("hll-*.[st]*")):
        text = unit.read_text().replace(CARETAKER, "/bin/true")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--recursive-errors=no", *sorted(map(str, tmp_path.iterdir()))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not re.search(r"hll-\S+:\d+:", done.stderr), done.stderr
