"""Clients that wait, clients that are awaited, and pipelines: three shells around the same commands.

`estimate = method(sketch.estimate)` is all there is of a method. What it gives depends on where it is: the result on `HLL`, a
coroutine on `AsyncHLL`, and a `Later` in a pipeline, whose value is there once the pipeline has been executed.
"""

import functools
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from . import batches
from .batches import COMMANDS, ELEMENTS, ROWS, Event, Exchange, Piece, Progress, RowSender
from .commands import Command, Text, Value, cluster, cube, monitor, sketch, word, words
from .errors import HLLError, translate
from .replies import Reply
from .results import Counted, Sent
from .routing import Route
from .times import Time
from .wire import Wire

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Later(Generic[T]):
    """What a command in a pipeline comes to."""

    __slots__ = ("_value",)
    _value: T | Exception

    @property
    def value(self) -> T:
        """The result. Raises what the server answered with, or HLLError before the pipeline has been executed."""
        try:
            found = self._value
        except AttributeError:
            raise HLLError("the pipeline has not been executed yet") from None
        if isinstance(found, Exception):
            raise found
        return found

    def __repr__(self) -> str:
        return f"Later({self._value!r})" if hasattr(self, "_value") else "Later(not executed)"


class Shell:
    """What all shells know: the client, who sends, and how strictly replies are read."""

    def __init__(self, client: Any, *, producer: str | None = None, strict: bool = False) -> None:
        self.client = client
        self.strict = strict
        self._nonce = secrets.token_hex(6)
        self.producer = producer or f"py-{self._nonce}"
        self._numbers = itertools.count(1)
        self._route = Route(client)
        self._wire = Wire.of(client, self._route.response_error)

    def new_id(self) -> str:
        """An id that nobody has used: neither this process nor one that was forked from it, nor one that had the same producer."""
        return f"{self._nonce}.{os.getpid():x}.{next(self._numbers)}"

    def _stamped(self, made: Sequence[Command[Any]]) -> list[Command[Any]]:
        return [command.stamped(self.producer, self.new_id) for command in made]

    def _sender(self, key: bytes, late: cube.Late) -> RowSender:
        def new_id(_: Piece) -> bytes:
            return self.new_id().encode()
        return RowSender(key, self.producer.encode(), new_id, late)


class SyncShell(Shell):
    """A client that waits."""

    def run(self, command: Command[T]) -> T:
        """Sends a command and reads the reply."""
        return command.parse(Reply(self._send(command.stamped(self.producer, self.new_id)), self.strict))

    def _send(self, command: Command[Any]) -> Any:
        options = self._route.options(command)
        try:
            return self.client.execute_command(self._route.name(command), *command.words, **options)
        except Exception as error:
            if not self._route.retries(command, options, error):
                raise translate(error) from error.__cause__
        try:
            return self.client.execute_command(self._route.name(command), *command.words, NEVER_DECODE=[])
        except Exception as error:
            raise translate(error) from error.__cause__

    def exchange(self, conversation: Exchange[R]) -> R:
        """Carries on a conversation to its end."""
        try:
            made = next(conversation)
            while True:
                try:
                    results = self._flush(made)
                except Exception as error:
                    made = conversation.throw(error)
                else:
                    made = conversation.send(results)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _flush(self, made: Sequence[Command[Any]]) -> list[Any]:
        if self._wire is not None:
            replies = self._wire.send(self._stamped(made))
            return [_read(command, reply, self.strict) for command, reply in zip(made, replies, strict=True)]
        pipeline = self.client.pipeline(transaction=False)
        for command in self._stamped(made):
            pipeline.execute_command(self._route.name(command), *command.words, **self._route.options(command))
        return [_read(command, reply, self.strict) for command, reply in zip(made, pipeline.execute(raise_on_error=False), strict=True)]


class AsyncShell(Shell):
    """A client that is awaited."""

    async def run(self, command: Command[T]) -> T:
        """Sends a command and reads the reply."""
        return command.parse(Reply(await self._send(command.stamped(self.producer, self.new_id)), self.strict))

    async def _ready(self) -> None:
        if self._route.is_cluster:
            await self.client.initialize()

    async def _send(self, command: Command[Any]) -> Any:
        await self._ready()
        options = self._route.options(command)
        try:
            return await self.client.execute_command(self._route.name(command), *command.words, **options)
        except Exception as error:
            if not self._route.retries(command, options, error):
                raise translate(error) from error.__cause__
        try:
            return await self.client.execute_command(self._route.name(command), *command.words, NEVER_DECODE=[])
        except Exception as error:
            raise translate(error) from error.__cause__

    async def exchange(self, conversation: Exchange[R]) -> R:
        """Carries on a conversation to its end."""
        try:
            made = next(conversation)
            while True:
                try:
                    results = await self._flush(made)
                except Exception as error:
                    made = conversation.throw(error)
                else:
                    made = conversation.send(results)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _flush(self, made: Sequence[Command[Any]]) -> list[Any]:
        if self._wire is not None:
            replies = await self._wire.send_awaited(self._stamped(made))
            return [_read(command, reply, self.strict) for command, reply in zip(made, replies, strict=True)]
        await self._ready()
        pipeline = self.client.pipeline(transaction=False)
        for command in self._stamped(made):
            pipeline.execute_command(self._route.name(command), *command.words, **self._route.options(command))
        replies = await pipeline.execute(raise_on_error=False)
        return [_read(command, reply, self.strict) for command, reply in zip(made, replies, strict=True)]


class LaterShell(Shell):
    """A pipeline: commands are kept, and sent together."""

    def __init__(self, shell: Shell, transaction: bool) -> None:
        self.client, self.strict, self.producer = shell.client, shell.strict, shell.producer
        self._nonce, self._numbers, self._route = shell._nonce, shell._numbers, shell._route
        self.raw = self.client.pipeline(transaction=transaction)
        self._transaction = transaction
        self._waiting: list[tuple[int, Command[Any], Later[Any]]] = []

    def run(self, command: Command[T]) -> Later[T]:
        """Keeps a command."""
        command = command.stamped(self.producer, self.new_id)
        later: Later[T] = Later()
        self._waiting.append((len(self.raw), command, later))
        options = {"NEVER_DECODE": []} if self._transaction else self._route.options(command)
        self.raw.execute_command(self._route.name(command), *command.words, **options)
        return later

    def _fill(self, replies: list[Any], raise_on_error: bool) -> list[Any]:
        found = list(replies)
        for place, command, later in self._waiting:
            later._value = found[place] = _read(command, found[place], self.strict)
        self._waiting = []
        if raise_on_error:
            for value in found:
                if isinstance(value, Exception):
                    raise value
        return found



def _read(command: Command[Any], reply: Any, strict: bool) -> Any:
    """The result, or the error that it is; other commands of the same flush go on."""
    if isinstance(reply, Exception):
        return translate(reply)
    try:
        return command.parse(Reply(reply, strict))
    except HLLError as error:
        return error


class method(Generic[P, T]):
    """A command as a method of every shell."""

    def __init__(self, build: Callable[P, Command[T]]) -> None:
        self._build = build
        self.__doc__, self.__name__, self.__wrapped__ = build.__doc__, build.__name__, build

    @overload
    def __get__(self, shell: None, owner: Any) -> "method[P, T]": ...
    @overload
    def __get__(self, shell: SyncShell, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, shell: AsyncShell, owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, shell: LaterShell, owner: Any) -> Callable[P, Later[T]]: ...
    def __get__(self, shell: Any, owner: Any) -> Any:
        if shell is None:
            return self

        @functools.wraps(self._build)
        def call(*arguments: P.args, **options: P.kwargs) -> Any:
            return shell.run(self._build(*arguments, **options))
        return call


class SyncBound:
    """A key and the client that waits for it."""

    def __init__(self, shell: SyncShell, key: Text) -> None:
        self.shell, self.key = shell, key


class AsyncBound:
    """A key and the client that is awaited."""

    def __init__(self, shell: AsyncShell, key: Text) -> None:
        self.shell, self.key = shell, key


class LaterBound:
    """A key in a pipeline."""

    def __init__(self, shell: LaterShell, key: Text) -> None:
        self.shell, self.key = shell, key


class bound_method(Generic[P, T]):
    """A command whose first argument is the key that something is bound to."""

    def __init__(self, build: Callable[Concatenate[Text, P], Command[T]]) -> None:
        self._build = build
        self.__doc__, self.__name__, self.__wrapped__ = build.__doc__, build.__name__, build

    @overload
    def __get__(self, bound: None, owner: Any) -> "bound_method[P, T]": ...
    @overload
    def __get__(self, bound: SyncBound, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, bound: AsyncBound, owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, bound: LaterBound, owner: Any) -> Callable[P, Later[T]]: ...
    def __get__(self, bound: Any, owner: Any) -> Any:
        if bound is None:
            return self

        @functools.wraps(self._build)
        def call(*arguments: P.args, **options: P.kwargs) -> Any:
            return bound.shell.run(self._build(bound.key, *arguments, **options))
        return call


class SketchCommands:
    """The commands of sketches."""

    create = method(sketch.create)
    add = method(sketch.add)
    count = method(sketch.count)
    estimate = method(sketch.estimate)
    merge = method(sketch.merge)
    intersect = method(sketch.intersect)
    segment = method(sketch.segment)
    overlap = method(sketch.overlap)
    funnel = method(sketch.funnel)
    retention = method(sketch.retention)
    campaign = method(sketch.campaign)
    info = method(sketch.info)
    accuracy = method(sketch.accuracy)
    export = method(sketch.export)
    restore = method(sketch.restore)
    stats = method(sketch.stats)


class ClusterCommands:
    """The commands of sketches for keys in any slots of a cluster."""

    count = method(cluster.count)
    estimate = method(cluster.estimate)
    intersect = method(cluster.intersect)
    segment = method(cluster.segment)
    overlap = method(cluster.overlap)
    funnel = method(cluster.funnel)
    retention = method(cluster.retention)
    campaign = method(cluster.campaign)
    merge = method(cluster.merge)

    def __init__(self, shell: Shell) -> None:
        self.__dict__ = shell.__dict__  # the same shell with other methods: its client, its producer, what waits in its pipeline


class Cluster(ClusterCommands, SyncShell):
    """Sketches in any slots of a cluster."""


class AsyncCluster(ClusterCommands, AsyncShell):
    """Sketches in any slots of a cluster; awaited."""


class PipelineCluster(ClusterCommands, LaterShell):
    """Sketches in any slots of a cluster, in a pipeline."""


class CubeCommands:
    """The commands of a cube."""

    create = bound_method(cube.create)
    alter = bound_method(cube.alter)
    add = bound_method(cube.add)
    count = bound_method(cube.count)
    query = bound_method(cube.query)
    top = bound_method(cube.top)
    series = bound_method(cube.series)
    funnel = bound_method(cube.funnel)
    retention = bound_method(cube.retention)
    lifecycle = bound_method(cube.lifecycle)
    campaign = bound_method(cube.campaign)
    store = bound_method(cube.store)
    info = bound_method(cube.info)


class MonitorCommands:
    """The commands of an accuracy monitor."""

    track = bound_method(monitor.track)
    report = bound_method(monitor.report)
    alerts = bound_method(monitor.alerts)
    reset = bound_method(monitor.reset)


class Monitor(MonitorCommands, SyncBound):
    """An accuracy monitor."""


class AsyncMonitor(MonitorCommands, AsyncBound):
    """An accuracy monitor; awaited."""


class PipelineMonitor(MonitorCommands, LaterBound):
    """An accuracy monitor in a pipeline."""


class PipelineCube(CubeCommands, LaterBound):
    """A cube in a pipeline."""


class _Rows:
    """The rows of a flush that are waiting."""

    def __init__(self, sender: RowSender) -> None:
        self._sender = sender
        self._events: list[Event] = []
        self._since = 0.0
        self._number = 0

    @property
    def counted(self) -> Counted:
        """What has become of the events that were sent so far."""
        return self._sender.total

    def _due(self, event: Event) -> bool:
        now = time.monotonic()
        if not self._events:
            self._since = now
        self._events.append(event)
        return len(self._events) >= ROWS * COMMANDS or now - self._since >= batches.SECONDS

    def _exchange(self) -> Exchange[None]:
        events, self._events = self._events, []
        fields, row_words = batches.pack(events, None)
        pieces = self._sender.pieces(fields, row_words, self._number)
        self._number += len(events)
        return self._sender.deliver(pieces)


def _event(element: Value, at: Time | None, fields: dict[str, Value | None] | None, values: dict[str, Value | None]) -> Event:
    return Event(element, at, {**(fields or {}), **values})


class Writer(_Rows):
    """Counts events a few thousand at a time. Use it as a context manager: its end sends what is left."""

    def __init__(self, shell: SyncShell, sender: RowSender) -> None:
        super().__init__(sender)
        self._shell = shell

    def add(self, element: Value, at: Time | None = None, *, fields: dict[str, Value | None] | None = None,
            **values: Value | None) -> None:
        """Takes an event as `Cube.add` does. It is sent with others, a second after it at the latest if more come. Without `at` it is
        of the time at which it is sent."""
        if self._due(_event(element, at, fields, values)):
            self.flush()

    def flush(self) -> None:
        """Sends what is waiting. Raises BatchError."""
        if self._events:
            self._shell.exchange(self._exchange())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()


class AsyncWriter(_Rows):
    """Counts events a few thousand at a time; awaited."""

    def __init__(self, shell: AsyncShell, sender: RowSender) -> None:
        super().__init__(sender)
        self._shell = shell

    async def add(self, element: Value, at: Time | None = None, *, fields: dict[str, Value | None] | None = None,
                  **values: Value | None) -> None:
        """As `Writer.add`."""
        if self._due(_event(element, at, fields, values)):
            await self.flush()

    async def flush(self) -> None:
        """Sends what is waiting. Raises BatchError."""
        if self._events:
            await self._shell.exchange(self._exchange())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            await self.flush()


class Cube(CubeCommands, SyncBound):
    """Users and events by time and dimensions in one key."""

    def add_many(self, rows: Iterable[Event | tuple[Any, ...]], *, fields: Sequence[str] | None = None,
                 late: cube.Late = "error") -> Counted:
        """Counts many events, a few thousand at a time. A row is an `Event`, or with `fields=("step", "device")` a flat tuple
        (element, at, step, device), which is faster. Raises BatchError, whose numbers say how far it came."""
        sender = self.shell._sender(word(self.key), late)
        number = 0
        for chunk in batches.chunks(rows, ROWS * COMMANDS):
            names, row_words = batches.pack(chunk, fields)
            self.shell.exchange(sender.deliver(sender.pieces(names, row_words, number)))
            number += len(chunk)
        return sender.total

    def writer(self, *, late: cube.Late = "error") -> Writer:
        """Takes events one by one and sends them together."""
        return Writer(self.shell, self.shell._sender(word(self.key), late))


class AsyncCube(CubeCommands, AsyncBound):
    """Users and events by time and dimensions in one key; awaited."""

    async def add_many(self, rows: Iterable[Event | tuple[Any, ...]] | AsyncIterable[Event | tuple[Any, ...]], *,
                       fields: Sequence[str] | None = None, late: cube.Late = "error") -> Counted:
        """As `Cube.add_many`, from rows that may have to be awaited."""
        sender = self.shell._sender(word(self.key), late)
        number = 0
        async for chunk in batches.async_chunks(rows, ROWS * COMMANDS):
            names, row_words = batches.pack(chunk, fields)
            await self.shell.exchange(sender.deliver(sender.pieces(names, row_words, number)))
            number += len(chunk)
        return sender.total

    def writer(self, *, late: cube.Late = "error") -> AsyncWriter:
        """Takes events one by one and sends them together."""
        return AsyncWriter(self.shell, self.shell._sender(word(self.key), late))


class Pipeline(SketchCommands, LaterShell):
    """Commands that are sent together, and with a transaction carried out together. `raw` is the client's own pipeline and takes
    every other command."""

    @property
    def cluster(self) -> PipelineCluster:
        """The same for keys in any slots of a cluster (HLL.CLUSTER)."""
        return PipelineCluster(self)

    def cube(self, key: Text) -> PipelineCube:
        """A cube."""
        return PipelineCube(self, key)

    def monitor(self, key: Text) -> PipelineMonitor:
        """An accuracy monitor."""
        return PipelineMonitor(self, key)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Sends all and answers a list of results. Raises the first error unless told not to; then errors stand in the list."""
        return self._fill(self.raw.execute(raise_on_error=False), raise_on_error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.reset()


class AsyncPipeline(SketchCommands, LaterShell):
    """The same; `execute` is awaited."""

    @property
    def cluster(self) -> PipelineCluster:
        """The same for keys in any slots of a cluster (HLL.CLUSTER)."""
        return PipelineCluster(self)

    def cube(self, key: Text) -> PipelineCube:
        """A cube."""
        return PipelineCube(self, key)

    def monitor(self, key: Text) -> PipelineMonitor:
        """An accuracy monitor."""
        return PipelineMonitor(self, key)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Sends all and answers a list of results. Raises the first error unless told not to; then errors stand in the list."""
        return self._fill(await self.raw.execute(raise_on_error=False), raise_on_error)

    async def __aenter__(self) -> Self:
        if self._route.is_cluster:
            await self.client.initialize()
        return self

    async def __aexit__(self, *_: object) -> None:
        reset = getattr(self.raw, "reset", None)
        if reset is not None:
            await reset()


class HLL(SketchCommands, SyncShell):
    """Sketches and cubes of a server, or a cluster, behind a client of redis-py or valkey-py that waits.

    `producer` names this worker in what cubes remember to count events once; without a name it has one of its own. `strict` raises
    ReplyError for fields that this package does not know.
    """

    @property
    def cluster(self) -> Cluster:
        """The same for keys in any slots of a cluster (HLL.CLUSTER)."""
        return Cluster(self)

    def cube(self, key: Text) -> Cube:
        """The cube under a key."""
        return Cube(self, key)

    def monitor(self, key: Text) -> Monitor:
        """The accuracy monitor under a key."""
        return Monitor(self, key)

    def pipeline(self, transaction: bool = False) -> Pipeline:
        """Commands that are sent together: `with hll.pipeline() as p: a = p.estimate("mon"); p.execute(); a.value`."""
        return Pipeline(self, transaction)

    def add_many(self, key: Text, elements: Iterable[Value]) -> Sent:
        """Adds many elements, a few thousand at a time; of an open file its lines. Raises BatchError."""
        return self._add_all(([(word(key), words(chunk))] for chunk in batches.chunks(batches.lines(elements), ELEMENTS * COMMANDS)))

    def add_many_to(self, pairs: Iterable[tuple[Text, Value]]) -> Sent:
        """The same with pairs of a key and an element."""
        return self._add_all(batches.group(chunk).items() for chunk in batches.chunks(pairs, ELEMENTS * COMMANDS))

    def _add_all(self, flushes: Iterable[Iterable[tuple[bytes, Sequence[bytes]]]]) -> Sent:
        begin, progress = time.monotonic(), Progress()
        for flush in flushes:
            self.exchange(batches.add_elements(flush, progress))
        return Sent(progress.sent, progress.commands, time.monotonic() - begin)


class AsyncHLL(SketchCommands, AsyncShell):
    """The same behind a client that is awaited (`redis.asyncio`, `valkey.asyncio`)."""

    @property
    def cluster(self) -> AsyncCluster:
        """The same for keys in any slots of a cluster (HLL.CLUSTER)."""
        return AsyncCluster(self)

    def cube(self, key: Text) -> AsyncCube:
        """The cube under a key."""
        return AsyncCube(self, key)

    def monitor(self, key: Text) -> AsyncMonitor:
        """The accuracy monitor under a key."""
        return AsyncMonitor(self, key)

    def pipeline(self, transaction: bool = False) -> AsyncPipeline:
        """As `HLL.pipeline`. Raises HLLError for a transaction on a cluster, which redis-py's client cannot send."""
        if transaction and self._route.is_cluster:
            raise HLLError("transactions of an awaited client do not work on a cluster, use a pipeline without one, or HLL")
        return AsyncPipeline(self, transaction)

    async def add_many(self, key: Text, elements: Iterable[Value] | AsyncIterable[Value]) -> Sent:
        """As `HLL.add_many`, from elements that may have to be awaited."""
        begin, progress = time.monotonic(), Progress()
        async for chunk in batches.async_chunks(batches.lines(elements), ELEMENTS * COMMANDS):
            await self.exchange(batches.add_elements([(word(key), words(chunk))], progress))
        return Sent(progress.sent, progress.commands, time.monotonic() - begin)

    async def add_many_to(self, pairs: Iterable[tuple[Text, Value]] | AsyncIterable[tuple[Text, Value]]) -> Sent:
        """The same with pairs of a key and an element."""
        begin, progress = time.monotonic(), Progress()
        async for chunk in batches.async_chunks(pairs, ELEMENTS * COMMANDS):
            await self.exchange(batches.add_elements(batches.group(chunk).items(), progress))
        return Sent(progress.sent, progress.commands, time.monotonic() - begin)
