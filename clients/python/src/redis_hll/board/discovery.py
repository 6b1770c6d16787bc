"""What is shown of a cube: chosen from what it declares (HLL.CUBE.INFO) wherever the board was not told.

* Steps are values of the first declared dimension that is called like one (`step`, `event`, ...). The funnel's are those that are
  told, else those of the cube that have a usual name, in the usual order (look, view, cart, checkout, buy), else the five with most
  users, most first.
* The funnel is by `device` or its like, campaigns are by `channel` or its like, where the cube has a group of it with the steps.
* Lists are of all other dimensions, pages first.
"""

from dataclasses import dataclass

from ..results import CubeInfo
from . import shapes
from .config import MOST_LISTS, CubeSettings
from .views import cuts, milliseconds

STEP_NAMES = ("step", "event", "action", "event_type", "event_name", "type")
DEVICE_NAMES = ("device", "device_type", "platform", "browser", "os")
CHANNEL_NAMES = ("channel", "campaign", "utm_campaign", "source", "utm_source", "medium", "utm_medium", "referrer")
PAGE_NAMES = ("page", "path", "url", "screen", "product")
COUNTRY_NAMES = ("country", "region", "city", "language")
IN_ORDER = ("impression", "land", "landing", "visit", "open", "seen", "look", "view", "page_view", "pageview", "product_view", "click",
            "clicked", "signup", "cart", "add_to_cart", "basket", "checkout", "order", "bought", "pay", "payment", "buy", "purchase")
TITLES = {"page": "Top pages", "path": "Top pages", "country": "Countries", "device": "Devices", "channel": "Channels",
          "campaign": "Campaigns", "browser": "Browsers", "city": "Cities", "language": "Languages", "source": "Sources"}
MOST_FOUND = 5


@dataclass(frozen=True, slots=True)
class CampaignHead:
    """What the table of campaigns is of: three values of the step dimension, the dimension of its rows, and two measures."""

    dimension: str
    impression: str
    click: str
    conversion: str
    by: str
    cost: str | None
    revenue: str | None


@dataclass(frozen=True, slots=True)
class Layout:
    """What is shown of one cube. `problems` says of panels why they have nothing here."""

    name: str
    key: str
    title: str
    zone: str
    dimensions: tuple[str, ...]
    groups: tuple[frozenset[str], ...]
    measures: tuple[str, ...]
    tiers: tuple[tuple[str, str], ...]
    counts_new: bool
    step: str | None
    steps: tuple[str, ...]
    funnel_by: str | None
    lists: tuple[str, ...]
    campaign: CampaignHead | None
    every: str | None
    periods: int
    currency: str | None
    money: tuple[str, ...]
    labels: dict[str, str]
    problems: dict[str, shapes.Problem]

    @property
    def finest(self) -> str:
        """The shortest slice."""
        return min((slice_ for slice_, _ in self.tiers), key=milliseconds)

    @property
    def live(self) -> str:
        """Visitors now are those of this time."""
        return self.finest if milliseconds(self.finest) >= milliseconds("5m") else "5m"

    @property
    def panels(self) -> dict[str, tuple[str, str | None]]:
        """The panels in their order on the page: name, title and dimension."""
        found: dict[str, tuple[str, str | None]] = {"now": ("Visitors now", None), "today": ("Today", None), "7d": ("7 days", None), "30d": ("30 days", None),
                                                    "series": ("Visitors and events", None), "figures": ("Key figures", None)}
        if self.counts_new:
            found["newcomers"] = ("New and returning", None)
        for dimension in self.lists:
            found[f"list.{dimension}"] = (TITLES.get(dimension, dimension[:1].upper() + dimension[1:].replace("_", " ")), dimension)
        found["campaign"] = ("Campaigns", self.campaign.by if self.campaign else None)
        found["funnel"] = ("How far they went", self.funnel_by)
        found["retention"] = ("Who comes back", None)
        found["state"] = ("The server", None)
        return found

    def about(self) -> shapes.Dataset:
        """As addresses tell it."""
        return {"name": self.name, "title": self.title, "kind": "cube", "key": self.key, "zone": self.zone, "dimensions": list(self.dimensions),
                "groups": [[name for name in self.dimensions if name in group] for group in self.groups], "measures": list(self.measures),
                "currency": self.currency, "money": list(self.money), "labels": self.labels, "finest": self.finest,
                "panels": [{"name": name, "title": title, "dimension": dimension, "problem": self.problems.get(name)}
                           for name, (title, dimension) in self.panels.items()]}


def problem(kind: shapes.ProblemKind, text: str, fix: str | None = None) -> shapes.Problem:
    """A problem as a panel tells it."""
    return {"kind": kind, "text": text, "fix": fix}


def step_dimension(settings: CubeSettings, dimensions: tuple[str, ...]) -> str | None:
    """The dimension whose values are steps, if there is one."""
    return settings.step or _first(STEP_NAMES, dimensions)


def _first(wanted: tuple[str, ...], there: tuple[str, ...]) -> str | None:
    return next((name for name in wanted if name in there), None)


def in_order(values: list[str]) -> tuple[str, ...]:
    """The steps of a funnel, from the values of the dimension with most users, most first."""
    usual = [value for name in IN_ORDER for value in values if value.lower() == name]
    return tuple(usual[:8]) if len(usual) >= 2 else tuple(values[:MOST_FOUND])


def _every(settings: CubeSettings, tiers: tuple[tuple[str, str], ...]) -> str | None:
    """The length of retention's periods: the one told, else the first of weeks, days and months that can be cut and is kept eight times."""
    if settings.retention.every:
        return settings.retention.every
    for unit in ("1w", "1d", "1mo", "1h"):
        if any(cuts(slice_, unit) and milliseconds(kept) >= 8 * milliseconds(unit) for slice_, kept in tiers):
            return unit
    return None


def layout(name: str, settings: CubeSettings, info: CubeInfo, values: list[str] | None) -> Layout:
    """What is shown of a cube. `values` are those of the step dimension with most users, None where nobody has asked for them."""
    dimensions = info.dimensions
    groups = tuple(frozenset(column.name.split(",")) for column in info.columns if "," in column.name)
    problems: dict[str, shapes.Problem] = {}
    for given in (settings.step, settings.device, settings.campaign.by, *(settings.lists or ())):
        if given is not None and given not in dimensions:
            text = f"{settings.key} has no dimension '{given}', which the board was told to show; it has {', '.join(dimensions) or 'none'}."
            for panel in ("funnel", "campaign") if given in (settings.step, settings.device, settings.campaign.by) else (f"list.{given}",):
                problems[panel] = problem("not_configured", text, f"HLL.CUBE.ALTER {settings.key} ADD DIMENSION {given}")
    step = step_dimension(settings, dimensions)
    step = step if step in dimensions else None
    steps = settings.steps or in_order(values or [])
    others = tuple(dimension for dimension in dimensions if dimension != step)
    with_steps = tuple(dimension for dimension in others if step and frozenset((step, dimension)) in groups)
    funnel_by = settings.device if settings.device in dimensions else _first(DEVICE_NAMES, with_steps)
    preferred = [item for item in (*PAGE_NAMES, *COUNTRY_NAMES, *DEVICE_NAMES, *CHANNEL_NAMES) if item in others]
    lists = settings.lists or tuple(dict.fromkeys([*preferred, *others]))[:MOST_LISTS] or ((step,) if step else ())
    if "funnel" not in problems:
        if step is None:
            problems["funnel"] = problem("not_configured", f"{settings.key} has no dimension of steps; name one with --step DIMENSION.",
                                         f"HLL.CUBE.ALTER {settings.key} ADD DIMENSION step VALUES 20")
        elif len(steps) < 2:
            problems["funnel"] = problem("not_configured", f"A funnel needs two steps, and '{step}' has {len(steps)} so far; they can be named with --steps A,B,...")
    found = _campaign(settings, info, step, steps, with_steps, problems)
    money = settings.money if settings.money is not None else tuple(measure for measure in info.measures if measure in (
        "revenue", "cost", "price", "amount", "turnover", "spend"))
    return Layout(name=name, key=settings.key, title=settings.title or settings.key, zone=info.zone, dimensions=dimensions, groups=groups,
                  measures=info.measures, tiers=tuple((tier.slice, tier.retention) for tier in info.tiers), counts_new=info.new_precision is not None,
                  step=step, steps=steps, funnel_by=funnel_by, lists=lists, campaign=found, every=_every(settings, tuple(
                      (tier.slice, tier.retention) for tier in info.tiers)), periods=settings.retention.periods or 8,
                  currency=settings.currency, money=money, labels=settings.labels, problems=problems)


def _campaign(settings: CubeSettings, info: CubeInfo, step: str | None, steps: tuple[str, ...], with_steps: tuple[str, ...],
              problems: dict[str, shapes.Problem]) -> CampaignHead | None:
    """The head of the campaign table, or None with the reason among the problems."""
    if "campaign" in problems:
        return None
    told = settings.campaign
    if step is None or not (told.impression and told.click and told.conversion) and len(steps) < 3:
        problems["campaign"] = problem("not_configured", f"Campaigns need three steps (seen, clicked, bought), and {settings.key} has "
                                       f"{f'{len(steps)} so far' if step else 'no dimension of steps'}; they can be named in the configuration.")
        return None
    by = told.by or _first(CHANNEL_NAMES, with_steps)
    if by is None:
        channel = _first(CHANNEL_NAMES, info.dimensions)
        fix = f"HLL.CUBE.ALTER {settings.key} ADD GROUP {step},{channel}" if channel else f"HLL.CUBE.ALTER {settings.key} ADD DIMENSION channel VALUES 50"
        text = (f"{settings.key} does not count {step} and {channel} together, so it cannot tell campaigns apart." if channel else
                f"{settings.key} has no dimension that tells campaigns apart, such as channel.")
        problems["campaign"] = problem("no_group" if channel else "not_configured", text, fix)
        return None
    return CampaignHead(step, told.impression or steps[0], told.click or steps[1], told.conversion or steps[-1], by,
                        _measure(told.cost, "cost", info), _measure(told.revenue, "revenue", info))


def _measure(told: str | None, usual: str, info: CubeInfo) -> str | None:
    return told if told is not None else usual if usual in info.measures else None
