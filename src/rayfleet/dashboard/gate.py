"""What every request passes before a page sees it: names of this host, other sites' scripts, login, headers.

A page on loopback needs this as well: a site that the user visits could otherwise have their browser ask us, under our
address (the Origin tells) or under a name of its own that it points here (the Host tells).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rayfleet.dashboard.login import SESSION_S, Login, Tries
from rayfleet.dashboard.plain_pages import login_page

COOKIE: Final = "rayfleet_login"
LOGIN_PATH: Final = "/login"
LOGOUT_PATH: Final = "/logout"
_MOST_BYTES: Final = 4096
_HEADERS: Final = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # The page's framework compiles its templates in the browser, which needs eval; nothing comes from elsewhere.
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'self'; object-src 'none'",
}


@dataclass(frozen=True, slots=True)
class Door:
    """How people come in. `names`: host names beside addresses and localhost. `login` None: whoever reaches us looks.

    `token_file`: where the login page says that the token is. `knows`: says of a request that it needs no login.
    """

    login: Login | None
    tries: Tries
    names: frozenset[str] = frozenset()
    token_file: str = ""
    style: str = field(default="", repr=False)
    knows: Callable[[Scope], bool] = lambda scope: False  # noqa: ARG005 - a default that reads as what it means


class Gate:
    """The outermost part of the server."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        """Guard `app`."""
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refusal(headers)
        if refused is None and scope["path"] in {LOGIN_PATH, LOGOUT_PATH} and scope["type"] == "http":
            refused = await self._at_login(scope, receive)
        elif refused is None and not self._is_known(scope, headers):
            refused = _to_login(scope)
        if refused is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not allowed"})
        else:
            await refused(scope, receive, _with_headers(send))

    def _refusal(self, headers: Headers) -> Response | None:
        """Return the answer to a request under another name, or from another site's page; None: it is neither."""
        host = headers.get("host", "")
        if not is_our_name(host, self._door.names):
            text = "This name is not known here. Use localhost, an address, or start with --allow-name NAME.\n"
            return PlainTextResponse(text, HTTPStatus.MISDIRECTED_REQUEST)
        origin = headers.get("origin")
        if (origin is not None and urlsplit(origin).netloc != host) or _is_part_of_another_site(headers):
            return PlainTextResponse("Asked by another site.\n", HTTPStatus.FORBIDDEN)
        return None

    def _is_known(self, scope: Scope, headers: Headers) -> bool:
        login = self._door.login
        if login is None or any(login.knows(value) for value in _cookies(headers, COOKIE)):
            return True
        return self._door.knows(scope)

    async def _at_login(self, scope: Scope, receive: Receive) -> Response:
        request = Request(scope, receive)
        login = self._door.login
        if login is None:
            return RedirectResponse("/", HTTPStatus.SEE_OTHER)
        if scope["path"] == LOGOUT_PATH:
            gone = RedirectResponse(LOGIN_PATH, HTTPStatus.SEE_OTHER)
            gone.delete_cookie(COOKIE)
            return gone
        target = safe_target(request.query_params.get("next", "/"))
        if request.method != "POST":
            return self._ask(target)
        return await self._answer(request, login, target)

    async def _answer(self, request: Request, login: Login, target: str) -> Response:
        address = request.client.host if request.client else ""
        wait_s = self._door.tries.wait_s(address)
        if wait_s > 0:
            said = f"Too many wrong tries. Try again in {math.ceil(wait_s)} s."
            answer = self._ask(target, said, HTTPStatus.TOO_MANY_REQUESTS)
            answer.headers["retry-after"] = str(math.ceil(wait_s))
            return answer
        given = parse_qs((await _body(request)).decode("utf-8", "replace")).get("token", [""])[0]
        if not login.is_right(given):
            self._door.tries.wrong(address)
            return self._ask(target, "That is not the token.", HTTPStatus.UNAUTHORIZED)
        welcome = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        welcome.set_cookie(COOKIE, login.session(), max_age=SESSION_S, httponly=True, samesite="strict")
        return welcome

    def _ask(self, target: str, said: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
        return HTMLResponse(login_page(_login_for(target), said, self._door.token_file, self._door.style), status)


def _is_part_of_another_site(headers: Headers) -> bool:
    """Say whether a browser asks for what another site's page would hold: a picture, a script. Links may lead here."""
    site = headers.get("sec-fetch-site", "none")
    return site not in {"same-origin", "none"} and headers.get("sec-fetch-dest") != "document"


async def _body(request: Request) -> bytes:
    """Return the body of a form; what is longer than any token is cut."""
    read = b""
    async for chunk in request.stream():
        read += chunk
        if len(read) > _MOST_BYTES:
            break
    return read[:_MOST_BYTES]


def _to_login(scope: Scope) -> Response:
    if scope["type"] == "http" and scope["method"] == "GET" and not scope["path"].startswith("/_nicegui"):
        return RedirectResponse(_login_for(safe_target(_asked_for(scope))), HTTPStatus.SEE_OTHER)
    return PlainTextResponse("Log in first.\n", HTTPStatus.UNAUTHORIZED)


def _asked_for(scope: Scope) -> str:
    """Return the path and the query of a request as the browser wrote them."""
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("ascii", "replace").partition("?")[0]
    query = scope.get("query_string", b"").decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def _login_for(target: str) -> str:
    return LOGIN_PATH if target == "/" else f"{LOGIN_PATH}?next={quote(target, safe='/')}"


def is_our_name(host: str, names: frozenset[str]) -> bool:
    """Say whether a Host header names us: an address (it cannot be pointed elsewhere), localhost, or one of `names`."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def safe_target(path: str) -> str:
    """Return a path of this site; "/" for whatever would lead away from it."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain else "/"


def _cookies(headers: Headers, name: str) -> list[str]:
    pairs = (part.strip().partition("=") for header in headers.getlist("cookie") for part in header.split(";"))
    return [value for key, _, value in pairs if key == name]


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Any = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
