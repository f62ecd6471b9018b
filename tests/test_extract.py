"""Videos and pose files to a dataset. What finds people is left out where onnx is missing."""

import sys
import warnings

import av
import h5py
import numpy as np
import pytest

from dancing.body.poses import PoseSequence, body_frame
from dancing.body.tracks import Tracks
from dancing.data import pose_model
from dancing.data.dataset import Dataset
from dancing.data.landmarker import Landmarker, Person
from dancing.data.pose_model import model_path
from dancing.data.prepare import prepare
from dancing.data.report import FileReport
from dancing.errors import DancingError, DancingWarning
from dancing.files import cache_folder
from dancing.listener import Silent
from dancing.media.video import read_frames, resize
from media import Recorder
from videos import AVA, plain, sine, turn, write_video


@pytest.fixture
def estimator():
    """For tests that find people."""
    pytest.importorskip("onnx")


@pytest.fixture(scope="session")
def ava():
    """The 90 pictures of the rendered dancer."""
    return list(read_frames(AVA))


@pytest.fixture(scope="session")
def ava_clip(tmp_path_factory):
    """What `prepare` makes of her, which other videos of her are compared with."""
    pytest.importorskip("onnx")
    output = tmp_path_factory.mktemp("ava") / "ava.h5"
    report = prepare([AVA], output)
    with Dataset(output) as data:
        yield data.clips[0], report


def landscape(picture, size=(640, 360), left=219):
    """The picture put into a wider one, `left` pixels from its left."""
    wide = np.full((size[1], size[0], 3), picture[:20, :20].mean((0, 1)), np.uint8)
    wide[: len(picture), left : left + picture.shape[1]] = picture
    return wide


# ------------------------------------------------------------------------------------- videos


def test_a_video_becomes_a_clip(ava_clip):
    clip, report = ava_clip
    assert (clip.name, clip.source, clip.fps, len(clip)) == ("ava", "ava.mp4", 30, 90)
    assert report.files == [FileReport(AVA, clips=1, frames=90)]
    expected = {"start": 0, "sample_rate": 22050, "hop_length": 735, "n_mfcc": 13, "duration": 3}
    assert expected.items() <= clip.attributes.items()
    assert clip.frames.shape == (90, 640, 360, 3)
    assert clip.matte.shape == (90, 640, 360)
    assert clip.visibility.shape == (90, 33)
    assert clip.world.shape == (90, 33, 3)
    assert clip.mfcc.shape == (90, 13)
    assert clip.beats is not None
    for k, frame in enumerate(read_frames(AVA, height=640)):
        if k in (0, 50, 89):
            np.testing.assert_array_equal(clip.frames[k], frame)


def test_landmarks_and_matte_lie_on_the_person(ava_clip):
    clip, _ = ava_clip
    # She wears turquoise: the middle of her chest is blue rather than red, and so is her matte.
    for k in (0, 45, 89):
        x, y = clip.landmarks[k, [11, 12, 23, 24]].mean(0)
        red, _, blue = clip.frames[k][int(y * 640), int(x * 360)].astype(int)
        assert blue > red + 20
        inside = clip.matte[k] > 127
        assert 0.03 < inside.mean() < 0.4
        joints = (clip.landmarks[k, [0, 11, 12, 23, 24, 25, 26]] * [360, 640]).astype(int)
        assert inside[joints[:, 1], joints[:, 0]].all()
    nose, ankles = clip.landmarks[:, 0, 1], clip.landmarks[:, [27, 28], 1].mean(1)
    assert (nose < ankles - 0.3).all()


def test_landscape_60_fps_without_sound_at_another_size(estimator, tmp_path, ava, ava_clip):
    """Through `jobs`, with a video turned by its metadata beside it."""
    twice = [landscape(picture) for picture in ava[:60] for _ in range(2)]
    wide = write_video(tmp_path / "wide.mp4", twice, fps=60)
    phone = write_video(tmp_path / "phone.mp4", [np.rot90(p) for p in ava[:60]], sound=sine(2))
    turn(phone, 90)
    output = tmp_path / "data.h5"
    seen = []
    report = prepare([tmp_path], output, size=180, jobs=2, listener=Recorder(seen))
    assert seen == [("videos", 1, 2), ("videos", 2, 2)]
    assert [(f.path, f.silent, f.error) for f in report.files] == [
        (phone, False, None),
        (wide, True, None),
    ]
    assert ["no sound" in line for line in report.files[1].notes] == [True]
    assert not report.files[0].notes
    with Dataset(output) as data:
        turned, clip = data.clips
        assert turned.frames.shape == (60, 180, 102, 3)
        assert turned.mfcc.shape == (60, 13)
        assert clip.frames.shape == (60, 180, 320, 3)
        assert clip.matte.shape == (60, 180, 320)
        assert clip.mfcc is None
        assert clip.beats is None
        truth = body_frame(ava_clip[0].landmarks[:60], ava_clip[0].aspect)
        for found in (turned, clip):
            errors = np.abs(body_frame(found.landmarks, found.aspect) - truth)
            assert np.median(errors) < 0.04
        x = clip.landmarks[:, [23, 24], 0].mean(1) * 640 - 219
        assert np.abs(x - ava_clip[0].landmarks[:60, [23, 24], 0].mean(1) * 202).max() < 8


def test_only_the_beginning(estimator, tmp_path):
    seen = []
    report = prepare([AVA], tmp_path / "a.h5", seconds=1, listener=Recorder(seen))
    assert report.files == [FileReport(AVA, clips=1, frames=30)]
    assert seen[-1] == ("ava.mp4", 30, 30)
    with Dataset(tmp_path / "a.h5") as data:
        assert len(data.clips[0].frames) == len(data.clips[0].mfcc) == 30


def test_gaps(estimator, tmp_path, ava):
    """0.2 s without her are interpolated; 1 s cuts the clip; a short stretch is dropped."""
    nobody = [np.full_like(ava[0], 90)]
    parts = ava[:35] + nobody * 6 + ava[41:80] + nobody * 30 + ava[:45] + nobody * 15 + ava[:15]
    video = write_video(tmp_path / "gaps.mp4", parts, sound=sine(len(parts) / 30))
    (report,) = prepare([video], tmp_path / "data.h5").files
    assert (report.clips, report.error) == (2, None)
    assert 4 <= report.interpolated <= 14
    assert report.frames == pytest.approx(80 + 45, abs=6)
    assert report.seconds_cut == pytest.approx((30 + 15 + 15) / 30, abs=0.25)
    with Dataset(tmp_path / "data.h5") as data:
        first, second = data.clips
        assert (first.name, second.name) == ("gaps", "gaps_2")
        assert first.attributes["start"] == 0
        assert second.attributes["start"] == pytest.approx(110 / 30, abs=0.12)
        assert len(first.mfcc) == len(first)
        assert len(second.mfcc) == len(second)
        start = round(second.attributes["start"] * 30)
        np.testing.assert_array_equal(second.frames[0], list(read_frames(video, height=640))[start])
        assert first.matte.shape == first.frames.shape[:3]
        # Across the interpolated gap she moves on evenly.
        assert np.abs(np.diff(first.landmarks[33:43, 0], axis=0)).max() < 0.02


def test_the_largest_of_two_people_is_followed(estimator, tmp_path, ava):
    """Also where the smaller one is there first; once a second others are looked for."""

    def person(k, height):
        return resize(np.ascontiguousarray(ava[k][130:330, 20:182]), height * 4 // 5, height)

    scene = []
    for k in range(70):
        picture = np.full((360, 640, 3), 150, np.uint8)
        picture[100:, 10 + k : 218 + k] = person(k, 260)
        if k >= 10:
            picture[20:, 330:602] = person(k, 340)
        scene.append(picture)
    video = write_video(tmp_path / "two.mp4", scene)
    (report,) = prepare([video], tmp_path / "data.h5").files
    assert report.clips == 1
    assert any("several people" in line for line in report.notes)
    assert 38 <= report.frames <= 60
    with Dataset(tmp_path / "data.h5") as data:
        hips = data.clips[0].landmarks[:, [23, 24], 0].mean(1) * 640
    assert ((hips > 330) & (hips < 602)).all()


def test_bad_files_are_named_and_do_not_stop_the_others(estimator, tmp_path):
    bad = {
        "colour.mp4": ("nobody", lambda p: write_video(p, plain((90, 30, 30), 40))),
        "empty.mp4": ("empty", lambda p: p.write_bytes(b"")),
        "head.mp4": ("not a media file", lambda p: p.write_bytes(AVA.read_bytes()[:500])),
        "none.mp4": ("no such", lambda p: None),
        "text.mov": ("not a media file", lambda p: p.write_text("no video " * 50)),
        "poses.npz": ("landmarks", lambda p: np.savez(p, other=np.zeros(3))),
    }
    for name, (_, make) in bad.items():
        make(tmp_path / name)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(AVA.read_bytes()[:40000])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = prepare([*(tmp_path / name for name in bad), cut], tmp_path / "data.h5")
    assert report.clips == 1
    assert [file.path.name for file in report.failed] == list(bad)
    for file, (says, _) in zip(report.failed, bad.values(), strict=True):
        assert says in file.error
        assert file.path.name in file.error
        assert "\n" not in file.error
    assert any("can be read" in line for line in report.files[-1].notes)


def test_notes_of_decoding_reach_the_report(estimator, tmp_path, ava):
    """A video that is cut off, and one that is damaged in the middle."""
    cut, damaged = tmp_path / "cut.mp4", tmp_path / "damaged.mp4"
    cut.write_bytes(AVA.read_bytes()[:40000])
    write_video(damaged, ava)
    with av.open(str(damaged)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(damaged.read_bytes())
    for packet in packets[50:55]:
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    damaged.write_bytes(content)
    first, second = prepare([cut, damaged], tmp_path / "data.h5").files
    assert any("cut off" in line or "left out" in line for line in first.notes)
    assert any("damaged.mp4: damaged" in line for line in second.notes)
    assert second.frames > 80


def test_no_clip_no_file(estimator, tmp_path):
    video = write_video(tmp_path / "colour.mp4", plain(70, 20), sound=sine(1))
    with pytest.raises(DancingError, match=r"colour\.mp4: nobody"):
        prepare([video], tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == [video]


# ------------------------------------------------------------------------------------- labels


def labelled(folder, frames=40, fps=30, alpha=True, size=(64, 48)):
    """A video with exact labels: a white square that moves right."""
    folder.mkdir(exist_ok=True)
    pictures = plain(40, frames, size)
    mattes = [np.zeros((size[1], size[0], 3), np.uint8) for _ in range(frames)]
    for k, matte in enumerate(mattes):
        matte[10:40, 5 + k // 2 : 25 + k // 2] = 255
    video = write_video(folder / "a.mp4", pictures, fps=fps, sound=sine(frames / fps))
    if alpha:
        write_video(folder / "a_alpha.mp4", mattes, fps=fps)
    random = np.random.default_rng(0)
    landmarks = random.random((frames, 33, 2), np.float32)
    world, visibility = random.random((frames, 33, 3)), random.random((frames, 33))
    np.savez(folder / "a.npz", landmarks=landmarks, world3d=world, visibility=visibility, fps=fps)
    return video, landmarks, mattes


def test_labels_of_the_beginning_of_a_video(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    video, landmarks, _ = labelled(tmp_path / "in")
    report = prepare([video], tmp_path / "a.h5", size=48, labels=tmp_path / "in", seconds=0.5)
    assert report.files == [FileReport(video, clips=1, frames=15)]
    with Dataset(tmp_path / "a.h5") as data:
        np.testing.assert_array_equal(data.clips[0].landmarks, landmarks[:15])
        assert len(data.clips[0].matte) == 15


def test_labels_are_taken_as_they_are(monkeypatch, tmp_path):
    """Without the estimator, and with labels and videos in one folder."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    video, landmarks, mattes = labelled(tmp_path / "in")
    for given in ([tmp_path / "in"], sorted((tmp_path / "in").iterdir())):
        report = prepare(given, tmp_path / "data.h5", size=48, labels=tmp_path / "in")
        assert report.files == [FileReport(video, clips=1, frames=40)]
    with Dataset(tmp_path / "data.h5") as data:
        (clip,) = data
        np.testing.assert_array_equal(clip.landmarks, landmarks)
        assert clip.world.shape == (40, 33, 3) and clip.visibility.shape == (40, 33)
        assert clip.aspect == pytest.approx(64 / 48)
        assert clip.mfcc.shape == (40, 13)
        for k in (0, 20, 39):
            assert np.abs(clip.matte[k].astype(int) - mattes[k][..., 0]).mean() < 3


def test_labels_in_pixels_of_the_video_with_frames_that_lack(tmp_path):
    video, landmarks, _ = labelled(tmp_path / "in")
    pixels = landmarks * np.array([64, 48])
    pixels[7] = np.nan
    np.savez(tmp_path / "in" / "a.npz", landmarks=pixels)
    # Of a picture this small, pixels are told from fractions all the same.
    report = prepare([video], tmp_path / "a.h5", size=48, labels=tmp_path / "in")
    assert [note.split(": ", 1)[1] for note in report.files[0].notes] == [
        "1 frames without (all) landmarks were filled in",
        "its landmarks are pixels, read as fractions of 64x48",
    ]
    with Dataset(tmp_path / "a.h5") as data:
        kept = np.delete(np.arange(40), 7)
        np.testing.assert_allclose(data.clips[0].landmarks[kept], landmarks[kept], atol=1e-6)


def test_labels_of_another_rate_and_length(tmp_path):
    _, landmarks, _ = labelled(tmp_path / "in", 60, fps=60)
    np.savez(tmp_path / "in" / "a.npz", landmarks=landmarks[:58], fps=60)  # one frame less at 30
    prepare([tmp_path / "in"], tmp_path / "data.h5", size=48, labels=tmp_path / "in")
    with Dataset(tmp_path / "data.h5") as data:
        (clip,) = data
        np.testing.assert_allclose(clip.landmarks[:29], landmarks[:58:2], atol=1e-6)
        assert len(clip) == len(clip.frames) == len(clip.matte) == 30


def test_labels_that_do_not_fit_are_refused(tmp_path):
    video, landmarks, mattes = labelled(tmp_path / "in")
    output = tmp_path / "data.h5"
    np.savez(tmp_path / "in" / "a.npz", landmarks=landmarks[:30])
    with pytest.raises(DancingError, match=r"a\.npz: has 30 frames .* but a\.mp4 has 40"):
        prepare([video], output, labels=tmp_path / "in")
    np.savez(tmp_path / "in" / "a.npz", landmarks=landmarks)
    write_video(tmp_path / "in" / "a_alpha.mp4", mattes[:20])
    with pytest.raises(DancingError, match=r"a_alpha\.mp4: has 20 frames"):
        prepare([video], output, labels=tmp_path / "in")
    with pytest.raises(DancingError, match="no such folder of labels"):
        prepare([video], output, labels=tmp_path / "none")
    assert not output.exists()


def test_what_the_labels_lack_is_estimated(ava_clip, tmp_path):
    """Landmarks alone: the estimator's mattes; a matte alone: the estimator's landmarks."""
    clip, _ = ava_clip
    shifted = clip.landmarks + np.float32(0.01)
    (tmp_path / "poses").mkdir()
    PoseSequence(shifted).save(tmp_path / "poses" / "ava.csv")
    prepare([AVA], tmp_path / "a.h5", labels=tmp_path / "poses")
    with Dataset(tmp_path / "a.h5") as data:
        np.testing.assert_allclose(data.clips[0].landmarks, shifted, atol=1e-6)
        assert data.clips[0].aspect == clip.aspect
        np.testing.assert_array_equal(data.clips[0].matte[40], clip.matte[40])
    (tmp_path / "mattes").mkdir()
    write_video(tmp_path / "mattes" / "ava_alpha.mp4", plain(200, 90))
    prepare([AVA], tmp_path / "b.h5", labels=tmp_path / "mattes")
    with Dataset(tmp_path / "b.h5") as data:
        np.testing.assert_array_equal(data.clips[0].landmarks, clip.landmarks)
        assert data.clips[0].matte.shape == clip.matte.shape
        assert np.abs(data.clips[0].matte[40].astype(int) - 200).max() < 4


# --------------------------------------------------------------------------- following people


def somebody(x, size=1.0):
    """A person whose torso is at `x` of a square picture."""
    points = np.zeros((33, 6), np.float32)
    points[:, 0] = x
    points[:, 1] = np.linspace(0.5 - 0.4 * size, 0.5 + 0.4 * size, 33)
    return Person(points, np.zeros((4, 4), np.uint8)), 0


def follow(*frames):
    tracks = Tracks()
    for number, people in enumerate(frames):
        tracks.add(number, people, 1.0)
    return [(track.frames[0], track.points[-1][0, 0], len(track)) for track in tracks.dancer()]


def test_people_who_cross_are_told_apart():
    """The order in which MediaPipe names them says nothing."""
    scene = []
    for k in range(41):
        pair = [somebody(0.2 + 0.015 * k), somebody(0.8 - 0.015 * k, 0.7)]
        scene.append(pair[:: 1 if k % 2 else -1])
    assert follow(*scene) == [(0, pytest.approx(0.8), 41)]


def test_bystander_is_not_taken_when_the_dancer_leaves():
    scene = [[somebody(0.3), somebody(0.7, 0.6)]] * 40 + [[somebody(0.7, 0.6)]] * 60
    assert follow(*scene) == [(0, pytest.approx(0.3), 40)]


def test_dancer_who_returns_is_taken_again():
    scene = [[somebody(0.3)]] * 40 + [[]] * 15 + [[somebody(0.5)]] * 40
    assert [start for start, *_ in follow(*scene)] == [0, 55]


def test_short_gap_does_not_end_a_track_and_a_jump_does():
    scene = [[somebody(0.3)]] * 40 + [[]] * 9 + [[somebody(0.32)]] * 40
    assert len(follow(*scene)) == 1
    scene = [[somebody(0.1)]] * 40 + [[somebody(0.9)]] * 40
    assert len(follow(*scene)) == 2


# --------------------------------------------------------------------------------- pose files


def poses(frames=90, fps=30.0, beats=None):
    t = np.arange(frames) / fps
    landmarks = np.full((frames, 33, 2), 0.5, np.float32)
    landmarks[..., 0] += 0.1 * np.sin(t)[:, None].astype(np.float32)
    return PoseSequence(landmarks, fps, beats=beats)


def test_pose_files_with_their_songs(tmp_path):
    songs = tmp_path / "songs"
    songs.mkdir()
    for name, seconds in (("song_1", 5), ("song_10", 2), ("waltz", 4)):
        write_video(songs / f"{name}.mp4", plain(0), sound=sine(seconds))
    dances = tmp_path / "dances"
    poses(60).save(dances / "dance_song_1_0.npz")
    poses(90, beats=np.array([0.5, 1.0])).save(dances / "dance_song_10_0.json")
    poses(120, fps=60).save(dances / "plain_song_100.csv")
    with np.load(dances / "dance_song_1_0.npz") as file:
        named = dict(file) | {"song": np.array("waltz"), "log": np.array({}, object)}
    np.savez(dances / "b_song_1.npz", **named)
    np.savez(dances / "c_song_1.npz", **named | {"song": np.array("unknown")})

    seen = []
    output = tmp_path / "motion.h5"
    report = prepare([dances], output, songs=songs, listener=Recorder(seen))
    assert seen[-1] == ("pose files", 5, 5)
    assert (report.clips, report.silent, report.failed) == (5, 2, [])
    with Dataset(output) as data:
        clips = {clip.name: clip for clip in data}
        found = {name: clip.attributes.get("song") for name, clip in clips.items()}
        assert found == {
            "b_song_1": "waltz.mp4",
            "c_song_1": None,
            "dance_song_1_0": "song_1.mp4",
            "dance_song_10_0": "song_10.mp4",
            "plain_song_100": None,
        }
        assert all(clip.frames is None for clip in data)
        first, long = clips["dance_song_1_0"], clips["dance_song_10_0"]
        assert (first.mfcc.shape, long.mfcc.shape) == ((60, 13), (90, 13))
        assert (first.beats < 2).all()
        np.testing.assert_allclose(long.beats, [0.5, 1.0])
        assert first.attributes["hop_length"] == 735
        silent = clips["plain_song_100"]
        assert (len(silent), silent.fps, silent.mfcc) == (60, 30, None)
        np.testing.assert_allclose(silent.landmarks, poses(60).landmarks, atol=1e-3)
        assert silent.source == "plain_song_100.csv"


def test_pose_files_without_songs_and_wrong_arguments(tmp_path):
    poses().save(tmp_path / "a.npz")
    output = tmp_path / "motion.h5"
    assert prepare([tmp_path / "a.npz"], output).silent == 1
    with h5py.File(output) as file:
        assert "song" not in file["a"].attrs
    with pytest.raises(DancingError, match="no such folder of songs"):
        prepare([tmp_path / "a.npz"], output, songs=tmp_path / "none")
    with pytest.raises(DancingError, match="even number"):
        prepare([tmp_path / "a.npz"], output, size=101)
    with pytest.raises(DancingError, match="no videos or pose files"):
        prepare([], output)
    (tmp_path / "hollow").mkdir()
    with pytest.raises(DancingError, match="holds no videos or pose files"):
        prepare([tmp_path / "hollow"], output)


# ---------------------------------------------------------------------------------- the model


def test_without_onnx(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DancingError, match=r"pip install 'dancing\[extract\]'"):
        prepare([AVA], tmp_path / "data.h5")
    assert not list(tmp_path.iterdir())


def test_model_is_built_from_the_wheel_and_cached(estimator, monkeypatch, tmp_path):
    def offline(path):
        raise OSError("no network")

    monkeypatch.setenv("DANCING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pose_model, "_download", offline)
    with pytest.warns(DancingWarning, match=f"fetched once, from Google .* {tmp_path / 'cache'}"):
        path = model_path()
    assert path == tmp_path / "cache" / "pose_landmarker_full.task"
    with Landmarker(1, video=False) as look:
        assert len(look(next(read_frames(AVA)))) == 1
    monkeypatch.setattr(pose_model, "build_from_wheel", offline)
    assert model_path() == path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DancingError, match="no network") as error:
        model_path(Silent())
    assert pose_model.URL in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_download_is_refused(monkeypatch, tmp_path):
    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, most):
            return b"not the model"

    monkeypatch.setattr(pose_model.urllib.request, "urlopen", lambda url, timeout: Answer())
    with pytest.raises(OSError, match="SHA-256"):
        pose_model._download(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_cache_folder_of_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("DANCING_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "dancing"
