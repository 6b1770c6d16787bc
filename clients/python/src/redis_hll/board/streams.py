"""Server-sent events: an answer that goes on until the viewer is gone.

A class of its own and not Starlette's StreamingResponse, because here every wait has a limit: a viewer whose connection takes nothing
for `send_timeout` seconds is dropped, so that it does not hold a place for ever.
"""

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .hub import Hub, Viewer, event, packed, wall

RETRY = b"retry: 2000\n\n"


class EventStream(Response):
    """What a viewer is told, or why there is nothing for one."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, viewer: Viewer | None, refused: str = "") -> None:
        super().__init__(None, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.hub, self.viewer, self.refused = hub, viewer, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.viewer is None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": event("full", packed({"error": self.refused}))})
            return
        telling = asyncio.create_task(self._tell(self.viewer, send))
        leaving = asyncio.create_task(self._left(receive))
        try:
            await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.hub.leave(self.viewer)
            for task in (telling, leaving):
                task.cancel()
            with suppress(OSError):
                await asyncio.gather(telling, leaving, return_exceptions=True)

    @staticmethod
    async def _left(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _tell(self, viewer: Viewer, send: Send) -> None:
        limits = self.hub.settings.limits

        async def say(message: dict[str, object]) -> None:
            async with asyncio.timeout(limits.send_timeout):
                await send(message)

        await say({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await say({"type": "http.response.body", "body": RETRY, "more_body": True})
        while not viewer.closed:
            news = await viewer.take(limits.alive)
            if viewer.closed:
                break
            await say({"type": "http.response.body", "body": news or event("alive", packed({"at": wall()})), "more_body": True})
        await say({"type": "http.response.body", "body": b"", "more_body": False})
