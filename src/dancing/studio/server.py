"""Start the studio's server, and say who may use it and how much."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dancing.errors import DancingError
from dancing.studio.jobs import Workspace
from dancing.studio.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable


LOCAL = "127.0.0.1"
_IDLE = 15  # seconds until a connection without a request is closed
_TICK = 0.5  # seconds
_NAME = re.compile(r"[\w-]+([.][\w-]+)*", re.ASCII)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


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
    names: Sequence[str] = (),
    limits: Limits | None = None,
    dancers: Sequence[str | Path] = (),
    ready: Callable[[str], None] = print,
) -> None:
    """Serve the studio until interrupted.

    Args:
        host, auth, no_auth: see `access`.
        port: to listen at.
        names: that visitors reach the server by, beside its address and this machine's name.
        limits: how much visitors may ask for.
        dancers: bundles to offer beside the embedded dancers.
        ready: told the page's address when it can be opened.

    Raises:
        DancingError: when the address cannot be had, a bundle or name cannot be used, or it was
            not said who may use the server.
    """
    address, account = access(host, auth, no_auth)
    for name in names:
        if not _NAME.fullmatch(name):
            raise DancingError(
                f"--name is a host's name alone, such as dance.example.org: '{name}'"
            )
    limits = limits or Limits()
    listening = _listen(address, port)
    # Nothing of visits is reported, though the environment may ask other programs for it.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = os.environ["FASTAPI_OTEL_AUTO_CONFIGURE"] = "False"
    with listening, Workspace(limits.keep * 60, limits.space * 2**20) as workspace:
        # Gradio serves what lies in these two folders; by default other programs write there too.
        os.environ["GRADIO_TEMP_DIR"] = os.environ["GRADIO_EXAMPLES_CACHE"] = str(workspace.cache)
        # It asks matplotlib for its backend before each call: no display is to be looked for.
        os.environ.setdefault("MPLBACKEND", "agg")
        with _without_proxies():
            server = _server(workspace, limits, dancers, account, _known_names(host, names))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                thread.join(0.05)
            if not server.started:
                raise DancingError("the studio's server could not be started; see above")
            ready(f"http://{f'[{address}]' if ':' in address else address}:{port}")
            while thread.is_alive():
                thread.join(_TICK)  # a signal that another thread received waits for this one
        finally:
            # Answers that are broken off now are no errors.
            logging.getLogger("uvicorn.error").disabled = True
            server.should_exit = server.force_exit = True
            thread.join(5)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        raise DancingError(
            f"{address}:{port}: cannot listen there ({error}); choose another --port"
        ) from error


def _known_names(host: str | None, names: Sequence[str]) -> set[str]:
    """Names that the server answers to: this machine's own only where others may reach it."""
    own = () if host is None else (host, socket.gethostname(), f"{socket.gethostname()}.local")
    return {*own, *names}


def _server(
    workspace: Workspace,
    limits: Limits,
    dancers: Sequence[str | Path],
    account: tuple[str, str] | None,
    names: set[str],
) -> Any:
    """The page behind its guard, in a server (uvicorn) that is ready to run."""
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from dancing.studio.guard import TRIES, Connection, Guard
    from dancing.studio.page import build
    from dancing.studio.style import CSS, HEAD, theme
    from dancing.studio.uploads import use_parser

    use_parser()
    page = build(workspace, limits, dancers)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        outer,
        page,
        path="/",
        auth=account,
        auth_message=f"After {TRIES} wrong passwords, wait a minute.",
        max_file_size=limits.upload * 2**20,
        theme=theme(),
        css=CSS,
        head=HEAD,
        footer_links=["api"],
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
    )
    inner: Any = outer.routes[-1].app  # type: ignore[attr-defined]

    def signed_in(cookies: dict[str, str]) -> bool:
        given = (cookies.get(f"access-token-{kind}{inner.cookie_id}") for kind in ("", "unsecure-"))
        return account is None or any(token in inner.tokens for token in given)

    guard = Guard(outer, names, workspace, limits.upload * 2**20, signed_in)
    Connection.most = min(Connection.most, _most_files() // 2)
    config = uvicorn.Config(
        guard, log_level="warning", http=Connection, ws="none", timeout_keep_alive=_IDLE
    )
    return uvicorn.Server(config)


def _most_files() -> int:
    """How many files and connections this process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return 2048
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most


@contextmanager
def _without_proxies() -> Iterator[None]:
    """Hide proxies from Gradio, which cannot even be imported where one of them is a SOCKS one."""
    hidden = {name: os.environ[name] for name in list(os.environ) if name.lower() in _PROXIES}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
