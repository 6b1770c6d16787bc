"""What the board is told: which datasets it shows, where it listens, and its limits.

All of it can stand in a file (`[board]` of redis-hll.toml, or any file named with `--config`):

    url = "redis://board@10.0.0.5:6379"

    [board]
    listen = "127.0.0.1:8321"
    hosts = ["board.example.com"]        # names under which it is reached besides the one it listens on
    monitor = "hll:accuracy"             # of whose alerts it tells

    [[board.cubes]]
    key = "shop"
    title = "The shop"
    step = "step"                        # the dimension of steps, and the steps in their order
    steps = ["landing", "product_view", "add_to_cart", "checkout", "purchase"]
    device = "device"                    # what the funnel is told apart by
    lists = ["page", "country", "device", "channel"]
    currency = "EUR"
    money = ["cost", "revenue"]
    [board.cubes.campaign]
    by = "channel"
    impression = "landing"
    click = "product_view"
    conversion = "purchase"
    [board.cubes.labels]
    landing = "Looked"

    [[board.sketches]]
    key = "visitors:mon"
    title = "Monday"

What is left out is chosen from what the cube declares: see `discovery`.
"""

import re
from dataclasses import dataclass, field, fields
from typing import Any

MOST_DATASETS, MOST_SKETCHES, MOST_LISTS, MOST_STEPS = 16, 64, 8, 8
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED = ("about", "health", "metrics", "openapi.json", "style.css", "stream")


class ConfigError(ValueError):
    """What the board was told does not fit; the text says what and where."""


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """Which values of the step dimension are what, and which measures; what is None is chosen."""

    by: str | None = None
    impression: str | None = None
    click: str | None = None
    conversion: str | None = None
    cost: str | None = None
    revenue: str | None = None


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long a period is, and how many there are."""

    every: str | None = None
    periods: int | None = None


@dataclass(frozen=True, slots=True)
class CubeSettings:
    """A cube; what is None is chosen from what it declares."""

    key: str
    name: str | None = None
    title: str | None = None
    step: str | None = None
    steps: tuple[str, ...] | None = None
    device: str | None = None
    lists: tuple[str, ...] | None = None
    currency: str | None = None
    money: tuple[str, ...] | None = None
    campaign: CampaignSettings = CampaignSettings()
    retention: RetentionSettings = RetentionSettings()
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SketchSettings:
    """A plain sketch."""

    key: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything that is bounded. Seconds, and numbers of things; `share` is the part of one core that questions may take on the
    server, `burst` the seconds that may be taken of it at once, `cpu` the part of one that the board itself may take before it asks less often."""

    viewers: int = 200
    views: int = 32
    answers: int = 1000
    at_once: int = 4
    share: float = 0.08
    burst: float = 2.0
    cpu: float = 0.07
    tick: float = 0.5
    alive: float = 15.0
    answer_timeout: float = 10.0
    connect_timeout: float = 5.0
    send_timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """The whole board."""

    cubes: tuple[CubeSettings, ...] = ()
    sketches: tuple[SketchSettings, ...] = ()
    listen: str = "127.0.0.1:8321"
    hosts: tuple[str, ...] = ()
    token: str | None = None
    monitor: str | None = "hll:accuracy"
    limits: Limits = Limits()


def _take(cls: type[Any], values: Any, where: str, **nested: Any) -> dict[str, Any]:
    """The values of a table that are fields of a class, checked as far as their kind goes. Raises ConfigError."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is a table of names and values")
    known = {item.name: item for item in fields(cls)}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}: '{name}' is not known there; known are {', '.join(known)}")
        kind = str(known[name].type)
        if name in nested:
            found[name] = nested[name](value)
        elif "tuple" in kind:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{where}: {name} is a list of texts")
            found[name] = tuple(value)
        elif "dict" in kind:
            if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
                raise ConfigError(f"{where}: {name} is a table of texts")
            found[name] = value
        elif "int" in kind or "float" in kind:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6 or ("int" in kind and value != int(value)):
                raise ConfigError(f"{where}: {name} is a number above 0" + (" without a fraction" if "int" in kind else ""))
            found[name] = int(value) if "int" in kind else float(value)
        else:
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{where}: {name} is a text")
            found[name] = value
    return found


def _cube(values: Any, number: int) -> CubeSettings:
    where = f"board.cubes, number {number}"
    found = _take(CubeSettings, values, where,
                  campaign=lambda table: CampaignSettings(**_take(CampaignSettings, table, f"{where}, campaign")),
                  retention=lambda table: RetentionSettings(**_take(RetentionSettings, table, f"{where}, retention")))
    if "key" not in found:
        raise ConfigError(f"{where}: key is missing")
    return CubeSettings(**found)


def _sketch(values: Any, number: int) -> SketchSettings:
    where = f"board.sketches, number {number}"
    found = _take(SketchSettings, values, where)
    if "key" not in found:
        raise ConfigError(f"{where}: key is missing")
    return SketchSettings(**found)


def _each(values: Any, name: str) -> list[Any]:
    if not isinstance(values, list):
        raise ConfigError(f"{name} is a list of tables: write [[{name}]]")
    return values


def read(table: dict[str, Any]) -> BoardSettings:
    """The settings of a `[board]` table. Raises ConfigError."""
    found = _take(BoardSettings, table, "board",
                  cubes=lambda items: tuple(_cube(item, n) for n, item in enumerate(_each(items, "board.cubes"), 1)),
                  sketches=lambda items: tuple(_sketch(item, n) for n, item in enumerate(_each(items, "board.sketches"), 1)),
                  limits=lambda items: Limits(**_take(Limits, items, "board.limits")))
    return BoardSettings(**found)


def address(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[::1]:port` or a port. Raises ConfigError."""
    found = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):)?(\d{1,5})", listen)
    if not found or int(found[2]) > 65535:
        raise ConfigError(f"{listen!r} is no address to listen on, write 127.0.0.1:8321")
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host == "localhost" or host == "::1" or re.fullmatch(r"127(\.\d+){3}", host) is not None


def check(settings: BoardSettings) -> None:
    """That the whole fits together. Raises ConfigError."""
    if not settings.cubes and not settings.sketches:
        raise ConfigError("which cube? Say it with --cube KEY, with --sketch KEY, or as [[board.cubes]] in a configuration")
    if len(settings.cubes) > MOST_DATASETS:
        raise ConfigError(f"a board shows at most {MOST_DATASETS} cubes, there are {len(settings.cubes)}")
    if len(settings.sketches) > MOST_SKETCHES:
        raise ConfigError(f"a board shows at most {MOST_SKETCHES} sketches, there are {len(settings.sketches)}")
    address(settings.listen)
    if settings.token is not None and len(settings.token) < 16:
        raise ConfigError("the token has fewer than 16 characters, which can be guessed; leave it out and one is made")
    for cube in settings.cubes:
        if cube.steps is not None and not 2 <= len(cube.steps) <= MOST_STEPS:
            raise ConfigError(f"{cube.key}: a funnel has 2 to {MOST_STEPS} steps")
        if cube.lists is not None and len(cube.lists) > MOST_LISTS:
            raise ConfigError(f"{cube.key}: a board shows at most {MOST_LISTS} lists")
        if cube.retention.periods is not None and not 2 <= cube.retention.periods <= 24:
            raise ConfigError(f"{cube.key}: retention has 2 to 24 periods")
    names(settings)


def names(settings: BoardSettings) -> dict[str, CubeSettings]:
    """The name by which addresses call each cube: its own, or its key where that can stand in one. Raises ConfigError."""
    found: dict[str, CubeSettings] = {}
    for number, cube in enumerate(settings.cubes, 1):
        name = cube.name or (cube.key if NAME.fullmatch(cube.key) else f"cube{number}")
        if not NAME.fullmatch(name) or name in RESERVED or name == "sketches":
            raise ConfigError(f"{name!r} cannot be a name in addresses; name is letters, digits, and . _ - and none of {', '.join(RESERVED)}")
        if name in found:
            raise ConfigError(f"two cubes are called {name!r}: give one of them another name")
        found[name] = cube
    return found
