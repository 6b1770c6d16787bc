"""The command line: scripts/caretaker, or python3 -m care with scripts/ in PYTHONPATH."""

import argparse
import signal
import sys

import redis

from . import accuracy, archive, backup, rollup
from .connection import EXIT_CODES, FAILED, CareError
from .connection import arguments as connection_arguments


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="scripts/caretaker", description="scheduled care of the sketches and cubes of a server",
                                    epilog=EXIT_CODES)
    programs = whole.add_subparsers(dest="program", required=True, metavar="PROGRAM")
    for name, about, example, arguments, check, run in (
        ("rollup", rollup.ABOUT, rollup.EXAMPLE, rollup.arguments, rollup.check, rollup.run),
        ("accuracy", accuracy.ABOUT, accuracy.EXAMPLE, accuracy.arguments, accuracy.check, accuracy.run),
        ("archive", archive.ABOUT, archive.EXAMPLE, archive.arguments, archive.check, archive.run),
        ("restore", archive.RESTORE_ABOUT, archive.RESTORE_EXAMPLE, archive.restore_arguments, None, archive.restore),
        ("backup", backup.ABOUT, backup.EXAMPLE, backup.arguments, backup.check, backup.run),
    ):
        one = programs.add_parser(name, help=about, description=about, epilog=f"for example: {example}; {EXIT_CODES}")
        connection_arguments(one)
        arguments(one)
        one.add_argument("--dry-run", action="store_true", help="says what would be done, and changes nothing")
        one.set_defaults(check=check, run=run)
    return whole


def parse(words: list[str] | None = None) -> argparse.Namespace:
    whole = parser()
    options = whole.parse_args(words)
    if options.check is not None and (wrong := options.check(options)) is not None:
        whole.error(wrong)
    return options


def main(words: list[str] | None = None) -> int:
    # A timer that is stopped is like Ctrl-C: what was begun is tidied up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = parse(words)
    try:
        return int(options.run(options))
    except CareError as wrong:
        print(f"! {wrong}", file=sys.stderr)
    except (redis.RedisError, OSError) as wrong:
        print(f"! {options.program}: {wrong}", file=sys.stderr)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
