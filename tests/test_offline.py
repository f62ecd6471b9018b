"""Nobody is told: commands under strace open no connection, look nothing up, and leave nothing."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from dancing.body.poses import PoseSequence
from dancing.data.dataset import DatasetWriter
from dancing.files import cache_folder
from media import EXAMPLE
from videos import AVA

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (Linux)")

_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
_LOOPBACK = re.compile(r"127\.|::1$|0\.0\.0\.0$|::$")
_NAMES = 53


def calls_abroad(log: str) -> list[str]:
    """Lines of strace that send to another machine, or ask for a machine's address."""
    found = []
    for line in log.splitlines():
        if re.search(r"\b(connect|send\w*)\(", line) and (address := _ADDRESS.search(line)):
            port, host = int(address[1]), address[2]
            if port == _NAMES or not _LOOPBACK.match(host):
                found.append(line)
    return found


class Home:
    """An empty home for one command.

    Attributes:
        folder: the working folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.log = root, root / "work", root / "strace.txt"
        for name in ("home", "tmp", "work"):
            (root / name).mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        self.environment = kept | {
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "DANCING_CACHE": str(cache_folder()),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def traced(self, *arguments: object) -> list[str]:
        command = [sys.executable, "-m", "dancing", *map(str, arguments)]
        return ["strace", "-f", "-qq", "-e", "trace=%network", "-o", str(self.log), *command]

    def run(self, *arguments: object) -> None:
        subprocess.run(
            self.traced(*arguments), cwd=self.folder, env=self.environment, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        self.check()

    def check(self) -> None:
        assert calls_abroad(self.log.read_text()) == []
        for name in ("home", "tmp"):
            assert [*(self.root / name).rglob("*")] == [], f"left in {name}"


@pytest.fixture
def home(tmp_path):
    cache = cache_folder()
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")} if cache.exists() else {}
    yield Home(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_trace_shows_what_is_looked_for(tmp_path):
    log = tmp_path / "log"
    look_up = "import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept OSError: pass"
    connect = (
        "import socket\ns = socket.socket(); s.settimeout(.01)\ns.connect_ex(('192.0.2.1', 9))"
    )
    for code in (look_up, connect):
        command = ["strace", "-f", "-qq", "-e", "trace=%network", "-o", log]
        subprocess.run([*command, sys.executable, "-c", code], check=True)
        assert calls_abroad(log.read_text())


def test_generate(home):
    home.run("generate", EXAMPLE, "-o", "dance.mp4", "--duration", 3)
    assert [path.name for path in home.folder.iterdir()] == ["dance.mp4"]


def test_prepare(home):
    home.run("prepare", AVA, "-o", "data.h5")
    assert [path.name for path in home.folder.iterdir()] == ["data.h5"]


def test_serve(home):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        home.traced("serve", "--port", port), cwd=home.folder, env=home.environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    while "studio is at" not in (line := process.stdout.readline()):
        assert line, "the studio did not start"
    page = httpx.get(f"http://127.0.0.1:{port}", trust_env=False, timeout=30)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert page.status_code == 200
    home.check()
    assert [*home.folder.iterdir()] == []


@pytest.mark.slow
def test_train_and_export(home, tmp_path):
    random = np.random.default_rng(0)
    with DatasetWriter(tmp_path / "data.h5") as writer:
        for i in range(4):
            poses = PoseSequence(
                random.uniform(0.3, 0.7, (90, 33, 2)).cumsum(0) / 90 + 0.2, aspect=1
            )
            writer.clip(f"c{i}", poses, mfcc=random.normal(size=(90, 13)), source=f"{i}.mp3")
    home.run(
        "train", "motion", tmp_path / "data.h5", "-o", "run", "--model", "lstm-vae",
        "--device", "cpu", "--epochs", 1, "--batch-size", 8,
        "--set", "window=30", "--set", "least_epoch=64",
    )  # fmt: skip
    home.run("export", "run", "-o", "me")
    assert {path.name for path in home.folder.iterdir()} == {"run", "me"}


@pytest.mark.slow
def test_learn(home):
    home.run("generate", EXAMPLE, "-o", "film.mp4", "--dancer", "kai", "--duration", 12)
    home.run("learn", "film.mp4", "-o", "me", "--model", "limbs", "--minutes", 2)
    assert {path.name for path in home.folder.iterdir()} == {"film.mp4", "me"}
