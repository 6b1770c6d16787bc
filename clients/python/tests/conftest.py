"""Fixtures: real servers with the module, as the server tests of the repository start them, and clients of both libraries.

    pytest clients/python/tests --servers redis-7.0 --module target/release/libredis_hll.so
"""

import os
import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import servers  # noqa: E402 (the path comes first)

TEST_SECONDS = 180


def pytest_addoption(parser):
    group = parser.getgroup("redis-hll")
    group.addoption("--servers", default="redis-7.0,valkey-9.1", help="comma-separated names, of " + " ".join(servers.ALL))
    group.addoption("--servers-dir", default=str(ROOT / "target" / "servers"), help="where an executable for each name is")
    group.addoption("--module", default=str(ROOT / "target" / "checked" / "libredis_hll.so"), help="the module under test")


def pytest_configure(config):
    os.environ.setdefault("HLL_SEED", str(random.SystemRandom().randrange(1 << 32)))
    config.hll_servers = {}
    for name in config.option.servers.split(","):
        path = Path(config.option.servers_dir) / name
        if name not in servers.ALL or not os.access(path, os.X_OK):
            raise pytest.UsageError(f"--servers: there is no {path}; known are {', '.join(servers.ALL)}, and scripts/servers gets them")
        config.hll_servers[name] = str(path)
    if not Path(config.option.module).is_file():
        raise pytest.UsageError(f"no module at {config.option.module}: build it first, or name one with --module")


def pytest_report_header(config):
    return [f"servers: {', '.join(config.hll_servers)}", f"module: {config.option.module}", f"HLL_SEED={os.environ['HLL_SEED']}"]


def pytest_generate_tests(metafunc):
    if "server_name" in metafunc.fixturenames:
        metafunc.parametrize("server_name", list(metafunc.config.hll_servers))


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture
def start(request):
    """start(name, options={...}) starts a server for this test alone; a crash or a caught panic in its log fails the test."""
    config, started = request.config, []

    def factory(name, options=None, module=True):
        server = servers.Server(name, config.hll_servers[name], os.path.abspath(config.option.module) if module else None, options)
        started.append(server)
        return server.start()

    yield factory
    troubles = [server.trouble() for server in started]
    for server in started:
        server.remove()
    assert not any(troubles), "; ".join(filter(None, troubles))


@pytest.fixture(scope="session")
def _shared(request):
    running = {}

    def get(name):
        if name not in running or not running[name].alive:
            module = os.path.abspath(request.config.option.module)
            running[name] = servers.Server(name, request.config.hll_servers[name], module).start()
        return running[name]

    yield get
    for server in running.values():
        server.remove()


@pytest.fixture
def server(_shared, server_name):
    """A shared server, empty; the test runs once for each name."""
    server = _shared(server_name)
    server.close_clients()
    server.reset()
    server.mark_log()
    yield server
    trouble = server.trouble()
    server.close_clients()
    assert server.alive and not trouble, trouble


@pytest.fixture
def one_server(_shared, request):
    """A shared server of one kind, empty: for what does not depend on the server."""
    server = _shared(next(iter(request.config.hll_servers)))
    server.close_clients()
    server.reset()
    return server


@pytest.fixture
def rng(request):
    """Random numbers of this test: the same for the same HLL_SEED."""
    print(f"random seed: HLL_SEED={os.environ['HLL_SEED']}")
    return random.Random(f"{os.environ['HLL_SEED']}:{request.node.nodeid}")
