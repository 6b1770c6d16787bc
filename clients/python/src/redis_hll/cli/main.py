"""The command line `redis-hll`: which command, which server, and what the exit status says.

0: done. 1: the server refused, or cannot be reached. 2: the arguments or the file are wrong. 3: more bad lines than allowed.
130: interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import __version__


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    from . import board, loading, questions, transfer

    common = argparse.ArgumentParser(add_help=False)
    server = common.add_argument_group("server")
    server.add_argument("--url", help="redis://[user:password@]host[:port][/db], rediss:// or unix:// (default: REDIS_HLL_URL, then the "
                                      "configuration, then this machine)")
    server.add_argument("--cluster", action="store_true", help="it is a cluster")
    server.add_argument("--config", type=Path, metavar="FILE", help="a file with url, cube, cluster and [board] (default: redis-hll.toml if it is there)")
    common.add_argument("-o", "--output", choices=("table", "json", "csv"), default="table", help="form of the answer")
    top = argparse.ArgumentParser(prog="redis-hll", description="Distinct counts with intervals, on a server with the redis-hll module.",
                                  allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"redis-hll {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (loading.add_load, loading.add_consume, questions.add_funnel, questions.add_retention, questions.add_top, questions.add_series,
                transfer.add_export, transfer.add_import, board.add_board):
        add(commands, common)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and answers its exit status."""
    try:
        import rich  # noqa: F401 (whether it is there)
    except ImportError:
        print("the command line needs rich: pip install 'redis-hll[cli]'", file=sys.stderr)
        return 2
    parsed = parser().parse_args(arguments)

    import redis

    from ..errors import HLLError
    from ..sources.files import InputError, TooManyBad
    from .connection import configuration, connect
    from .output import plain

    def wrong(error: object) -> None:
        for line in str(error).splitlines():
            print(f"ERROR: {plain(line)}", file=sys.stderr)
    address = "the server"
    try:
        parsed.settings = configuration(parsed.config)
        hll, address = connect(parsed)
        return int(parsed.run(parsed, hll))
    except TooManyBad as error:
        wrong(error)
        return 3
    except (InputError, ValueError) as error:
        wrong(error)
        return 2
    except BrokenPipeError:
        # Whoever read the output has gone; nothing may be written on the way out either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (redis.ConnectionError, redis.TimeoutError) as error:
        wrong(f"{address}: {error}")
        return 1
    except (HLLError, redis.RedisError, OSError) as error:
        wrong(str(error).removeprefix("HLL: "))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
