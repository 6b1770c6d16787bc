"""The commands of sketches: sets of which only the number of distinct elements is kept."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from ..errors import ReplyError
from ..replies import Reply
from ..results import (Accuracy, Advice, CampaignReport, Cohort, CohortPeriod, Estimate, FunnelStep, Intersection, Overlap, Rows, Segment,
                       SketchInfo, Stats)
from . import Command, Text, Value, changed, command, first, listed, ok, option

T = TypeVar("T")
Hash = Literal["xxh3", "redis", "datasketches"]
Format = Literal["native", "redis", "datasketches"]


def rows(parse: Callable[[Reply], T]) -> Callable[[Reply], Rows[T]]:
    """The reader of a list of such things."""
    return lambda reply: Rows(map(parse, reply.items()))


def create(key: Text, *, precision: int | None = None, error: float | None = None, hash: Hash | None = None) -> Command[None]:
    """Creates an empty sketch of 2^precision registers, 4 to 18, or of a relative standard error of at most `error` (a
    fraction). Raises KeyExists where there is a key already."""
    words: list[Value] = [key, *option("PRECISION", precision), *option("ERROR", error), *option("HASH", hash and hash.upper())]
    return command("HLL.CREATE", words, ok, key=key, writes=True)


def add(key: Text, *elements: Value) -> Command[bool]:
    """Adds elements, creating the sketch where it is missing. True if it changed. For many elements there is `add_many`."""
    if not elements:
        raise ValueError("give at least one element")
    return command("HLL.ADD", [key, *elements], changed, key=key, writes=True)


def count(*keys: Text) -> Command[int]:
    """How many distinct elements the union of the sketches has, as a whole number."""
    return command("HLL.COUNT", keys, Reply.integer, key=first(keys))


def estimate(*keys: Text, confidence: float | None = None) -> Command[Estimate]:
    """The same with its interval, which holds the true number in a fraction `confidence` of cases, 0.95 if left out."""
    words = [*listed(None, keys), *option("CONFIDENCE", confidence)]
    return command("HLL.ESTIMATE", words, read_estimate, key=first(keys), movable=True)


def merge(destination: Text, *sources: Text) -> Command[None]:
    """Puts the union of the sources and of the destination under the destination."""
    first(sources)
    return command("HLL.MERGE", [destination, *sources], ok, key=destination, writes=True)


def intersect(*keys: Text, confidence: float | None = None) -> Command[Intersection]:
    """How many elements 1 to 8 sketches have in common."""
    words = [*listed(None, keys), *option("CONFIDENCE", confidence)]
    return command("HLL.INTERSECT", words, read_intersection, key=first(keys), movable=True)


def segment(*, all: Sequence[Text] = (), any: Sequence[Text] = (), none: Sequence[Text] = (),
            confidence: float | None = None) -> Command[Segment]:
    """How many elements are in every sketch of `all`, in at least one of `any`, and in none of `none`. New users are
    `all=[this month], none=[earlier months]`."""
    words: list[Value] = []
    for name, keys in (("ALL", all), ("ANY", any), ("NONE", none)):
        if isinstance(keys, (str, bytes)):
            raise TypeError(f"{name.lower()} is a list of keys, not a key")
        if keys:
            words += listed(name, keys)
    words += option("CONFIDENCE", confidence)
    return command("HLL.SEGMENT", words, read_segment, key=first([*all, *any, *none]), movable=True)


def overlap(*keys: Text, confidence: float | None = None) -> Command[Rows[Overlap]]:
    """What every two of 2 to 64 sketches have in common."""
    words = [*listed(None, keys), *option("CONFIDENCE", confidence)]
    return command("HLL.OVERLAP", words, rows(read_overlap), key=first(keys), movable=True)


def funnel(*steps: Text, confidence: float | None = None) -> Command[Rows[FunnelStep]]:
    """For 2 to 8 sketches of who did a step: who did it and every one before it, in whatever order."""
    words = [*listed(None, steps), *option("CONFIDENCE", confidence)]
    return command("HLL.FUNNEL", words, rows(read_step), key=first(steps), movable=True)


def retention(cohorts: Sequence[Text], periods: Sequence[Text], *, confidence: float | None = None) -> Command[Rows[Cohort]]:
    """How many of each cohort were there in each period, each of them a sketch."""
    words = [*listed("COHORTS", cohorts), *listed("PERIODS", periods), *option("CONFIDENCE", confidence)]
    return command("HLL.RETENTION", words, rows(read_cohort), key=first(cohorts), movable=True)


def campaign(impressions: Text, clicks: Text, conversions: Text, *, cost: float | None = None, revenue: float | None = None,
             confidence: float | None = None) -> Command[CampaignReport]:
    """Reach, click-through rate, conversion rate and costs, from the sketches of who saw, clicked and bought."""
    words = [impressions, clicks, conversions, *option("COST", cost), *option("REVENUE", revenue), *option("CONFIDENCE", confidence)]
    return command("HLL.CAMPAIGN", words, read_campaign, key=impressions)


def info(key: Text) -> Command[SketchInfo]:
    """What a sketch or a PF key is and takes. Raises KeyMissing."""
    return command("HLL.INFO", [key], read_info, key=key)


def accuracy(key: Text, *, confidence: float | None = None) -> Command[Accuracy]:
    """How sure the count of a sketch is, and which precision would halve its error. Raises KeyMissing."""
    return command("HLL.ACCURACY", [key, *option("CONFIDENCE", confidence)], read_accuracy, key=key)


def export(key: Text, *, format: Format = "native") -> Command[bytes]:
    """A sketch as bytes: `native` has all it knows, `redis` is the value of a PF key, `datasketches` is for Apache DataSketches.
    Raises KeyMissing, and Incompatible where the sketch cannot be had in this form."""
    return command("HLL.EXPORT", [key, "FORMAT", format.upper(), "BASE64"], read_payload, key=key)


def restore(key: Text, payload: bytes, *, format: Format = "native", mode: Literal["replace", "merge"] | None = None) -> Command[None]:
    """Makes a sketch of bytes (HLL.IMPORT). Raises KeyExists where there is a key and `mode` does not say what becomes of it,
    and BadPayload."""
    words: list[Value] = [key, "FORMAT", format.upper(), payload, *([mode.upper()] if mode else [])]
    return command("HLL.IMPORT", words, ok, key=key, writes=True)


def stats() -> Command[Stats]:
    """The module's counters, as INFO has them."""
    return command("HLL.STATS", [], read_stats)


def read_estimate(reply: Reply) -> Estimate:
    f = reply.fields()
    found = Estimate(f.number("estimate"), f.number("lower"), f.number("upper"), f.number("confidence"), f.number("relative_error"),
                     f.text("method"))
    f.end()
    return found


def read_intersection(reply: Reply) -> Intersection:
    f = reply.fields()
    found = Intersection(f.number("estimate"), f.number("lower"), f.number("upper"), f.number("confidence"), f.interval("union"),
                         f.optional_interval("jaccard"))
    f.end()
    return found


def read_segment(reply: Reply) -> Segment:
    f = reply.fields()
    found = Segment(f.number("estimate"), f.number("lower"), f.number("upper"), f.number("confidence"), f.interval("base"),
                    f.optional_interval("share"))
    f.end()
    return found


def read_overlap(reply: Reply) -> Overlap:
    f = reply.fields()
    found = Overlap(f.text("first"), f.text("second"), f.interval("estimate", ""), f.optional_interval("jaccard"),
                    f.optional_interval("first_in_second"), f.optional_interval("second_in_first"))
    f.end()
    return found


def read_step(reply: Reply) -> FunnelStep:
    f = reply.fields()
    found = FunnelStep(f.text("step"), f.interval("uniques"), f.interval("users", ""), f.optional_interval("conversion"),
                       f.optional_interval("overall"), f.optional_interval("drop_off"))
    f.end()
    return found


def _read_cohort_period(reply: Reply) -> CohortPeriod:
    f = reply.fields()
    found = CohortPeriod(f.text("period"), f.interval("users", ""), f.optional_interval("rate"))
    f.end()
    return found


def read_cohort(reply: Reply) -> Cohort:
    f = reply.fields()
    found = Cohort(f.text("cohort"), f.interval("size"), rows(_read_cohort_period)(f.take("periods")))
    f.end()
    return found


CAMPAIGN = ("unique_impressions", "unique_clicks", "unique_conversions", "ctr", "conversion_rate", "cpc", "cpa", "roi")


def read_campaign(reply: Reply) -> CampaignReport:
    f = reply.fields()
    found = CampaignReport(*(f.interval(name) for name in CAMPAIGN[:3]), *(f.optional_interval(name) for name in CAMPAIGN[3:]))
    f.end()
    return found


def read_info(reply: Reply) -> SketchInfo:
    f = reply.fields()
    found = SketchInfo(
        type=f.text("type"), precision=f.integer("precision"), registers=f.integer("registers"), encoding=f.text("encoding"),
        hash=f.text("hash"), history=f.yes("history"), estimator=f.text("estimator"), count=f.integer("count"),
        standard_error=f.number("standard_error"), memory_bytes=f.integer("memory_bytes"),
        serialized_bytes=f.integer("serialized_bytes"), compression=f.text("compression"),
        compression_ratio=f.number("compression_ratio"))
    f.end()
    return found


def _read_advice(reply: Reply) -> Advice | None:
    if reply.value is None:
        return None
    f = reply.fields()
    found = Advice(f.integer("precision"), f.number("standard_error"), f.integer("bytes"))
    f.end()
    return found


def read_accuracy(reply: Reply) -> Accuracy:
    f = reply.fields()
    found = Accuracy(f.integer("precision"), f.text("encoding"), f.text("estimator"), f.number("estimate"), f.number("lower"),
                     f.number("upper"), f.number("confidence"), f.number("standard_error"), f.integer("bytes"),
                     _read_advice(f.take("advice")))
    f.end()
    return found


def read_payload(reply: Reply) -> bytes:
    try:
        return base64.b64decode(reply.text(), validate=True)
    except (binascii.Error, ValueError):
        raise ReplyError("a payload in Base64 was expected") from None


def read_stats(reply: Reply) -> Stats:
    f = reply.fields()
    version = f.text("version")
    slow = f.text("cluster_timeouts_by_node") if "cluster_timeouts_by_node" in f else ""
    by_node = {node: int(times) for node, _, times in (part.partition("=") for part in slow.split(",") if part)}
    return Stats(version, {name: f.integer(name) for name in f}, by_node)
