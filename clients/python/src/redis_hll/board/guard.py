"""Who may ask, and what browsers may do with the answers: one layer around the whole application.

* The Host header must be a name of the board's own, so that a page of somebody else, whose name was made to point to this machine (DNS
  rebinding), is refused.
* Requests that a browser makes for another site's page are refused (Sec-Fetch-Site), but for following a link to the page itself.
* With a token, it must come as `Authorization: Bearer ...`, or in the cookie that the form at `/login` sets. Tokens are compared in constant time.
* Methods other than GET, HEAD and the form's POST are refused; so are bodies.
* Every answer carries a Content-Security-Policy that allows files of the board itself and nothing else, and forbids to be framed.
"""

import hashlib
import hmac
import html
import json
from collections.abc import Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; "
          "base-uri 'none'; frame-ancestors 'none'")
HEADERS = [(b"content-security-policy", POLICY.encode()), (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"),
           (b"cross-origin-opener-policy", b"same-origin"), (b"cross-origin-resource-policy", b"same-origin"),
           (b"permissions-policy", b"camera=(), geolocation=(), microphone=()")]
COOKIE = "redis-hll-board"
MOST_FORM = 4096
OPEN = ("/login", "/api/style.css")


def host_name(header: str) -> str:
    """The name of a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


class Guard:
    """The application behind the checks."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str | None) -> None:
        self.app, self.hosts, self.token = app, {host.lower() for host in hosts}, token
        # The cookie proves that the token was known, and does not hold it.
        self._proof = hashlib.sha256(b"redis-hll board " + token.encode()).hexdigest() if token else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        names = [value for name, value in scope["headers"] if name == b"host"]

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((name, value) for name, value in HEADERS if name not in there)]
            await send(message)

        path, method = scope["path"], scope["method"]
        if len(names) != 1 or host_name(headers["host"]) not in self.hosts:
            await self._refuse(scope, guarded, 421, "this board is not known by that name; --host NAME makes it so")
        elif self._is_foreign(headers, path):
            await self._refuse(scope, guarded, 403, "this was asked by another site's page")
        elif path == "/login" and method == "POST":
            await self._login(scope, receive, guarded)
        elif method not in ("GET", "HEAD"):
            await self._refuse(scope, guarded, 405, "the board only answers GET", [(b"allow", b"GET, HEAD")])
        elif not self._knows(headers) and path not in OPEN:
            await self._refuse(scope, guarded, 401, "the board asks for its token", [(b"www-authenticate", b"Bearer")])
        elif path == "/login":
            await self._form(scope, guarded, 200, "")
        else:
            await self.app(scope, receive, guarded)

    @staticmethod
    def _is_foreign(headers: dict[str, str], path: str) -> bool:
        site = headers.get("sec-fetch-site", "none")
        is_link = headers.get("sec-fetch-mode") == "navigate" and not path.startswith("/api/")
        return site not in ("none", "same-origin") and not is_link

    def _knows(self, headers: dict[str, str]) -> bool:
        """Whether the request has the token."""
        if self.token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._proof.encode())

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message: MutableMapping[str, Any] = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                return
            if len(body) > MOST_FORM:
                await self._refuse(scope, send, 413, "that is more than a token")
                return
            if not message.get("more_body"):
                break
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if self.token is not None and not hmac.compare_digest(given.encode(), self.token.encode()):
            await self._form(scope, send, 401, "That is not the token of this board.")
            return
        cookie = f"{COOKIE}={self._proof}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000" + ("; Secure" if scope["scheme"] == "https" else "")
        await send({"type": "http.response.start", "status": 303, "headers": [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def _refuse(self, scope: Scope, send: Send, status: int, text: str, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """JSON for programs, and for the token a form for people."""
        if status == 401 and not scope["path"].startswith("/api/"):
            await self._form(scope, send, 401, "", more)
            return
        await _respond(scope, send, status, b"application/json", json.dumps({"error": text}).encode(), more)

    async def _form(self, scope: Scope, send: Send, status: int, error: str, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
        page = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The board asks for its token</title><link rel="stylesheet" href="/api/style.css"></head><body><main class="narrow">
<h1>The board asks for its token</h1><p>It was printed where the board was started.</p>
<form method="post" action="/login"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus><button>Go on</button></form>
<p role="alert">{html.escape(error)}</p></main></body></html>"""
        await _respond(scope, send, status, b"text/html; charset=utf-8", page.encode(), more)


async def _respond(scope: Scope, send: Send, status: int, kind: bytes, body: bytes, more: Iterable[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store"), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
