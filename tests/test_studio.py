"""The studio without a browser: who may use it and how much, and what its API gives."""

import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file

from dancing.body.poses import PoseSequence
from dancing.bundle import _EMBEDDED, DEFAULT, Bundle
from dancing.data.pose_model import MODEL
from dancing.data.prepare import prepare
from dancing.errors import DancingError
from dancing.evaluation.table import Column, Report
from dancing.files import cache_folder
from dancing.media.picture import read_picture
from dancing.media.video import read_frames
from dancing.pipeline import generate
from dancing.studio.jobs import AbandonedError, Job, Workspace
from dancing.studio.limits import Limits
from dancing.studio.server import access
from media import EXAMPLE, clicks, command, dancing, read_video, write_wav
from photos import portrait, room, save, somebody, stand
from studio import fetch, studio, until
from videos import AVA, write_video

ACCOUNT = ("ann", "secret:word")


@pytest.mark.parametrize(
    ("host", "auth", "no_auth", "expected"),
    [
        (None, None, False, ("127.0.0.1", None)),
        (None, "a:b", False, ("127.0.0.1", ("a", "b"))),
        ("0.0.0.0", "a:b:c", False, ("0.0.0.0", ("a", "b:c"))),
        ("0.0.0.0", None, True, ("0.0.0.0", None)),
        ("0.0.0.0", None, False, "others may reach 0.0.0.0"),
        ("0.0.0.0", "a:b", True, "exclude each other"),
        (None, "a", False, "USER:PASSWORD"),
        (None, ":b", False, "USER:PASSWORD"),
        (None, "a:", False, "USER:PASSWORD"),
    ],
)
def test_who_may_use_it_is_said(host, auth, no_auth, expected):
    if isinstance(expected, tuple):
        assert access(host, auth, no_auth) == expected
    else:
        with pytest.raises(DancingError, match=expected):
            access(host, auth, no_auth)


def test_the_command_line_wants_it_said_too(tmp_path):
    assert "--no-auth" in dancing("serve", "--host", "0.0.0.0", ok=False).stderr
    environment = os.environ | {"DANCING_AUTH": "nobody"}
    assert "USER:PASSWORD" in dancing("serve", env=environment, ok=False).stderr
    nothing = dancing("serve", "--dancer", tmp_path / "nobody", ok=False).stderr
    assert "no dancer named" in nothing
    with pytest.raises(DancingError, match="upload"):
        Limits(upload=0)


def test_a_missing_extra_is_named():
    code = "import sys; sys.modules['gradio'] = None; sys.argv[1:] = ['serve']; import dancing.cli"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; dancing.cli.main()"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "error: this needs gradio: pip install 'dancing[web]'\n"


def test_a_job_that_is_left_ends_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    began = threading.Event()

    def work(listener):
        with workspace.folder() as folder:
            (folder / "half").touch()
            began.set()
            for done in range(10**6):
                listener.progress("forever", done, 10**9)
                time.sleep(0.01)

    with Workspace(60) as workspace:
        with Job(work) as job:
            assert began.wait(5)
            step = next(step for step in job.steps() if step.done > 1)
            assert (step.stage, step.total) == ("forever", 10**9) and step.left > 1000
            assert list(tmp_path.glob("*/work/*/half"))
        with pytest.raises(AbandonedError):
            job.made()
        assert not list(tmp_path.glob("*/work/*"))
    assert not list(tmp_path.iterdir())


def test_notes_reach_their_own_visitor_alone(tmp_path):
    """One visitor's film has no sound, the other's song no beat, in threads of one process."""
    pytest.importorskip("onnx")
    film = write_video(tmp_path / "film.mp4", read_frames(AVA))
    noise = np.random.default_rng(0).normal(0, 0.1, 22050 * 2)
    song = write_wav(tmp_path / "noise.wav", noise)
    ready = threading.Barrier(2, timeout=60)

    def prepares(listener):
        ready.wait()
        return [prepare([film], tmp_path / "a.h5", listener=listener).files[0] for _ in range(2)]

    def dances(listener):
        ready.wait()
        for number in range(3):
            generate(song, tmp_path / f"{number}.npz", listener=listener)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing goes through Python's process-wide warnings
        with Job(prepares) as learner, Job(dances) as dancer:
            reports = learner.made()
            dancer.made()
    assert len(dancer.notes) == 1 and "found no beat" in dancer.notes[0]
    assert learner.notes == []
    for report in reports:
        assert len(report.notes) == 1 and "has no sound" in report.notes[0]


def test_what_goes_wrong_is_told_without_insides(capsys):
    import gradio as gr

    from dancing.studio.work import follow

    def work(listener):
        raise KeyError("insides")

    shown = []
    with pytest.raises(gr.Error, match="its log tells more"):
        shown.extend(follow(work, lambda line, *buttons: (line, *buttons), {}))
    assert "insides" in capsys.readouterr().err


def test_files_go_after_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left_by_a_killed_one = tmp_path / ".dancing-0123456789abcdef.partial"
    left_by_a_killed_one.mkdir()
    mine = tmp_path / "mine"
    mine.mkdir()
    with Workspace(60) as other, Workspace(60) as workspace:
        assert mine.exists() and not left_by_a_killed_one.exists()
        assert other.root.exists(), "it lives"
        with workspace.folder() as busy:
            with workspace.folder() as done:
                (done / "dance.mp4").touch()
            (workspace.cache / "upload").touch()
            workspace.sweep()
            assert done.exists() and len(list(workspace.cache.iterdir())) == 1
            for path in (busy, done, done / "dance.mp4", workspace.cache / "upload"):
                os.utime(path, (0, 0))
            workspace.sweep()
            assert busy.exists() and not done.exists()
            assert not list(workspace.cache.iterdir())
    assert list(tmp_path.iterdir()) == [mine]


def test_a_learned_dancer_is_its_makers_alone(tmp_path, monkeypatch):
    import gradio as gr

    from dancing import learn as learning
    from dancing.studio.page import _Studio

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    video = tmp_path / "me at home.mp4"
    video.write_bytes(b"film")

    def learn(videos, output, *, minutes, moves, listener):
        assert [path.read_bytes() for path in videos] == [b"film"]
        assert (minutes, moves) == (5, True), "the limit, and what was asked for"
        samples = learning.working_folder(output) / "image" / "samples"
        samples.mkdir(parents=True)
        (samples / "step_1.png").touch()
        while not listener.stopped():
            listener.progress("learning the look", 1, 100)
            time.sleep(0.01)
        shutil.rmtree(learning.working_folder(output))
        time.sleep(0.7)
        with zipfile.ZipFile(output, "w") as archive:
            for file in (_EMBEDDED / DEFAULT).iterdir():
                archive.write(file, file.name)
        report = Report("How well", {"command": "evaluate"}, (Column("psnr", "PSNR", 1),), [], [])
        return learning.Learned(output, report, [f"{videos[0].name}: the feet cannot be seen"])

    monkeypatch.setattr(learning, "learn", learn)
    with Workspace(60) as workspace:
        page = _Studio(workspace, Limits(minutes=5), [])
        with pytest.raises(gr.Error, match="the person shown agrees"):
            list(page._learn({}, [str(video)], False, "Kim", 30, True))
        made = page._learn({}, [str(video)], True, "Kim/../x", 30, True)
        strips = []
        for outputs in made:
            strip, bundle, _, line, *_, ending, own = outputs
            if isinstance(strip, str):
                strips.append(Path(strip).name)
            if isinstance(ending, threading.Event) and strips:
                ending.set()
        assert strips == ["step_1.png", "preview.png"], "once, though it is looked at often"
        assert "Note: me at home.mp4: the feet cannot be seen" in line
        assert list(own) == ["Kimx"] and page._bundle(own, "Kimx") == Path(bundle)
        with pytest.raises(DancingError, match="no dancer 'Kimx'"):
            page._bundle({}, "Kimx")
        Path(bundle).unlink()
        with pytest.raises(DancingError, match="no longer"):
            page._bundle(own, "Kimx")
        assert page._pictures(own) is not None


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A studio with narrow limits and an account; it leaves nothing and fails at nothing."""
    folder, home, cache = (tmp_path_factory.mktemp(name) for name in ("guarded", "home", "cache"))
    model = cache_folder() / MODEL
    if model.exists():
        shutil.copy(model, cache)
    account = ":".join(ACCOUNT)
    limits = ("--max-upload", 1, "--max-seconds", 2, "--auth", account)
    with studio(folder, *limits, HOME=str(home), DANCING_CACHE=str(cache)) as running:
        yield running
    assert [path.name for path in folder.iterdir()] == ["log.txt"]
    assert not list(home.iterdir())
    assert "Traceback" not in (folder / "log.txt").read_text()


@pytest.fixture(scope="module")
def client(guarded):
    return Client(guarded.url, auth=ACCOUNT, verbose=False)


def test_strangers_see_nothing(guarded):
    assert fetch(f"{guarded.url}/config").status_code == 401
    wrong = httpx.post(
        f"{guarded.url}/login", data={"username": "ann", "password": "x"}, trust_env=False
    )
    assert wrong.status_code == 400


def test_the_api_dances_as_the_command_line_does(client, tmp_path):
    video, files, state = client.predict(
        song=handle_file(EXAMPLE), start=2, length=1, seed=7, scene=None, api_name="/dance"
    )
    dancing("generate", EXAMPLE, "-o", tmp_path / "a.mp4", "--seed", 7, "--start", 2,
            "--duration", 1, "--poses", tmp_path / "a.npz")  # fmt: skip
    assert Path(video).read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert [Path(path).suffix for path in files] == [".mp4", ".npz", ".json", ".csv"]
    expected = PoseSequence.load(tmp_path / "a.npz").landmarks
    for path in files[1:]:
        assert np.allclose(PoseSequence.load(path).landmarks, expected, atol=1e-6)
    assert "seed 7" in state


def test_backgrounds_come_as_names_not_as_paths(client, tmp_path):
    def dance(**wishes):
        wishes = {"song": handle_file(EXAMPLE), "length": 1, "scene": None} | wishes
        return Path(client.predict(api_name="/dance", **wishes)[0])

    red = dance(behind="A colour", colour="rgba(200, 16, 32.2, 1)")
    corner = read_video(red).frames[0, 5, 5].astype(int)
    assert np.abs(corner - (200, 16, 32)).max() < 12
    assert dance(behind="Transparent").suffix == ".webm"
    for wishes, message in (
        ({"behind": "A colour", "colour": str(EXAMPLE)}, "no colour"),
        ({"behind": "A picture or video"}, "a file is needed"),
        ({"behind": str(EXAMPLE)}, "not in the list"),
        ({"dancer": str(tmp_path)}, "not in the list"),
        ({"length": 3}, "maximum"),
        ({"seed": -1}, "minimum"),
        ({"start": None}, "the start is missing"),
        ({"energy": 9}, "maximum"),
        ({"energy": None}, "wrong kind"),
        ({"seed": "x"}, "wrong kind"),
        ({"behind": "A colour", "colour": None}, "no colour"),
    ):
        with pytest.raises(Exception, match=message):
            dance(**wishes)


def test_the_longest_dance_is_limited(client):
    state = client.predict(
        song=handle_file(EXAMPLE), whole=True, style="skeleton", scene=None, api_name="/dance"
    )[2]
    assert "dances 2 s" in state and "end after 2 s" in state


def test_bad_songs_get_the_line_of_the_command_line(client, tmp_path):
    (tmp_path / "no music.mp3").write_text("hello " * 100)
    song = tmp_path / "no music.mp3"
    said = dancing("generate", song, "-o", tmp_path / "o.mp4", ok=False).stderr
    expected = said.removeprefix("error: ").strip().replace(f"{tmp_path}/", "")
    with pytest.raises(Exception) as caught:
        client.predict(song=handle_file(song), scene=None, api_name="/dance")
    assert str(caught.value) == expected
    write_wav(tmp_path / "silence.wav", np.zeros(22050))
    state = client.predict(
        song=handle_file(tmp_path / "silence.wav"), style="skeleton", scene=None, api_name="/dance"
    )[2]
    assert "silence.wav: found no beat" in state
    with pytest.raises(Exception, match="a file is needed"):
        client.predict(song=None, scene=None, api_name="/dance")


@pytest.fixture(scope="module")
def figure():
    pytest.importorskip("onnx")
    return somebody()


@pytest.fixture(scope="module")
def photo(figure, tmp_path_factory):
    """A portrait, as a phone stores it."""
    return portrait(tmp_path_factory.mktemp("photo") / "at home.jpg", figure)


def test_a_photo_is_learned_from(client, photo, figure, tmp_path):
    from pillow_heif import register_heif_opener

    register_heif_opener()
    other = save(tmp_path / "other.heic", stand(room(600, 800, 1), figure, 300, 780))
    picture, bundle, scores, state, found = client.predict(
        inputs=[handle_file(photo), handle_file(other)], agreed=True, name="Kim" * 99,
        api_name="/learn",
    )  # fmt: skip
    made = Bundle(bundle)
    assert made.name == ("Kim" * 99)[:24] and "the person shown agreed" in made.card.consent
    assert len(made.card.image.references) == 2 and scores == ""
    width, height = made.card.image.size
    assert width < height, "upright"
    assert Path(picture).read_bytes() == made.preview()
    assert "is now among the dancers" in state and "agrees" not in state
    assert [Path(each["caption"]).suffix for each in found] == [".jpg", ".heic"]
    drawn = read_picture(found[0]["image"]).astype(int)
    assert drawn.shape == (960, 720, 3), "upright"
    assert np.ptp(drawn[50, 50]) < 12 and drawn[50, 50].max() < 80, "the scene is dim and grey"
    blue = (drawn[..., 2] - drawn[..., 0]) > 100
    assert blue[300:900, 250:550].sum() > 1000 > blue[:, :150].sum(), "a skeleton is drawn"


def test_photos_of_nobody_get_the_line_of_the_command_line(client, photo, tmp_path):
    def learn(*paths, **wishes):
        wishes = {"inputs": [handle_file(path) for path in paths], "agreed": True} | wishes
        client.predict(api_name="/learn", **wishes)

    wall = save(tmp_path / "my wall.jpg", room(600, 800))
    (tmp_path / "half.jpg").write_bytes(photo.read_bytes()[:2000])
    for path, *options in ((wall,), (tmp_path / "half.jpg",), (photo, "--moves")):
        said = command("learn", path, "-o", tmp_path / "made", *options, ok=False).stderr
        expected = said.splitlines()[-1].replace(f"{path.parent}/", "")
        with pytest.raises(Exception) as caught:
            learn(path, moves=bool(options))
        assert str(caught.value) == expected.removeprefix("error: "), path
    with pytest.raises(Exception, match="tick that the person shown agrees"):
        learn(photo, agreed=False)
    with pytest.raises(Exception, match="choose a photo or a video"):
        learn()


def test_only_what_visitors_made_can_be_fetched(guarded, client):
    def status(path):
        return fetch(f"{guarded.url}/gradio_api/{path}", cookies=client.cookies).status_code

    client.predict(
        song=handle_file(EXAMPLE), length=1, style="skeleton", scene=None, api_name="/dance"
    )
    (root,) = guarded.temporary.glob(".dancing-*")
    served = max(root.glob("cache/*/dance.csv"))
    assert status(f"file={served}") == 200, "what the page links to"
    assert fetch(f"{guarded.url}/gradio_api/file={served}").status_code == 401, "not to strangers"
    job = max(root.glob("work/*/dance.csv"))
    for path in (
        f"file={job}",
        f"file={root}/cache",
        f"file={served.parent}",
        "file=/etc/passwd",
        f"file={served.parent}{'/..' * 12}/etc/passwd",
        f"file={served.parent}/%2e%2e/%2e%2e/%2e%2e/log.txt",
        f"file={guarded.temporary}/log.txt",
        f"file={EXAMPLE.parent.parent / 'README.md'}",
        "file=http://127.0.0.1:1/",
        "file=https://example.org/",
        "proxy=https://example.org/",
        "dev/reload",
    ):
        assert status(path) in (403, 404), path


def ask(guarded, client, song, length):
    """Ask for a dance by bare HTTP; returns the address of the answer."""
    call = f"{guarded.url}/gradio_api/call/dance"
    look = "person", "The dancer's own", "#00ff00", None
    data = [song, 0, length, False, "ava", 0, 1, "auto", *look]
    options = {"cookies": client.cookies, "trust_env": False}
    return f"{call}/{httpx.post(call, json={'data': data}, **options).json()['event_id']}"


def test_a_song_is_uploaded_or_refused(guarded, client, tmp_path):
    """Paths on the server and links to elsewhere are no uploads, and a large file is none."""

    def dance(path):
        asked = ask(guarded, client, {"path": path, "meta": {"_type": "gradio.FileData"}}, 1)
        return fetch(asked, cookies=client.cookies).text

    (example,) = guarded.temporary.glob(".dancing-*/song.ogg")
    assert "event: complete" in dance(str(example)), "it is offered in the page"
    upload = example.parent / "cache" / "gone" / "song.mp3"
    for path, message in (
        ("http://127.0.0.1:1/song.mp3", "links are not followed"),
        (str(EXAMPLE), "no other can be used"),
        (str(EXAMPLE.parent.parent / "README.md"), "no other can be used"),
        (str(EXAMPLE.parent.parent / "tests/data/ava.mp4"), "no other can be used"),
        (str(upload), "no longer on the server"),
    ):
        answer = dance(path)
        assert "event: error" in answer and message in answer and "complete" not in answer, answer
    large = write_wav(tmp_path / "large.wav", clicks(30.0))
    with large.open("rb") as file:
        answer = httpx.post(
            f"{guarded.url}/gradio_api/upload", files={"files": file}, cookies=client.cookies,
            trust_env=False,
        )  # fmt: skip
    assert answer.status_code == 413


def test_a_call_that_is_not_known_is_told(guarded, client):
    for path in ("call/dance/x", "queue/data?session_hash=x"):
        answer = fetch(f"{guarded.url}/gradio_api/{path}", cookies=client.cookies)
        assert "404" in answer.text, path


def test_a_visitor_who_leaves_takes_the_job_along(guarded, client):
    (example,) = guarded.temporary.glob(".dancing-*/song.ogg")
    song = {"path": str(example), "meta": {"_type": "gradio.FileData"}}
    before = guarded.jobs()
    asked = ask(guarded, client, song, 2)
    with httpx.stream("GET", asked, cookies=client.cookies, trust_env=False):
        until(lambda: guarded.jobs() - before, 30)
    until(lambda: guarded.jobs() == before, 30)


def test_a_killed_server_leaves_nothing_for_long(tmp_path, monkeypatch):
    with studio(tmp_path) as first:
        client = Client(first.url, verbose=False)
        client.submit(song=handle_file(EXAMPLE), scene=None, api_name="/dance")
        until(first.jobs, 30)
        first.process.kill()
        first.process.wait()
    (left,) = tmp_path.glob(".dancing-*")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Workspace(3600):
        assert not left.exists(), "gone as the next one starts, however fresh"
    assert not [path for path in Path.cwd().rglob("*.partial*")]
