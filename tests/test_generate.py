"""`dancing generate` with the shipped dancer, on real files, as a user runs it."""

import io
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest

from dancing.body.poses import PoseSequence
from dancing.bundle import _EMBEDDED, DEFAULT
from dancing.cli import _following
from dancing.errors import DancingError
from dancing.media.sound import load_audio
from dancing.media.video import VideoWriter
from dancing.pipeline import plan
from media import EXAMPLE, Recorder, clicks, dancing, read_video, write_wav
from videos import plain, write_video

SHORT = ("--duration", 2)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "dance.mp4"
    poses = path.with_name("dance.npz")
    done = dancing("generate", EXAMPLE, "-o", path, "--poses", poses, "--seed", 7, *SHORT)
    assert done.stdout.strip() == str(path)
    assert done.stderr == "", "quiet where there is no terminal"
    return path


def test_a_song_becomes_a_video_with_its_sound(video):
    made = read_video(video)
    assert (made.codec, made.pixels, made.sound_codec, made.fps) == ("h264", "yuv420p", "aac", 30)
    assert len(made.frames) == 60
    assert made.duration == pytest.approx(2, abs=1 / 30)
    song = load_audio(EXAMPLE, duration=2.0)
    heard = load_audio(video)
    length = min(len(song), len(heard))
    assert np.corrcoef(song[:length], heard[:length])[0, 1] > 0.95, "the same sound, in time"


def test_there_is_a_person_who_moves(video):
    frames = read_video(video).frames.astype(float)
    assert frames[0].std() > 15, "a picture, not a flat colour"
    change = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert (change > 0.01).mean() > 0.8


def test_the_index_is_in_front_for_streaming(video):
    content = video.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_poses_are_written_beside(video):
    poses = PoseSequence.load(video.with_suffix(".npz"))
    assert len(poses) == 60 and poses.fps == 30
    assert poses.beats is not None and len(poses.beats) >= 2
    inside = (poses.landmarks > 0) & (poses.landmarks < 1)
    assert inside.mean() > 0.98


def _on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def test_same_seed_same_file_other_seed_other_dance(video, tmp_path):
    dancing("generate", EXAMPLE, "-o", tmp_path / "same.mp4", "--seed", 7, *SHORT,
            preexec_fn=_on_one_core)  # fmt: skip
    assert (tmp_path / "same.mp4").read_bytes() == video.read_bytes()
    dancing("generate", EXAMPLE, "-o", tmp_path / "other.npz", "--seed", 8, *SHORT)
    other = PoseSequence.load(tmp_path / "other.npz").landmarks
    assert np.abs(other - PoseSequence.load(video.with_suffix(".npz")).landmarks).max() > 1e-3


@pytest.mark.parametrize("suffix", [".npz", ".json", ".csv"])
def test_poses_alone_then_drawn(tmp_path, suffix):
    poses = tmp_path / f"dance{suffix}"
    dancing("generate", EXAMPLE, "-o", poses, *SHORT)
    dancing("generate", "--poses-from", poses, "-o", tmp_path / "silent.mp4")
    made = read_video(tmp_path / "silent.mp4")
    assert len(made.frames) == 60 and made.sound is None


def test_drawing_poses_gives_the_same_pictures(video, tmp_path):
    dancing(
        "generate", EXAMPLE, "--poses-from", video.with_suffix(".npz"), "--as-is",
        "-o", tmp_path / "again.mp4", *SHORT,
    )  # fmt: skip
    assert (tmp_path / "again.mp4").read_bytes() == video.read_bytes()


def test_styles(video, tmp_path):
    person = read_video(video).frames
    for style in ("skeleton", "side-by-side"):
        dancing("generate", EXAMPLE, "-o", tmp_path / f"{style}.mp4", "--style", style,
                "--seed", 7, *SHORT)  # fmt: skip
    skeleton = read_video(tmp_path / "skeleton.mp4").frames
    both = read_video(tmp_path / "side-by-side.mp4").frames
    assert skeleton.shape == person.shape
    width = person.shape[2]
    assert both.shape[2] == 2 * width
    assert np.abs(both[30, :, :width].astype(int) - skeleton[30]).mean() < 6
    assert np.abs(both[30, :, width:].astype(int) - person[30]).mean() < 6
    # The person stands where the skeleton does: its lines are the brightest of that picture.
    lines = skeleton[30].max(-1) > 120
    assert 0.002 < lines.mean() < 0.2


def test_backgrounds_and_sizes(tmp_path):
    """A transparent dance has a kind of its own; a video is behind at full size."""
    dancing("generate", EXAMPLE, "--background", "transparent", "--duration", 0.5, cwd=tmp_path)
    (made,) = tmp_path.iterdir()
    assert made.name == f"{EXAMPLE.stem}.webm"
    with av.open(str(made)) as container:
        assert container.streams.video[0].metadata["ALPHA_MODE"] == "1"
        assert container.duration / av.time_base == pytest.approx(0.5, abs=1 / 30)
    scene = write_video(tmp_path / "scene.mp4", plain((200, 40, 120), 5))
    dancing("generate", EXAMPLE, "-o", tmp_path / "a.mp4", "--background", scene,
            "--height", 480, "--duration", 0.5)  # fmt: skip
    frames = read_video(tmp_path / "a.mp4").frames
    assert frames.shape == (15, 480, 270, 3)
    assert np.abs(frames[:, 5, 5].astype(int) - (200, 40, 120)).max() < 12


def test_start_cuts_sound_and_pictures(tmp_path):
    path = tmp_path / "part.mp4"
    dancing("generate", EXAMPLE, "-o", path, "--start", 3.25, "--duration", 1.5,
            "--style", "skeleton")  # fmt: skip
    assert len(read_video(path).frames) == 45
    song, heard = load_audio(EXAMPLE, start=3.25, duration=1.5), load_audio(path)
    length = min(len(song), len(heard))
    assert np.corrcoef(song[:length], heard[:length])[0, 1] > 0.95


def test_several_songs_one_bad(tmp_path):
    songs = tmp_path / "songs"
    songs.mkdir()
    write_wav(songs / "one.wav", clicks(1.0))
    write_wav(songs / "two.wav", clicks(0.8, bpm=90))
    (songs / "bad.mp3").write_text("not music")
    done = dancing("generate", songs, "-o", tmp_path / "out", "--style", "skeleton", ok=False)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one.mp4", "two.mp4"]
    assert "1 of 3 songs failed" in done.stderr and "bad.mp3" in done.stderr
    (songs / "bad.mp3").unlink()
    before = (tmp_path / "out" / "one.mp4").stat().st_mtime_ns
    done = dancing("generate", songs, "-o", tmp_path / "out", "--skip-existing")
    assert "skipped" in done.stdout
    assert (tmp_path / "out" / "one.mp4").stat().st_mtime_ns == before


def test_songs_that_differ_in_the_suffix_only_keep_it(tmp_path):
    assert [target.name for _, target in plan(["a/x.wav", "b/x.wav"], tmp_path)] == [
        "x.wav.mp4", "x.wav_2.mp4",
    ]  # fmt: skip
    assert [target.name for _, target in plan(["a/x.mp3", "b/x.wav", "y.ogg"], tmp_path)] == [
        "x.mp3.mp4", "x.wav.mp4", "y.mp4",
    ]  # fmt: skip


def test_a_folder_is_danced_to_once(tmp_path, monkeypatch):
    """However often: what was generated is no song of a folder; a video of the user's own is."""
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "a.wav", clicks(0.1))
    write_video(tmp_path / "b.mov", plain(80, 2), sound=clicks(0.1))

    def dance(*songs, **options):
        listener = Recorder()
        jobs = plan(songs, options.pop("output", None), listener=listener, **options)
        for _, target in jobs:
            with VideoWriter(target, 16, 16) as video:
                video.write(np.zeros((16, 16, 3), np.uint8))
        return [(str(song), str(target)) for song, target in jobs], listener.notes

    expected = [("a.wav", "a.mp4"), ("b.mov", "b.mp4")]
    assert dance(".") == (expected, [])
    for _ in range(2):
        jobs, notes = dance(".")
        assert jobs == expected
        assert notes == ["a.mp4 and 1 more: made by this program, not taken for songs"]
    assert dance(".", background="transparent")[0] == [("a.wav", "a.webm"), ("b.mov", "b.webm")]
    assert dance(".", output=".")[0] == expected
    assert dance(*sorted(Path().iterdir()))[0] == expected, "as the shell's * names them"
    assert dance("a.mp4", output="again.mov")[0] == [("a.mp4", "again.mov")], "named alone"
    write_video(tmp_path / "a.mkv", plain(80, 2), sound=clicks(0.1))
    clash = [("a.mkv", "a.mkv.mp4"), ("a.wav", "a.wav.mp4"), ("b.mov", "b.mp4")]
    assert dance(".")[0] == clash and dance(".")[0] == clash
    (tmp_path / "made").mkdir()
    shutil.copy("a.mp4", "made")
    with pytest.raises(DancingError, match="no songs but what this program made"):
        dance("made")


def test_names_of_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("dir.npz", "dir.v2"):
        (tmp_path / folder).mkdir()
    assert plan(["s.wav"], "dir.npz/") == [(Path("s.wav"), Path("dir.npz/s.mp4"))]
    assert plan(["s.wav"], "dir.v2") == [(Path("s.wav"), Path("dir.v2/s.mp4"))]
    assert plan(["s.wav"], "new.v2/") == [(Path("s.wav"), Path("new.v2/s.mp4"))]
    assert plan(["-"], "o.mp4") == [(Path("-"), Path("o.mp4"))]
    for output, says in (("dir.npz", "folder named like a file"), ("-", "standard output")):
        with pytest.raises(DancingError, match=says):
            plan(["s.wav"], output)
    with pytest.raises(DancingError, match="a pipe has no name"):
        plan(["-"], None)
    names = ["x" * 251 + ".wav", "x" * 251 + ".mp3", "я" * 125 + ".aiff"]
    made = [target.name for _, target in plan(names, None)]
    assert len(set(made)) == 3 and all(len(os.fsencode(name)) <= 255 for name in made)


def test_a_song_through_a_pipe(tmp_path):
    song = write_wav(tmp_path / "s.wav", clicks(1.0)).read_bytes()
    target = tmp_path / "o" / "o.npz"
    done = subprocess.run(
        [sys.executable, "-m", "dancing", "generate", "-", "-o", target, "--energy", "0"],
        input=song, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(PoseSequence.load(target)) == 30
    assert [path.name for path in target.parent.iterdir()] == ["o.npz"]


def test_a_batch_goes_on_whatever_can_be_shown(tmp_path):
    """Names that the terminal's letters lack, and no terminal at all."""
    songs = tmp_path / "songs"
    songs.mkdir()
    for name in ("1 песня", "2 caf\udce9", "3 [bold]{x}"):
        write_wav(songs / f"{name}.wav", clicks(0.3))
        (tmp_path / f"{name}.mp4").touch()
    skip = ("generate", songs, "-o", tmp_path, "--skip-existing")
    done = dancing(*skip, env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.stdout.count("exists, skipped") == 3
    assert "1 \\u043f" in done.stdout and "2 caf\\udce9" in done.stdout
    code = (
        "import os, sys; os.closerange(0, 3); "
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'dancing', *sys.argv[1:]])"
    )
    target = tmp_path / "closed" / "o.npz"
    silent = subprocess.run(
        [sys.executable, "-c", code, "generate", songs / "1 песня.wav", "-o", target]
    )
    assert silent.returncode == 0 and target.exists()


def test_progress_of_files_of_any_name(monkeypatch):
    """In a terminal."""
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), "ascii", "backslashreplace"))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with _following("[/bold]{x} caf\udce9") as listener:
        listener.progress("[red]{y}", 1, 2)
        listener.note("[/red]{z} песня")
    sys.stderr.seek(0)
    assert "[/bold]{x} caf" in sys.stderr.read()


def test_silence_still_dances_and_says_so(tmp_path):
    write_wav(tmp_path / "silence.wav", np.zeros(22050))
    done = dancing("generate", tmp_path / "silence.wav", "-o", tmp_path / "out.mp4")
    assert "found no beat" in done.stderr
    assert len(read_video(tmp_path / "out.mp4").frames) == 30


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(44100, 3, 1.0), (192000, 1, 1.0),
                                                           (22050, 1, 0.2)])  # fmt: skip
def test_unusual_songs(tmp_path, rate, channels, seconds):
    sound = np.repeat(clicks(seconds, rate=rate)[:, None], channels, 1)
    write_wav(tmp_path / "song.wav", sound, rate)
    dancing("generate", tmp_path / "song.wav", "-o", tmp_path / "out.mp4", "--style", "skeleton")
    made = read_video(tmp_path / "out.mp4")
    assert len(made.frames) == round(seconds * 30)
    assert np.abs(made.sound).max() > 0.1


def test_the_sound_track_of_a_video_is_a_song(video, tmp_path):
    dancing("generate", video, "-o", tmp_path / "again.npz")
    # The last block of AAC may be padded by up to 23 ms.
    assert len(PoseSequence.load(tmp_path / "again.npz")) in (60, 61)


def bad_inputs(folder: Path) -> dict[str, tuple[list[object], str]]:
    (folder / "empty.mp3").touch()
    (folder / "text.mp3").write_text("hello " * 100)
    (folder / "nothing").mkdir()
    song = write_wav(folder / "song.wav", clicks(4.0))
    write_wav(folder / "short.wav", clicks(0.02))
    with av.open(str(folder / "mute.mp4"), "w") as out:
        stream = out.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 64
        for _ in range(10):
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))
    np.savez(folder / "nan.npz", landmarks=np.full((5, 33, 2), np.nan))
    (folder / "huge.json").write_text('{"landmarks": [[[' + "1" * 400 + "]]]}")
    out = folder / "out.mp4"
    return {
        "missing": ([folder / "missing.mp3", "-o", out], "missing.mp3"),
        "empty": ([folder / "empty.mp3", "-o", out], "empty"),
        "text": ([folder / "text.mp3", "-o", out], "text.mp3"),
        "mute": ([folder / "mute.mp4", "-o", out], "no sound"),
        "too short": ([folder / "short.wav", "-o", out], "short.wav"),
        "folder": ([folder / "nothing", "-o", out], "no songs"),
        "none": (["-o", out], "a song is needed"),
        "unwritable": ([song, "-o", song / "out.mp4"], "cannot be written"),
        "kind": ([song, "-o", folder / "out.avi"], "out.avi"),
        "no alpha": ([song, "-o", out, "--background", "transparent"], "write a .webm"),
        "colour": ([song, "-o", out, "--background", "#12"], "#rrggbb"),
        "background": ([song, "-o", out, "--background", "none.jpg"], "no file, no colour"),
        "no picture": ([song, "-o", out, "--background", folder / "text.mp3"], "not a media"),
        "lines": ([song, "-o", out, "--style", "skeleton", "--background", "red"], "has none"),
        "odd height": ([song, "-o", out, "--height", 301], "even number"),
        "over it": (
            [song, "-o", folder / "mute.mp4", "--background", folder / "mute.mp4"],
            "input",
        ),
        "poses kind": ([song, "-o", out, "--poses", folder / "p.txt"], "p.txt"),
        "start": ([song, "-o", out, "--start", 50], "song.wav"),
        "dancer": ([song, "-o", out, "--dancer", "nobody"], f"known dancers: {DEFAULT}"),
        "nan": (["--poses-from", folder / "nan.npz", "-o", out], "nobody is in its frames"),
        "one file": ([song, song, "-o", out], "2 songs"),
        "endless": ([song, "-o", out, "--duration", "inf"], "numbers of seconds"),
        "twice": ([song, "-o", folder / "p.npz", "--poses", folder / "p.npz"], "named twice"),
        "huge json": (["--poses-from", folder / "huge.json", "-o", out], "huge.json"),
    }


def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path):
    for name, (arguments, message) in bad_inputs(tmp_path).items():
        before = sorted(tmp_path.rglob("*"))
        done = dancing("generate", *arguments, ok=False)
        assert message in done.stderr, (name, done.stderr)
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, name
        assert sorted(tmp_path.rglob("*")) == before, name


def test_an_input_is_never_written_over(video, tmp_path):
    own = shutil.copy(video, tmp_path / "mine.mp4")
    done = dancing("generate", "mine.mp4", cwd=tmp_path, ok=False)
    assert "is an input" in done.stderr
    assert Path(own).read_bytes() == video.read_bytes()


def test_a_damaged_bundle_is_refused_before_the_song_is_heard(tmp_path):
    bundle = shutil.copytree(_EMBEDDED / DEFAULT, tmp_path / "bundle")
    (bundle / "image.onnx").write_bytes(b"not a model")
    done = dancing("generate", "no such song.wav", "-o", tmp_path / "o.mp4", "--dancer", bundle,
                   ok=False)  # fmt: skip
    assert done.stderr.count("\n") == 1 and "its hash is not the card's" in done.stderr


def test_a_zipped_bundle_dances_as_its_folder_does(tmp_path):
    with zipfile.ZipFile(tmp_path / "me.zip", "w") as archive:
        for file in (_EMBEDDED / DEFAULT).iterdir():
            archive.write(file, file.name)
    for name, dancer in (("a", tmp_path / "me.zip"), ("b", "default")):
        dancing("generate", EXAMPLE, "-o", tmp_path / f"{name}.mp4", "--dancer", dancer,
                "--duration", 0.5)  # fmt: skip
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_full_disk_leaves_nothing(tmp_path):
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = dancing("generate", EXAMPLE, "-o", tmp_path / "out.mp4", *SHORT, ok=False,
                   preexec_fn=small_files_only)  # fmt: skip
    assert "out.mp4" in done.stderr and "written" in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_heavy_is_imported(tmp_path):
    code = (
        "import sys, dancing.cli; "
        "print([m for m in ('numpy', 'av', 'onnxruntime', 'torch', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = (
        "import sys, dancing; "
        f"dancing.generate({str(EXAMPLE)!r}, sys.argv[1], duration=0.5); "
        "print([m for m in ('torch', 'lightning', 'onnx', 'librosa', 'matplotlib') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "poses.npz")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


def test_the_ladder_of_the_api(tmp_path):
    import dancing as api

    song = api.load_song(EXAMPLE, duration=1.0)
    poses = api.Choreographer("default")(song, seed=1)
    frames = list(api.Dancer("default")(poses))
    assert len(frames) == 30 and frames[0].dtype == np.uint8 and frames[0].ndim == 3
    assert api.generate(EXAMPLE, tmp_path / "a.mp4", duration=1.0) == tmp_path / "a.mp4"


def test_dancers_and_inspect():
    listed = dancing("dancers").stdout
    assert f"{DEFAULT} (default)" in listed
    card = dancing("inspect", _EMBEDDED / DEFAULT).stdout
    assert '"licence"' in card and '"command"' in card


@pytest.mark.parametrize(
    ("dancer", "shirt"),
    [
        ("ava", (0, 195, 175)),
        ("kai", (225, 185, 20)),
        ("leo", (45, 80, 140)),
        ("mia", (240, 110, 100)),
    ],
)
def test_the_shipped_dancers_wear_their_shirts_where_the_poses_are(tmp_path, dancer, shirt):
    poses, video = tmp_path / "p.npz", tmp_path / "v.mp4"
    dancing("generate", EXAMPLE, "-o", video, "--poses", poses, "--dancer", dancer, "--duration", 1)
    frames = read_video(video).frames
    height, width = frames[0].shape[:2]
    landmarks = PoseSequence.load(poses).landmarks * [width, height]
    for frame, points in zip(frames[::10], landmarks[::10], strict=True):
        # Between the shoulders and the hips, and far from the dancer.
        x, y = points[[11, 12, 23, 24]].mean(0).astype(int)
        chest = frame[y - 12 : y + 12, x - 6 : x + 6].astype(int).mean((0, 1))
        assert np.abs(chest - shirt).max() < 45, chest
        corner = frame[:20, :20].astype(int).mean((0, 1))
        assert np.ptp(corner) < 15 and 110 < corner.mean() < 190, "the grey wall"


def test_a_dancer_is_small():
    for name in ("ava", "kai"):
        weights = [*(_EMBEDDED / name).glob("image.*"), _EMBEDDED / name / "plate.png"]
        assert sum(path.stat().st_size for path in weights) < 8e6


def test_nothing_is_left_in_the_home_folder(tmp_path):
    """ONNX Runtime's telemetry would keep a device id and a database of events there."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
    kept.pop("ORT_DISABLE_TELEMETRY", None)
    target = tmp_path / "o.mp4"
    dancing("generate", EXAMPLE, "-o", target, "--duration", 3, env=kept | {"HOME": str(home)})
    assert list(home.rglob("*")) == []
