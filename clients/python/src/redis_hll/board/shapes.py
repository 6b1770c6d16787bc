"""What the board's addresses answer: the shape of every JSON document, from which the OpenAPI document is made too.

Conventions, everywhere:

* times are Unix milliseconds (whole numbers), `from` belongs to a stretch of time and `to` does not; `zone` is the IANA name of
  the zone that days are of;
* a figure with bounds is an `Interval`; equal bounds say that it is exact; a bound that is null is none;
* rates and changes are fractions: 0.25 is 25 %, and a change of 0.25 is a quarter more than before;
* sizes are bytes, durations of the server are in its own words (`5m`, `1d`, `1w`);
* null is what is not known: of time that is not kept, of a measure that was added later, of something divided by nothing.

Text from the server that is no UTF-8 has marks (U+FFFD) where bytes could not be read.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

PanelName = str
"""`now`, `today`, `7d`, `30d`, `series`, `figures`, `newcomers`, `list.<dimension>`, `funnel`, `campaign`, `retention`, `state`,
or `sketches`."""

ProblemKind = Literal["no_cube", "empty", "wrong_type", "no_group", "unanswerable", "not_configured", "not_kept", "not_allowed", "no_module",
                      "busy", "gone", "refused"]


class Interval(TypedDict):
    """An estimate and its bounds: of many such intervals 95 % hold the true number."""

    estimate: float
    lower: float | None
    upper: float | None


class Change(TypedDict):
    """A figure beside that of the time before."""

    previous: Annotated[float | None, Field(description="the figure of the time before")]
    change: Annotated[Interval | None, Field(description="how much more it is now, as a fraction of what it was")]


class SparkPoint(TypedDict):
    """A bucket of a small line."""

    bucket: int
    unique: float | None


class Spark(TypedDict):
    """The small line of a card."""

    unit: Annotated[str, Field(description="how long a bucket is: 5m, 1h, 1d")]
    points: list[SparkPoint]
    unfinished: Annotated[bool, Field(description="the last bucket is not over yet")]


Compared = Annotated[int | None, Field(description="the borders that were compared: of now, and of before. Both are cut to slices that both have, so what "
                                                   "is not over yet is mostly not part of it. Null where nothing is compared, or nothing is known of before")]

# `from` is a word of Python, so shapes that have it are written as calls.
Card = TypedDict("Card", {
    "window": Annotated[str, Field(description="the range in the server's words: LAST 5m, PERIOD TODAY, ...")],
    "from": int, "to": int, "zone": str,
    "unique": Interval | None,
    "events": int | None,
    "unique_change": Annotated[Change | None, Field(description="null where nothing is compared")],
    "events_change": Change | None,
    "compared_from": Compared, "compared_to": Compared, "previous_from": Compared, "previous_to": Compared,
    "wide": Annotated[bool, Field(description="the interval of the change does not know who came both times")],
    "spark": Spark | None,
})
Card.__doc__ = """Visitors now, today, of 7 or of 30 days. Depends on filter and comparison, not on the range."""


class SeriesRow(TypedDict):
    """A bucket of time."""

    bucket: Annotated[int, Field(description="where it begins")]
    unique: Interval | None
    events: int | None
    unique_previous: Annotated[float | None, Field(description="of the bucket that is compared with this one; null where it is not over yet")]
    events_previous: int | None
    unfinished: Annotated[bool, Field(description="it is not over yet: the figures are those so far")]


Series = TypedDict("Series", {
    "unit": Annotated[str, Field(description="how long a bucket is: 5m, 1h, 1d, 1w, 1mo")],
    "from": int, "to": int, "zone": str,
    "compared_from": Compared, "compared_to": Compared, "previous_from": Compared, "previous_to": Compared,
    "rows": list[SeriesRow],
})
Series.__doc__ = """Users and events over time."""


class Measure(TypedDict):
    """The sum of a measure, and what that is for each user."""

    name: str
    sum: float | None
    per_unique: Interval | None


class Converted(TypedDict):
    """Who had events of the last step, and what part of all users that is. The bounds of the rate are those of both counts at
    their worst, and so wider than need be."""

    step: str
    unique: Interval | None
    rate: Interval | None


Figures = TypedDict("Figures", {
    "from": int, "to": int, "zone": str,
    "unique": Interval | None,
    "events": int | None,
    "events_per_unique": Interval | None,
    "measures": list[Measure],
    "converted": Annotated[Converted | None, Field(description="null where no steps are known or the filter does not allow it")],
})
Figures.__doc__ = """The key figures of the range."""


class NewcomersRow(TypedDict):
    """New and returning users of a bucket by itself."""

    bucket: int
    new: Interval | None
    returning: Interval | None
    unfinished: bool


Newcomers = TypedDict("Newcomers", {
    "unit": str, "from": int, "to": int, "zone": str,
    "unique": Interval | None,
    "new": Annotated[Interval | None, Field(description="seen for the first time in this range")],
    "returning": Annotated[Interval | None, Field(description="had been seen before they came in this range")],
    "rows": list[NewcomersRow],
})
Newcomers.__doc__ = """Users that were new and users that had been seen before. Only cubes with NEW have it."""


class ListRow(TypedDict):
    """A value of a dimension."""

    value: str
    unique: Interval | None
    events: int | None
    measures: dict[str, float | None]
    unique_change: Change | None
    at_least: Annotated[bool, Field(description="more events of this value may be in the cell (other)")]


List = TypedDict("List", {
    "dimension": str, "from": int, "to": int, "zone": str,
    "compared_from": Compared, "compared_to": Compared, "previous_from": Compared, "previous_to": Compared,
    "rows": Annotated[list[ListRow], Field(description="at most ten, the value with most users first")],
    "values": Annotated[int, Field(description="how many values the cube knows, in all the time that it keeps")],
    "events": Annotated[int | None, Field(description="events of the range under this filter, to say what part is in (other)")],
    "other_events": Annotated[int, Field(description="events in the cell (other)")],
})
List.__doc__ = """The values of a dimension with most users. A filter on the dimension itself is left out, so that another value
can be chosen."""


class FunnelStep(TypedDict):
    """A step: `users` had events of it and of every one before it, in whatever order."""

    step: str
    uniques: Interval
    users: Interval
    conversion: Annotated[Interval | None, Field(description="of the users of the step before")]
    overall: Annotated[Interval | None, Field(description="of the users of the first step")]


class FunnelRow(TypedDict):
    """The funnel of one value; `value` is null where it is that of all."""

    value: str | None
    steps: list[FunnelStep]
    at_least: bool


Funnel = TypedDict("Funnel", {
    "dimension": str, "steps": list[str],
    "by": Annotated[str | None, Field(description="the dimension of `value`")],
    "from": int, "to": int, "zone": str,
    "rows": Annotated[list[FunnelRow], Field(description="at most six, the value with most users first")],
    "more": Annotated[int, Field(description="how many other values there are")],
    "other_events": int,
})
Funnel.__doc__ = """Who went how far, by device or what the board is told."""


class CampaignRow(TypedDict):
    """A channel: who saw it, who clicked, who bought, what it cost and brought. Users are counted once; sums are exact."""

    value: str
    impressions: Interval
    clicks: Interval
    conversions: Interval
    ctr: Interval | None
    conversion_rate: Interval | None
    cost: float | None
    revenue: float | None
    cpc: Annotated[Interval | None, Field(description="cost for each user who clicked")]
    cpa: Annotated[Interval | None, Field(description="cost for each user who bought")]
    roi: Annotated[Interval | None, Field(description="(revenue - cost) / cost")]
    at_least: bool


Campaign = TypedDict("Campaign", {
    "dimension": str, "impression": str, "click": str, "conversion": str, "by": str,
    "cost": Annotated[str | None, Field(description="the measure")], "revenue": str | None,
    "from": int, "to": int, "zone": str,
    "rows": Annotated[list[CampaignRow], Field(description="at most twelve, the one that most people saw first")],
    "more": int,
    "other_events": int,
})
Campaign.__doc__ = """Campaigns by channel or what the board is told."""


class RetentionPeriod(TypedDict):
    """Who of a cohort was there in a period: number 0 is the cohort's own. Null where it has not begun or is not kept whole."""

    period: int
    bucket: int
    users: Interval | None
    rate: Interval | None
    unfinished: bool


class RetentionRow(TypedDict):
    """Those who came for the first time in the period that begins at `cohort`."""

    cohort: int
    size: Interval | None
    periods: list[RetentionPeriod]


Retention = TypedDict("Retention", {
    "every": Annotated[str, Field(description="how long a period is: 1d, 1w, 1mo")],
    "from": int, "to": int, "zone": str,
    "rows": list[RetentionRow],
})
Retention.__doc__ = """Who comes back. Depends on the filter, not on the range."""


class Problem(TypedDict):
    """Why a panel has no numbers, or no newer ones. `text` is a sentence for people; `fix` is what could be typed on the server."""

    kind: ProblemKind
    text: str
    fix: str | None


class SketchRow(TypedDict):
    """A sketch that the board was told to show."""

    key: str
    title: str
    estimate: Interval | None
    exact: Annotated[bool, Field(description="the count is exact")]
    problem: Problem | None


class Sketches(TypedDict):
    """Plain sketches by their keys."""

    rows: list[SketchRow]


class Server(TypedDict):
    """Which server answers."""

    name: str
    version: str


class TierState(TypedDict):
    """Slices of one length."""

    slice: str
    retention: str
    slices: int
    bytes: int


class CubeState(TypedDict):
    """What a cube holds and takes."""

    slices: int
    tiers: list[TierState]
    memory_bytes: int
    max_bytes: int | None
    newest: Annotated[int | None, Field(description="when the newest event was")]
    events: Annotated[int | None, Field(description="events of all the time that is kept")]
    events_today: int | None
    events_per_second: Annotated[float | None, Field(description="counted over the last ten seconds; null at the beginning")]
    late: Annotated[int, Field(description="events that came late and were counted")]
    too_late: int
    duplicates: int
    waiting: Annotated[int, Field(description="upkeep of closed slices that waits for the next writes")]


class LongAnswers(TypedDict):
    """Answers that threads of the module work on."""

    running: int
    waiting: int
    done: int
    refused: int
    timed_out: int


class Module(TypedDict):
    """What the module says of itself (HLL.STATS)."""

    version: str
    sketch_keys: int
    sketch_bytes: int
    cube_keys: int
    cube_bytes: int
    long_answers: LongAnswers


class Alert(TypedDict):
    """An alert of the accuracy monitor: an estimate that was too far from an exact count."""

    at: int
    context: str
    level: Annotated[str, Field(description="warning or critical")]
    estimate: float
    exact: float
    error_rate: float
    threshold: float


class State(TypedDict):
    """Server, cube and alerts. Parts that the board's user may not ask for are null."""

    server: Server | None
    cube: CubeState | None
    module: Module | None
    alerts: Annotated[list[Alert] | None, Field(description="the newest first; null where no monitor is named or it has no samples")]


class _Panel(TypedDict):
    """What all panels say."""

    panel: PanelName
    view: Annotated[str, Field(description="what was asked for: dataset, range, filters and comparison in one text")]
    revision: Annotated[str, Field(description="another one whenever the answer is another one")]
    at: Annotated[int, Field(description="when the server gave this answer, by the board's clock; 0 if it never has")]
    commands: Annotated[list[str], Field(description="the commands that were sent, ready for redis-cli")]
    problem: Annotated[Problem | None, Field(description="with it, `answer` is the last one that there was, or null")]


class CardPanel(_Panel):
    answer: Card | None


class SeriesPanel(_Panel):
    answer: Series | None


class FiguresPanel(_Panel):
    answer: Figures | None


class NewcomersPanel(_Panel):
    answer: Newcomers | None


class ListPanel(_Panel):
    answer: List | None


class FunnelPanel(_Panel):
    answer: Funnel | None


class CampaignPanel(_Panel):
    answer: Campaign | None


class RetentionPanel(_Panel):
    answer: Retention | None


class StatePanel(_Panel):
    answer: State | None


class SketchesPanel(_Panel):
    answer: Sketches | None


Panel = (CardPanel | SeriesPanel | FiguresPanel | NewcomersPanel | ListPanel | FunnelPanel | CampaignPanel | RetentionPanel | StatePanel
         | SketchesPanel)


class Status(TypedDict):
    """How the board stands with the server. `live`: it answers. `gone`: it does not, `since` when, and `text` says why; panels keep
    their last numbers. `dataset` is `missing` where there is no such key, `empty` where a cube never had an event, else `there`."""

    server: Literal["live", "gone"]
    since: Annotated[int, Field(description="when that began")]
    text: str | None
    dataset: Literal["there", "empty", "missing", "unknown"]
    problem: Annotated[Problem | None, Field(description="what to type where the dataset is missing or empty")]
    layout: Annotated[str, Field(description="another one whenever /api/about says something else of this dataset")]


class Alive(TypedDict):
    """That the board and its stream are alive, when there was nothing else to say."""

    at: int


class PanelAbout(TypedDict):
    """A panel of a dataset: `dimension` is that of a list, `problem` why it can never have numbers here (such as no steps)."""

    name: PanelName
    title: str
    dimension: str | None
    problem: Problem | None


class Dataset(TypedDict):
    """A cube that the board shows, or the plain sketches (`kind` is `sketches`, and there is no range and no filter)."""

    name: Annotated[str, Field(description="what addresses call it")]
    title: str
    kind: Literal["cube", "sketches"]
    key: str | None
    zone: str
    dimensions: list[str]
    groups: Annotated[list[list[str]], Field(description="dimensions that may be asked about together")]
    measures: list[str]
    currency: Annotated[str | None, Field(description="ISO 4217 code of what amounts are in; null is a plain number")]
    money: Annotated[list[str], Field(description="the measures that are amounts of money")]
    labels: Annotated[dict[str, str], Field(description="how steps and other values are shown, where the board was told")]
    panels: Annotated[list[PanelAbout], Field(description="in their order on the page")]
    finest: Annotated[str | None, Field(description="the shortest slice: visitors now are those of this time, but five minutes at least")]


class About(TypedDict):
    """The board: what it shows and how to ask it."""

    version: str
    server: Annotated[str, Field(description="the address of the server, without its password")]
    datasets: list[Dataset]
    ranges: list[str]
    alive_seconds: Annotated[float, Field(description="how often a stream says something at least: three times this long silent is stale")]


class Health(TypedDict):
    """Whether the board works: 200 with `ok`, 503 while the server does not answer."""

    ok: bool
    server: Literal["live", "gone"]
    since: int
    text: str | None


class Refused(TypedDict):
    """Why a request was refused."""

    error: str


CARDS = ("now", "today", "7d", "30d")
RANGES = ("today", "7d", "30d", "90d")
