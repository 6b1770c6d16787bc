"""The board as an ASGI application: the page, its files, and the API.

    from redis_hll.board import BoardSettings, CubeSettings, Hub, create
    app = create(Hub(BoardSettings(cubes=(CubeSettings("shop"),)), AsyncHLL(redis.asyncio.Redis())))

FastAPI checks what addresses ask for and describes the API (OpenAPI); answers are documents that `hub` has made once for all who
ask, so nothing is serialized for a single request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from .. import __version__
from . import apipage, shapes
from .config import BoardSettings, address, is_local
from .guard import Guard
from .hub import Hub, Refusal, Source, packed
from .streams import EventStream
from .views import View, ViewError, parse

HERE = Path(__file__).parent
STATIC = HERE / "static"
DESCRIPTION = """Numbers of distinct users, with their intervals, from cubes and sketches of a server with the redis-hll module: the same answers that the
page shows. Nothing can be written, and no command can be sent; every answer names the command that made it."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": shapes.Refused, "description": "the board has a token, and the request has not"},
    404: {"model": shapes.Refused, "description": "there is no such dataset or panel"},
    422: {"model": shapes.Refused, "description": "a parameter is wrong; the text says what would be right"},
    503: {"model": shapes.Refused, "description": "as much is asked as the board may ask the server"}}


class ViewParameters(BaseModel):
    """What is looked at."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    range: Literal["today", "7d", "30d", "90d"] | None = Field(None, description="30d if nothing is said; or `from` and `to`")
    from_: date | None = Field(None, alias="from", description="the first day, in the dataset's zone: 2026-03-02")
    to: date | None = Field(None, description="the last day, which belongs to the range")
    where: list[str] = Field([], max_length=40, description="a filter, `dimension:value`; `dimension!:value` is all other values. "
                             "Repeated for one dimension it is one of several values, and for several ones all must hold of one event")
    compare: Literal["previous", "off"] = Field("previous", description="whether figures stand beside those of the time before")

    def view(self) -> View:
        """Raises ViewError."""
        return parse(self.range, self.from_, self.to, self.where, self.compare == "previous")


class StreamParameters(ViewParameters):
    """What is looked at, and which panels of it."""

    panels: str = Field(max_length=2000, description="names of panels with commas between them")
    have: list[str] = Field([], max_length=64, description="an answer that is known already, `panel@revision`, and need not be sent")


def hosts_of(settings: BoardSettings) -> set[str]:
    """The names by which the board may be called: what it was told, the address that it listens on, and if that is this machine's own,
    what that is usually called."""
    host, _ = address(settings.listen)
    found = {*settings.hosts, host}
    if is_local(host) or host in ("0.0.0.0", "::"):
        found |= {"localhost", "127.0.0.1", "::1"}
    return found - {"0.0.0.0", "::"}


class Files(StaticFiles):
    """The page's files: kept by browsers, but asked for again each time, which costs an empty answer."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def _json(data: bytes, status: int = 200, **headers: str) -> Response:
    return Response(data, status, {"cache-control": "no-store", **headers}, "application/json")


def _wrong(error: RequestValidationError) -> str:
    """What is wrong with parameters, in a sentence for each."""
    said = []
    for item in error.errors():
        name = str(item["loc"][-1]) if len(item["loc"]) > 1 else "the address"
        said.append(f"there is no parameter '{name[:40]}'" if item["type"] == "extra_forbidden" else
                    f"{name} is missing" if item["type"] == "missing" else f"{name}: {item['msg'][:1].lower()}{item['msg'][1:]}")
    return "; ".join(said[:5])


def create(hub: Hub, shown_address: str = "") -> ASGIApp:
    """The application. `shown_address` is that of the server, as it may be shown."""
    settings = hub.settings

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await hub.close()

    app = FastAPI(title="redis-hll board", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None, openapi_url=None,
                  lifespan=lifespan)

    def source_of(dataset: str) -> Source:
        if dataset not in hub.sources:
            raise HTTPException(404, f"there is no dataset {dataset[:64]!r}; there are {', '.join(hub.sources)}")
        return hub.sources[dataset]

    @app.exception_handler(HTTPException)
    async def _refused(_: Request, error: HTTPException) -> Response:
        return _json(packed({"error": str(error.detail)}), error.status_code)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        return _json(packed({"error": _wrong(error)}), 422)

    @app.exception_handler(ViewError)
    async def _no_view(_: Request, error: ViewError) -> Response:
        return _json(packed({"error": str(error)}), 404 if "no panel" in str(error) else 422)

    @app.exception_handler(Refusal)
    async def _busy(_: Request, error: Refusal) -> Response:
        return _json(packed({"error": str(error)}), 503, **{"retry-after": "5"})

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if not (STATIC / "vendor" / "morphdom.js").is_file():
            return HTMLResponse(apipage.frame("The page is not there", "<p>This package was made without what the page takes from others; the "
                                              "<a href=\"/api\">API</a> is there. In a source tree, <code>clients/python/build_static.py</code> brings it.</p>"), 404)
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    @app.get("/api", include_in_schema=False)
    async def reference() -> Response:
        return HTMLResponse(apipage.render(app.openapi()), headers={"cache-control": "no-cache"})

    @app.get("/api/style.css", include_in_schema=False)
    async def style() -> Response:
        return FileResponse(HERE / "api.css", headers={"cache-control": "no-cache"})

    @app.get("/api/openapi.json", summary="This description", response_class=Response, responses={200: {"content": {"application/json": {}}}})
    async def openapi() -> Response:
        """The API as an OpenAPI document."""
        return _json(packed(app.openapi()))

    @app.get("/api/about", summary="What there is", response_class=Response, responses={200: {"model": shapes.About}, 401: REFUSALS[401]})
    async def about() -> Response:
        """Datasets with their dimensions, measures and panels."""
        for source in hub.sources.values():
            if source.layout is None and hub.budget.is_open:
                await source.poll()
        return _json(packed(_about()))

    def _about() -> shapes.About:
        return {"version": __version__, "server": shown_address, "datasets": [source.about() for source in hub.sources.values()],
                "ranges": list(shapes.RANGES), "alive_seconds": settings.limits.alive}

    @app.get("/api/health", summary="Whether it works", response_class=Response, responses={200: {"model": shapes.Health}, 503: {"model": shapes.Health}})
    async def health() -> Response:
        """503 while the server does not answer. For supervisors and load balancers."""
        source = next(iter(hub.sources.values()))
        if hub.budget.is_open:
            await source.poll()
        found: shapes.Health = {"ok": source.status["server"] == "live", "server": source.status["server"], "since": source.status["since"],
                                "text": source.status["text"]}
        return _json(packed(found), 200 if found["ok"] else 503)

    @app.get("/api/metrics", summary="Counters", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """What the board does, in the text format of Prometheus."""
        return Response("".join(f"# TYPE {name} {kind}\n{name} {value}\n" for name, kind, value in (
            ("redis_hll_board_viewers", "gauge", len(hub.viewers)),
            ("redis_hll_board_panels", "gauge", hub.active),
            ("redis_hll_board_commands_total", "counter", hub.commands),
            ("redis_hll_board_commands_seconds_total", "counter", f"{hub.seconds:.6f}"),
            ("redis_hll_board_failures_total", "counter", hub.failures),
            ("redis_hll_board_refused_total", "counter", hub.refused),
            ("redis_hll_board_cpu_share", "gauge", f"{hub.strain.used:.4f}"),
            ("redis_hll_board_server_live", "gauge", int(all(source.status["server"] == "live" for source in hub.sources.values()))))),
            media_type="text/plain; version=0.0.4; charset=utf-8", headers={"cache-control": "no-store"})

    @app.get("/api/{dataset}/stream", summary="Answers as they change", response_class=Response,
             responses={**REFUSALS, 200: {"content": {"text/event-stream": {}}, "description": "server-sent events: `status` (Status), `panel` (Panel), "
                                          "`alive` (Alive) where nothing else was sent for a while, and `full` (Refused) where there are too many viewers"}})
    async def stream(dataset: str, asked: Annotated[StreamParameters, Query()]) -> Response:
        """Panels of a view, pushed when their answer is another one: at first, and then only changes."""
        wanted = [name for name in asked.panels.split(",") if name]
        if not 1 <= len(wanted) <= 40:
            raise ViewError("panels names 1 to 40 panels, with commas between them")
        source = source_of(dataset)
        if source.layout is None and source.is_cube and hub.budget.is_open:
            await source.poll()
        try:
            return EventStream(hub, hub.join(source, asked.view(), wanted, asked.have))
        except Refusal as error:
            return EventStream(hub, None, str(error))

    @app.get("/api/{dataset}/{panel}", summary="One panel", response_class=Response, responses={**REFUSALS, 200: {"model": shapes.Panel}})
    async def panel(dataset: str, panel: str, asked: Annotated[ViewParameters, Query()]) -> Response:
        """The answer of a panel: `now`, `today`, `7d`, `30d`, `series`, `figures`, `newcomers`, `list.<dimension>`, `funnel`, `campaign`,
        `retention`, `state`, or `sketches`. The server is asked only if something has happened since it was asked last."""
        return _json(await hub.panel(source_of(dataset), asked.view(), panel))

    if STATIC.is_dir():
        app.mount("/static", Files(directory=STATIC), name="static")
    guard: Callable[[Any, Any, Any], Awaitable[None]] = Guard(app, hosts_of(settings), settings.token)
    return guard
