"""Fixtures of the tests against real servers. How to run them: README.md in this directory."""

import os
import random
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
pytest.register_assert_rewrite("helpers")

import servers  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEST_SECONDS = 180


def pytest_addoption(parser):
    group = parser.getgroup("redis-hll")
    group.addoption("--servers", help="comma-separated names, of " + " ".join(servers.ALL) + " (default: all of them)")
    group.addoption("--servers-dir", default=os.path.join(ROOT, "target", "servers"),
                    help="where an executable for each name is")
    group.addoption("--module", default=os.path.join(ROOT, "target", "release", "libredis_hll.so"),
                    help="the module under test")
    group.addoption("--checked-module", default=os.path.join(ROOT, "target", "checked", "libredis_hll.so"),
                    help="the same with debug assertions and HLL.PANIC")
    group.addoption("--quick", action="store_true",
                    help="the checked build in place of both; leaves out the tests marked `thorough` or `shipped`")


def pytest_configure(config):
    # Workers of pytest-xdist are child processes: through the environment all draw from the same seed.
    os.environ.setdefault("HLL_SEED", str(random.SystemRandom().randrange(1 << 32)))
    config.addinivalue_line("markers", "thorough: takes seconds, for statistics or for many cases of one promise; not in a quick run")
    config.addinivalue_line("markers", "shipped: about the release build, which has no commands for tests; not in a quick run")
    config.hll_servers = _servers(config)
    if config.option.quick:
        config.option.module = config.option.checked_module
    for option in ("module", "checked_module"):
        path = os.path.abspath(getattr(config.option, option))
        if not os.path.isfile(path):
            raise pytest.UsageError(f"no module at {path}: build it first, or name one with --{option.replace('_', '-')}")
        setattr(config.option, option, path)


def _servers(config):
    """name -> binary of the servers to test on. A missing one is an error, never a silent gap."""
    directory, wanted = config.option.servers_dir, config.option.servers
    names = [n for n in wanted.split(",") if n] if wanted else servers.ALL
    unknown = [n for n in names if n not in servers.ALL]
    if unknown:
        raise pytest.UsageError(f"--servers: unknown {', '.join(unknown)}; known: {', '.join(servers.ALL)}")
    found = {n: os.path.join(directory, n) for n in names if os.access(os.path.join(directory, n), os.X_OK)}
    missing = [n for n in names if n not in found]
    if missing or not found:
        raise pytest.UsageError(f"no server in {directory} for: {', '.join(missing) or 'any name'}. "
                                "Install them, or choose with --servers")
    return found


def pytest_report_header(config):
    return [f"servers: {', '.join(config.hll_servers)}", f"module: {config.option.module}",
            f"HLL_SEED={os.environ['HLL_SEED']}"]


def pytest_generate_tests(metafunc):
    names = list(metafunc.config.hll_servers)
    if "server_name" in metafunc.fixturenames:
        metafunc.parametrize("server_name", names)
    if "protocol" in metafunc.fixturenames:
        metafunc.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])
    if "build" in metafunc.fixturenames:
        metafunc.parametrize("build", ["checked"] if metafunc.config.option.quick else ["release", "checked"])


def pytest_collection_modifyitems(config, items):
    if config.option.quick:
        left_out = [i for i in items if i.get_closest_marker("thorough") or i.get_closest_marker("shipped")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if i not in set(left_out)]
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"WARNING: NOT RUN: {report.nodeid}: {reason}", yellow=True, bold=True)
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"Repeat the random choices of this run with HLL_SEED={os.environ['HLL_SEED']}")


# Servers

_running = pytest.StashKey()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows how the logs of its servers end."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in item.stash.get(_running, []):
            report.sections.append((f"log of {server}, {'alive' if server.alive else 'DEAD'}", server.log_tail()))


class Pool:
    """The servers that all tests of this process share, one per (name, module), started when first wanted."""

    def __init__(self, config):
        self.config, self.servers = config, {}

    def get(self, name, build):
        module = self.config.option.module if build == "release" else self.config.option.checked_module
        key = (name, module)
        server = self.servers.get(key)
        if server is None or not server.alive:
            if server:
                server.remove()
            server = self.servers[key] = servers.Server(name, self.config.hll_servers[name], module).start()
        return server


@pytest.fixture(scope="session")
def pool(request):
    pool = Pool(request.config)
    yield pool
    for server in pool.servers.values():
        server.stop()
        server.remove()


def _borrow(request, pool, name, build):
    """A shared server, empty; afterwards it must be alive and its log clean."""
    server = pool.get(name, build)
    request.node.stash.setdefault(_running, []).append(server)
    server.close_clients()
    server.expects_panic = False
    server.reset()
    server.mark_log()
    yield server
    if not server.alive:
        pytest.fail(f"{server.name} died with status {server.process.returncode}")
    trouble = server.trouble()
    server.close_clients()
    try:
        server.reset()
    finally:
        server.close_clients()
    if trouble:
        pytest.fail(trouble)


@pytest.fixture
def server(request, pool, server_name):
    """A shared server with the release build, empty; the test runs once for each name."""
    yield from _borrow(request, pool, server_name, "release")


@pytest.fixture
def client(server, protocol):
    """A connection; the test runs once for each server and protocol version."""
    return server.client(protocol)


@pytest.fixture
def both_builds(request, pool, build, newest):
    """A shared server; the test runs once with the release and once with the checked build, on one kind of server."""
    yield from _borrow(request, pool, newest, build)


@pytest.fixture
def checked(request, pool, newest):
    """A shared server with the checked build, of one kind."""
    yield from _borrow(request, pool, newest, "checked")


@pytest.fixture
def one_server(request, pool, newest):
    """A shared server with the release build, of one kind: for tests of our own mathematics, alike on all."""
    yield from _borrow(request, pool, newest, "release")


@pytest.fixture
def newest(request):
    """The name of the server for tests that run on one only: the last of the chosen."""
    return list(request.config.hll_servers)[-1]


@pytest.fixture
def start(request):
    """start(name, options={...}, module_args=[...]) starts a server for this test alone and cleans up after it.
    `snapshot` is an RDB file to load, `module=False` starts it without our module."""
    config = request.config
    started = []

    def factory(name, options=None, module_args=(), build="release", module=True, snapshot=None):
        path = {"release": config.option.module, "checked": config.option.checked_module}[build]
        server = servers.Server(name, config.hll_servers[name], path if module else None, options, module_args)
        started.append(server)
        if snapshot:
            shutil.copy(snapshot, os.path.join(server.directory, "dump.rdb"))
        request.node.stash.setdefault(_running, []).append(server)
        return server.start()

    yield factory
    troubles = []
    for server in started:
        troubles.append(server.trouble())
        server.remove()
    if any(troubles):
        pytest.fail("; ".join(filter(None, troubles)))


@pytest.fixture
def rng(request):
    """Random numbers of this test: the same for the same HLL_SEED, whichever tests run and in whichever order."""
    seed = f"{os.environ['HLL_SEED']}:{request.node.nodeid}"
    print(f"random seed: HLL_SEED={os.environ['HLL_SEED']}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def data():
    """path(name) of a file of real data, or a loud skip. Where: environment HLL_DATA, or ../shared/data."""
    directory = os.environ.get("HLL_DATA") or os.path.join(ROOT, "..", "shared", "data")

    def path(name):
        full = os.path.join(directory, name)
        if not os.path.isfile(full):
            pytest.skip(f"no real data: {full} is missing (set HLL_DATA)")
        return full

    return path
