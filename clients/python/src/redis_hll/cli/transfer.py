"""`redis-hll export` and `redis-hll import`: keys as files, and estimates as tables."""

import argparse
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import KeyMissing
from ..shells import HLL
from ..sources.files import InputError
from .output import write_csv

ENDINGS = {"native": ".hll", "redis": ".pf", "datasketches": ".ds", "cube": ".cube"}
CUBE, SKETCH = "HLLcubev1", "HLLsketch"


def add_export(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `export`."""
    parser = commands.add_parser("export", parents=[common], help="sketches and cubes as files, or their estimates as a table",
                                 description="A sketch is written in the module's own form, for Apache DataSketches, or as the value of a PF key; "
                                             "a cube as the server dumps it. csv and parquet write a table: the estimate of each sketch, or "
                                             "of a cube its rows by --bucket and --by.")
    parser.add_argument("keys", nargs="+", metavar="KEY")
    parser.add_argument("--format", choices=("native", "datasketches", "redis", "csv", "parquet"), default="native")
    parser.add_argument("--to", type=Path, metavar="PATH",
                        help="a file (default: standard output), or for several keys that are not a table a directory")
    parser.add_argument("--bucket", metavar="UNIT", help="of a cube: a row for each such time")
    parser.add_argument("--by", metavar="DIMENSION", help="of a cube: a row for each value")
    parser.add_argument("--last", metavar="DURATION", help="of a cube: only this time")
    parser.set_defaults(run=export)


def _type(hll: HLL, key: str) -> str:
    found = hll.client.type(key)
    return found.decode() if isinstance(found, bytes) else str(found)


def export(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `export`."""
    if arguments.format in ("csv", "parquet"):
        _write_table(arguments, [row for key in arguments.keys for row in _estimates(arguments, hll, key)])
        return 0
    if len(arguments.keys) > 1 and (arguments.to is None or arguments.to.is_file()):
        raise InputError("several keys are several files: give --to DIRECTORY")
    for key in arguments.keys:
        kind = _type(hll, key)
        if kind == CUBE:
            if arguments.format != "native":
                raise InputError(f"{key} is a cube, which is not to be had as {arguments.format}; redis-hll export can write it as native or csv")
            payload, ending = hll.client.dump(key), ENDINGS["cube"]
        else:
            payload, ending = hll.export(key, format=arguments.format), ENDINGS[arguments.format]
        if len(arguments.keys) > 1:
            arguments.to.mkdir(parents=True, exist_ok=True)
            (arguments.to / (quote(key, safe="") + ending)).write_bytes(payload)
        else:
            _write(arguments.to, payload)
    return 0


def _write(path: Path | None, payload: bytes) -> None:
    if path is None:
        sys.stdout.buffer.write(payload)
        sys.stdout.buffer.flush()
    else:
        path.write_bytes(payload)


def _estimates(arguments: argparse.Namespace, hll: HLL, key: str) -> list[dict[str, Any]]:
    kind = _type(hll, key)
    if kind == CUBE:
        answer = hll.cube(key).query(last=arguments.last, bucket=arguments.bucket, by=arguments.by)
        return [{"key": key, **row} for row in answer.to_dicts()]
    if kind == "none":
        raise KeyMissing(f"there is no key {key}")
    found = hll.estimate(key)
    return [{"key": key, "estimate": found.estimate, "lower": found.lower, "upper": found.upper, "confidence": found.confidence,
             "relative_error": found.relative_error, "method": found.method}]


def _write_table(arguments: argparse.Namespace, dicts: list[dict[str, Any]]) -> None:
    if arguments.format == "csv":
        if arguments.to is None:
            write_csv(sys.stdout, dicts)
        else:
            with arguments.to.open("w", encoding="utf-8", newline="") as file:
                write_csv(file, dicts)
        return
    if arguments.to is None:
        raise InputError("a Parquet file is not for a terminal: give --to FILE")
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputError("writing Parquet needs pyarrow: pip install redis-hll[parquet]") from None
    names = list(dict.fromkeys(name for row in dicts for name in row))
    parquet.write_table(pyarrow.table({name: [row.get(name) for row in dicts] for name in names}), arguments.to)


def add_import(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `import`."""
    parser = commands.add_parser("import", parents=[common], help="a file as a sketch or a cube")
    parser.add_argument("file", type=Path, metavar="FILE", help="- is standard input")
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--format", choices=("auto", "native", "datasketches", "redis", "cube"), default="auto")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--replace", action="store_true", help="what is under the key is replaced")
    mode.add_argument("--merge", action="store_true", help="the elements join the sketch under the key")
    parser.set_defaults(run=restore)


def _format_of(payload: bytes) -> str:
    """By the first bytes: PF keys begin with HYLL, dumps of a module's type with 7, the native form with its version 1, and the
    preamble of an HLL sketch of Apache DataSketches has the family 7 in its third byte."""
    if payload.startswith(b"HYLL"):
        return "redis"
    if payload.startswith(b"\x01"):
        return "native"
    if payload[:1] in (b"\x02", b"\x03", b"\x0a") and payload[2:3] == b"\x07":
        return "datasketches"
    if payload.startswith(b"\x07"):
        return "cube"
    raise InputError("the file is neither a sketch nor a cube; if it is nevertheless, say what with --format")


def restore(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `import`."""
    try:
        payload = sys.stdin.buffer.read() if str(arguments.file) == "-" else arguments.file.read_bytes()
    except OSError as error:
        raise InputError(f"{arguments.file}: {error.strerror}") from None
    form: Any = _format_of(payload) if arguments.format == "auto" else arguments.format
    if form == "cube":
        if arguments.merge:
            raise InputError("cubes cannot be merged")
        hll.client.restore(arguments.key, 0, payload, replace=arguments.replace)
    else:
        hll.restore(arguments.key, payload, format=form, mode="replace" if arguments.replace else "merge" if arguments.merge else None)
    return 0
