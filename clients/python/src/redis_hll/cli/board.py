"""`redis-hll board`: the live page, and the API behind it."""

import argparse
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..shells import HLL
from ..sources.files import InputError
from .connection import masked, server_of

if TYPE_CHECKING:
    from ..board.config import BoardSettings, CubeSettings

TOKEN = "REDIS_HLL_BOARD_TOKEN"


def add_board(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `board`."""
    parser = commands.add_parser("board", parents=[common], help="a live page of cubes and sketches, and their numbers as JSON",
                                 description="Serves a live page, and the same numbers as JSON under /api. What is not said is chosen from what the cube "
                                             "declares; everything else can stand in [board] of the configuration.")
    parser.add_argument("--cube", action="append", metavar="KEY", help="a cube to show; may be repeated")
    parser.add_argument("--sketch", action="append", default=[], metavar="KEY", help="a plain sketch to show; may be repeated")
    parser.add_argument("--listen", metavar="ADDRESS", help="where to listen (default: 127.0.0.1:8321); elsewhere than on this machine a token is asked for")
    parser.add_argument("--host", action="append", default=[], metavar="NAME", help="a name under which the board is reached; may be repeated")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help=f"a file with the token (default: {TOKEN}, else one is made where it is needed)")
    parser.add_argument("--step", metavar="DIMENSION", help="of the cube, whose values are steps (default: step, or what is called like it)")
    parser.add_argument("--steps", metavar="A,B,...", help="the steps of the funnel in their order")
    parser.add_argument("--device", metavar="DIMENSION", help="by which the funnel is told apart (default: device, or what is called like it)")
    parser.add_argument("--channel", metavar="DIMENSION", help="by which campaigns are told apart (default: channel, or what is called like it)")
    parser.add_argument("--list", action="append", metavar="DIMENSION", help="a list to show; may be repeated (default: all other dimensions)")
    parser.add_argument("--currency", metavar="CODE", help="of the measures that are money: EUR, USD, ...")
    parser.add_argument("--monitor", metavar="KEY", help="the accuracy monitor whose alerts are shown (default: hll:accuracy)")
    parser.set_defaults(run=board)


def board(arguments: argparse.Namespace, _: HLL) -> int:
    """Runs `board`."""
    try:
        from ..board import config, serve
    except ImportError as error:
        raise InputError(f"the board needs more packages ({error}): pip install 'redis-hll[cli,board]'") from None
    try:
        settings = _settings(arguments, config.read(arguments.settings.get("board", {})))
        config.check(settings)
        host, _port = config.address(settings.listen)
    except config.ConfigError as error:
        raise InputError(str(error)) from None
    if host in ("0.0.0.0", "::", "") and not settings.hosts:
        raise InputError(f"under which names is the board reached at {settings.listen}? Say it with --host NAME")
    made = settings.token is None and not config.is_local(host)
    if made:
        settings = replace(settings, token=secrets.token_urlsafe(24))
    url, cluster = server_of(arguments)
    sock = serve.listen(settings)
    print(f"board of {masked(url)} at {serve.shown(sock)}", flush=True)
    if made:
        print(f"token: {settings.token}", flush=True)
    elif settings.token is not None:
        print("it asks for the token that it was given", file=sys.stderr, flush=True)
    serve.run(settings, lambda: serve.connect(url, cluster, settings.limits), sock, masked(url))
    return 0


def _settings(arguments: argparse.Namespace, told: "BoardSettings") -> "BoardSettings":
    """What the configuration says, and over it what the command line says."""
    from ..board.config import CubeSettings, SketchSettings

    keys = arguments.cube or ([arguments.settings["cube"]] if "cube" in arguments.settings and not told.cubes and not told.sketches else [])
    known = {cube.key: cube for cube in told.cubes}
    cubes = tuple(known.get(key, CubeSettings(key)) for key in keys) or told.cubes
    cubes = tuple(_with_flags(arguments, cube) for cube in cubes)
    token = told.token
    if arguments.token_file is not None:
        try:
            token = arguments.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{arguments.token_file}: {error}") from None
    elif os.environ.get(TOKEN):
        token = os.environ[TOKEN]
    return replace(told, cubes=cubes, sketches=tuple(map(SketchSettings, arguments.sketch)) or told.sketches, listen=arguments.listen or told.listen,
                   hosts=(*told.hosts, *arguments.host), token=token, monitor=arguments.monitor or told.monitor)


def _with_flags(arguments: argparse.Namespace, cube: "CubeSettings") -> "CubeSettings":
    found: dict[str, Any] = {name: value for name, value in (
        ("step", arguments.step), ("steps", tuple(arguments.steps.split(",")) if arguments.steps else None), ("device", arguments.device),
        ("lists", tuple(arguments.list) if arguments.list else None), ("currency", arguments.currency),
        ("campaign", replace(cube.campaign, by=arguments.channel) if arguments.channel else None)) if value is not None}
    return replace(cube, **found)
