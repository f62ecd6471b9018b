"""People in pictures: the networks' format, what is computed around them, MediaPipe's answers."""

import math
import zipfile

import flatbuffers
import numpy as np
import pytest

from dancing.data import landmarker, pose_model, tflite
from dancing.data.landmarker import Landmarker
from dancing.data.warp import warp
from dancing.errors import DancingError
from dancing.media.video import read_frames, resize
from videos import AVA

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def ava():
    """The 90 pictures of the rendered dancer."""
    return list(read_frames(AVA))


@pytest.fixture(scope="module")
def mediapipe():
    """What MediaPipe 1.2.3 sees in every tenth of them (`benchmarks/landmarks.py --save`)."""
    with np.load(AVA.with_name("ava_mediapipe.npz")) as file:
        return dict(file)


# -------------------------------------------------------------------------- beside MediaPipe


@pytest.mark.parametrize("mode", ["video", "image"])
def test_a_person_is_where_mediapipe_sees_her(ava, mediapipe, mode):
    """Pixels are 640ths of the height. In a video, differences are carried on and grow a little."""
    with Landmarker(1, video=mode == "video") as look:
        if mode == "video":
            people = [look(picture) for picture in ava[:51]][::10]
        else:
            people = [look(picture) for picture in ava[::10]]
    points = np.array([person.points for (person,) in people])
    off = np.abs(points - mediapipe[f"{mode}_points"][: len(people)])
    pixels = np.hypot(*(off[..., :2] * [360, 640]).T)
    assert np.median(pixels) < (0.1 if mode == "video" else 0.01)
    assert pixels.max() < (1.5 if mode == "video" else 0.2)
    assert off[..., 2].max() < 0.01  # visibility
    assert off[..., 3:].max() < 0.02  # metres
    mattes = np.array([person.matte > 127 for (person,) in people])
    theirs = mediapipe[f"{mode}_mattes"][: len(people)]
    overlap = (mattes & theirs).sum((1, 2)) / (mattes | theirs).sum((1, 2))
    assert overlap.min() > (0.98 if mode == "video" else 0.995)


def test_several_people_and_nobody(ava):
    """Two people are told apart and tracked, one may leave, and an empty picture has none."""
    person = resize(np.ascontiguousarray(ava[0][130:330, 20:182]), 208, 260)
    other = resize(np.ascontiguousarray(ava[40][130:330, 20:182]), 208, 260)

    def scene(*places):
        picture = np.full((360, 640, 3), 150, np.uint8)
        for left, who in places:
            picture[80:340, left : left + 208] = who
        return picture

    def middles(people):
        return sorted(float(p.points[[23, 24], 0].mean() * 640) for p in people)

    both = scene((60, person), (380, other))
    for video in (False, True):
        with Landmarker(4, video) as look:
            assert look(scene()) == []
            for shift in range(0, 12, 4):
                found = middles(look(scene((60 + shift, person), (380 + shift, other))))
                assert len(found) == 2
                assert found == pytest.approx([164 + shift, 484 + shift], abs=25)
            assert len(look(scene((60, person)))) == 1
            assert len(look(both)) == 2
        with Landmarker(1, video) as look:
            assert len(look(both)) == 1


def test_nothing_is_written_to_the_terminal(ava, capfd):
    pose_model._networks.cache_clear()
    with Landmarker(1, video=True) as look:
        look(ava[0])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("size", [(2, 2), (3, 700), (700, 3), (1, 1)])
def test_pictures_of_odd_sizes(size):
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    for video in (False, True):
        with Landmarker(2, video) as look:
            assert all(person.matte.shape == size for person in look(picture))


# --------------------------------------------------------------------------------- geometry


def plainly(picture, matrix, shape, repeat_edges):
    """Linear interpolation pixel by pixel."""
    height, width = picture.shape[:2]
    padded = np.pad(picture.astype(float), ((1, 2), (1, 2), (0, 0)), "edge")
    if not repeat_edges:
        padded[[0, -1, -2]] = padded[:, [0, -1, -2]] = 0
    made = np.zeros((picture.shape[2], *shape))
    for i in range(shape[0]):
        for j in range(shape[1]):
            x, y = matrix @ [j, i, 1]
            x, y = np.clip(x, -1, width) + 1, np.clip(y, -1, height) + 1
            left, top = int(x), int(y)
            for a, across in ((left, left + 1 - x), (left + 1, x - left)):
                for b, down in ((top, top + 1 - y), (top + 1, y - top)):
                    made[:, i, j] += across * down * padded[b, a]
    return made


@pytest.mark.parametrize("repeat_edges", [True, False])
def test_parts_of_pictures_are_interpolated(repeat_edges):
    x, y = np.meshgrid(np.arange(40), np.arange(30))
    picture = np.stack([5 * x, 7 * y, 100 + x - 2 * y], -1).astype(np.uint8)
    matrix = np.array([[0.9, 0.3, -6.0], [-0.2, 1.2, 3.0]])
    expected = plainly(picture, matrix, (35, 45), repeat_edges)
    found = warp(picture, matrix, (35, 45), repeat_edges)
    assert found.shape == (3, 35, 45)
    # Places are rounded to a 32nd of a pixel; over the edge a pixel fades from full to black.
    assert np.abs(found - expected).max() < 0.6 + (7 if repeat_edges else 255) / 32
    assert np.abs(found - expected).mean() < 0.5
    grey = warp(picture[..., 0], matrix, (35, 45), repeat_edges)
    np.testing.assert_array_equal(grey, found[0])
    if not repeat_edges:
        far = warp(picture, matrix + np.array([[0, 0, 500.0], [0, 0, 0]]), (9, 9))
        assert not far.any()


def test_large_parts_are_seamless():
    """They are worked on in stripes."""
    picture = np.random.default_rng(0).integers(0, 255, (50, 50, 3)).astype(np.uint8)
    matrix = np.array([[0.1, 0.02, 3.0], [-0.02, 0.1, 8.0]])
    whole = warp(picture, matrix, (400, 400))
    lower = matrix.copy()
    lower[:, 2] += 211 * matrix[:, 1]
    part = warp(picture, lower, (100, 400))
    assert np.abs(whole[:, 211:311].astype(int) - part).max() <= 255 / 32 + 1


def test_a_square_is_upright_along_the_spine():
    square = landmarker._Square.around(np.array([100.0, 50]), np.array([100.0, 10]))
    assert (square.x, square.y, square.size, square.angle) == (100, 50, 100, 0)
    np.testing.assert_allclose(square.matrix(200) @ [100, 0, 1], [100, 0])
    lying = landmarker._Square.around(np.array([100.0, 50]), np.array([140.0, 50]))
    assert lying.angle == pytest.approx(math.pi / 2)  # the head is to the right
    np.testing.assert_allclose(lying.matrix(200) @ [100, 0, 1], [150, 50])
    np.testing.assert_allclose(lying.matrix(200) @ [200, 100, 1], [100, 100])
    assert not landmarker._Square.around(np.array([9.0, 9]), np.array([9.0, 9])).usable
    assert not landmarker._Square.around(np.array([9.0, np.nan]), np.array([9.0, 9])).usable


def test_each_person_is_looked_at_once():
    """Overlap of more than half is one person, whose later square stays."""
    squares = [landmarker._Square(x, 0, 9, 0) for x in (0, 20, 2, 24)]
    assert squares[0].overlap(squares[2]) == pytest.approx(7 * 9 / (2 * 81 - 63))
    assert squares[0].overlap(squares[1]) == 0
    kept = landmarker._each_once(squares)
    assert [square.x for square in kept] == [20, 2, 24]


def test_boxes_around_one_person_are_averaged():
    boxes = np.zeros((2254, 12), np.float32)
    scores = np.full(2254, -9, np.float32)
    # Anchors 0 and 1 are one place, 2254 - 1 is the last cell of the coarsest grid.
    for index, score, x in ((0, 2.0, 8), (1, 0.0, 12), (2253, 1.0, -8)):
        boxes[index, :8] = [x, 0, 60, 60, x, 1, x + 5, -40]
        scores[index] = score
    boxes[5, 2:4] = -60  # no box
    scores[5] = 5
    first, second = landmarker._suppressed(boxes, scores) * 224
    weights = 1 / (1 + np.exp([-2, 0]))
    x = 4 + (weights @ [8, 12]) / weights.sum()
    np.testing.assert_allclose(first, [[x, 5], [x + 5, -36]], atol=1e-4)
    np.testing.assert_allclose(second, [[208 - 8, 209], [208 - 3, 168]], atol=1e-4)
    assert landmarker._suppressed(boxes, np.full(2254, -9, np.float32)).shape == (0, 2, 2)


def test_landmarks_move_to_the_heat_around_them():
    heat = np.full((4, 64, 64), -30, np.float32)
    heat[0, 20, 31] = heat[0, 22, 31] = 30  # within reach of (30, 20)
    heat[1, 0, 0] = 30  # in the corner
    heat[2, 40, 40] = -0.1  # too cold
    heat[3, 10, 10] = 30  # of a landmark outside
    places = np.array([[30.5, 20.5], [1.5, 1.5], [40.5, 40.5], [-9, 10]], np.float32) / 64
    found = landmarker._refined(places, heat) * 64
    np.testing.assert_allclose(found, [[31, 21], [0, 0], [40.5, 40.5], [-9, 10]], atol=1e-4)


# ------------------------------------------------------------------------- TFLite as ONNX


class Graph:
    """Writes a .tflite file, tensor by tensor and operator by operator."""

    def __init__(self):
        self.builder = flatbuffers.Builder(0)
        self.tensors, self.operators, self.buffers, self.codes = [], [], [self._buffer(b"")], []

    def _vector(self, values):
        return self.builder.CreateNumpyVector(np.asarray(values))

    def _tables(self, offsets):
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def table(self, **fields):
        """Fields by number: `_0=("Int32", 5)`, or an offset."""
        numbers = [int(name[1:]) for name in fields]
        self.builder.StartObject(max(numbers, default=-1) + 1)
        for number, value in zip(numbers, fields.values(), strict=True):
            if isinstance(value, tuple):
                kind, content = value
                getattr(self.builder, f"Prepend{kind}Slot")(number, content, None)
            else:
                self.builder.PrependUOffsetTRelativeSlot(number, value, 0)
        return self.builder.EndObject()

    def _buffer(self, data):
        return self.table(_0=self._vector(np.frombuffer(data, np.uint8))) if data else self.table()

    def tensor(self, shape, data=None, sparsity=None, kind=0):
        if data is not None:
            kind = {"f4": 0, "f2": 1, "i4": 2}[data.dtype.str[1:]]
            self.buffers.append(self._buffer(data.tobytes()))
        fields = {"_0": self._vector(np.array(shape, np.int32)), "_1": ("Int8", kind)}
        fields["_2"] = ("Uint32", len(self.buffers) - 1 if data is not None else 0)
        self.tensors.append(self.table(**fields, **({"_6": sparsity} if sparsity else {})))
        return len(self.tensors) - 1

    def weights(self, array, kind=np.float32):
        return self.tensor(array.shape, array.astype(kind))

    def operator(self, code, inputs, shape, **options):
        output = self.tensor(shape)
        self.codes.append(self.table(_0=("Int8", min(code, 127)), _3=("Int32", code)))
        fields = {
            "_0": ("Uint32", len(self.codes) - 1),
            "_1": self._vector(np.array(inputs, np.int32)),
            "_2": self._vector(np.array([output], np.int32)),
            "_4": self.table(**options),
        }
        self.operators.append(self.table(**fields))
        return output

    def written(self, inputs, outputs):
        ends = {
            f"_{k}": self._vector(np.array(e, np.int32)) for k, e in ((1, inputs), (2, outputs))
        }
        tensors, operators = self._tables(self.tensors), self._tables(self.operators)
        graph = self._tables([self.table(_0=tensors, **ends, _3=operators)])
        codes, buffers = self._tables(self.codes), self._tables(self.buffers)
        model = self.table(_0=("Uint32", 3), _1=codes, _2=graph, _4=buffers)
        self.builder.Finish(model, b"TFL3")
        return bytes(self.builder.Output())


def run(content, picture):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(tflite.to_onnx(content), options)
    return session.run(None, {session.get_inputs()[0].name: picture.transpose(0, 3, 1, 2)})


def convolved(x, kernel, bias, stride, pads):
    """(H, W, in) with (out, h, w, in); pads before and after, alike for both axes."""
    x = np.pad(x, (pads, pads, (0, 0)))
    h, w = kernel.shape[1:3]
    return np.array(
        [
            [
                (x[i : i + h, j : j + w] * kernel).sum((1, 2, 3)) + bias
                for j in range(0, x.shape[1] - w + 1, stride)
            ]
            for i in range(0, x.shape[0] - h + 1, stride)
        ]
    )


def tiny():
    """A network with every operator that is known, and its output by NumPy for a picture."""
    random = np.random.default_rng(0)
    picture = random.normal(size=(1, 8, 8, 3)).astype(np.float32)
    w1, b1 = random.normal(size=(4, 3, 3, 3)), random.normal(size=4)
    w2, b2 = random.normal(size=(1, 3, 3, 4)), random.normal(size=4)
    w3, b3 = random.normal(size=(1, 3, 3, 4)), random.normal(size=1)
    w4, b4 = random.normal(size=(4, 1, 1, 4)) * (random.random((4, 1, 1, 4)) < 0.5), np.zeros(4)
    w1, w4 = w1.astype(np.float16), w4.astype(np.float16)
    g = Graph()
    same, valid = {"_0": ("Int8", 0)}, {"_0": ("Int8", 1)}
    one, two = ({"_1": ("Int32", n), "_2": ("Int32", n)} for n in (1, 2))
    x = g.tensor((1, 8, 8, 3))
    kernel = g.operator(6, [g.weights(w1, np.float16)], w1.shape)  # DEQUANTIZE
    conv = g.operator(3, [x, kernel, g.weights(b1)], (1, 4, 4, 4), **same, **two, _3=("Int8", 3))
    a = np.clip(convolved(picture[0], w1.astype(float), b1, 2, (0, 1)), 0, 6)
    depthwise = g.operator(
        4, [conv, g.weights(w2), g.weights(b2)], (1, 4, 4, 4), **same, **one, _4=("Int8", 1)
    )
    each = [convolved(a[..., k : k + 1], w2[..., k : k + 1], b2[k], 1, (1, 1)) for k in range(4)]
    b = np.maximum(np.concatenate(each, -1), 0)
    added = g.operator(0, [conv, depthwise], (1, 4, 4, 4), _0=("Int8", 3))
    c = np.clip(a + b, 0, 6)
    nonzero = np.argwhere(w4[:, 0, 0, :])
    ends = np.cumsum([0, *[(nonzero[:, 0] == k).sum() for k in range(4)]])
    dense = [g.table(_0=("Int8", 0), _1=("Int32", n)) for n in (4, 1, 1)]
    listed = [g.table(_0=g._vector(v)) for v in (ends.astype(np.int32), nonzero[:, 1].astype("u1"))]
    sparse = g.table(_0=("Int8", 1), _2=("Uint8", 1), _3=listed[0], _4=("Uint8", 3), _5=listed[1])
    order = g._vector(np.arange(4, dtype=np.int32))
    folded = g.table(_0=order, _2=g._tables([*dense, sparse]))
    kernel = g.tensor(w4.shape, w4[w4 != 0], folded)
    kernel = g.operator(6, [g.operator(124, [kernel], w4.shape)], w4.shape)  # DENSIFY
    mixed = g.operator(3, [added, kernel, g.weights(b4)], (1, 4, 4, 4), **valid, **one)
    d = c @ w4[:, 0, 0].astype(float).T
    pooled = g.operator(17, [mixed], (1, 2, 2, 4), **valid, **two, _3=("Int32", 2), _4=("Int32", 2))
    e = d.reshape(2, 2, 2, 2, 4).max((1, 3))
    grown = g.operator(23, [pooled, g.weights(np.array([4, 4]), np.int32)], (1, 4, 4, 4),
                       _3=("Bool", True))  # fmt: skip
    line = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    f = np.einsum("ia,jb,abc->ijc", line, line, e)
    last = g.operator(3, [grown, g.weights(w3), g.weights(b3)], (1, 4, 4, 1), **same, **one)
    h = convolved(f, w3, b3, 1, (1, 1))
    sure = g.operator(14, [last], (1, 4, 4, 1))
    h = 1 / (1 + np.exp(-h))
    margins = g.weights(np.array([[0, 0], [1, 0], [0, 2], [0, 0]]), np.int32)
    padded = g.operator(34, [sure, margins], (1, 5, 6, 1))
    i = np.pad(h, ((1, 0), (0, 2), (0, 0)))
    opened = g.operator(5, [pooled], (1, 4, 4, 1), _0=("Int32", 2))
    k = e.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    flat = [
        g.operator(22, [source, g.weights(np.array([1, n, 1]), np.int32)], (1, n, 1))
        for source, n in ((padded, 30), (mixed, 64), (opened, 16))
    ]
    joined = g.operator(2, flat, (1, 110, 1), _0=("Int32", 1))
    expected = np.concatenate([i.ravel(), d.ravel(), k.ravel()])
    return g.written([x], [joined]), picture, expected


def test_every_operator_does_what_tflite_says():
    content, picture, expected = tiny()
    (found,) = run(content, picture)
    np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-3)


def test_damaged_networks_are_refused_or_read():
    content = tiny()[0]
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(
            content[: random.integers(8, len(content)) if random.random() < 0.2 else None]
        )
        for place in random.integers(0, len(damaged), 3):
            damaged[place] = random.integers(256)
        try:
            tflite.to_onnx(bytes(damaged))
        except ValueError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100
    with pytest.raises(ValueError, match="no TFLite network"):
        tflite.to_onnx(b"")


def test_what_is_not_known_is_named():
    g = Graph()
    x = g.tensor((1, 4, 4, 1))
    y = g.operator(99, [x], (1, 4, 4, 1))
    with pytest.raises(ValueError, match="operator 99"):
        tflite.to_onnx(g.written([x], [y]))
    g = Graph()
    x = g.tensor((1, 4, 4, 1))
    y = g.operator(0, [x, x], (1, 4, 4, 1), _0=("Int8", 4))
    with pytest.raises(ValueError, match="activation 4"):
        tflite.to_onnx(g.written([x], [y]))


def test_another_model_in_the_cache_is_refused_in_one_line(monkeypatch, tmp_path):
    """Whole, but with a network that cannot be read, or is for something else."""
    monkeypatch.setenv("DANCING_CACHE", str(tmp_path))
    path = tmp_path / pose_model.MODEL
    for content, says in ((b"no network", "no TFLite"), (tiny()[0], "not a network for 33")):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("pose_detector.tflite", content)
            file.writestr("pose_landmarks_detector.tflite", content)
        with pytest.raises(DancingError, match=says) as error:
            Landmarker(1, video=False)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
