"""A photo becomes a dancer: who is found in it, how it is framed, what the bundle holds."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dancing.body.kinematics import project
from dancing.body.poses import Placement, PoseSequence
from dancing.body.retarget import retarget
from dancing.body.skeleton import BONE_KINDS, HIPS, NOSE, SHOULDERS, WRISTS
from dancing.bundle import Bundle
from dancing.errors import DancingError
from dancing.image.dancer import Dancer
from dancing.image.warp.cutout import cut_out
from dancing.image.warp.framing import Body, framed, measured, seen_often, yaw
from dancing.image.warp.reference import read_plate, read_references
from dancing.inspection import describe
from dancing.learn import learn
from dancing.media.picture import read_picture
from dancing.media.video import resize
from dancing.motion.choreographer import Choreographer
from dancing.music.song import load_song
from media import EXAMPLE, Recorder, dancing, read_video
from photos import portrait, room, save, somebody, stand
from puppet import a_walk

FILES = {"card.json", "image.onnx", "plate.png", "preview.png", "reference_00.png"}


@pytest.fixture(scope="module")
def figure():
    """Somebody who stands, cut out: (H, W, 4), about 630 pixels high."""
    pytest.importorskip("onnx")
    return somebody()


@pytest.fixture(scope="module")
def photo(figure, tmp_path_factory):
    """A portrait, as a phone stores it."""
    return portrait(tmp_path_factory.mktemp("photo") / "me.jpg", figure)


@pytest.fixture(scope="module")
def bundle(photo):
    """The bundle that the command line makes of it."""
    made = photo.parent / "me"
    done = dancing("learn", photo, "-o", made)
    assert done.stdout.strip() == str(made)
    assert "holds pictures of the person; go on only if the person agrees" in done.stderr
    assert {path.name for path in photo.parent.iterdir()} == {"me.jpg", "me"}
    assert {path.name for path in made.iterdir()} == FILES
    return made


def learned(*photos, **options):
    """Learn in this process; returns the bundle, and what was noted."""
    output = photos[0].with_name("made")
    notes = learn(photos, output, listener=Recorder(), **options).notes
    return Bundle(output), "\n".join(notes)


def refused(says, *photos, **options):
    output = photos[0].with_name("made")
    with pytest.raises(DancingError, match=says) as error:
        learn(photos, output, listener=Recorder(), **options)
    assert "\n" not in str(error.value)
    assert not output.exists() and not list(output.parent.glob(".dancing*"))


# ---------------------------------------------------------------------------------- the bundle


def test_the_card_says_how_the_person_stands(bundle, figure):
    card = Bundle(bundle).card
    assert card.licence == "as agreed with the person shown" and "agreed" in card.consent
    image = card.image
    assert image.model == "warp" and image.turns == 60
    # A portrait, enlarged by no more than 1.3.
    (width, height), place = image.size, image.placement
    assert abs(width / height - 9 / 16) < 0.002 and width % 2 == height % 2 == 0
    person = read_references(image, Bundle(bundle).file)[0]
    rows = np.flatnonzero((person.alpha > 128).any(1))
    assert abs(np.ptp(rows) - len(figure)) < 12, "upright, at its own resolution"
    points = person.points
    assert points[NOSE, 1] < points[HIPS, 1].min() < points[27:29, 1].min()
    # What the card says of the frame and of the reference agrees.
    torso = np.hypot(*(points[SHOULDERS, :2].mean(0) - points[HIPS, :2].mean(0)))
    scale = 1.04 * place.torso * height / torso
    assert 0.5 < scale < 1.32
    assert place.floor < 1 and abs(place.x - 0.5) < 0.1
    # There is room for arms: to the sides, and up.
    assert (0.55 < np.ptp(rows) * scale / height < 0.8) and place.floor > 0.8


def test_the_scene_is_that_of_the_photo_without_the_person(bundle, photo):
    opened = Bundle(bundle)
    plate = read_plate(opened.card.image, opened.file)
    assert abs(plate.shape[1] / plate.shape[0] - 9 / 16) < 0.002
    picture = read_picture(opened.preview())
    assert picture.shape[1::-1] == opened.card.image.size
    plate = resize(plate, *opened.card.image.size)
    changed = np.abs(picture.astype(int) - plate).max(-1) > 40
    assert changed.any() and not changed[:, : changed.shape[1] // 5].any()
    # Kai's yellow shirt is in the preview, not in the plate.
    yellow = [((a[..., 0] > 150) & (a[..., 2] < 80)).mean() for a in (picture.astype(int), plate)]
    assert yellow[0] > 0.01 and yellow[1] < yellow[0] / 20


def test_what_the_cut_out_lost_does_not_stay_in_the_scene(photo, tmp_path, monkeypatch):
    def shirtless(picture, matte, points):
        colour, alpha = cut_out(picture, matte, points)
        shirt = (picture[..., 0] > 150) & (picture[..., 2] < 80)
        return colour, np.where(shirt, 0, alpha).astype(np.uint8)

    monkeypatch.setattr("dancing.image.warp.photo.cut_out", shirtless)
    learn([photo], tmp_path / "made", listener=Recorder())
    opened = Bundle(tmp_path / "made")
    plate = read_plate(opened.card.image, opened.file)
    assert ((plate[..., 0] > 150) & (plate[..., 2] < 80)).mean() < 0.001


def test_it_dances(bundle, tmp_path):
    video, poses = tmp_path / "v.mp4", tmp_path / "p.npz"
    dancing("generate", EXAMPLE, "-o", video, "--dancer", bundle, "--duration", 1, "--poses", poses)
    frames = read_video(video).frames
    assert len(frames) == 30
    width, height = Bundle(bundle).card.image.size
    assert frames[0].shape == (height, width, 3)
    points = PoseSequence.load(poses).landmarks[15] * [width, height]
    x, y = points[[11, 12, 23, 24]].mean(0).astype(int)
    chest = frames[15][y - 8 : y + 8, x - 8 : x + 8].mean((0, 1))
    assert chest[0] > 150 and chest[2] < 100, "the yellow shirt is where the pose is"


def test_a_photo_is_a_dancer(photo, tmp_path):
    """In one call, of which nothing is left but the video."""
    done = dancing(
        "generate", EXAMPLE, "-o", tmp_path / "v.mp4", "--dancer", photo, "--duration", 0.2
    )
    assert "only if the person agrees" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert len(read_video(tmp_path / "v.mp4").frames) == 6


def test_inspect_says_what_it_holds(bundle):
    lines = describe(bundle)
    held = json.loads("\n".join(lines))["holds"]
    assert "a picture of the person, from head to foot" in held[0]
    assert len(lines) < 150, "no lists of landmarks"
    assert json.loads("\n".join(describe(Bundle("kai").path))).get("holds") is None


def test_several_photos_are_several_references(photo, figure, tmp_path):
    other = save(tmp_path / "b.png", stand(room(800, 800, 1), figure, 400, 760))
    made, _ = learned(save(tmp_path / "a.png", read_picture(photo)), other)
    first, second = read_references(made.card.image, made.file)
    assert len(first.alpha) > 500 < len(second.alpha)
    assert not np.array_equal(first.points, second.points)
    assert made.card.data == "made from a.png, b.png"
    assert made.card.image.size[0] < made.card.image.size[1], "framed as the first"


def test_photos_of_other_clothes_are_told(photo, figure, tmp_path):
    blue = np.dstack([figure[..., [2, 1, 0]], figure[..., 3]])
    own, same, other = (
        save(tmp_path / f"{name}.png", stand(room(800, 800, 1), each, 400, 760))
        for name, each in (("own", figure), ("same", figure), ("other", blue))
    )
    _, notes = learned(own, same, other)
    assert "own.png and other.png: the clothes" in notes and "same.png" not in notes


@pytest.mark.parametrize("change", ["size", "points", "none", "file"])
def test_a_strangers_bundle_is_checked(bundle, tmp_path, change):
    from dancing.bundle import CARD, write_bundle
    from dancing.media.video import encode_png

    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    card = json.loads(files[CARD])
    entry = card["image"]["references"][0]
    if change == "size":
        entry["size"] = [100_000, 100_000]
    elif change == "points":
        entry["points"].pop()
    elif change == "none":
        card["image"]["references"] = []
    else:
        import hashlib

        files["reference_00.png"] = encode_png(np.zeros((50, 50, 4), np.uint8))
        card["files"]["reference_00.png"] = hashlib.sha256(files["reference_00.png"]).hexdigest()
    files[CARD] = json.dumps(card).encode()
    write_bundle(files, tmp_path / "b")
    says = {"size": "sides not", "points": "197 numbers", "none": "0 references"}
    with pytest.raises(DancingError, match=says.get(change, "reference_00.png is not a picture")):
        Dancer(tmp_path / "b")


def test_what_needs_weights_says_that_there_are_none(bundle, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(DancingError, match="no weights that training could start from"):
        learn([tmp_path / "film.mp4"], tmp_path / "x", model="limbs", start=bundle)


# ------------------------------------------------------------------------------- who is in it


def test_a_cut_out_keeps_its_own_edge(figure, tmp_path):
    canvas = np.zeros((900, 600, 4), np.uint8)
    height, width = figure.shape[:2]
    canvas[100 : 100 + height, 200 : 200 + width] = figure
    made, _ = learned(save(tmp_path / "me.png", canvas))
    (person,) = read_references(made.card.image, made.file)
    rows, columns = (np.flatnonzero((person.alpha > 0).any(axis)) for axis in (1, 0))
    found = person.alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert found.shape == figure.shape[:2] and np.abs(found - figure[..., 3].astype(int)).max() < 20
    assert np.ptp(read_plate(made.card.image, made.file).reshape(-1, 3), axis=0).max() == 0


def test_the_largest_person_dances_and_others_stay(figure, tmp_path):
    scene = stand(room(1280, 900), figure, 400, 860)
    stand(scene, figure, 1000, 800, tall=520)
    made, notes = learned(save(tmp_path / "two.jpg", scene))
    assert "another person is in it, who will not dance" in notes
    (person,) = read_references(made.card.image, made.file)
    assert abs(person.alpha.shape[0] - len(figure)) < 40
    assert made.card.image.size[0] > made.card.image.size[1], "landscape, as the photo"


def test_a_small_person_in_a_large_photo_is_found(figure, tmp_path):
    scene = stand(room(3200, 2400), figure, 700, 1900, tall=300)
    made, notes = learned(save(tmp_path / "far.jpg", scene))
    width, height = made.card.image.size
    assert 350 < height < 520 and width / height == pytest.approx(4 / 3, abs=0.01), notes
    (person,) = read_references(made.card.image, made.file)
    assert abs(person.alpha.shape[0] - 300) < 25


def test_photos_that_show_nobody_who_could_dance_are_refused(figure, tmp_path):
    for name, picture, says in (
        ("wall", room(600, 800), "wall.png: nobody can be seen in it"),
        ("tiny", stand(room(320, 240), figure, 160, 220, tall=100), "tiny.png: .* pixels high"),
        ("side", stand(room(720, 960), figure, 705, 900), "side.png: its edge cuts"),
        ("low", stand(room(720, 960), figure, 360, 535), "low.png: the head is outside"),
        ("head", stand(room(720, 960), figure[:150], 360, 960, tall=800), "head.png: "),
        (
            "down",
            np.ascontiguousarray(stand(room(720, 960), figure, 360, 900)[::-1]),
            "down.png: .*(upside down|nobody)",
        ),
    ):
        refused(says, save(tmp_path / f"{name}.png", picture))
    sharp = stand(room(720, 960), figure, 360, 900).astype(float)
    soft = gaussian_filter(sharp, (9, 9, 0)).astype(np.uint8)
    refused("soft.png: the person is blurred", save(tmp_path / "soft.png", soft))


def test_what_goes_with_videos_only_is_refused(photo, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"")
    path = save(tmp_path / "a.png", read_picture(photo))
    refused("limbs is learned from videos alone", path, tmp_path / "film.mp4", model="limbs")
    refused("learned from videos, not from photos", path, model="limbs")
    refused("learned from videos, not from photos", path, moves=True)
    refused("no weights to start from", path, start="kai")


# ------------------------------------------------------------------------- framing, proportions


def test_a_person_cut_off_by_the_photo_stays_so(figure, tmp_path):
    scene = stand(room(800, 600), figure, 400, 600 + 300)
    made, notes = learned(save(tmp_path / "half.jpg", scene))
    assert "drawn by guess: knees, feet" in notes
    card = made.card.image
    assert card.placement.floor > 1.2
    preview = read_picture(made.preview())
    assert preview.shape[1] / preview.shape[0] == pytest.approx(4 / 3, abs=0.01)
    # Raised arms leave the picture: the person is drawn no smaller for them.
    dancer = Dancer(made)
    poses = Choreographer("default")(load_song(EXAMPLE, duration=2.0), 1, dancer.placement)
    body = Bundle("default").card.motion.proportions
    fitted = dancer.fit(poses, body)
    assert np.median(fitted.landmarks[:, HIPS, 1]) > 0.6 * (fitted.landmarks.min() < 1)
    torso = fitted.landmarks[:, SHOULDERS, 1].mean(1) - fitted.landmarks[:, HIPS, 1].mean(1)
    assert np.abs(torso).max() == pytest.approx(card.placement.torso, rel=0.12)


def test_only_what_is_asked_for_is_kept_inside():
    place = Placement(0.5, 0.5, 0.2, 9 / 16, floor=0.9)
    world, middle = a_walk(60)
    poses = PoseSequence(project(world + middle[:, None], 1.5, 9 / 16))
    wide = poses.landmarks.copy()
    wide[:, WRISTS, 0] += [[0.8, -0.8]]
    wanted = dict.fromkeys(BONE_KINDS, 0.5)
    smaller, kept = (
        retarget(PoseSequence(wide), place, wanted, source=wanted, **inside)
        for inside in ({}, {"inside": [0, *SHOULDERS, *HIPS]})
    )
    assert smaller.landmarks[..., 0].min() >= -1e-5
    heights = [np.ptp(each.landmarks[:, [0, 29], 1], axis=1).mean() for each in (smaller, kept)]
    assert heights[0] < 0.8 * heights[1]
    assert kept.landmarks[..., WRISTS, 0].min() < 0


def a_person(bones=()):
    """(33, 6) of the puppet, seen by a camera far away, 500 pixels to a metre."""
    world, _ = a_walk(1)
    points = np.zeros((33, 6), np.float32)
    points[:, 3:] = world[0]
    for start, end, direction in bones:
        bone = points[end, 3:] - points[start, 3:]
        moved = np.array(direction) * np.linalg.norm(bone) - bone
        points[end:23:2, 3:] += moved
    points[:, :2] = points[:, 3:5] * 500 + [400, 600]
    points[:, 2] = 1
    return points


def test_bones_that_point_at_the_camera_are_no_shorter():
    flat = measured(a_person([(13, 15, (0.6, 0.8, 0)), (14, 16, (-0.6, 0.8, 0))]), 2000)
    forearm = flat.proportions["forearm"]
    # One forearm points at the camera: the other tells.
    one = measured(a_person([(13, 15, (0, 0.2, -0.98)), (14, 16, (-0.6, 0.8, 0))]), 2000)
    assert one.proportions["forearm"] == pytest.approx(forearm, rel=0.05)
    # Both do: as long as is usual.
    both = measured(a_person([(13, 15, (0, 0.2, -0.98)), (14, 16, (0, 0.2, -0.98))]), 2000)
    assert 0.4 < both.proportions["forearm"] < 0.6
    assert flat.torso * 1.04 == pytest.approx(250, rel=0.02)


def test_who_is_seen_often_is_measured_on_all_pictures():
    rng = np.random.default_rng(0)
    arms = [(13, 15, (0.6, 0.8, 0)), (14, 16, (-0.6, 0.8, 0))]
    flat = measured(a_person(arms), 2000).proportions
    away = a_person([(13, 15, (0, 0.1, -0.99)), (14, 16, (0, 0.1, -0.99))])
    pictures = np.array([away] * 6 + [a_person(arms)] * 14)
    pictures[..., :2] *= rng.uniform(0.5, 2, (20, 1, 1))  # from any distance
    found = seen_often(pictures)
    for kind in ("upper_arm", "forearm", "thigh", "shin"):
        assert found[kind] / found["torso"] == pytest.approx(flat[kind] / 1.04, rel=0.06)
    # One picture of them, on which the forearms cannot be measured.
    body = measured(away, 2000, found)
    assert body.proportions["forearm"] == found["forearm"]
    assert body.torso * found["torso"] == pytest.approx(250, rel=0.02)


def test_what_is_seen_seldom_is_measured_on_one_picture():
    assert seen_often(np.array([a_person()] * 5)) == {}
    behind = np.array([a_person()] * 20)
    behind[:, :, 3] *= -1
    assert seen_often(behind) == {}
    cut = np.array([a_person()] * 20)
    cut[:, 25:, 2] = 0.1
    found = seen_often(cut)
    assert "thigh" not in found and "upper_arm" in found
    own = measured(cut[0], 2000, found).proportions
    assert own["thigh"] == pytest.approx(measured(cut[0], 2000).proportions["thigh"], rel=0.1)


def test_how_far_somebody_is_turned():
    points = a_person()
    assert yaw(points) < 5
    turn = np.deg2rad(70)
    x, z = points[:, 3].copy(), points[:, 5].copy()
    points[:, 3], points[:, 5] = np.cos(turn) * x, np.sin(turn) * x + z
    assert yaw(points) == pytest.approx(70, abs=3)
    points[:, 3] *= -1
    assert yaw(points) == pytest.approx(110, abs=3)


PROPORTIONS = dict.fromkeys(BONE_KINDS, 0.5) | {"hand": 0.15, "thigh": 0.8, "shin": 0.8}


def standing(x, floor, torso, cut=False):
    body = Body((x, floor - 1.72 * torso), torso, floor, PROPORTIONS, cut)
    assert body.legs == pytest.approx(1.72 * torso)
    return body


@pytest.mark.parametrize(
    ("photo", "body"),
    [
        ((1080, 1920), standing(540, 1850, 500)),  # fills the picture
        ((3000, 2000), standing(700, 1500, 200)),
        ((1000, 1000), standing(900, 950, 250)),  # at the edge
        ((4000, 1000), standing(2000, 900, 100)),
    ],
)
def test_a_frame_has_room_for_the_dance(photo, body):
    frame = framed(body, (10, 40, 10, 20), photo)
    left, top, right, bottom = frame.box
    half = 0.88 * (0.5 + 0.5 + 0.5 + 0.15) * body.torso
    assert left <= body.hips[0] - half and right >= body.hips[0] + half
    assert top <= body.floor - (1.72 + 1.04 + 1.15) * body.torso - 38 and bottom > body.floor
    width, height = frame.size
    assert width % 2 == height % 2 == 0 and max(frame.size) <= 1280 and width * height < 925_000
    assert (right - left) / (bottom - top) == pytest.approx(width / height, rel=0.01)
    assert frame.scale <= 1.31
    if photo[0] < photo[1]:
        assert width / height == pytest.approx(9 / 16, rel=0.01)
    # No more of what is beyond the photo than must be.
    if right - left <= photo[0] and half < body.hips[0] - 10 < photo[0] - half - 20:
        assert left >= 0 and right <= photo[0]
