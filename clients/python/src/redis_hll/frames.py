"""Results as flat dicts and as frames of pandas or polars.

One rule for all of them: an interval becomes three columns, `<name>`, `<name>_lower` and `<name>_upper`; a dict becomes a
column for each of its names; a record within a record lends its columns; and rows within rows become rows, beside which what
they stand in is repeated.
"""

import importlib
from dataclasses import fields, is_dataclass
from typing import Any


def flatten(record: Any) -> list[dict[str, Any]]:
    """The rows that a record comes to."""
    own: dict[str, Any] = {}
    within: list[dict[str, Any]] | None = None
    for field in fields(record):
        value = getattr(record, field.name)
        name = field.metadata.get("flat", field.name.removesuffix("_"))
        if value is None and field.metadata.get("if_known"):
            continue
        if _is_rows(value):
            within = [flat for row in value for flat in flatten(row)]
        else:
            own.update(_columns(name, value))
    return [own] if within is None else [own | row for row in within]


def _is_rows(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "to_dicts")


def _is_interval(value: Any) -> bool:
    return is_dataclass(value) and [field.name for field in fields(value)] == ["estimate", "lower", "upper"]


def _columns(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        columns: dict[str, Any] = {}
        for key, item in value.items():
            columns.update(_columns(f"per:{key}" if name == "per" else key, item))
        return columns
    if _is_interval(value):
        return {name: value.estimate, f"{name}_lower": value.lower, f"{name}_upper": value.upper}
    if is_dataclass(value):
        begin = "" if name == "report" else f"{name}_"
        return {column: item for field in fields(value)
                for column, item in _columns(begin + field.name, getattr(value, field.name)).items()}
    return {name: value}


def frame(rows: list[dict[str, Any]], backend: str | None) -> Any:
    """The rows as a frame; columns that only some rows have are empty in the others."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for library in (backend,) if backend else ("pandas", "polars"):
        try:
            return importlib.import_module(library).DataFrame(columns)
        except ImportError:
            if backend:
                raise ImportError(f"{backend} is not installed: pip install redis-hll[{backend}]") from None
    raise ImportError("a frame needs pandas or polars: pip install redis-hll[pandas] or redis-hll[polars]")
