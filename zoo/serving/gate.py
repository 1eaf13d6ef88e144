"""Who may ask over HTTP: a server without a password answers no page of another site.

A browser sends whatever a page of any site tells it to. Two checks keep such pages out:

    Host     is one of `zoo.serving.hosts`. A site whose name is bound anew to 127.0.0.1 (DNS
             rebinding) has its own name there.
    Origin, Sec-Fetch-Site
             of a request that is no GET, HEAD or OPTIONS are this server's own, or absent, as
             programs leave them. Its content type does not matter: `text/plain` needs no leave.

What fails is answered with 403. Other sites' pages may use no answer as a picture or a script.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.serving.hosts import Hosts
from zoo.serving.rest import error_response

__all__ = ["Gate"]

FORBIDDEN = 403
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Gate:
    """Passes the requests of its own page and of programs on to the application."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer, or the refusal."""

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        headers = Headers(scope=scope)
        host = headers.get("host", "")
        answer = self._app
        if host not in self._hosts:
            answer = error_response(
                FORBIDDEN,
                f"This server is not {_shown(host)}: --allow-host NAME lets it answer to a name.",
            )
        elif scope["method"] not in _SAFE and _is_foreign(headers, host):
            site = _shown(headers.get("origin", "another site"))
            answer = error_response(FORBIDDEN, f"A page of {site} may not use this server.")
        await answer(scope, receive, kept)


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser sent the request for a page of another origin than the host's."""
    if headers.get("sec-fetch-site", "none").lower() not in ("same-origin", "none"):
        return True
    if "origin" not in headers:
        return False
    scheme, _, origin = headers["origin"].lower().partition("://")
    if scheme not in _DEFAULT_PORTS:
        return True  # "null" among them
    port = _DEFAULT_PORTS[scheme]
    return origin.removesuffix(port) != host.lower().removesuffix(port)


def _shown(text: str) -> str:
    return repr(text[:100])
