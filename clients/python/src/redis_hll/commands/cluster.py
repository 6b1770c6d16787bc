"""The commands of sketches for keys in any slots of a cluster: the same words behind `HLL.CLUSTER`, and the same replies. The node of
the first key asks the others."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from . import Command, sketch

P = ParamSpec("P")
T = TypeVar("T")


def across(build: Callable[P, Command[T]]) -> Callable[P, Command[T]]:
    """The same command across slots."""
    @functools.wraps(build)
    def call(*arguments: P.args, **options: P.kwargs) -> Command[T]:
        plain = build(*arguments, **options)
        subcommand = plain.name.removeprefix("HLL.").encode()
        return Command("HLL.CLUSTER", (subcommand, *plain.words), plain.parse, plain.key, movable=True, writes=plain.writes)
    return call


count = across(sketch.count)
estimate = across(sketch.estimate)
intersect = across(sketch.intersect)
segment = across(sketch.segment)
overlap = across(sketch.overlap)
funnel = across(sketch.funnel)
retention = across(sketch.retention)
campaign = across(sketch.campaign)
merge = across(sketch.merge)
