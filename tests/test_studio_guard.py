"""What stands before the studio's page: without a browser, a dancer or, mostly, a network."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from dancing.errors import DancingError
from dancing.files import temporary_folder
from dancing.studio import guard as guarding
from dancing.studio import server as serving
from dancing.studio.guard import TRIES, Connection, Guard
from dancing.studio.inputs import hex_colour
from dancing.studio.jobs import Workspace
from dancing.studio.limits import FILES, Limits, Tally
from studio import until

UPLOAD, JOIN = "/gradio_api/upload", "/gradio_api/queue/join"
SECRET = {"cookie": "other={;} ; token=secret"}


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets forward."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


class Site:
    """A guard before an application that reads the body, and what happened to a request."""

    def __init__(self, space=10**9, names=("dance.example.org",), answer=200):
        self.workspace = Workspace(60, space)
        self.answer = answer
        self.guard = Guard(
            self._app, names, self.workspace, 2**20, lambda c: c.get("token") == "secret"
        )

    async def _app(self, scope, receive, send):
        self.reached = True
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left = True
                return
            self.size += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": self.answer, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    def ask(self, method="GET", path="/", parts=(b"",), client="1.2.3.4", wait=0.0, **headers):
        """The status and text of the answer."""
        headers = {"host": "127.0.0.1:7860"} | {k.replace("_", "-"): v for k, v in headers.items()}
        sent, queue = [], list(parts)
        self.reached, self.left, self.size, self.asked = False, False, 0, 0

        async def receive():
            await asyncio.sleep(wait)
            self.asked += 1
            body = queue.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(queue)}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": method, "path": path, "client": (client, 1),
            "query_string": b"", "headers": [(k.encode(), v.encode("latin-1")) for k, v in
                                             headers.items() if v is not None],
        }  # fmt: skip
        asyncio.run(self.guard(scope, receive, send))
        starts = [m["status"] for m in sent if m["type"] == "http.response.start"]
        assert len(starts) == 1, "one answer"
        return starts[0], b"".join(m.get("body", b"") for m in sent).decode()


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:7860", True),
        ("[::1]:7860", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("192.168.1.5:7860", True),
        ("Dance.Example.org", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("127.0.0.1/evil.example", False),
        ("[", False),
        ("[::1", False),
        ("", False),
        (None, False),
        ("caf\xe9", False),
    ],
)
def test_only_own_names_are_answered(host, ours):
    """A page of evil.example whose name is turned to this address (DNS rebinding) gets nothing."""
    site = Site()
    status, text = site.ask(host=host)
    assert status == (200 if ours else 421)
    assert site.reached == ours
    assert ours or "--name" in text


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, "both"),
        ({"origin": "http://127.0.0.1:7860"}, "both"),
        ({"origin": "https://dance.example.org"}, "both"),
        ({"origin": "http://127.0.0.1:7860", "sec_fetch_site": "same-origin"}, "both"),
        ({"sec_fetch_site": "none"}, "both"),
        ({"sec_fetch_site": "cross-site", "sec_fetch_dest": "document"}, "link"),
        ({"sec_fetch_site": "cross-site", "sec_fetch_dest": "iframe"}, "nothing"),
        ({"sec_fetch_site": "same-site"}, "nothing"),
        ({"origin": "http://evil.example"}, "nothing"),
        ({"origin": "http://localhost:9"}, "nothing"),
        ({"origin": "http://127.0.0.1:9"}, "nothing"),
        ({"origin": "null"}, "nothing"),
        ({"origin": "http://["}, "nothing"),
    ],
)
def test_other_sites_may_link_here_and_no_more(headers, allowed):
    site = Site()
    assert site.ask(**headers)[0] == (403 if allowed == "nothing" else 200)
    status = site.ask("POST", UPLOAD, [b"a song"], **headers, **SECRET)[0]
    assert status == (200 if allowed == "both" else 403)
    assert site.ask(path="/logout", **headers)[0] == status


def test_strangers_are_asked_to_sign_in_before_anything_is_read():
    site = Site()
    for method, path in (
        ("POST", JOIN), ("POST", UPLOAD), ("POST", "/gradio_api/cancel"), ("OPTIONS", UPLOAD),
        ("POST", "/gradio_api/reset"), ("GET", "/gradio_api/heartbeat/x"),
    ):  # fmt: skip
        assert site.ask(method, path, [b"x" * 10**6] * 200) == (401, "Sign in first."), path
        assert not site.reached and site.asked == 0, "read before it was asked who it is"
        assert site.ask(method, path, **SECRET)[0] == 200
    for path in ("/", "/config", "/assets/index.js", "/gradio_api/theme.css"):
        assert site.ask(path=path)[0] == 200, "the page to sign in at"
    for path in ("/gradio_api/file=http://a/b", "/gradio_api/proxy=https://a/b"):
        assert site.ask(path=path, **SECRET)[0] == 403


def test_no_body_fills_the_memory():
    site = Site()
    part = b"x" * 2**16
    status, text = site.ask("POST", JOIN, [part] * 3000, **SECRET)
    assert (status, text) == (413, "That is more than this studio takes at a time.")
    assert site.size <= 2**18 and site.left
    assert site.ask("POST", JOIN, content_length=str(2**19), **SECRET)[0] == 413
    assert not site.reached
    assert site.ask("POST", JOIN, content_length="many", **SECRET)[0] == 400
    assert site.ask("POST", UPLOAD, [part] * 32, **SECRET)[0] == 200, "an upload may be larger"
    assert site.size == 2**21
    assert site.ask("POST", UPLOAD, [part] * (FILES * 16 + 30), **SECRET)[0] == 413


def test_bodies_must_not_take_for_ever(monkeypatch):
    site = Site()
    monkeypatch.setattr(guarding, "_WAIT", 0.05)
    assert site.ask("POST", JOIN, [b"x"], wait=0.2, **SECRET)[0] == 408
    assert site.ask("POST", JOIN, [b"x"] * 50, wait=0.01, **SECRET)[0] == 408
    assert site.asked < 20
    assert site.ask("POST", JOIN, [b"x" * 4000] * 8, wait=0.01, **SECRET)[0] == 200


def test_passwords_cannot_be_guessed_and_nobody_is_locked_out(clock):
    site = Site(answer=400)
    for _ in range(TRIES):
        assert site.ask("POST", "/login")[0] == 400
    status, text = site.ask("POST", "/login/")
    assert status == 429 and "in a minute" in text and not site.reached
    assert site.ask("POST", "/login", client="1.2.3.5")[0] == 400, "others are not concerned"
    for number in range(TRIES):
        site.ask("POST", "/login", client=f"2001:db8::{number}")
    assert site.ask("POST", "/login", client="2001:db8::ffff")[0] == 429, "one network, one visitor"
    clock[0] += 61
    site.answer = 200
    for _ in range(2 * TRIES):
        assert site.ask("POST", "/login")[0] == 200, "who knows it signs in as often as he likes"


def test_guesses_count_while_they_are_asked():
    """Not only when they are answered: they may all be asked at a time."""
    site = Site(answer=400)

    async def at_once():
        reached = []

        async def slow(scope, receive, send):
            reached.append(scope)
            await asyncio.sleep(0.05)
            await site._app(scope, receive, send)

        site.guard._app, site.size = slow, 0

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            pass

        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": "/login", "headers": headers,
                 "query_string": b"", "client": ("1.2.3.4", 1)}  # fmt: skip
        await asyncio.gather(*(site.guard(dict(scope), receive, send) for _ in range(100)))
        return len(reached)

    assert asyncio.run(at_once()) == TRIES


def test_uploads_together_have_a_limit(clock):
    site = Site(space=2**20)
    upload = [b"x" * 2**17] * 3
    assert site.ask("POST", UPLOAD, upload, **SECRET)[0] == 200
    status, text = site.ask("POST", UPLOAD, upload, **SECRET)
    assert status == 413 and site.left, "half of it is the most for one visitor"
    status, text = site.ask("POST", UPLOAD, upload, content_length=str(2**19), **SECRET)
    assert status == 413 and "There is room for 0 MB of your files now" in text
    assert site.ask("POST", UPLOAD, upload, client="1.2.3.5", **SECRET)[0] == 200
    assert site.ask("POST", UPLOAD, upload, client="1.2.3.6", **SECRET)[0] == 413, "for all"
    assert site.ask("POST", JOIN, **SECRET)[0] == 200, "what is there can be danced to"
    clock[0] += 61
    assert site.workspace.room("1.2.3.4") < 2**19, "known to be gone when it was looked for"


def test_a_tally_forgets(clock):
    tally = Tally(60)
    for number in range(2000):
        tally.add(f"visitor {number}")
        clock[0] += 0.1
    assert len(tally._done) < 1200 and tally.total("visitor 1999") == 1
    for _ in range(1000):
        tally.add("busy", 10)
    assert tally.total("busy") == 10_000 and len(tally._done["busy"]) == 1


def test_what_is_waited_for_stays_and_what_killed_servers_left_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Workspace(60, 10**6) as workspace, temporary_folder(tmp_path) as living:
        left = tmp_path / ".dancing-0123456789abcdef.partial"
        left.mkdir()
        song, other = workspace.cache / "a" / "song.mp3", workspace.cache / "b" / "song.mp3"
        for path in (song, other):
            path.parent.mkdir()
            path.write_bytes(b"x" * 10_000)
        old = [song, other, song.parent, other.parent]
        for path in old:
            os.utime(path, (0, 0))
        workspace.waited_for = lambda: {song}
        workspace.sweep()
        assert song.exists() and not other.parent.exists()
        assert not left.exists() and living.exists()
        assert 960_000 < workspace._space - workspace._stored < 990_000, "what is stored counts"
        workspace.waited_for = set
        workspace.sweep()
        assert song.exists(), "kept from its last use on"
        for path in (song, song.parent):
            os.utime(path, (0, 0))
        workspace.sweep()
        assert not song.parent.exists()


def test_the_queue_tells_what_it_waits_for(tmp_path, monkeypatch):
    from dancing.studio.page import build

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Workspace(60) as workspace:
        page = build(workspace, Limits())
        from gradio.queueing import EventQueue
        from gradio.state_holder import StateHolder

        StateHolder().set_blocks(page)
        page.state_holder["ann"].state_data[-1] = {"files": [tmp_path / "work/1/dance.mp4"]}

        def event(*data, session="nobody"):
            return SimpleNamespace(session_hash=session, data=SimpleNamespace(data=list(data)))

        waiting, learning = EventQueue("dances", 1), EventQueue("learning", 1)
        song, films = (
            {"path": f"{tmp_path}/song.mp3"},
            [{"path": f"{tmp_path}/{i}.mp4"} for i in (1, 2)],
        )
        waiting.queue = [event(None, song, 0), event(session="ann")]
        learning.queue = [event(None, films, "me")]
        page._queue.event_queue_per_concurrency_id = {"dances": waiting, "learning": learning}
        page._queue.active_jobs = [None, [event({"path": f"{tmp_path}/now.mp3"})]]
        names = ("song.mp3", "1.mp4", "2.mp4", "now.mp3", "work/1/dance.mp4")
        assert workspace.waited_for() == {tmp_path.resolve() / name for name in names}


def test_a_sweep_that_fails_is_not_the_last(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    calls = []

    def sweep(self):
        calls.append(self)
        raise RuntimeError("this once")

    monkeypatch.setattr(Workspace, "sweep", sweep)
    with Workspace(0.01):
        until(lambda: len(calls) > 2, 10)
    assert "this once" in capsys.readouterr().err


def parse(folder, parts, *, end=True, most=10**6):
    """What becomes of an upload: the names of its files, or the line for the visitor."""
    from dancing.studio.uploads import UploadParser

    async def stream():
        for head, body in parts:
            head = f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode()
            yield head + body + b"\r\n"
        if not end:
            raise ClientDisconnect
        yield b"--b--\r\n"

    headers = Headers({"content-type": "multipart/form-data; boundary=b"})
    parser = UploadParser(
        headers, stream(), upload_dir=folder, max_file_size=most, max_files=1000, max_fields=1000
    )
    try:
        form = asyncio.run(parser.parse())
    except MultiPartException as error:
        return error.message
    return [file.filename for file in form.getlist("files")]


def test_uploads_are_a_few_files_and_leave_nothing_when_refused(tmp_path):
    files = [(f'name="files"; filename="{number}.mp3"', b"x") for number in range(FILES + 1)]
    assert parse(tmp_path, files) == f"At most {FILES} files at a time."
    assert "fields" in parse(tmp_path, [*files[:2], ('name="x"', b"y")])
    assert "maximum allowed size" in parse(tmp_path, [files[0], (files[1][0], b"x" * 99)], most=50)
    assert "did not come to its end" in parse(tmp_path, files[:3], end=False)
    assert not list(tmp_path.iterdir())
    assert len(parse(tmp_path, files[:-1])) == FILES


@pytest.fixture
def address(monkeypatch):
    """Where a server listens whose connections have narrow limits."""
    monkeypatch.setattr(guarding, "_WAIT", 0.4)
    monkeypatch.setattr(Connection, "most", 5)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", log_level="error", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield listening.getsockname()
        server.should_exit = server.force_exit = True
        thread.join(10)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n",
    ],
)
def test_half_open_connections_are_closed(address, sent):
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(sent)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while client.recv(1000):
                # What comes of the body after the answer takes its time, too.
                if b"Length" in sent:
                    client.sendall(b"d")
        assert time.monotonic() - began < 4


def test_there_are_not_too_many_connections(address):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(address, 5)) for _ in range(7)]
        until(lambda: Connection.open.total() == 5, 5)
        with contextlib.suppress(ConnectionError):
            assert clients[-1].recv(10) == b"", "one too many"
    until(lambda: not Connection.open, 5)
    with socket.create_connection(address, 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ("#00FF7f", "#00FF7f"),
        ("rgb(1,2,3)", "#010203"),
        ("rgba(200, 16, 32.2, 1)", "#c81020"),
        ("rgba(999, 0, 0, 0.5)", "#ff0000"),
        *((wrong, None) for wrong in (
            None, "", "red", "rgba(1.1.1,2,3)", "rgb(1,2)", "rgb(-1,2,3)", "#12345", "#12345\n",
            f"rgb({'9' * 400},2,3)", f"rgb(1.{'9' * 400},2,3)", "#" + "9" * 400, {"a": 1},
            "rgb(²,2,3)",
        )),
    ],
)  # fmt: skip
def test_colours_are_colours(colour, expected):
    if expected:
        assert hex_colour(colour) == expected
        return
    with pytest.raises(DancingError, match="is no colour") as caught:
        hex_colour(colour)
    assert len(str(caught.value)) < 80


@pytest.mark.parametrize("name", ["", "https://dance.example.org", "a b", "dance.example.org:80"])
def test_names_are_names(name):
    with pytest.raises(DancingError, match="a host's name alone"):
        serving.serve(names=[name])


def test_the_guard_knows_the_machines_names_where_others_reach_it():
    assert serving._known_names(None, ["a.b"]) == {"a.b"}
    assert {socket.gethostname(), "0.0.0.0", "a.b"} <= serving._known_names("0.0.0.0", ["a.b"])


def test_an_address_that_cannot_be_had_is_one_line():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(DancingError, match="cannot listen there"),
    ):
        serving.serve(port=taken.getsockname()[1])
    for host in ("no such host", "." * 300, "1.2.3.4.5"):
        with pytest.raises(DancingError, match="cannot listen there"):
            serving.serve(host=host, no_auth=True)
    assert not list(Path.cwd().glob("*.partial"))


def test_proxies_are_hidden_from_the_page_alone(monkeypatch):
    """The pose model may have to be fetched through them."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with contextlib.suppress(KeyError), serving._without_proxies():
        assert not {"ALL_PROXY", "http_proxy"} & set(os.environ)
        raise KeyError
    assert os.environ["ALL_PROXY"] and os.environ["http_proxy"]
