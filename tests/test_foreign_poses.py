"""Pose files as other tools and people write them: read right, repaired, or refused by name."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest

from dancing.body import foreign_poses, pose_files
from dancing.body.foreign_poses import LAYOUTS
from dancing.body.poses import PoseSequence
from dancing.body.repair import LONGEST_GAP
from dancing.body.skeleton import LANDMARKS
from dancing.data.prepare import prepare
from dancing.errors import DancingError
from dancing.inspection import describe
from media import Recorder

WIDTH, HEIGHT, FRAMES = 1080, 1920, 40
PLACE = {name: number for number, name in enumerate(LANDMARKS)}


def dance():
    """(FRAMES, 33, 2) fractions of the picture; every landmark elsewhere."""
    random = np.random.default_rng(0)
    rest = random.uniform(0.2, 0.8, (1, 33, 2))
    return (rest + 0.02 * np.sin(np.arange(FRAMES) / 6)[:, None, None]).astype(np.float32)


DANCE = dance()
PIXELS = DANCE * [WIDTH, HEIGHT]


def key_points(count, frame, confidence=0.9):
    layout = LAYOUTS[count]
    rows = np.zeros((count, 3))
    for name, place in layout.landmarks.items():
        rows[place] = [*PIXELS[frame, PLACE[name]], confidence]
    return rows


def load(path, **entries):
    """Poses, and the notes but for those of what is assumed."""
    recorder = Recorder()
    if entries:
        np.savez(path, **entries)
    poses = PoseSequence.load(path, recorder)
    return poses, [note for note in recorder.notes if "assumed" not in note]


def write_json(path, values):
    path.write_text(json.dumps(values))
    return path


def assert_known_landmarks_are(poses, layout, scale=(1, 1)):
    found = poses.landmarks * np.array(scale)
    places = [PLACE[name] for name in layout.landmarks]
    np.testing.assert_allclose(found[:, places], DANCE[:, places] * scale, atol=1e-3)


# ---------------------------------------------------------------------------- pixels and gaps


def test_pixels_become_fractions_where_the_size_is_known(tmp_path):
    poses, notes = load(tmp_path / "a.npz", landmarks=PIXELS, width=[WIDTH], height=HEIGHT)
    np.testing.assert_allclose(poses.landmarks, DANCE, atol=1e-5)
    assert poses.aspect == WIDTH / HEIGHT and "pixels, read as fractions of 1080x1920" in notes[0]
    path = write_json(
        tmp_path / "a.json", {"landmarks": PIXELS.tolist(), "width": WIDTH, "height": HEIGHT}
    )
    np.testing.assert_allclose(load(path)[0].landmarks, DANCE, atol=1e-5)


def test_pixels_of_a_picture_of_unknown_size_are_refused(tmp_path):
    with pytest.raises(DancingError, match=r"look like pixels .* add the picture's 'width'"):
        load(tmp_path / "a.npz", landmarks=PIXELS)


def test_people_who_leave_the_picture_are_not_taken_for_pixels(tmp_path):
    poses, notes = load(tmp_path / "a.npz", landmarks=DANCE * 3 - 1.5, fps=np.array([[25.0]]))
    assert poses.landmarks.min() < -0.8 and poses.fps == 25 and not notes


@pytest.mark.parametrize("suffix", [".npz", ".json", ".csv"])
def test_short_gaps_are_filled_and_long_ones_named(tmp_path, suffix):
    def saved(*gaps):
        path = tmp_path / f"a{suffix}"
        poses = DANCE.astype(float)
        for first, last in gaps:
            poses[first : last + 1] = np.nan
        if suffix == ".npz":
            np.savez(path, landmarks=poses)
        elif suffix == ".json":
            frames = [None if np.isnan(row).any() else row.tolist() for row in poses]
            write_json(path, {"landmarks": frames})
        else:
            PoseSequence(DANCE).save(path)
            rows = list(csv.reader(path.open()))
            for first, last in gaps:
                for row in rows[first + 1 : last + 2]:
                    row[4:] = [""] * (len(row) - 4)
            csv.writer(path.open("w", newline="")).writerows(rows)
        return path

    poses, notes = load(saved((0, 2), (10, 18), (39, 39)))
    assert "13 frames without" in notes[0]
    np.testing.assert_allclose(poses.landmarks[:3], DANCE[[3, 3, 3]], atol=1e-6)
    middle = (DANCE[9] + DANCE[19]) / 2
    np.testing.assert_allclose(poses.landmarks[14], middle, atol=1e-5)
    assert round(LONGEST_GAP * 30) == 9
    with pytest.raises(DancingError, match=r"nobody is in its frames 3-12, 20-31 \("):
        load(saved((3, 12), (20, 31), (34, 35)))
    with pytest.raises(DancingError, match="nobody is in"):
        load(saved((0, 39)))


def test_absurd_values_and_lengths_are_refused(tmp_path):
    for entries, says in (
        ({"landmarks": np.full((4, 33, 2), 3e37), "width": 1, "height": 1}, "absurd"),
        ({"landmarks": DANCE, "world": np.full((FRAMES, 33, 3), 3e38)}, "absurd"),
        ({"landmarks": np.zeros((30_000, 33, 2), np.float16), "fps": 1.0}, "8.3 h of poses"),
        ({"landmarks": DANCE, "fps": np.ones(2)}, "'fps' is not one number"),
    ):
        with pytest.raises(DancingError, match=says):
            load(tmp_path / "a.npz", **entries)


def npy(shape, kind="<f4", content=b""):
    file = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + content


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (npy((10**11, 33, 2)), "has 6600000000000 entries, at most"),
        (npy((9999, 33, 2)), "cut short"),
        (npy((1,), "|O"), "never unpacked"),
        (b"\x93NUMPY\x01\x00\x10\x00{\xe9              \n", "cannot be read"),
        (b"\x93NUMPY\x09\x00", "unknown format"),
    ],
)
def test_arrays_are_checked_by_their_header_before_memory_is_taken(tmp_path, member, says):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("landmarks.npy", member)
    with pytest.raises(DancingError, match=says):
        PoseSequence.load(path)


def test_files_that_unfold_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(pose_files, "_MOST_VALUES", 9)
    monkeypatch.setattr(pose_files, "_LONGEST_ROW", 99)
    monkeypatch.setattr(pose_files, "_PIECE", 2000)
    monkeypatch.setattr(foreign_poses, "MOST_FRAMES", 3)
    (tmp_path / "a.json").write_text("[" + "[]," * 9 + "[]]")
    (tmp_path / "b.csv").write_text("," * 100)
    names = ",".join(f"x{k},y{k}" for k in range(33))
    (tmp_path / "d.json").write_text("[0,0,0,0]")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        for number in range(50):
            archive.writestr(str(number), b"")
    for name, says in (
        ("a.json", "more than 9 values"), ("b.csv", "row of more than"),
        ("c.npz", "directory is too large"), ("d.json", "at most 3"),
    ):  # fmt: skip
        with pytest.raises(DancingError, match=says):
            PoseSequence.load(tmp_path / name)
    monkeypatch.setattr(pose_files, "_LONGEST_ROW", 999)
    (tmp_path / "e.csv").write_text(names + ("\n" + ",".join("0" * 66)) * 4)
    with pytest.raises(DancingError, match="more than 3 rows"):
        PoseSequence.load(tmp_path / "e.csv")
    monkeypatch.setattr(pose_files, "_MOST_TEXT", 99)
    with pytest.raises(DancingError, match="larger than"):
        PoseSequence.load(tmp_path / "e.csv")


def test_a_hidden_part_goes_where_the_body_goes(tmp_path):
    """For two seconds; longer, it is named."""
    at = np.arange(150)[:, None, None] / 30
    walk = (DANCE[:1] + np.array([0.1, 0.05]) * np.sin(at)).astype(np.float64)
    hidden = walk.copy()
    hidden[20:80, [13, 15, 17, 19, 21]] = np.nan
    hidden[30:35] = np.nan  # nobody at all, in the middle of it
    poses, notes = load(tmp_path / "a.npz", landmarks=hidden)
    assert "60 frames without" in notes[0]
    np.testing.assert_allclose(poses.landmarks, walk, atol=5e-4)
    hidden[80:86, [13, 15]] = np.nan
    with pytest.raises(DancingError, match=r"lacks left_elbow, .* in its frames 20-85 "):
        load(tmp_path / "a.npz", landmarks=hidden)
    hidden[:, 29] = np.nan
    with pytest.raises(DancingError, match=r"lacks left_heel, .* 0-149 "):
        load(tmp_path / "a.npz", landmarks=hidden)


def test_numbers_as_arrays_of_one_and_rows_of_more_than_places(tmp_path):
    seen = np.full((FRAMES, 33), 0.5)
    rows = np.concatenate([DANCE, np.zeros((FRAMES, 33, 1)), seen[..., None]], -1)
    for landmarks in (rows, rows.reshape(FRAMES, 132), rows[..., :3].reshape(FRAMES, 99)):
        poses, _ = load(tmp_path / "a.npz", landmarks=landmarks, fps=[[25.0]], aspect=[1.5])
        np.testing.assert_allclose(poses.landmarks, DANCE, atol=1e-6)
        assert (poses.fps, poses.aspect) == (25, 1.5)
        values = {"landmarks": landmarks.tolist(), "fps": [25], "aspect": [[1.5]]}
        again, _ = load(write_json(tmp_path / "a.json", values))
        np.testing.assert_array_equal(again.landmarks, poses.landmarks)
        assert (again.fps, again.aspect) == (25, 1.5)


# --------------------------------------------------------------------------------- other tools


def openpose(frame, **more):
    person = {"pose_keypoints_2d": key_points(25, frame).ravel().tolist(), **more}
    passer_by = {"pose_keypoints_2d": [value * 0.2 for value in person["pose_keypoints_2d"]]}
    return {"version": 1.3, "people": [passer_by, person]}


def test_a_folder_of_openpose(tmp_path):
    for frame in range(FRAMES):
        write_json(tmp_path / f"v_{frame}_keypoints.json", openpose(frame))
    write_json(tmp_path / "v_7_keypoints.json", {"version": 1.3, "people": []})
    poses, notes = load(tmp_path)
    assert len(poses) == FRAMES and any("1 frames without" in note for note in notes)
    # The size of the picture is not told; pixels are square, and nobody is squeezed.
    square = poses.landmarks * [poses.aspect, 1] * poses.landmarks[..., 1].max() ** -1
    expected = PIXELS / PIXELS[..., 1].max()
    places = [PLACE[name] for name in LAYOUTS[25].landmarks]
    ratio = np.ptp(square[0, places], 0) / np.ptp(expected[0, places], 0)
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-3)
    wrist, elbow, index = (
        poses.landmarks[:, PLACE[f"left_{name}"]] for name in ("wrist", "elbow", "index")
    )
    assert ((index - wrist) * (wrist - elbow)).sum(-1).min() > 0, "hands go on as the forearm does"


@pytest.mark.parametrize(
    ("about", "assumed"),
    [
        ({}, "30 frames a second and a picture of 9:16 assumed"),
        ({"fps": 25}, "otherwise: a picture of 9:16 assumed"),
        ({"info": {"video_width": 16, "video_height": 9, "frame_rate": 25}}, None),
    ],
)
def test_what_a_file_does_not_tell_is_said(tmp_path, about, assumed):
    recorder = Recorder()
    rows = np.pad(DANCE, ((0, 0), (0, 0), (0, 1))).tolist()
    path = write_json(tmp_path / "a.json", {"frames": rows} | about)
    poses = PoseSequence.load(path, recorder)
    assert poses.fps == (25 if about else 30)
    assert poses.aspect == (9 / 16 if assumed else 16 / 9)
    assert [assumed in note for note in recorder.notes] == [True] if assumed else not recorder.notes


def test_the_dancer_is_followed_among_others(tmp_path):
    """Also while only somebody else is found, and whatever their order."""
    frames = [openpose(t) for t in range(FRAMES)]
    for t in (8, 9, 20):
        frames[t]["people"].pop()
    for t in range(1, FRAMES, 2):
        frames[t]["people"].reverse()
    about = {"meta": {"video_fps": 25, "frame_width": WIDTH, "frame_height": HEIGHT}}
    poses, notes = load(write_json(tmp_path / "a.json", {"frames": frames} | about))
    assert poses.fps == 25 and "3 frames without" in notes[0]
    assert_known_landmarks_are(poses, LAYOUTS[25])


def test_frames_left_out_leave_gaps(tmp_path):
    """Numbers in the files' names, of the images, in a column: time is not shortened."""
    frames = [t for t in range(FRAMES) if t not in (5, 6, 20)]
    folder = tmp_path / "folder"
    folder.mkdir()
    for t in frames:
        write_json(folder / f"v_{t:012d}_keypoints.json", openpose(t))
    people = [{"image_id": t, "keypoints": key_points(26, t).ravel().tolist()} for t in frames]
    predicted = [
        {
            "frame_id": t,
            "instances": [
                {"keypoints": key_points(136, t)[:, :2].tolist(), "keypoint_scores": [0.9] * 136}
            ],
        }
        for t in frames
    ]
    table = tmp_path / "d.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", *(f"{axis}{k}" for k in range(33) for axis in "xy")])
        writer.writerows([t, *DANCE[t].ravel()] for t in frames)
    for path in (
        folder,
        write_json(tmp_path / "b.json", people),
        write_json(tmp_path / "c.json", {"meta_info": {}, "instance_info": predicted}),
        table,
    ):
        poses, notes = load(path)
        assert len(poses) == FRAMES and any("3 frames without" in note for note in notes), path


def test_a_folder_of_openpose_is_one_movement_to_prepare_and_inspect(tmp_path):
    folder = tmp_path / "moves"
    folder.mkdir()
    for t in range(FRAMES):
        write_json(folder / f"v_{t:012d}_keypoints.json", openpose(t))
    report = prepare([folder], tmp_path / "a.h5", listener=Recorder())
    assert report.files[0].frames == FRAMES and not report.files[0].error
    assert "40 poses" in describe(folder)[0]
    (folder / "v_000000000003_keypoints.json").write_text("{")
    with pytest.raises(DancingError, match=r"v_000000000003_keypoints\.json is no frame"):
        PoseSequence.load(folder)


def test_openpose_with_hands_in_one_list(tmp_path):
    hand = np.zeros((21, 3))
    hand[5] = [300, 400, 0.8]
    frames = [openpose(t, hand_left_keypoints_2d=hand.ravel().tolist()) for t in range(FRAMES)]
    about = {"fps": 25, "width": WIDTH, "height": HEIGHT}
    poses, _ = load(write_json(tmp_path / "a.json", {"frames": frames} | about))
    assert poses.fps == 25
    assert_known_landmarks_are(poses, LAYOUTS[25])
    np.testing.assert_allclose(
        poses.landmarks[0, PLACE["left_index"]], [300 / WIDTH, 400 / HEIGHT], atol=1e-4
    )


def test_coco_whole_body(tmp_path):
    people = [
        {"image_id": t, "keypoints": key_points(133, t).ravel().tolist()} for t in range(FRAMES)
    ]
    images = [{"id": t, "width": WIDTH, "height": HEIGHT} for t in range(FRAMES)]
    path = write_json(tmp_path / "a.json", {"images": images, "annotations": people})
    poses, _ = load(path)
    assert poses.aspect == WIDTH / HEIGHT
    assert_known_landmarks_are(poses, LAYOUTS[133])


@pytest.mark.parametrize("count", [17, 18])
def test_key_points_without_feet_are_refused_by_name(tmp_path, count):
    points = np.random.default_rng(0).uniform(1, 900, (count, 3)).ravel().tolist()
    for values in (
        [{"image_id": "1.jpg", "keypoints": points}],
        {"people": [{"pose_keypoints_2d": points}]},
    ):
        with pytest.raises(DancingError, match=rf"COCO.*{count}.* lack the feet"):
            load(write_json(tmp_path / "a.json", values))


def test_mediapipes_lists(tmp_path):
    def points(frame):
        return [
            {"x": float(x), "y": float(y), "z": 0.0, "visibility": 0.7} for x, y in DANCE[frame]
        ]

    world = [[{"x": 0.1 * k, "y": 0.2, "z": 0.3} for k in range(33)]]
    variants = {
        "list": [points(t) for t in range(FRAMES)],
        "rows": [[[p["x"], p["y"], 0.0, 0.7] for p in points(t)] for t in range(FRAMES)],
        "python": [{"pose_landmarks": {"landmark": points(t)}} for t in range(FRAMES)],
        "script": [{"landmarks": [points(t)], "worldLandmarks": world} for t in range(FRAMES)],
        "old script": {"frames": [{"poseLandmarks": points(t)} for t in range(FRAMES)], "fps": 60},
        "ours, named": {"landmarks": [points(t) for t in range(FRAMES)]},
    }
    for name, values in variants.items():
        poses, notes = load(write_json(tmp_path / "a.json", values))
        np.testing.assert_allclose(poses.landmarks, DANCE, atol=1e-6, err_msg=name)
        assert poses.visibility is not None and not notes, name
        assert (poses.world is not None) == (name == "script")
    for name in ("rows", "ours, named"):
        frames = variants[name] if name == "rows" else variants[name]["landmarks"]
        frames[7] = [*frames[7][:20], [1]]
        with pytest.raises(DancingError, match="its frame 7 "):
            load(write_json(tmp_path / "a.json", variants[name]))
    variants["list"][5] = []
    poses, notes = load(write_json(tmp_path / "a.json", variants["list"]))
    assert "1 frames without" in notes[0]


@pytest.mark.parametrize("style", ["x0", "x_1", "NOSE_X", "Nose.x", "0_x"])
def test_columns_as_people_name_them(tmp_path, style):
    def name(place, axis):
        label = LANDMARKS[place]
        return {
            "x0": f"{axis}{place}", "x_1": f"{axis}_{place + 1}", "0_x": f"{place}_{axis}",
            "NOSE_X": f"{label}_{axis}".upper(), "Nose.x": f"{label.title()}.{axis}",
        }[style]  # fmt: skip

    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", *(name(k, axis) for k in range(33) for axis in "xyz")])
        for rows in DANCE:
            writer.writerow(["dance", *(value for x, y in rows for value in (x, y, 0))])
    poses, _ = load(path)
    np.testing.assert_allclose(poses.landmarks, DANCE, atol=1e-6)


def test_what_is_none_of_these_is_refused_in_one_line(tmp_path):
    for name, text in (
        ("a.json", '{"a": 1}'), ("b.json", "[]"), ("c.json", "[[1, 2]]"), ("d.json", "3"),
        ("e.json", '{"people": []}'), ("f.json", '[{"keypoints": "x"}]'),
        ("g.csv", "a,b\n1,2\n"), ("h.csv", "x0,y0\n1,2\n"), ("i.csv", ""),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(DancingError, match=name.replace(".", r"\.")) as error:
            PoseSequence.load(tmp_path / name)
        assert "\n" not in str(error.value)
