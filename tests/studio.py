"""A studio that runs in a process of its own, as a user starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Studio:
    """A running studio: its address, its process, and the folder of its temporary files."""

    url: str
    process: subprocess.Popen
    temporary: Path

    def jobs(self):
        """The folders of jobs that there are now."""
        return set(self.temporary.glob("*/work/*"))


@contextmanager
def studio(temporary, *options, **variables):
    """Start `dancing serve` with its temporary files in a folder; stop it at the end.

    Proxies are in its way that do not answer.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment |= {name: "http://127.0.0.1:9" for name in ("http_proxy", "HTTPS_PROXY")}
    environment |= {"ALL_PROXY": "socks5://127.0.0.1:9", "TMPDIR": str(temporary), **variables}
    log = temporary / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dancing", "serve", "--port", str(port), *map(str, options)],
            stdout=out, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
    try:
        until(lambda: "studio is at" in log.read_text() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        yield Studio(f"http://127.0.0.1:{port}", process, temporary)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def until(condition, seconds):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def fetch(url, **options):
    """GET past any proxy."""
    return httpx.get(url, trust_env=False, timeout=30, **options)
