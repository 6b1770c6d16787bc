"""Who looks at what, and when the server is asked: once for all who look at the same view.

* An `Entry` is a panel of a view with its last answer. Views that make no difference to a panel share it: the cards do not depend on
  the range, the state of the server on nothing.
* A `Source` is a dataset. While somebody looks at it, it asks a cheap question twice a second, the signal: how many events the newest
  slices hold. An event changes it, and so does the clock when a slice is over. (Events that come late, into slices that are closed, are
  found when the cube is described again, each ten seconds or so.) Only then are the panels asked
  again that somebody looks at, each as often as its cost allows (`cost`). Nothing is asked for nobody.
* A `Viewer` is a stream. What it has not been sent yet is one document for each panel at most: who reads slowly skips answers.

Everything is bounded: viewers, different views, kept answers, questions at a time, and every wait.
"""

import asyncio
import itertools
import json
import logging
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Literal

from ..commands import Command, cube, sketch
from ..errors import CommandMissing, HLLError, KeyMissing, WrongType
from ..replies import Reply
from ..results import CubeInfo, QueryResult
from ..shells import AsyncHLL
from . import panels, shapes
from .config import BoardSettings, CubeSettings, Limits, SketchSettings, names
from .cost import Budget, Cost, Strain, interval
from .discovery import Layout, layout, problem, step_dimension
from .panels import Context, PanelProblem, Question, plain
from .views import UNITS, View, ViewError, milliseconds

log = logging.getLogger("redis_hll.board")

STATE_EVERY, LAYOUT_EVERY, IDLE_SECONDS, RATE_SECONDS = 10.0, 10.0, 5.0, 10.0
LAYOUT_PART = 500  # HLL.CUBE.INFO counts values in every slice: of a large cube that takes long, and is asked for a 500th of the time at most
AHEAD = 2 * UNITS["d"]  # more than a server lets events be ahead of its clock
BASE = {"state": 2.0}
CARD_BASE, OTHER_BASE, CARD_WEIGHT = 0.4, 1.0, 4.0
FIXED = ("series", "figures", "newcomers", "funnel", "campaign", "retention")
EMPTY_VIEW = View("30d", None, (), False)


class Refusal(Exception):
    """The board cannot serve this now: too many viewers, or too much is asked."""


def wall() -> int:
    """The board's clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def spoken(command: Command[Any]) -> str:
    """A command as it can be typed into redis-cli."""
    return " ".join([command.name, *map(_quoted, command.words)])


def _quoted(word: bytes) -> str:
    if re.fullmatch(rb"[\w!#$%&()*+,./:;<=>?@^`{|}~-]+", word):
        return word.decode()
    try:
        text = word.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word) + '"'


def packed(document: Any) -> bytes:
    """A document as JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def _steady(answer: Any) -> Any:
    """An answer without what the board's own questions change: how many long answers the module has given and is at."""
    if not isinstance(answer, dict) or not answer.get("module"):
        return answer
    module = answer["module"]
    return {**answer, "module": {**module, "long_answers": {**module["long_answers"], "done": 0, "running": 0}}}


def event(kind: str, data: bytes) -> bytes:
    """A document as an event of a stream; JSON has no line breaks of its own."""
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


class Viewer:
    """A stream: what is still to be sent, the newest of each kind only."""

    def __init__(self, source: "Source", view: View, entries: "list[Entry]") -> None:
        self.source, self.view, self.entries = source, view, entries
        self._pending: dict[str, bytes] = {}
        self._news = asyncio.Event()
        self.closed = False

    def offer(self, name: str, data: bytes) -> None:
        """Something new, instead of what there is of this name."""
        self._pending[name] = data
        self._news.set()

    def close(self) -> None:
        """Ends the stream."""
        self.closed = True
        self._news.set()

    async def take(self, seconds: float) -> bytes:
        """All that is new, as soon as there is something; empty when there is nothing for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()
        found, self._pending = b"".join(self._pending.values()), {}
        return found


class Entry:
    """A panel of a view, with its last answer."""

    def __init__(self, name: str, view: View, said: str, ask: Callable[[], Question], boot: str) -> None:
        self.name, self.view, self.ask = name, view, ask
        self.viewers: set[Viewer] = set()
        self.document: Any = {"panel": name, "view": said, "revision": f"{boot}-0", "at": 0, "commands": [], "problem": None, "answer": None}
        self.data = b""
        self.generation = -1
        self.cost, self.started = Cost(), -1e9
        self.task: asyncio.Task[None] | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is something to show."""
        return bool(self.data)

    @property
    def base(self) -> float:
        """Seconds between two questions at least."""
        return CARD_BASE if self.name in shapes.CARDS else BASE.get(self.name, OTHER_BASE)

    @property
    def weight(self) -> float:
        """How many parts of the time it has: the cards are what people look at first, and cheap."""
        return CARD_WEIGHT if self.name in shapes.CARDS else 1.0

    def put(self, revision: str, answer: Any, found: shapes.Problem | None, commands: list[str]) -> bool:
        """Takes an answer, and says whether it is another one than the last."""
        before = self.document
        if answer is None and found is not None:
            answer = before["answer"]
        if self.data and (found, commands) == (before["problem"], before["commands"]) and _steady(answer) == _steady(before["answer"]):
            return False
        at = wall() if found is None else before["at"]
        self.document = {**before, "revision": revision, "at": at, "commands": commands, "problem": found, "answer": answer}
        self.data = packed(self.document)
        return True


class Source:
    """A dataset: its signal, what is shown of it, and how it stands."""

    def __init__(self, hub: "Hub", name: str, settings: CubeSettings | tuple[SketchSettings, ...]) -> None:
        self.hub, self.name, self.settings = hub, name, settings
        self.layout: Layout | None = None
        self.info: CubeInfo | None = None
        self.generation = 0
        self.viewers: set[Viewer] = set()
        self.entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        self.status: shapes.Status = {"server": "live", "since": wall(), "text": None, "dataset": "unknown", "problem": None, "layout": "0"}
        self._signal: Any = None
        self._events: deque[tuple[float, int]] = deque(maxlen=64)
        self._polled = self._described = -1e9
        self._polling = asyncio.Lock()
        self._step_values: list[str] = []
        self._cost, self._info_cost = Cost(), Cost()
        self._base = self._before = 0
        self._border = 1
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._numbers = itertools.count(1)
        self.server: shapes.Server | None = None

    @property
    def key(self) -> str:
        """The cube's key, or that of the first sketch."""
        return self.settings.key if isinstance(self.settings, CubeSettings) else self.settings[0].key

    @property
    def is_cube(self) -> bool:
        return isinstance(self.settings, CubeSettings)

    @property
    def limits(self) -> Limits:
        return self.hub.settings.limits

    # ---- what is shown

    def about(self) -> shapes.Dataset:
        """As addresses tell it; of a cube that is not there what little is known."""
        if self.layout is not None:
            return self.layout.about()
        if isinstance(self.settings, CubeSettings):
            why = self.status["problem"]
            found: list[shapes.PanelAbout] = [{"name": "state", "title": "The server", "dimension": None, "problem": why}]
            return {"name": self.name, "title": self.settings.title or self.key, "kind": "cube", "key": self.key, "zone": "UTC", "dimensions": [],
                    "groups": [], "measures": [], "currency": self.settings.currency, "money": [], "labels": {}, "finest": None, "panels": found}
        return {"name": self.name, "title": "Sketches", "kind": "sketches", "key": None, "zone": "UTC", "dimensions": [], "groups": [], "measures": [],
                "currency": None, "money": [], "labels": {}, "finest": None, "panels": [
                    {"name": "sketches", "title": "Sketches", "dimension": None, "problem": None},
                    {"name": "state", "title": "The server", "dimension": None, "problem": None}]}

    def learn(self, info: CubeInfo) -> None:
        """What the cube declares now."""
        assert isinstance(self.settings, CubeSettings)
        self.info, self._described = info, time.monotonic()
        found = layout(self.name, self.settings, info, self._step_values)
        if found != self.layout:
            self.layout = found
            self.generation += 1
            self._tell(layout=str(next(self._numbers)))

    def known(self, dimension: str) -> int:
        """How many values the cube has of a dimension."""
        return next((column.values for column in self.info.columns if column.name == dimension), 0) if self.info else 0

    def rate(self) -> tuple[int | None, float | None]:
        """Events in all, and how many a second came in the last seconds, to two digits."""
        if not self._events:
            return None, None
        (first, before), (last, now) = self._events[0], self._events[-1]
        if last - first < RATE_SECONDS / 2:
            return now, None
        rate = max(0.0, (now - before) / (last - first))
        return now, float(f"{rate:.2g}")

    def entry(self, name: str, view: View) -> Entry:
        """The panel of a view. Raises ViewError for one that there is not."""
        if isinstance(self.settings, CubeSettings):
            if self.layout is not None and name not in self.layout.panels:
                raise ViewError(f"{self.name} has no panel {name[:80]!r}; it has {', '.join(self.layout.panels)}")
            if self.layout is None and name not in (*shapes.CARDS, *FIXED, "state") and not re.fullmatch(r"list\.\w{1,64}", name, re.A):
                raise ViewError(f"there is no panel {name[:80]!r}")
            unknown = [item.dimension for item in view.filters if self.layout is not None and item.dimension not in self.layout.dimensions]
            if unknown and self.layout is not None:
                raise ViewError(f"'{unknown[0]}' is no dimension of {self.key}; it has {', '.join(self.layout.dimensions) or 'none'}")
        elif name not in ("sketches", "state"):
            raise ViewError(f"there is no panel {name[:80]!r}; there are sketches and state")
        elif view.filters:
            raise ViewError("plain sketches have no dimensions to filter by")
        view = _narrowed(name, view)
        key = name, str(view)
        found = self.entries.get(key)
        if found is None:
            found = self.entries[key] = Entry(name, view, f"{self.name} {view}", lambda: self._ask(name, view), self.hub.boot)
            self._forget()
        self.entries.move_to_end(key)
        return found

    def _forget(self) -> None:
        """Drops the answers that nobody has asked for longest, beyond the limit."""
        for key in list(itertools.islice(self.entries, max(0, len(self.entries) - self.limits.answers))):
            if not self.entries[key].viewers and self.entries[key].task is None:
                del self.entries[key]

    def _ask(self, name: str, view: View) -> Question:
        if name == "state":
            return panels.state(self.key if self.is_cube else None, self.key, lambda: self.server, self.hub.settings.monitor, self.rate, lambda: self.info)()
        if not isinstance(self.settings, CubeSettings):
            return panels.sketches(self.settings)()
        if self.layout is None:
            return _nothing(self.status["problem"] or problem("gone", "The server has not answered yet."))
        context = Context(self.layout, view, wall())
        if name in shapes.CARDS:
            return panels.card(name, self.layout, context.now)(context)
        if name.startswith("list."):
            if name in self.layout.problems:
                return _nothing(self.layout.problems[name])
            return panels.values_of(name.removeprefix("list."), self.known)(context)
        asks: dict[str, Callable[[Context], Question]] = {
            "series": panels.series, "figures": panels.figures, "newcomers": panels.newcomers, "funnel": panels.funnel,
            "campaign": panels.campaign, "retention": panels.retention}
        return asks[name](context)

    # ---- the signal

    async def poll(self) -> None:
        """Asks the signal, unless that was done within half of a tick."""
        async with self._polling:
            if time.monotonic() - self._polled < self.limits.tick / 2:
                return
            began = time.perf_counter()
            try:
                async with self.hub.signals, asyncio.timeout(2 * self.limits.connect_timeout):
                    was_gone = self.status["server"] == "gone" or self._polled < 0
                    signal = await self._look()
                    if was_gone:
                        self.server = await self.hub.hello()
                        self.generation += 1
            except Exception as error:
                self._failed(error)
            else:
                self._came(signal)
                self.hub.budget.spend(self._cost.took(time.perf_counter() - began))
            self._polled = time.monotonic()

    async def _look(self) -> Any:
        """The signal: another value whenever an answer may be another one."""
        if not isinstance(self.settings, CubeSettings):
            await self.hub.run(sketch.count(self.key))
            return next(self._numbers)
        if self.layout is None or time.monotonic() - self._described > max(LAYOUT_EVERY, LAYOUT_PART * self._info_cost.seconds):
            await self._describe()
        recent = await self._recent()
        now = time.monotonic()
        self._events.append((now, self._before + recent))
        while now - self._events[0][0] > RATE_SECONDS and len(self._events) > 2:
            self._events.popleft()
        # When a slice is over answers are others too; a clock that is ten seconds behind this one is waited for.
        return self._before + recent, tuple((wall() - behind) // self._border for behind in (0, 2_000, 10_000))

    async def _recent(self) -> int:
        """Events since somewhat before the newest one that was known when the cube was last described: a few slices, so it costs next to nothing."""
        answer: QueryResult = await self.hub.run(cube.query(self.key, metrics=["events"], between=(self._base, wall() + AHEAD)))
        return sum(row.events or 0 for row in answer)

    async def _describe(self) -> None:
        """What the cube declares, and which steps there are."""
        assert isinstance(self.settings, CubeSettings)
        began = time.perf_counter()
        info: CubeInfo = await self.hub.run(cube.info(self.key))
        finest = min(milliseconds(tier.slice) for tier in info.tiers)
        # Two slices take events that are not late; those that are show when the cube is described again.
        self._base = panels.millis(info.newest) - 3 * finest if info.newest else 0
        self._border = min(finest, 900_000)
        total: QueryResult = await self.hub.run(cube.query(self.key, metrics=["events"]))
        self._info_cost.took(time.perf_counter() - began)
        self._before = sum(row.events or 0 for row in total) - await self._recent()
        step = step_dimension(self.settings, info.dimensions)
        if step in info.dimensions and self.settings.steps is None and len(self._step_values) < 2:
            top: QueryResult = await self.hub.run(cube.top(self.key, str(step), 20))
            self._step_values = [row.by[str(step)] for row in top if row.by[str(step)] != panels.OTHER]
        self.learn(info)

    def _came(self, signal: Any) -> None:
        if signal != self._signal:
            self._signal = signal
            self.generation += 1
        is_empty = self.is_cube and self.info is not None and not signal[0] and signal[0] is not None
        what: Literal["there", "empty"] = "empty" if is_empty else "there"
        why = problem("empty", f"{self.key} is there, and empty. It shows numbers as soon as the first event comes; nothing needs to be reloaded.",
                      self._example()) if is_empty else None
        self._tell(server="live", text=None, dataset=what, problem=why)

    def _example(self) -> str:
        """An event by hand."""
        assert isinstance(self.settings, CubeSettings)
        values = {"step": "view", "device": "mobile", "country": "DE", "page": "/", "channel": "search"}
        fields = " ".join(f"{name} {values.get(name, 'a')}" for name in (self.layout.dimensions if self.layout else ()))
        return f"HLL.CUBE.ADD {self.key} * visitor-1 {fields}".strip()

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, HLLError) and not panels.is_refused(error):
            text = plain(str(error)) or type(error).__name__
            if self.status["server"] != "gone":
                log.warning("%s: the server does not answer: %s", self.name, text)
            self._tell(server="gone", text=text)
            return
        why = panels.problem_of(error, self.key, (), ())
        if isinstance(error, KeyMissing):
            why["fix"] = (f"HLL.CUBE.CREATE {self.key} TIER 5m 3h TIER 1h 48h TIER 1d 90d TIER 1w 53w TIER 1mo 36mo DIMENSION step VALUES 20 "
                          "DIMENSION device VALUES 8 DIMENSION channel VALUES 50 DIMENSION page VALUES 20000 GROUP step,device GROUP step,channel "
                          "MEASURE cost MEASURE revenue NEW 14")
        missing = isinstance(error, KeyMissing)
        if not missing and not isinstance(error, (WrongType, CommandMissing)):
            self._tell(server="live", text=None, problem=why)
            return
        if self._signal is not None or self.layout is not None:
            self.generation += 1
        self._signal, self.layout, self.info, self._step_values = None, None, None, []
        self._events.clear()
        self._tell(server="live", text=None, dataset="missing" if missing else "unknown", problem=why)

    def _tell(self, **changes: Any) -> None:
        """Changes the status, and says so to whoever looks."""
        found: Any = {**self.status, **changes}
        if found["server"] != self.status["server"]:
            found["since"] = wall()
        if found == self.status:
            return
        self.status = found
        data = event("status", packed(found))
        for viewer in self.viewers:
            viewer.offer("status", data)

    # ---- while somebody looks

    def wake(self) -> None:
        """Sees to what is due at once."""
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"board {self.name}")

    @property
    def tasks(self) -> "list[asyncio.Task[None]]":
        """What is under way."""
        return [task for task in (self._task, *(entry.task for entry in self.entries.values())) if task is not None]

    async def _run(self) -> None:
        """Until nobody has looked for a while."""
        nobody_since = time.monotonic()
        while not self.hub.closing:
            now = time.monotonic()
            if self.viewers:
                nobody_since = now
            elif now - nobody_since > IDLE_SECONDS:
                return
            self._wake.clear()
            soonest = tick = min(5.0, max(self.limits.tick, 20 * self._cost.seconds))
            try:
                if self.viewers and self.hub.budget.is_open and time.monotonic() - self._polled >= tick:
                    await self.poll()
                self.hub.strain.measure()
                if self.status["server"] == "live":
                    soonest = min(soonest, self._start_due())
            except Exception:
                log.exception("%s: this is a defect of the board, it goes on", self.name)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, min(soonest, self._polled + tick - time.monotonic()) if self.viewers else tick)):
                    await self._wake.wait()

    def _start_due(self) -> float:
        """Asks what is due, cards first, and answers in how many seconds the next panel is due."""
        looked_at = [entry for entry in self.entries.values() if entry.viewers]
        weights, soonest = self.hub.weights, self.limits.tick
        for entry in sorted(looked_at, key=lambda entry: (entry.is_known, -entry.weight, entry.started)):
            if entry.task is None and (left := self._due_in(entry, weights)) is not None:
                if left <= 0 and self.hub.budget.is_open:
                    self.refresh(entry)
                else:
                    soonest = min(soonest, max(left, 0.02))
        return soonest

    def _due_in(self, entry: Entry, weights: float) -> float | None:
        """In how many seconds a panel may be asked again; None for one whose answer is still right."""
        since = time.monotonic() - entry.started
        if not entry.is_known:
            return 1.0 - since
        if entry.generation == self.generation:
            return STATE_EVERY - since if entry.name == "state" else None
        return interval(entry.base, entry.cost.seconds, self.limits.share * entry.weight / weights, self.hub.strain.stretch) - since

    def refresh(self, entry: Entry) -> "asyncio.Task[None]":
        """Asks a panel again, unless that is under way."""
        if entry.task is None:
            entry.started = time.monotonic()
            entry.task = asyncio.create_task(self._refresh(entry), name=f"board {self.name} {entry.name}")
        return entry.task

    async def _refresh(self, entry: Entry) -> None:
        try:
            async with self.hub.at_once:
                generation, began = self.generation, time.perf_counter()
                commands: list[str] = []
                answer, why = await self._answer(entry, commands)
                self.hub.budget.spend(entry.cost.took(time.perf_counter() - began))
            if why is not None and why["kind"] == "gone" and entry.is_known:
                return  # the last numbers stay; the status says that there are no newer ones
            entry.generation = generation
            if entry.put(f"{self.hub.boot}-{next(self.hub.revisions)}", answer, why, commands):
                data = event("panel", entry.data)
                for viewer in entry.viewers:
                    viewer.offer(entry.name, data)
        except Exception:
            log.exception("%s, %s: this is a defect of the board, it goes on", self.name, entry.name)
        finally:
            entry.task = None

    async def _answer(self, entry: Entry, commands: list[str]) -> tuple[Any, shapes.Problem | None]:
        question = entry.ask()
        try:
            made = question.send(None)
            while True:
                if isinstance(made, panels.Known):
                    commands.append(spoken(made.command))
                    made = question.send(made.result)
                    continue
                commands.append(spoken(made))
                try:
                    result = await self.hub.run(made)
                except Exception as error:
                    made = question.throw(error)
                else:
                    made = question.send(result)
        except StopIteration as end:
            return end.value, None
        except PanelProblem as found:
            return None, found.problem
        except TimeoutError:
            return None, problem("busy", f"There was no answer within {self.limits.answer_timeout:g} seconds; the board asks again later.")
        except Exception as error:
            about = panels.about_dimensions(entry.name, self.layout) if self.layout else ()
            own = {entry.name.removeprefix("list.")} if entry.name.startswith("list.") else {self.layout.step} if self.layout and entry.name in (
                "funnel", "campaign") else set()
            return None, panels.problem_of(error, self.key, tuple(item.dimension for item in entry.view.filters if item.dimension not in own), about)


def _nothing(found: shapes.Problem) -> Question:
    """A question that nobody needs to ask."""
    raise PanelProblem(found)
    yield  # it is a question all the same


def _narrowed(name: str, view: View) -> View:
    """The view as far as it makes a difference to a panel."""
    if name in ("state", "sketches"):
        return EMPTY_VIEW
    if name in shapes.CARDS:
        return View("30d", None, view.filters, view.compare)
    if name == "retention":
        return View("30d", None, view.filters, False)
    if name in ("figures", "newcomers", "funnel", "campaign"):
        return View(view.range, view.days, view.filters, False)
    return view


class Hub:
    """All datasets, and all who look."""

    def __init__(self, settings: BoardSettings, hll: AsyncHLL) -> None:
        self.settings, self.hll = settings, hll
        limits = settings.limits
        self.boot = secrets.token_hex(3)
        self.revisions = itertools.count(1)
        self.budget, self.strain = Budget(limits.share, limits.burst), Strain(limits.cpu)
        self.at_once, self.signals = asyncio.Semaphore(limits.at_once), asyncio.Semaphore(2)
        self.closing = False
        self.viewers: set[Viewer] = set()
        self.commands = self.failures = self.refused = 0
        self.seconds = 0.0
        self.sources: dict[str, Source] = {name: Source(self, name, cube) for name, cube in names(settings).items()}
        if settings.sketches:
            self.sources["sketches"] = Source(self, "sketches", settings.sketches)

    @property
    def active(self) -> int:
        """How many panels are looked at."""
        return sum(bool(entry.viewers) for source in self.sources.values() for entry in source.entries.values())

    @property
    def weights(self) -> float:
        """The weights of all panels that are looked at."""
        return sum(entry.weight for source in self.sources.values() for entry in source.entries.values() if entry.viewers)

    async def run(self, command: Command[Any]) -> Any:
        """Sends a command, for so long at most, and notes what it took. Raises what the client raises, and TimeoutError."""
        began = time.perf_counter()
        self.commands += 1
        try:
            async with asyncio.timeout(self.settings.limits.answer_timeout):
                return await self.hll.run(command)
        except Exception as error:
            self.failures += not isinstance(error, HLLError)
            raise
        finally:
            self.seconds += time.perf_counter() - began

    async def hello(self) -> shapes.Server | None:
        """Which server it is; None where that is not told."""
        with suppress(Exception):
            f = Reply(await self.hll.client.execute_command("HELLO", NEVER_DECODE=[])).fields()
            return {"name": plain(f.text("server")), "version": plain(f.text("version"))}
        return None

    def join(self, source: Source, view: View, wanted: Iterable[str], have: Iterable[str]) -> Viewer:
        """A viewer of these panels, who has some of their answers already. Raises Refusal and ViewError."""
        limits = self.settings.limits
        if self.closing:
            raise Refusal("the board is being stopped")
        if len(self.viewers) >= limits.viewers:
            self.refused += 1
            raise Refusal(f"there are {limits.viewers} viewers, which is as many as this board takes")
        views = {(viewer.source.name, str(viewer.view)) for viewer in self.viewers}
        if len(views) >= limits.views and (source.name, str(view)) not in views:
            self.refused += 1
            raise Refusal(f"{limits.views} different views are being looked at, which is as many as this board takes; choose one that others look at")
        entries = [source.entry(name, view) for name in dict.fromkeys(wanted)]
        viewer = Viewer(source, view, entries)
        viewer.offer("status", event("status", packed(source.status)))
        seen = set(have)
        for entry in entries:
            entry.viewers.add(viewer)
            if entry.is_known and f"{entry.name}@{entry.document['revision']}" not in seen:
                viewer.offer(entry.name, event("panel", entry.data))
        source.viewers.add(viewer)
        self.viewers.add(viewer)
        source.wake()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """The end of a viewer."""
        for entry in viewer.entries:
            entry.viewers.discard(viewer)
        viewer.source.viewers.discard(viewer)
        self.viewers.discard(viewer)

    async def panel(self, source: Source, view: View, name: str) -> bytes:
        """The answer of one panel, asked now unless there is one that is still right. Raises Refusal and ViewError."""
        await self._may_ask()
        await source.poll()
        entry = source.entry(name, view)
        fresh = entry.generation == source.generation and entry.is_known and (name != "state" or time.monotonic() - entry.started < BASE["state"])
        if not fresh and not (entry.is_known and source.status["server"] == "gone"):
            await self._may_ask()
            await asyncio.shield(source.refresh(entry))
        return entry.data if entry.is_known else packed(entry.document)

    async def _may_ask(self) -> None:
        if not await self.budget.wait(self.settings.limits.answer_timeout):
            self.refused += 1
            raise Refusal("the server has been asked as much as this board may; try again in a few seconds")

    def end_streams(self) -> None:
        """Ends all streams, and takes no more of them."""
        self.closing = True
        for viewer in list(self.viewers):
            viewer.close()

    async def close(self) -> None:
        """Ends all streams and questions, and the connections to the server."""
        self.end_streams()
        tasks = [task for source in self.sources.values() for task in source.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):
            async with asyncio.timeout(self.settings.limits.connect_timeout):
                await self.hll.client.aclose()
