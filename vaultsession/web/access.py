"""Access: who may ask the page for anything, and what a browser may do with an answer.

The server listens on loopback, where every program of the machine and every site in the browser can reach it. So:

- The opening address carries a random token, and turns it into a cookie that scripts cannot read and that other sites
  cannot send. Nothing else is answered without that cookie.
- ``Host`` is the server's own name (DNS rebinding), and ``Origin`` and ``Sec-Fetch-Site`` are the page itself: a page
  on another port of this machine is the same *site* to a browser, and its requests carry the cookie.
- A form that writes carries a token of its own.
- No answer is stored, framed, sniffed for another type, or able to load or to run anything that is not the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPENING = "/open"
"""Where the opening address leads."""

LARGEST_FORM = 64 << 10
"""Bytes of a form."""

_HTTP = 80
_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser calls the origin of our own forms null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer, whatever it is."""


class Access:
    """The secrets of one server on a port of this machine. ``token`` opens it; all of them end with the process."""

    def __init__(self, port: int) -> None:
        self.token = _secret()
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        if port == _HTTP:
            self.hosts |= {"127.0.0.1", "localhost"}
        self._name = f"vaultsession-{port}"  # a browser keeps one set of cookies for all ports of a host
        self._cookie = _secret()
        self._forms = os.urandom(32)

    def opens(self, token: str) -> bool:
        """Whether that is the token."""
        return _same(token, self.token)

    def admits(self, headers: Headers) -> bool:
        """Whether the cookie is among these headers."""
        # Not by http.cookies: it stops at a cookie that is no token, as other pages of this machine may have set one.
        cookies = (each.strip().partition("=") for each in ";".join(headers.getlist("cookie")).split(";"))
        return any(_same(value, self._cookie) for name, _, value in cookies if name == self._name)

    def set_cookie(self, response: Response) -> None:
        """Let the browser in, until it is closed."""
        response.set_cookie(self._name, self._cookie, path="/", httponly=True, samesite="strict")

    def form_token(self, action: str, id: str) -> str:
        """What a form carries that does this to that session."""
        return hmac.new(self._forms, f"{action}\0{id}".encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, token: str, action: str, id: str) -> bool:
        """Whether that is what it carries."""
        return _same(token, self.form_token(action, id))


class Guard:
    """Stands before the page: refuses what is not of its own browser, and marks every answer. See the module."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return  # the page has no other protocol: a connection that asks for one is closed

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    # What is stricter than the rule, as of a picture, stays.
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._opening(scope)
        await (self._app if answer is None else answer)(scope, receive, marked)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered in place of the page; None where the request is the page's own."""
        headers, is_opening = Headers(scope=scope), scope["path"] == OPENING
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._access.hosts:
            return _refused(421, "This server answers by its own name alone.")
        writes = scope["method"] not in ("GET", "HEAD")
        origins = headers.getlist("origin")
        if (writes and not origins) or any(origin != f"http://{hosts[0]}" for origin in origins):
            return _refused(403, "Another site has no business here.")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and (writes or not is_opening):
            return _refused(403, "Another site has no business here.")
        if writes:
            size = headers.get("content-length", "")
            if not size.isascii() or not size.isdigit() or int(size) > LARGEST_FORM:
                return _refused(413, "No form of this page is so large, or of unknown size.")
        if not is_opening and not self._access.admits(headers):
            return _refused(401, "Open the page by the address that `vaultsession web` shows in its terminal.")
        return None

    def _opening(self, scope: Scope) -> Response | None:
        if scope["path"] != OPENING:
            return None
        token = scope["query_string"].removeprefix(b"token=").decode("latin-1")
        if not self._access.opens(token):
            return _refused(401, "This address is of another run: take the one that the terminal shows now.")
        # The page leads on by itself: a redirect of what another place began would go without a strict cookie.
        response = HTMLResponse(
            '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0;url=/"><title>vaultsession</title>'
            '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">'
            '<p><a href="/">Go on to your sessions</a>'
        )
        self._access.set_cookie(response)
        return response


def _refused(status: int, sentence: str) -> Response:
    return PlainTextResponse(sentence + "\n", status)


def _secret() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
