"""Start the studio's server, and say who may use it and how much."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dancing.errors import DancingError
from dancing.studio.jobs import Workspace
from dancing.studio.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable


LOCAL = "127.0.0.1"
# Gradio's routes that fetch from other servers, take in more than the limits say, or are for its
# developers.
_CLOSED = ("/file=http", "/file/http", "/proxy=", "/process_recording", "/vibe-", "/dev/reload")


def access(host: str | None, auth: str | None, no_auth: bool) -> tuple[str, tuple[str, str] | None]:
    """The address to listen at, and the name and password that visitors give, if any.

    Args:
        host: None for this machine alone.
        auth: 'USER:PASSWORD'.
        no_auth: everybody who reaches the server may use it.

    Raises:
        DancingError: when others could reach the server and it was not said who may use it.
    """
    if auth is not None and no_auth:
        raise DancingError("--auth and --no-auth exclude each other")
    if host is not None and auth is None and not no_auth:
        raise DancingError(
            f"others may reach {host}: say who may use it with --auth USER:PASSWORD (or the "
            "variable DANCING_AUTH), or --no-auth if everybody may"
        )
    if auth is None:
        return host or LOCAL, None
    user, _, password = auth.partition(":")
    if not user or not password:
        raise DancingError("--auth is USER:PASSWORD")
    return host or LOCAL, (user, password)


def serve(
    *,
    host: str | None = None,
    port: int = 7860,
    auth: str | None = None,
    no_auth: bool = False,
    limits: Limits | None = None,
    dancers: Sequence[str | Path] = (),
    ready: Callable[[str], None] = print,
) -> None:
    """Serve the studio until interrupted.

    Args:
        host, auth, no_auth: see `access`.
        port: to listen at.
        limits: how much visitors may ask for.
        dancers: bundles to offer beside the embedded dancers.
        ready: told the page's address when it can be opened.

    Raises:
        DancingError: when the address cannot be had, a bundle cannot be used, or it was not said
            who may use the server.
    """
    address, account = access(host, auth, no_auth)
    limits = limits or Limits()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with Workspace(limits.keep * 60) as workspace:
        # Gradio serves what lies in these two folders; by default other programs write there too.
        os.environ["GRADIO_TEMP_DIR"] = os.environ["GRADIO_EXAMPLES_CACHE"] = str(workspace.cache)
        from starlette.middleware import Middleware

        from dancing.studio.page import build
        from dancing.studio.style import CSS, HEAD, theme

        page = build(workspace, limits, dancers)
        try:
            page.launch(
                server_name=address,
                server_port=port,
                auth=account,
                max_file_size=limits.upload * 2**20,
                app_kwargs={"middleware": [Middleware(_Closed)]},
                theme=theme(),
                css=CSS,
                head=HEAD,
                footer_links=["api"],
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                run_history=False,
                enable_monitoring=False,
                mcp_server=False,
            )
        except OSError as error:
            raise DancingError(
                f"{address}:{port}: cannot listen there ({error}); choose another --port"
            ) from error
        try:
            ready(f"http://{address}:{port}")
            threading.Event().wait()
        finally:
            page.close(verbose=False)


class _Closed:
    """Middleware that closes those of the framework's routes that the studio does not need."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and any(part in scope["path"] for part in _CLOSED):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, send)
