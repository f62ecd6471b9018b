"""What stands between the network and the page: who is let in, and how much at a time."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from dancing.studio.limits import FILES, Tally

if TYPE_CHECKING:
    from dancing.studio.jobs import Workspace

_Message = MutableMapping[str, Any]

# The framework's routes that fetch from other servers, take in more than the limits say, or are for
# its developers.
_CLOSED = ("/file=http", "/file/http", "/proxy=", "/process_recording", "/vibe-", "/dev/reload")
_API = "/gradio_api/"
_UPLOAD = f"{_API}upload"
# What the page asks for before somebody has signed in.
_PUBLIC = tuple(
    _API + name for name in ("login_check", "user", "app_id", "startup-events", "theme")
)
_LOGIN = ("/login", "/login/")
_BODY = 256 * 2**10  # bytes of a request that is no upload
_HEAD = 4 * 2**10  # bytes around one file of an upload
_WAIT = 30.0  # seconds for the next part of a request
_SLOWEST = 16 * 2**10  # bytes a second of a body, after the first `_WAIT`
TRIES = 10  # wrong passwords a minute from one address
_CONNECTIONS = 60  # from one address at a time
_ALL_CONNECTIONS = 400


class Guard:
    """Middleware (ASGI) that answers what is not to reach the page.

    It refuses requests for another host's name (DNS rebinding), requests that pages of other
    sites make, bodies that are too large, too slow or of people who are not signed in, and
    passwords that are guessed.

    Args:
        app: the application behind it.
        names: that the server is reached by, beside its addresses and 'localhost'.
        workspace: where uploads are stored.
        upload: bytes of one file.
        signed_in: whether someone with these cookies may use the page.
    """

    def __init__(
        self,
        app: Any,
        names: Iterable[str],
        workspace: Workspace,
        upload: int,
        signed_in: Callable[[dict[str, str]], bool],
    ) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}
        self._workspace = workspace
        self._upload = upload
        self._signed_in = signed_in
        self._tries = Tally(60)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        who, path = _visitor(request), scope["path"]
        refusal = self._refusal(request, who)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        guessing = request.method == "POST" and path in _LOGIN
        if guessing:
            self._tries.add(who)
        visit = _Visit(scope, receive, send, self._largest(path, who))
        if path == _UPLOAD:
            visit.store = lambda size: self._workspace.store(who, size)
        try:
            await self._app(scope, visit.receive, visit.send)
        except RuntimeError as error:
            # Of a call that it does not know, the framework says so, and fails as it says it again.
            if visit.status is None or not isinstance(error.__cause__, HTTPException):
                raise
            await visit.send({"type": "http.response.body"})
        if guessing and visit.status == 200:
            self._tries.clear(who)

    def _refusal(self, request: Request, who: str) -> PlainTextResponse | None:
        """The answer to a request that is not let in."""
        path, host = request.scope["path"], request.headers.get("host", "").lower()
        if not self._is_ours(host):
            return PlainTextResponse(
                f"This studio does not answer to '{host[:100]}'. Whoever runs it can add the name: "
                "dancing serve --name NAME",
                421,
            )
        if not self._is_own_page(request, host):
            return PlainTextResponse(
                "Another site's page may not use this studio. If this is its own address, whoever "
                "runs it can add the name: dancing serve --name NAME",
                403,
            )
        if any(part in path for part in _CLOSED):
            return PlainTextResponse("This is not for visitors.", 403)
        reads = request.method in ("GET", "HEAD")
        if not reads and path in _LOGIN:
            if self._tries.total(who) >= TRIES:
                return PlainTextResponse(
                    "Too many wrong passwords; try again in a minute.", 429, {"retry-after": "60"}
                )
        elif self._is_private(path, reads) and not self._signed_in(request.cookies):
            return PlainTextResponse("Sign in first.", 401)
        try:
            length = int(request.headers.get("content-length", "0"))
        except ValueError:
            return PlainTextResponse("The length of the request is no number.", 400)
        if length > self._largest(path, who):
            return self._too_large(path, who)
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server: by an address, which no other site's name is."""
        try:
            parts = urlsplit(f"//{host}")
            name = parts.hostname or ""
            if parts.netloc != host or "@" in host:
                return False
            return name in self._names or bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _is_own_page(self, request: Request, host: str) -> bool:
        """Whether a request is made by the studio's page, by a person, or by no browser at all."""
        headers = request.headers
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            # Another site may link to the page, no more.
            is_link = headers.get("sec-fetch-dest") == "document" and request.scope["path"] == "/"
            return is_link and request.method in ("GET", "HEAD")
        if "origin" not in headers:
            return True
        try:
            origin = urlsplit(headers["origin"].lower())
            return origin.netloc == host or origin.hostname in self._names - {"localhost"}
        except ValueError:
            return False

    def _is_private(self, path: str, reads: bool) -> bool:
        return not reads or (path.startswith(_API) and not path.startswith(_PUBLIC))

    def _largest(self, path: str, who: str) -> int:
        """Bytes that a request's body may have."""
        if path != _UPLOAD:
            return _BODY
        return min(FILES * (self._upload + _HEAD), self._workspace.room(who))

    def _too_large(self, path: str, who: str) -> PlainTextResponse:
        room = self._workspace.room(who) >> 20
        text = "That is more than this studio takes at a time."
        if path == _UPLOAD and room < FILES * self._upload >> 20:
            text += f" There is room for {room} MB of your files now, and for more later."
        return PlainTextResponse(text, 413)


class _Visit:
    """One request: its body is counted and timed as it comes in.

    Attributes:
        store: called with the bytes of each part of an upload; whether there is room for them.
        status: of the answer, once there is one.
    """

    def __init__(self, scope: Any, receive: Any, send: Any, largest: int) -> None:
        self.store: Callable[[int], bool] = lambda _: True
        self.status: int | None = None
        self._scope, self._receive, self._send = scope, receive, send
        self._largest = largest
        self._began = time.monotonic()
        self._taken = 0
        self._whole = self._refused = False

    async def receive(self) -> _Message:
        """The next part of the body, or the end of the connection."""
        if self._refused:
            return {"type": "http.disconnect"}
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), _WAIT)
        except TimeoutError:
            return await self._refuse(408, "The request did not come to its end.")
        size = len(message.get("body", b""))
        self._taken += size
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._taken > self._largest:
            return await self._refuse(413, "That is more than this studio takes at a time.")
        if not self.store(size):
            return await self._refuse(413, "This studio has no room for your files now.")
        if time.monotonic() - self._began > _WAIT + self._taken / _SLOWEST:
            return await self._refuse(408, "The request came too slowly.")
        return message

    async def send(self, message: _Message) -> None:
        """Pass the answer on, but for one to a request that was refused."""
        if not self._refused:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            await self._send(message)

    async def _refuse(self, status: int, text: str) -> _Message:
        if self.status is None:
            await PlainTextResponse(text, status)(self._scope, self._receive, self._send)
        self._refused = True
        return {"type": "http.disconnect"}


def _visitor(request: Request) -> str:
    """Whom a request is counted for: its address, or the network that one user of IPv6 has."""
    address = request.client.host if request.client else ""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        return str(known.ipv4_mapped or ipaddress.ip_network((int(known) >> 64 << 64, 64)))
    return address


class Connection(H11Protocol):
    """A connection that is closed when its request does not come, or there are too many of them.

    Attributes:
        open: how many there are, by address.
        most: how many there may be in all.
    """

    open: ClassVar[Counter[str]] = Counter()
    most: ClassVar[int] = _ALL_CONNECTIONS

    def connection_made(self, transport: Any) -> None:
        """Take the connection, and wait for its first request."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._timer: asyncio.TimerHandle | None = None
        self.open[self._peer] += 1
        # Behind a proxy on this machine, all come from one address.
        local = self._peer.startswith("127.") or self._peer == "::1"
        if self.open.total() > self.most or (not local and self.open[self._peer] > _CONNECTIONS):
            transport.abort()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        self._cancel()
        self.open[self._peer] -= 1
        if not self.open[self._peer]:
            del self.open[self._peer]

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request.

        Its head, and what comes of a body after the answer, must come to an end within a time.
        """
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._timer is None:
            self._expect()

    def _expect(self) -> None:
        self._timer = self.loop.call_later(_WAIT, self.transport.abort)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
