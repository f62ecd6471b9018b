"""The dataset file: round trip, foreign layouts, hostile files, the split."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from dancing.body.poses import PoseSequence
from dancing.data.dataset import Dataset, DatasetWriter, Packed, is_held_out
from dancing.errors import DancingError


def a_dance(frames=12):
    random = np.random.default_rng(0)
    return PoseSequence(
        random.random((frames, 33, 2)),
        visibility=random.random((frames, 33)),
        world=random.random((frames, 33, 3)),
        beats=[0.1, 0.3],
        aspect=0.75,
    )


def write_clip(path, name="clip", **changes):
    """A clip as others write it: plain h5py, no attributes."""
    values = {
        "audio_mfcc_sequences": np.zeros((149, 13), np.float32),
        "pose_landmark_sequences": np.random.default_rng(0).random((28, 33, 2), np.float32),
        "frames": np.zeros((28, 64, 36, 3), np.uint8),
    } | changes
    with h5py.File(path, "a") as file:
        group = file.create_group(name)
        for key, value in values.items():
            if value is not None:
                group[key] = value


def test_what_is_written_is_read_back(tmp_path):
    dance = a_dance()
    pictures = np.random.default_rng(1).integers(0, 256, (12, 40, 30, 3), np.uint8)
    mattes = pictures[..., 0]
    mfcc = np.random.default_rng(2).random((13, 13), np.float32)
    path = tmp_path / "data.h5"
    with DatasetWriter(path) as writer:
        writer.clip(
            "a",
            dance,
            mfcc=mfcc,
            frames=iter(pictures),
            mattes=iter(mattes),
            source="a.mp4",
            sample_rate=22050,
            hop_length=735,
        )
        writer.clip("a", dance, source="b.mp4")
    with Dataset(path) as data:
        assert [clip.name for clip in data] == ["a", "a_2"]
        clip = data.clips[0]
        np.testing.assert_array_equal(clip.frames[:], pictures)
        np.testing.assert_array_equal(clip.matte[:], mattes)
        np.testing.assert_array_equal(clip.poses.landmarks, dance.landmarks)
        np.testing.assert_array_equal(clip.visibility, dance.visibility)
        np.testing.assert_array_equal(clip.world, dance.world)
        np.testing.assert_array_equal(clip.beats, dance.beats)
        np.testing.assert_allclose(clip.features_at_poses(), mfcc[:12], atol=1e-5)
        assert (clip.fps, clip.source, clip.aspect) == (30, "a.mp4", 0.75)
        silent = data.clips[1]
        assert silent.mfcc is None and silent.frames is None and silent.aspect == 0.75
    with h5py.File(path) as file:
        assert set(file["a"].attrs) >= {"fps", "n_mfcc", "source", "duration", "sample_rate"}
        assert file["a/frames"].chunks[0] == 1 and file["a/frames"].compression == "gzip"


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), DatasetWriter(tmp_path / "data.h5") as writer:
        writer.clip("a", a_dance())
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pack", [Packed.of, lambda picture: picture])
def test_every_pose_needs_its_picture(tmp_path, pack):
    pictures = [pack(picture) for picture in np.zeros((14, 8, 6, 3), np.uint8)]
    mattes = [pack(picture) for picture in np.zeros((14, 8, 6), np.uint8)]
    for wrong, says in (
        ({"frames": iter(pictures[:11])}, "fewer pictures than the 12 poses"),
        ({"frames": iter(pictures[:13])}, "more pictures"),
        ({"frames": iter(())}, "fewer"),
        ({"frames": iter(pictures[:12]), "mattes": iter(mattes[:5])}, "'matte': fewer"),
        ({"frames": iter([*pictures[:11], mattes[0]])}, "follows"),
    ):
        with (
            pytest.raises(ValueError, match=says),
            DatasetWriter(tmp_path / "data.h5") as writer,
        ):
            writer.clip("a", a_dance(), **wrong)
        assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
import numpy as np
from dancing.data.dataset import DatasetWriter, Packed
from dancing.errors import DancingError
from dancing.body.poses import PoseSequence

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
poses = PoseSequence(np.zeros((40, 33, 2)))
pictures = np.random.default_rng(0).integers(0, 256, (40, 64, 48, 3), np.uint8)
for limit in (0, 1, 100, 900, 2048, 5000, 12_000, 200_000, 800_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for pack in (iter, lambda all: map(Packed.of, all)):
        try:
            with DatasetWriter(sys.argv[1]) as writer:
                for _ in range(4):
                    writer.clip("clip", poses, frames=pack(pictures))
        except DancingError as error:
            print(error)
"""


def test_a_full_disk_is_an_error(tmp_path):
    pytest.importorskip("resource")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "data.h5")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    expected = f"{tmp_path / 'data.h5'}: cannot be written (File too large)"
    assert done.stdout.splitlines() == [expected] * 18
    assert not list(tmp_path.iterdir())


def test_foreign_files_load(tmp_path):
    path = tmp_path / "foreign.h5"
    write_clip(
        path,
        "seed",
        frames=np.zeros((287, 64, 36, 3), np.uint8),
        pose_landmark_sequences=np.random.default_rng(0).random((287, 33, 2)),
    )
    write_clip(path, "one_pose", pose_landmark_sequences=np.zeros((33, 2)), frames=None)
    write_clip(
        path,
        "other_key",
        pose_landmark_sequences=None,
        pose_landmarks=np.zeros((5, 33, 2), np.float64),
    )
    with Dataset(path) as data:
        clips = {clip.name: clip for clip in data}
    assert len(clips["seed"]) == 287 and clips["seed"].fps == 30
    assert clips["seed"].features_at_poses().shape == (287, 13)
    assert clips["seed"].n_pictures == 287
    assert clips["one_pose"].landmarks.shape == (1, 33, 2)
    assert clips["other_key"].landmarks.dtype == np.float32


def test_features_are_aligned_by_time(tmp_path):
    path = tmp_path / "data.h5"
    rows = np.arange(100, dtype=np.float32)[:, None].repeat(13, 1)
    write_clip(
        path, audio_mfcc_sequences=rows, frames=None, pose_landmark_sequences=np.zeros((200, 33, 2))
    )
    with Dataset(path) as data:
        features = data.clips[0].features_at_poses()
    np.testing.assert_allclose(features[:198, 0], np.arange(198) / 2, atol=0.01)


def test_datasets_at_the_root_are_one_clip(tmp_path):
    with h5py.File(tmp_path / "root.h5", "w") as file:
        file["pose_landmarks"] = np.zeros((4, 33, 2), np.float32)
    with Dataset(tmp_path / "root.h5") as data:
        assert [clip.name for clip in data] == ["root"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pose_landmark_sequences": np.zeros((5, 32, 2))}, "shape"),
        ({"pose_landmark_sequences": np.zeros((0, 33, 2))}, "shape"),
        ({"pose_landmark_sequences": np.full((5, 33, 2), np.nan)}, "NaN"),
        ({"pose_landmark_sequences": np.full((5, 33, 2), b"x")}, "numbers"),
        ({"pose_landmark_sequences": None}, "no 'pose_landmark"),
        ({"pose_landmark_sequences": np.full((5, 33, 2), 1e300)}, "infinity"),
        ({"pose_landmark_sequences": np.dtype("f4")}, "no array"),
        ({"audio_mfcc_sequences": np.full((5, 13), np.inf)}, "infinity"),
        ({"frames": np.dtype("u1")}, "'frames' is no array"),
        ({"frames": np.zeros((28, 2, 64, 3), np.uint8)}, "absurd"),
        ({"frames": np.zeros((28, 64, 36, 3), np.float32)}, "uint8"),
        ({"frames": np.zeros((28, 64, 36), np.uint8)}, "uint8"),
        ({"matte": np.zeros((27, 64, 36), np.uint8)}, "matte"),
        ({"beats": np.zeros((2, 2))}, "beats"),
    ],
)
def test_wrong_content_is_refused(tmp_path, changes, message):
    path = tmp_path / "bad.h5"
    write_clip(path, "good")
    write_clip(path, "wrong", **changes)
    with pytest.raises(DancingError, match=message) as caught:
        Dataset(path)
    assert "bad.h5" in str(caught.value) and "wrong" in str(caught.value)


def test_a_group_is_no_array(tmp_path):
    for key in ("frames", "matte", "beats"):
        path = tmp_path / f"{key}.h5"
        write_clip(path, frames=None)
        with h5py.File(path, "a") as file:
            file["clip"].create_group(key)
        with pytest.raises(DancingError, match="no array"):
            Dataset(path)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("source", [np.arange(3), h5py.Empty("f4")]),
        ("song", [np.array([b"a", b"b"])]),
        ("fps", [np.nan, np.inf, 0, 1e-9, 1001, "30", np.ones(2)]),
        ("aspect", [np.nan, 0.01, 21, -1, "wide"]),
        ("sample_rate", ["fast", np.nan, -22050, np.arange(2)]),
        ("hop_length", ["x", np.inf, -735]),
        ("start", ["x", np.nan, -1, np.inf]),
    ],
)
def test_wrong_attributes_are_refused(tmp_path, key, values):
    path = tmp_path / "bad.h5"
    write_clip(path)
    for value in values:
        with h5py.File(path, "a") as file:
            file["clip"].attrs[key] = value
        with pytest.raises(DancingError, match=f"attribute '{key}'") as caught:
            Dataset(path)
        assert "\n" not in str(caught.value)


def test_small_files_that_ask_for_gigabytes_are_refused(tmp_path):
    zeros = {"compression": "gzip", "shuffle": True}
    for name, options in (
        ("unallocated", {"shape": (19_700_000, 13)}),
        ("chunked", {"shape": (19_700_000, 13), "chunks": (1000, 13)}),
        ("chunk", {"shape": (1, 13), "maxshape": (None, 13), "chunks": (4_000_000, 13)}),
        ("packed", {"data": np.zeros((500_000, 13)), "chunks": (500_000, 13), **zeros}),
    ):
        path = tmp_path / f"{name}.h5"
        write_clip(path, audio_mfcc_sequences=None, frames=None)
        with h5py.File(path, "a") as file:
            file["clip"].create_dataset("audio_mfcc_sequences", dtype="f8", **options)
        with pytest.raises(DancingError, match="larger than what the file holds"):
            Dataset(path)


def test_data_kept_elsewhere_is_refused(tmp_path):
    other = tmp_path / "other.h5"
    write_clip(other)
    for name in ("external", "soft", "virtual", "raw"):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            group = file.create_group("clip")
            if name == "external":
                group["pose_landmarks"] = h5py.ExternalLink(str(other), "/clip/frames")
            elif name == "soft":
                file["x"] = np.zeros((4, 33, 2), np.float32)
                group["pose_landmarks"] = h5py.SoftLink("/x")
            elif name == "virtual":
                layout = h5py.VirtualLayout((28, 33, 2), np.float32)
                layout[:] = h5py.VirtualSource(
                    str(other), "clip/pose_landmark_sequences", (28, 33, 2)
                )
                group.create_virtual_dataset("pose_landmarks", layout)
            else:
                (tmp_path / "raw.bin").write_bytes(bytes(4 * 33 * 2 * 4))
                group.create_dataset(
                    "pose_landmarks",
                    (4, 33, 2),
                    np.float32,
                    external=[(str(tmp_path / "raw.bin"), 0, 4 * 33 * 2 * 4)],
                )
        with pytest.raises(DancingError, match="refused"):
            Dataset(path)


def test_files_that_are_no_datasets(tmp_path):
    (tmp_path / "text.h5").write_text("hello")
    h5py.File(tmp_path / "empty.h5", "w").close()
    write_clip(tmp_path / "whole.h5")
    content = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    for name, message in (
        ("text.h5", "not an HDF5"),
        ("empty.h5", "no clips"),
        ("cut.h5", "cut short"),
        ("missing.h5", "no such"),
    ):
        with pytest.raises(DancingError, match=message):
            Dataset(tmp_path / name)


def test_the_split_depends_on_the_name_alone_and_is_about_a_tenth():
    held = [is_held_out(f"song_{i}.mp3") for i in range(2000)]
    assert 0.07 < np.mean(held) < 0.13
    assert held == [is_held_out(f"song_{i}.mp3") for i in range(2000)]


def test_numbers_stored_as_arrays_of_one_are_numbers(tmp_path):
    path = tmp_path / "one.h5"
    with h5py.File(path, "w") as file:
        clip = file.create_group("c")
        clip["pose_landmark_sequences"] = np.full((60, 33, 2), 0.5, np.float32)
        clip.attrs["fps"] = np.array([25.0])
        clip.attrs["song"] = np.array(["a.mp3"], dtype=h5py.string_dtype())
    with Dataset(path) as data:
        assert data.clips[0].fps == 25 and data.clips[0].split_key == "a.mp3"


def test_a_file_that_is_being_written_is_not_called_damaged(tmp_path):
    path = tmp_path / "data.h5"
    write = "import h5py, sys; f = h5py.File(sys.argv[1], 'w'); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", write, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline()
        with pytest.raises(DancingError, match="is being written by another program"):
            Dataset(path)
        writer.communicate(b"\n")


def test_a_frame_that_is_damaged_in_the_file_is_named(tmp_path):
    path = tmp_path / "data.h5"
    frames = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    with DatasetWriter(path) as writer:
        poses = PoseSequence(np.full((3, 33, 2), 0.5))
        writer.clip("c", poses, frames=iter(frames))
    with h5py.File(path) as file:
        chunk = file["c/frames"].id.get_chunk_info(1)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + 20)
        file.write(b"\xff" * 100)
    with Dataset(path) as data:
        np.testing.assert_array_equal(data.clips[0].frames[0], frames[0])
        with pytest.raises(DancingError, match=r"data\.h5: '/c/frames' is damaged at frame 1"):
            data.clips[0].frames[1]
