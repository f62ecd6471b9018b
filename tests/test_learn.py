"""Your own dancer: what footage is refused, and, slowly, what comes of footage that is not."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.files import only_one
from dancing.learn import _share, learn, previews, working_folder
from dancing.media.picture import read_picture
from dancing.media.video import read_frames, resize
from media import EXAMPLE, Recorder, dancing, read_video
from videos import AVA, plain, write_video


@pytest.fixture(scope="module")
def ava():
    """The 90 pictures of the rendered dancer."""
    pytest.importorskip("onnx")
    return list(read_frames(AVA))


def refused(says, videos, output, **options):
    with pytest.raises(DancingError, match=says) as error:
        learn(videos, output, model="limbs", **options)
    assert "\n" not in str(error.value)
    assert not output.exists()
    return str(error.value)


# ----------------------------------------------------------------------------------- refusals


def test_what_is_no_video_of_a_dancer_is_named(ava, tmp_path):
    wall = write_video(tmp_path / "wall.mp4", plain(70, 20))
    (tmp_path / "torn.mp4").write_bytes(AVA.read_bytes()[:2000])
    for video, says in (
        (wall, "wall.mp4: nobody can be seen"),
        (EXAMPLE, "song.ogg: has no pictures"),
        (tmp_path / "torn.mp4", "torn.mp4"),
        (tmp_path / "none.mp4", "none.mp4: no such file"),
    ):
        refused(says, [video], tmp_path / "me")


def test_three_seconds_are_too_few(ava, tmp_path):
    says = refused(r"ava\.mp4: 3\.0 s of dancing", [AVA], tmp_path / "me")
    assert "at least 8 s are needed" in says and "film 30 s or more" in says
    # What was looked at is not looked at again.
    assert previews(tmp_path / "me") == []


def test_a_camera_that_moves_is_refused(ava, tmp_path):
    noise = np.random.default_rng(0).normal(0, 1, (360, 602, 3))
    room = gaussian_filter(noise, (8, 8, 0))
    room = (128 + 45 * room / room.std()).clip(0, 255).astype(np.uint8)
    there_and_back = [*ava, *ava[::-1]] * 2
    pictures = []
    for t, picture in enumerate(there_and_back[:260]):
        room[:, 200:402] = picture
        pictures.append(room[:, t : t + 300].copy())
    video = write_video(tmp_path / "pan.mp4", pictures)
    says = refused("before one steady camera", [video], tmp_path / "me")
    assert "tripod" in says


def test_different_clothes_are_refused(ava, tmp_path):
    other = write_video(tmp_path / "other.mp4", [picture[..., ::-1] for picture in ava])
    refused(r"ava\.mp4 and .*other\.mp4: the clothes", [AVA, other], tmp_path / "me")


def test_wrong_arguments_are_found_before_any_work(tmp_path):
    (tmp_path / "mine.txt").touch()
    refused("no dancer named 'eve'", [AVA], tmp_path / "me", start="eve")
    with pytest.raises(DancingError, match="is a folder with other things"):
        learn([AVA], tmp_path)
    assert not working_folder(tmp_path / "me").exists()


@pytest.mark.parametrize(
    ("durations", "share"), [([20, 30], 100), ([60, 60], 50), ([10, 80, 60], 45), ([3600], 100)]
)
def test_long_videos_share_the_time(durations, share):
    assert _share(durations, 100) == share


def test_unfinished_work_on_other_videos_is_not_touched(tmp_path):
    work = working_folder(tmp_path / "me")
    work.mkdir()
    (work / "plan.json").write_text('{"videos": [], "from": "ava"}')
    refused("holds unfinished work on other videos", [AVA], tmp_path / "me")


def test_two_do_not_learn_one_dancer(tmp_path):
    with only_one(working_folder(tmp_path / "me")):
        refused("me.learning: another process is at work", [AVA], tmp_path / "me")
        assert not working_folder(tmp_path / "me").exists()
    assert not list(tmp_path.iterdir())


def test_an_exception_of_the_listener_ends_the_work(ava, tmp_path):
    class CancelledError(Exception):
        pass

    def cancel(stage, done, total):
        if done > 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        learn([AVA], tmp_path / "me", model="limbs", listener=Recorder(call=cancel))
    assert not (tmp_path / "me").exists()


# ------------------------------------------------------------------------------------ learning


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Twelve seconds of kai dancing, as the shipped dancer draws him."""
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("film") / "kai.mp4"
    dancing("generate", EXAMPLE, "-o", path, "--dancer", "kai", "--duration", 12)
    return path


def assert_no_frame_of(film, bundle):
    """No image in the bundle shows the person as the film does."""
    frames = list(read_frames(film))[::10]
    images = [path for path in bundle.iterdir() if path.suffix != ".safetensors"]
    assert {path.name for path in images} == {"card.json", "image.onnx", "plate.png", "preview.png"}
    for name in ("plate.png", "preview.png"):
        image = read_picture((bundle / name).read_bytes()).astype(float)
        # H.264 keeps a frame to about 40 dB; the nearest drawn one has 30 dB at the best.
        errors = [np.square(resize(frame, *image.shape[1::-1]) - image).mean() for frame in frames]
        assert min(errors) > 255**2 / 10**3.8


@pytest.mark.slow
def test_a_film_becomes_a_dancer(film, tmp_path):
    """Killed on the way, and gone on with."""
    me, pictures = tmp_path / "me", working_folder(tmp_path / "me") / "image"
    command = ("learn", film, "-o", me, "--model", "limbs", "--from", "ava", "--minutes", 4)
    process = subprocess.Popen([sys.executable, "-m", "dancing", *map(str, command)])
    began = time.monotonic()
    while not (pictures / "last.safetensors").is_file():
        assert process.poll() is None and time.monotonic() < began + 240
        time.sleep(1)
    process.kill()
    process.wait()
    assert not me.exists()
    learned = dancing(*command)
    assert "PSNR" in learned.stdout and learned.stdout.rstrip().endswith(str(me))
    assert time.monotonic() - began < 8 * 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["me"]
    card = Bundle(me).card
    assert "kai.mp4" in card.data and "ava" in card.data
    shown = dict(
        (row.split("  ")[0], float(row[30:].split()[0]))
        for row in learned.stdout.splitlines()
        if row.startswith(("nearest", "limbs"))
    )
    assert shown["limbs"] > shown["nearest training frame"] + 2
    assert card.figures["image"]["pck_ratio"] > 0.9
    assert_no_frame_of(film, me)
    dancing("generate", EXAMPLE, "--dancer", me, "-o", tmp_path / "dance.mp4", "--duration", 1)
    assert len(read_video(tmp_path / "dance.mp4").frames) == 30


@pytest.mark.slow
def test_learning_in_a_thread_can_be_ended_early(film, tmp_path):
    """As a program with windows does."""
    told, found = [], []

    def learning():
        return any(stage == "learning the look" and done >= 2 for stage, done, *_ in told)

    def work():
        found.append(
            learn(
                [film],
                tmp_path / "me.zip",
                model="limbs",
                minutes=10,
                listener=Recorder(told, stop=learning),
            )
        )

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(300)
    assert found[0].bundle == tmp_path / "me.zip" and Bundle(tmp_path / "me.zip").has("image")
    assert {stage for stage, *_ in told} >= {"looking", "finding steady shots", "evaluation"}
    assert Bundle(tmp_path / "me.zip").card.figures
