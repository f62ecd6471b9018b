"""From photos of a person to a dancer: cut out, with the scene behind filled in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from dancing.body.drawing import draw_skeleton
from dancing.body.poses import Placement
from dancing.body.skeleton import ANKLES, HIPS, NOSE, SHOULDERS, TRUNK, WRISTS
from dancing.bundle import CARD, PREVIEW, write_bundle
from dancing.card import Card as BundleCard
from dancing.data.dataset import source_hash
from dancing.data.footage import DIFFERENT_CLOTHES, trunk_colour
from dancing.data.landmarker import Landmarker, Person
from dancing.data.pose_model import model_path
from dancing.errors import DancingError
from dancing.files import temporary_folder
from dancing.image.compositing import lay_over, within
from dancing.image.warp import footage
from dancing.image.warp.card import TURNS, Card, unseen
from dancing.image.warp.cutout import cut_out
from dancing.image.warp.figure import Figure
from dancing.image.warp.framing import Frame, framed, margins, measured, yaw
from dancing.image.warp.plate import extended, filled
from dancing.image.warp.reference import Reference, files_of
from dancing.image.warp.refining import NETWORK
from dancing.image.warp.sight import Sight, tall
from dancing.listener import Listener
from dancing.media import FPS
from dancing.media.picture import NotAPicture, is_moving, read_picture
from dancing.media.video import encode_png, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

CONSENT = "the person shown agreed to it, as declared by whoever made this dancer"
LICENCE = "as agreed with the person shown"
AGREEMENT = (
    "a dancer made from photos or videos holds pictures of the person; "
    "go on only if the person agrees"
)
_MOST_PEOPLE = 5
_SMALLEST = 120  # pixels of a person that can be drawn from
_SMALL = 0.5  # of the photo's height: a smaller person is looked at again, from nearer
_AROUND = 2.0  # sizes of a person that are then looked at
_TILES = (2, 3)  # parts a side of a photo in which nobody was found at first
_LEANING = 50.0  # degrees from upright
_TORSO_SEEN = 0.7  # of a torso, of which less is seen in a portrait
_TURNED, _BACK = 30.0, 110.0  # degrees of yaw
_UPRIGHT = 0.75  # of the legs' length from hips to ankles of somebody who stands
_COMPARED = 400  # pixels of a person's height at which sharpness is measured
_BLURRED = 0.11  # photos have 0.23 to 0.48; blurred by a hundredth of the person's height, 0.09
_OPAQUE = 0.05  # part of a picture that is transparent, where it is a cut-out
_BACKDROP = (206, 206, 204)
_AROUND_CUT = 0.05  # heights of a person around it that are looked at to cut it out
_AROUND_HEAD = 0.7, 0.15  # torso lengths beside the face and below the shoulders, that belong to it
_PAD = 3  # pixels around a person in a reference
_LONGEST_PLATE = 1920
_TAIL = 0.3  # torso lengths by which a person goes on below a photo's edge
_LONGEST_DRAWN = 960  # pixels
_DIM = 0.3  # brightness, of a photo that is shown, of what will not dance


def is_photo(path: str | Path) -> bool:
    """Whether a file is a picture that does not move.

    Raises:
        DancingError: when it cannot be read.
    """
    try:
        return not is_moving(path)
    except NotAPicture:
        return False


def learn(files: Sequence[Path], output: Path, listener: Listener) -> list[str]:
    """Make a bundle from photos and videos of one person.

    Scene and framing are those of the first; of a video, those of its best picture.

    Args:
        output: the bundle's folder or .zip.
        listener: told of progress, and, before anything else, what a bundle will hold.

    Returns:
        Notes, one line each.

    Raises:
        DancingError: when they show nobody that could dance, or the output cannot be written.
    """
    listener.note(AGREEMENT)
    listener.progress("looking", 0, len(files))
    model_path(listener)
    photos = [file for file in files if is_photo(file)]
    videos = [file for file in files if file not in photos]
    notes: list[str] = []
    sights = []
    known: dict[str, float] = {}
    if photos:
        with Landmarker(_MOST_PEOPLE, video=False) as look:
            for done, path in enumerate(photos, 1):
                sights.append(_seen(path, look, notes))
                listener.progress("looking", done, len(photos))
    if videos:
        filmed, known, more = footage.sights(videos, listener)
        notes += more
        sights = sights + filmed if files[0] in photos else filmed + sights
    if yaw(sights[0].points) > _BACK:
        raise DancingError(
            f"{sights[0].path}: shows the person from behind; begin with one from the front"
        )
    notes += _unlike(sights)
    made_from = sorted({source_hash(file.name) for file in files})
    write_bundle(_files(sights, known, output.stem, made_from, listener), output)
    return notes


def seen_in(photos: Sequence[Path], listener: Listener) -> Iterator[tuple[Picture, list[str]]]:
    """Who would be learned from photos, to be looked at before: pose and matte drawn over them.

    Yields:
        The photo, (H, W, 3) uint8, at most 960 pixels long, in which all but the person is grey and
        dim, with the person's skeleton; and notes, one line each.

    Raises:
        DancingError: when a photo shows nobody that could dance.
    """
    listener.progress("looking", 0, len(photos))
    model_path(listener)
    with Landmarker(_MOST_PEOPLE, video=False) as look:
        for done, path in enumerate(photos, 1):
            notes: list[str] = []
            sight = _seen(path, look, notes)
            yield _drawn(sight), notes
            listener.progress("looking", done, len(photos))


@contextmanager
def as_bundle(dancer: str | Path, beside: Path, listener: Listener) -> Iterator[str | Path]:
    """What a dancer is drawn from; of a photo, a bundle that is there for this long.

    Args:
        dancer: a photo's path; a bundle's path or name is handed back.
        beside: the folder in which a bundle is made.
    """
    path = Path(dancer)
    if not path.is_file() or not is_photo(path):
        yield dancer
        return
    beside.mkdir(parents=True, exist_ok=True)
    with temporary_folder(beside) as folder:
        bundle = folder / path.stem
        for note in learn([path], bundle, listener):
            listener.note(note)
        yield bundle


def _seen(path: Path, look: Landmarker, notes: list[str]) -> Sight:
    """Find who is to dance in a photo.

    Raises:
        DancingError: with what is wrong with it, and what to do.
    """
    picture = read_picture(path)
    alpha = None
    if picture.shape[2] == 4:
        own = picture[..., 3]
        picture = _on_backdrop(picture)
        if (own < 128).mean() > _OPAQUE:
            alpha = own
    people = _people(picture, look)
    if not people:
        raise DancingError(
            f"{path}: nobody can be seen in it; take a photo of one person who stands, from head "
            "to foot, in good light"
        )
    person = max(people, key=lambda one: _prominence(one, picture))
    _check_upright(path, person, picture)
    pixels = tall(person.matte)
    if pixels < _SMALLEST:
        raise DancingError(
            f"{path}: the person is only {pixels} pixels high, at least {_SMALLEST} are needed; "
            "take the photo from nearer"
        )
    if len(people) > 1:
        others = "another person is" if len(people) == 2 else f"{len(people) - 1} other people are"
        notes.append(f"{path.name}: {others} in it, who will not dance and stay in the background")
    if alpha is not None:
        alpha = _of_person(alpha, person.matte)
    sight = Sight.of(path, picture, person, alpha)
    _check_sharp(sight)
    notes += _observed(sight)
    return sight


def _people(picture: Picture, look: Landmarker) -> list[Person]:
    """Everybody in a picture; where nobody is found, or all are small, from nearer."""
    height, width = picture.shape[:2]
    people = look(picture)
    for parts in () if people else _TILES:
        # Tiles overlap by half.
        rows, columns = height // parts, width // parts
        corners = [
            (x * columns // 2, y * rows // 2)
            for y in range(2 * parts - 1)
            for x in range(2 * parts - 1)
        ]
        for x, y in corners:
            people += _looked(picture, look, (x, y, x + columns, y + rows))
    if not people:
        return []
    person = max(people, key=lambda one: _prominence(one, picture))
    others: list[Person] = []
    for one in people:
        if not any(_same(one, known) for known in (person, *others)):
            others.append(one)
    if tall(person.matte) < _SMALL * height:
        low, high = _box(person, picture)
        middle, half = (low + high) / 2, _AROUND * (high - low).max() / 2
        corner = np.maximum(middle - half, 0).astype(int)
        end = np.minimum(middle + half, [width, height]).astype(int)
        nearer = _looked(picture, look, (*corner.tolist(), *end.tolist()))
        same = [one for one in nearer if _same(one, person)]
        if same:
            person = max(same, key=lambda one: _prominence(one, picture))
    return [person, *others]


def _looked(picture: Picture, look: Landmarker, box: tuple[int, int, int, int]) -> list[Person]:
    """The people in a part of a picture, as of the whole one."""
    left, top, right, bottom = box
    height, width = picture.shape[:2]
    found = []
    for one in look(np.ascontiguousarray(picture[top:bottom, left:right])):
        points = one.points.copy()
        points[:, :2] = points[:, :2] * [right - left, bottom - top] + [left, top]
        points[:, :2] /= [width, height]
        matte = np.zeros((height, width), np.uint8)
        matte[top:bottom, left:right] = one.matte
        found.append(Person(points.astype(np.float32), matte))
    return found


def _box(person: Person, picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Left and top, right and bottom of the landmarks that are in the picture, in pixels."""
    points = person.points[:, :2].clip(0, 1) * picture.shape[1::-1]
    return points.min(0), points.max(0)


def _same(one: Person, other: Person) -> bool:
    """Whether two sightings are of the same person: hips and shoulders are nearly in one place."""
    a, b = one.points[TRUNK, :2], other.points[TRUNK, :2]
    size = np.ptp(np.concatenate([a, b]), axis=0).max()
    return float(np.abs(a.mean(0) - b.mean(0)).max()) < 0.3 * size


def _prominence(person: Person, picture: Picture) -> float:
    """The larger, the nearer to the middle and the better seen, the likelier it is who is meant."""
    low, high = _box(person, picture)
    aside = abs((low + high)[0] / picture.shape[1] - 1)
    seen = person.points[TRUNK, 2].mean()
    return float(np.hypot(*(high - low)) * (1 - 0.5 * aside) * seen)


def _check_upright(path: Path, person: Person, picture: Picture) -> None:
    """Refuse who lies or is upside down, or whose head, half trunk or waist is missing."""
    height, width = picture.shape[:2]
    points = person.points[:, :2] * [width, height]
    shoulders, hips = points[SHOULDERS].mean(0), points[HIPS].mean(0)
    across, up = hips - shoulders
    if np.degrees(np.arctan2(abs(across), up)) > _LEANING:
        raise DancingError(
            f"{path}: the person lies, bends over, or is upside down; turn the photo, or take one "
            "of somebody who stands"
        )
    if points[NOSE, 1] < 0:
        raise DancingError(f"{path}: the head is outside of it; take a photo with the whole head")
    if ((points[TRUNK, 0] < 0) | (points[TRUNK, 0] > width)).any():
        raise DancingError(f"{path}: its edge cuts the person in half; show the whole person")
    if (height - shoulders[1]) / up < _TORSO_SEEN:
        raise DancingError(
            f"{path}: shows head and shoulders only; take a photo from the waist up at least, or "
            "better of the whole body"
        )


def _check_sharp(sight: Sight) -> None:
    """Refuse a photo that is blurred.

    Measured is how much of the person's contrast is in details of about a 400th of its height, of
    what is in those four times as large.
    """
    rows, columns = (np.flatnonzero((sight.matte >= 128).any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    picture, matte = sight.picture[box], sight.matte[box]
    height, width = matte.shape
    shrink = min(1.0, _COMPARED / height)
    size = (max(2, round(width * shrink)), max(2, round(height * shrink)))
    grey = resize(picture, *size).mean(2)
    inside = resize(matte, *size) >= 128
    fine, coarse = (
        np.abs(grey - ndimage.gaussian_filter(grey, reach))[inside].mean() for reach in (1, 4)
    )
    if fine < _BLURRED * coarse:
        raise DancingError(f"{sight.path}: the person is blurred; take a sharper photo")


def _observed(sight: Sight) -> list[str]:
    """What of a photo makes the dance worse, one line each."""
    name, points = sight.path.name, sight.points
    body = measured(points, sight.size[1])
    notes = []
    if missing := unseen(points, sight.size):
        notes.append(f"{name}: cannot be seen, and will be drawn by guess: {', '.join(missing)}")
    if ((points[WRISTS, 0] < 0) | (points[WRISTS, 0] > sight.size[0])).any():
        notes.append(f"{name}: an arm reaches out of it, and will be drawn by guess")
    standing = np.abs(points[ANKLES, 1].mean() - points[HIPS, 1].mean())
    if not body.cut and standing < _UPRIGHT * body.legs:
        notes.append(
            f"{name}: the person does not stand upright; a standing photo becomes a better dancer"
        )
    if (turn := yaw(points)) > _TURNED:
        notes.append(
            f"{name}: the person is turned by {turn:.0f} degrees; a photo from the front becomes a "
            "better dancer"
        )
    return notes


def _unlike(sights: Sequence[Sight]) -> list[str]:
    """Which files seem to show somebody else than the first one, one line each."""
    worn: dict[Path, NDArray[np.float64]] = {}
    for sight in sights:
        worn.setdefault(sight.path, trunk_colour(sight.picture, sight.matte, sight.points[:, :2]))
    (first, colour), *others = worn.items()
    return [
        f"{first.name} and {path.name}: the clothes, or the light, differ; of another person, or "
        "of other clothes, learn another dancer"
        for path, other in others
        if np.abs(colour - other).max() > DIFFERENT_CLOTHES
    ]


def _on_backdrop(picture: Picture) -> Picture:
    """(H, W, 3) of an (H, W, 4) picture over a plain colour."""
    canvas = np.empty((*picture.shape[:2], 3), np.uint8)
    canvas[:] = _BACKDROP
    lay_over(canvas, picture, (0, 0))
    return canvas


def _of_person(alpha: Picture, matte: Picture) -> Picture:
    """The parts of a cut-out that belong to one person."""
    labels, _ = ndimage.label(alpha > 0)
    own = np.unique(labels[(matte >= 128) & (labels > 0)])
    return np.where(np.isin(labels, own), alpha, 0).astype(np.uint8)


def _files(
    sights: Sequence[Sight],
    known: Mapping[str, float],
    name: str,
    made_from: Sequence[str],
    listener: Listener,
) -> dict[str, bytes]:
    """The files of a bundle, card included.

    Args:
        known: of the body's proportions; see `framing.seen_often`.
    """
    first = sights[0]
    body = measured(first.points, first.size[1], known)
    margin = margins(first.points, first.matte, body)
    frame = framed(body, margin, first.size, first.resolution)
    references = []
    for done, sight in enumerate(sights):
        listener.progress("cutting out", done, len(sights))
        references.append(_cut(sight))
    listener.progress("cutting out", len(sights), len(sights))
    listener.progress("filling in the scene", 0, 1)
    plate = _plate(first, references[0], frame)
    listener.progress("filling in the scene", 1, 1)
    left, top, right, bottom = frame.box
    width, height = right - left, bottom - top
    scaled = [int(np.ceil(side * frame.scale)) for side in margin]
    card = Card(
        model="warp",
        size=frame.size,
        view=(0.0, 0.0, 1.0, 1.0),
        turns=TURNS,
        margin=(scaled[0], scaled[1], scaled[2], scaled[3]),
        placement=Placement(
            x=round((body.hips[0] - left) / width, 4),
            y=round((body.hips[1] - top) / height, 4),
            torso=round(body.torso / height, 4),
            aspect=round(frame.size[0] / frame.size[1], 6),
            floor=round((body.floor - top) / height, 4),
        ),
        proportions=body.proportions,
        plate=(plate.shape[1], plate.shape[0]),
        references=tuple(one.card for one, _ in references),
        seen=(
            round(left / first.size[0], 6),
            round(top / first.size[1], 6),
            round(right / first.size[0], 6),
            round(bottom / first.size[1], 6),
        ),
        made_from=tuple(made_from),
    )
    files = files_of([one for one, _ in references], plate)
    files[PREVIEW] = encode_png(_preview(references[0], plate, frame))
    files["image.onnx"] = NETWORK.read_bytes()
    bundle = BundleCard(
        name=name,
        licence=LICENCE,
        data=f"made from {', '.join(dict.fromkeys(sight.path.name for sight in sights))}",
        consent=CONSENT,
        fps=FPS,
        image=card,
        files={key: hashlib.sha256(value).hexdigest() for key, value in files.items()},
    )
    files[CARD] = (json.dumps(bundle.to_json(), indent=2) + "\n").encode()
    return files


def _cut(sight: Sight) -> tuple[Reference, tuple[int, int]]:
    """The person in a photo, and left and top of that picture in the photo."""
    width, height = sight.size
    rows, columns = (np.flatnonzero((sight.matte > 0).any(axis)) for axis in (1, 0))
    around = _AROUND_CUT * np.ptp(rows)
    left, top = (max(0, int(line[0] - around)) for line in (columns, rows))
    bottom, right = min(height, int(rows[-1] + around)), min(width, int(columns[-1] + around))
    if sight.head:
        figure = Figure(sight.points[:, :2])
        x, y = figure.face.mean(0)
        beside, below = (side * figure.torso for side in _AROUND_HEAD)
        left, right = max(left, int(x - beside)), min(right, int(x + beside))
        bottom = min(bottom, int(max(y, *sight.points[SHOULDERS, 1]) + below))
    box = np.s_[top:bottom, left:right]
    corner = np.array([left, top, 0, 0, 0, 0], np.float32)
    if sight.alpha is not None:
        colour, alpha = sight.picture[box], sight.alpha[box]
    else:
        colour, alpha = cut_out(sight.picture[box], sight.matte[box], sight.points - corner)
    rows, columns = (np.flatnonzero((alpha > 0).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise DancingError(
            f"{sight.path}: the person cannot be told from the background; take a photo before "
            "another background"
        )
    low = [max(0, int(line[0]) - _PAD) for line in (columns, rows)]
    box = np.s_[low[1] : rows[-1] + 1 + _PAD, low[0] : columns[-1] + 1 + _PAD]
    colour, alpha = colour[box], alpha[box]
    corner[:2] += low
    body = measured(sight.points, height)
    if body.cut and int(corner[1]) + len(alpha) >= height:
        # Cut off by the photo's edge, which is not to be seen when the dancer rises.
        tail = round(_TAIL * body.torso)
        colour = np.pad(colour, ((0, tail), (0, 0), (0, 0)), "edge")
        alpha = np.pad(alpha, ((0, tail), (0, 0)), "edge")
    reference = Reference(
        np.ascontiguousarray(colour),
        np.ascontiguousarray(alpha),
        sight.points - corner,
        sight.head,
    )
    return reference, (int(corner[0]), int(corner[1]))


def _plate(sight: Sight, cut: tuple[Reference, tuple[int, int]], frame: Frame) -> Picture:
    """The scene of a frame without the person, (H, W, 3), of at least the frame's size."""
    left, top, right, bottom = frame.box
    scale = max(1.0, min(1.0, _LONGEST_PLATE / max(right - left, bottom - top)) / frame.scale)
    columns, rows = (min(round(side * scale), _LONGEST_PLATE) for side in frame.size)
    if sight.alpha is not None:
        return np.broadcast_to(np.array(_BACKDROP, np.uint8), (rows, columns, 3)).copy()
    width, height = sight.size
    reference, (x, y) = cut
    alpha = np.zeros((height, width), np.uint8)
    part = reference.alpha[: height - y]
    alpha[y : y + len(part), x : x + part.shape[1]] = part
    # What the cut-out lost of the person, say a shoe, is not to stay in the scene.
    alpha = np.maximum(alpha, sight.matte)
    beyond = [max(0, -left), max(0, -top), max(0, right - width), max(0, bottom - height)]
    box = np.s_[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    picture, alpha = sight.picture[box], alpha[box]
    if sight.scene is not None:
        picture = sight.scene[box]
    shrink = min(1.0, rows / (bottom - top))
    if shrink < 1:
        size = (round(alpha.shape[1] * shrink), round(alpha.shape[0] * shrink))
        picture, alpha = resize(picture, *size), resize(alpha, *size)
        beyond = [round(side * shrink) for side in beyond]
    scene = np.ascontiguousarray(picture)
    if sight.scene is None:
        scene = filled(scene, alpha)
    scene = extended(scene, *beyond)
    return resize(scene, columns, rows)


def _drawn(sight: Sight) -> Picture:
    """A photo with pose and matte drawn over it."""
    shrink = min(1.0, _LONGEST_DRAWN / max(sight.size))
    size = (max(1, round(sight.size[0] * shrink)), max(1, round(sight.size[1] * shrink)))
    picture = resize(sight.picture, *size)
    share = resize(sight.matte, *size)[..., None] / np.float32(255)
    grey = _DIM * picture.mean(2, keepdims=True)
    drawn = (picture * share + grey * (1 - share) + 0.5).astype(np.uint8)
    draw_skeleton(drawn, sight.points[:, :2] / sight.size, sight.points[:, 2])
    return drawn


def _preview(cut: tuple[Reference, tuple[int, int]], plate: Picture, frame: Frame) -> Picture:
    """The person as in the photo, in a frame."""
    picture = resize(plate, *frame.size).copy()
    reference, corner = cut
    height, width = reference.alpha.shape
    size = (max(1, round(width * frame.scale)), max(1, round(height * frame.scale)))
    layers = resize(np.dstack([reference.colour, reference.alpha]), *size)
    place = np.rint((np.array(corner) - frame.box[:2]) * frame.scale).astype(np.int64)
    lay_over(picture, *within(layers, place, frame.size))
    return picture
