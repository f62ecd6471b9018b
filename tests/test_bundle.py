"""Bundles of strangers: what is refused, in one line, before it costs memory or time; replacing."""

import hashlib
import json
import os
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from dancing import bundle as bundles
from dancing import files, onnx_check
from dancing.bundle import _EMBEDDED, CARD, Bundle, write_bundle
from dancing.errors import DancingError
from dancing.image.dancer import Dancer
from dancing.motion.choreographer import Choreographer
from dancing.onnx_check import Tensor, check

SIDE = 16
FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64


def model(nodes, constants=(), inputs=(("x", FLOAT, ["N", 3]),), outputs=(("y", FLOAT, ["N", 3]),)):
    """A model of nodes (operator, inputs, output, attributes)."""
    graph = helper.make_graph(
        [helper.make_node(name, taken, [made], **more) for name, taken, made, more in nodes],
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in dict(constants).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def small_bundle(folder, **models):
    """A bundle of the smallest models of the families `lstm-vae` and `dcgan`, or of these."""
    folder.mkdir()
    place = {"x": 0.5, "y": 0.6, "torso": 0.2, "aspect": 1.0}
    card = {
        "format": 2,
        "name": "small",
        "motion": {"model": "lstm-vae", "config": {"latent_dim": 4}, "window": 60},
        "image": {"model": "dcgan", "size": [SIDE, SIDE], "view": [0, 0, 1, 1]},
        "files": {},
    }
    for stage in ("motion", "image"):
        card[stage]["placement"] = place
        content = models.get(stage, MODELS[stage]).SerializeToString()
        (folder / f"{stage}.onnx").write_bytes(content)
        card["files"][f"{stage}.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / CARD).write_text(json.dumps(card))
    return folder


def image_model(*nodes, **constants):
    return model(
        nodes,
        constants,
        [("landmarks", FLOAT, ["N", 33, 2])],
        [("pictures", UINT8, ["N", "h", "w", 3])],
    )


def drawing(side):
    return image_model(
        ("Flatten", ["landmarks"], "flat", {}),
        ("MatMul", ["flat", "weights"], "row", {}),
        ("Reshape", ["row", "shape"], "plane", {}),
        ("Cast", ["plane"], "pictures", {"to": UINT8}),
        weights=np.full((66, side * side * 3), 2, np.float32),
        shape=np.array([-1, side, side, 3]),
    )


def moving(times):
    return model(
        [
            ("MatMul", ["mfcc", "weights"], "flat", {}),
            ("Reshape", ["flat", "shape"], "moves", {}),
            ("Mul", ["moves", "times"], "poses", {}),
        ],
        {
            "weights": np.ones((13, 66), np.float32),
            "shape": np.array([0, 0, 33, 2]),
            "times": np.float32(times),
        },
        [("mfcc", FLOAT, ["N", "T", 13]), ("noise", FLOAT, ["N", 4])],
        [("poses", FLOAT, ["N", "T", 33, 2])],
    )


MODELS = {"motion": moving(1e-4), "image": drawing(SIDE)}
POSES = np.random.default_rng(0).random((2, 33, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def ava(tmp_path_factory):
    return shutil.copytree(_EMBEDDED / "ava", tmp_path_factory.mktemp("copy") / "ava")


@pytest.fixture
def folder(ava, tmp_path):
    return shutil.copytree(ava, tmp_path / "ava", copy_function=os.link)


def put(folder, name, content, known=True):
    """Put a file in a bundle in place of another; its hash goes into the card, too."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_bytes(content)
    if known:
        change(folder, lambda card: card["files"].update({name: _hash(content)}))


def change(folder, how):
    card = json.loads((folder / CARD).read_text())
    how(card)
    put(folder, CARD, json.dumps(card).encode(), known=False)


def _hash(content):
    return hashlib.sha256(content).hexdigest()


def complaint(path):
    """In one line, what is said of a bundle when all of it is used."""
    with pytest.raises(DancingError) as caught:
        bundle = Bundle(path)
        Choreographer(bundle)
        Dancer(bundle)
        for name in bundle.card.files:
            bundle.file(name)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 600
    return text


# ---------------------------------------------------------------------------------------- files


def test_changed_missing_and_other_files(folder, tmp_path):
    put(folder, "image.onnx", b"not a model", known=False)
    assert "its hash is not the card's" in complaint(folder)
    put(folder, "image.onnx", b"not a model")
    assert "image.onnx is damaged" in complaint(folder)
    put(folder, "image.onnx", (folder / "motion.onnx").read_bytes())
    assert "takes context, mask, mfcc, point, time, not corners" in complaint(folder)
    (folder / "image.onnx").unlink()
    assert "has no image.onnx" in complaint(folder)
    (tmp_path / "bare").mkdir()
    assert "has no card.json" in complaint(tmp_path / "bare")
    (tmp_path / "no.zip").write_text("no zip")
    assert "folder or a zip" in complaint(tmp_path / "no.zip")
    assert "no dancer named" in complaint("\0")
    assert "no dancer named" in complaint("a" * 300)


def test_links_to_other_places_and_what_is_no_file(folder, tmp_path):
    outside = tmp_path / "plate.png"
    shutil.copy(folder / "plate.png", outside)
    for target in (outside, "/dev/zero"):
        (folder / "plate.png").unlink()
        (folder / "plate.png").symlink_to(target)
        assert "plate.png is a link to another place" in complaint(folder)
    (folder / "plate.png").unlink()
    os.link(outside, folder / "other.png")
    (folder / "plate.png").symlink_to("other.png")
    Dancer(folder)
    (folder / "plate.png").unlink()
    os.mkfifo(folder / "plate.png")
    assert "plate.png is a device or a pipe" in complaint(folder)
    os.mkfifo(tmp_path / "pipe")
    assert "folder or a zip" in complaint(tmp_path / "pipe")


def test_large_files_are_not_read(folder, monkeypatch):
    with (folder / "huge").open("wb") as file:
        file.truncate(2**40)
    change(folder, lambda card: card["files"].update({"huge": "0"}))
    monkeypatch.setattr(bundles, "MAX_FILE", 8 * 2**20)
    assert "huge is larger than 8 MiB" in complaint(folder)
    put(folder, CARD, b" " * (bundles.MAX_CARD + 1), known=False)
    assert "card.json is larger than 4 MiB" in complaint(folder)


def zipped(path, content, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, value in content:
            archive.writestr(name, value)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips_that_lie(ava, tmp_path):
    card = (CARD, (ava / CARD).read_bytes())
    path = tmp_path / "b.zip"
    zipped(path, [(CARD, b"[" + b"{}," * 1_400_000)])
    assert "card.json is larger than 4 MiB" in complaint(path)
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        zipped(path, [card], method)
        assert "another method than 'deflate'" in complaint(path)
    zipped(path, [card, card])
    assert "it is there twice" in complaint(path)
    zipped(path, [(f"ava/{CARD}", card[1])])
    assert "has no card.json" in complaint(path)
    zipped(path, [(f"{k}" * 30, b"") for k in range(9000)])
    assert "its directory is too large" in complaint(path)

    def with_header(place, value):
        """Change bytes of the directory's last entry, that of a file beside the card."""
        content = zipped(path, [card, ("a", b"1" * 99)]).read_bytes()
        at = content.rindex(b"PK\1\2") + place
        path.write_bytes(content[:at] + value + content[at + len(value) :])

    with_header(24, b"\xff\xff\xff\xf0")
    assert "all files have more than 1024 MiB" in complaint(path)
    with_header(46, b"\xff")  # the name, of which it says that it is UTF-8
    assert "has no motion.onnx" in complaint(path)
    encrypted = zipped(path, [card]).read_bytes()
    at = encrypted.rindex(b"PK\1\2") + 8
    path.write_bytes(encrypted[:at] + b"\1" + encrypted[at + 1 :])
    assert "encrypted" in complaint(path)


# ----------------------------------------------------------------------------------------- card


@pytest.mark.parametrize(
    ("says", "how"),
    [
        ("outside the bundle", lambda c: c["files"].update({"../song.wav": "0"})),
        ("outside the bundle", lambda c: c["files"].update({"..": "0"})),
        ("outside the bundle", lambda c: c["files"].update({"/etc/passwd": "0"})),
        ("outside the bundle", lambda c: c["files"].update({"\0": "0"})),
        ("outside the bundle", lambda c: c["files"].update({"a\\b": "0"})),
        ("more than 100 files", lambda c: c["files"].update({str(k): "0" for k in range(101)})),
        ("surrogates", lambda c: c["files"].update({"\ud800": "0"})),
        ("surrogates", lambda c: c.update(motto=["\ud800"])),
        ("levels", lambda c: c.update(motto=json.loads("[" * 60 + "]" * 60))),
        ("'image'", lambda c: c["image"].update(view=[0, 0, 10**400, 1])),
        ("'image'", lambda c: c["image"].update(view=[0, 0, 0, float("inf")])),
        ("'image'", lambda c: c["image"].update(view=[0, 0, 1e-9, 1])),
        ("'image'", lambda c: c["image"].update(size="ab")),
        ("no image model", lambda c: c["image"].update(model="\n" + "a" * 9999)),
        ("longer than", lambda c: c["image"].update(size=[4096, 16])),
        ("'image'", lambda c: c["image"].update(margin=[1, 2, 3])),
        ("'image'", lambda c: c["image"].update(margin=[0, 0, 0, 4096])),
        ("'image'", lambda c: c["image"].update(placement=[1, 2])),
        ("window is 2", lambda c: c["motion"].update(window=2)),
        ("window is 20", lambda c: c["motion"].update(window=20)),
        ("mfcc_std", lambda c: c["motion"]["music"].update(mfcc_std=[0.0] * 13)),
        ("std", lambda c: c["motion"].update(std=[1e6] * 101)),
        ("bones", lambda c: c["motion"]["body"]["bones"].__setitem__(3, 0.0)),
        ("focal", lambda c: c["motion"]["body"].update(focal=0)),
    ],
)
def test_cards(folder, says, how):
    change(folder, how)
    assert says in complaint(folder)


def test_a_plate_is_a_png_of_the_cards_size(folder):
    for content in (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"\x89PNG\r\n\x1a\n"):
        put(folder, "plate.png", content)
        assert "plate.png is not a picture" in complaint(folder)
    plate = (_EMBEDDED / "ava" / "plate.png").read_bytes()
    # After the header's chunk of 25 bytes.
    put(folder, "plate.png", plate[:33] + b"\0\0\0\1iCCPx1234" + plate[33:])
    assert "more than a picture (iCCP)" in complaint(folder)
    put(folder, "plate.png", plate)
    change(folder, lambda card: card["image"].update(size=[358, 640]))
    assert "of the card's size" in complaint(folder)


# ----------------------------------------------------------------------------------------- ONNX

X = {"x": Tensor("float32", ("N", 3))}
Y = {"y": Tensor("float32", ("N", 3))}
IDENTITY = ("Identity", ["x"], "y", {})


def elsewhere(made):
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "notes.txt"


def unnamed_data(made):
    made.graph.initializer[0].dims[:] = [2**40]


def without_shape(made):
    made.graph.output[0].type.tensor_type.ClearField("shape")


def a_function(made):
    made.functions.add().name = "f"


def sparse(made):
    made.graph.sparse_initializer.add().dims.append(3)


def with_a_graph():
    body = helper.make_graph([], "body", [], [])
    return ("Identity", ["x"], "y", {"body": body})


NUMBERS = {"a": np.zeros(3000, np.float32), "n": np.array(2**62), "one": np.array([2**31])}


@pytest.mark.parametrize(
    ("says", "nodes", "how"),
    [
        ("no model of ours has", [("Loop", ["n"], "y", {})], None),
        ("no model of ours has", [("Gemm", ["x", "x"], "y", {"domain": "evil"})], None),
        ("parts that no model of ours has", [with_a_graph()], None),
        ("parts that no model of ours has", [IDENTITY], a_function),
        ("parts that no model of ours has", [IDENTITY], sparse),
        ("in another file", [IDENTITY], elsewhere),
        ("larger than its content", [IDENTITY], unnamed_data),
        ("returns y as float32 ()", [IDENTITY], without_shape),
        ("out of order", [("Add", ["x", "later"], "y", {}), ("Exp", ["x"], "later", {})], None),
        ("out of order", [("Exp", ["x"], "x", {})], None),
        ("large tensors", [("Range", ["n", "n", "n"], "b", {}), IDENTITY], None),
        ("large tensors", [("Expand", ["a", "one"], "b", {}), IDENTITY], None),
        ("large tensors", [("MatMul", ["a", "a"], "b", {}), IDENTITY], None),
        ("numbers", [("ConstantOfShape", ["one"], f"{k}", {}) for k in range(20)], None),
        ("more than 64 pixels", [("Conv", ["x", "a"], "y", {"kernel_shape": [9, 65]})], None),
        ("more than 25 operators", [("Exp", ["x"], str(k), {}) for k in range(26)], None),
    ],
)
def test_onnx_files(says, nodes, how, monkeypatch):
    monkeypatch.setattr(onnx_check, "MAX_OPERATORS", 25)
    made = model(nodes, NUMBERS)
    if how:
        how(made)
    with pytest.raises(ValueError, match=says.replace("(", r"\(").replace(")", r"\)")):
        check(made.SerializeToString(), X, Y)


def test_onnx_inputs_and_outputs_are_those_of_the_card():
    content = model([IDENTITY]).SerializeToString()
    check(content, X, Y)
    check(content, {"x": Tensor("float32", (7, 3))}, Y)
    for inputs, outputs in (
        ({}, Y),
        (X, {**Y, "z": Y["y"]}),
        ({"x": Tensor("int64", ("N", 3))}, Y),
        (X, {"y": Tensor("float32", ("N", 4))}),
        (X, {"y": Tensor("float32", ("N", 3, 1))}),
    ):
        with pytest.raises(ValueError, match=r"takes|returns"):
            check(content, inputs, outputs)


def test_damaged_onnx_files_are_refused_or_whole():
    """Whatever is changed, the check says so, or finds nothing that matters."""
    good = MODELS["image"].SerializeToString()[:400]
    random = np.random.default_rng(0)
    for length in range(0, len(good), 7):
        with pytest.raises(ValueError):
            check(good[:length], X, Y)
    for _ in range(300):
        damaged = bytearray(good)
        for at in random.integers(0, len(good), 3):
            damaged[at] = random.integers(256)
        with pytest.raises(ValueError):
            check(bytes(damaged), X, Y)


# --------------------------------------------------------------------------------- models at work


def drawn(path):
    return Bundle(path).run("image", {"landmarks": POSES})


def test_small_models_work(tmp_path):
    bundle = Bundle(small_bundle(tmp_path / "b"))
    (pictures,) = bundle.run("image", {"landmarks": POSES})
    assert pictures.shape == (2, SIDE, SIDE, 3) and pictures.dtype == np.uint8
    mfcc, noise = np.ones((1, 60, 13), np.float32), np.ones((1, 4), np.float32)
    (poses,) = bundle.run("motion", {"mfcc": mfcc, "noise": noise})
    np.testing.assert_allclose(poses, np.full((1, 60, 33, 2), 13e-4), rtol=1e-6)
    assert Bundle("ava").motion.get_session_options().intra_op_num_threads == 1


def test_what_a_model_returns_is_checked(tmp_path):
    smaller = small_bundle(tmp_path / "smaller", image=drawing(8))
    assert drawn(smaller)[0].shape == (2, 8, 8, 3), "pictures are scaled to the card's size"
    for side in (3, 5000):
        strange = drawing(8)
        strange.graph.initializer[1].CopyFrom(
            numpy_helper.from_array(np.array([2, 1, side, 3]), "shape")
        )
        cut = numpy_helper.from_array(np.full((66, side * 3), 2, np.float32), "weights")
        strange.graph.initializer[0].CopyFrom(cut)
        with pytest.raises(DancingError, match="pictures of shape"):
            drawn(small_bundle(tmp_path / f"strange {side}", image=strange))
    mfcc, noise = np.ones((1, 60, 13), np.float32), np.ones((1, 4), np.float32)
    for name, times in (("nan", np.nan), ("far", 1e20)):
        bundle = Bundle(small_bundle(tmp_path / name, motion=moving(times)))
        with pytest.raises(DancingError, match="poses with numbers that are not finite"):
            bundle.run("motion", {"mfcc": mfcc, "noise": noise})


def test_a_model_that_takes_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_SECONDS", 0.2)
    turns = [("MatMul", [f"{k}", f"{k}"], f"{k + 1}", {}) for k in range(500)]
    endless = image_model(
        ("ReduceMean", ["landmarks"], "mean", {"keepdims": 0}),
        ("Expand", ["mean", "square"], "0", {}),
        *turns,
        ("Reshape", ["500", "shape"], "plane", {}),
        ("Cast", ["plane"], "pictures", {"to": UINT8}),
        square=np.array([768, 768]),
        shape=np.array([-1, SIDE, SIDE, 3]),
    )
    with pytest.raises(DancingError, match="image model took longer than"):
        drawn(small_bundle(tmp_path / "b", image=endless))


def test_a_model_that_wants_much_memory_gets_none(tmp_path, capfd):
    greedy = image_model(
        ("ReduceMean", ["landmarks"], "mean", {"keepdims": 0}),
        ("Expand", ["mean", "size"], "all", {}),
        ("Reshape", ["all", "shape"], "plane", {}),
        ("Cast", ["plane"], "pictures", {"to": UINT8}),
        size=np.array([bundles.MAX_MEMORY // 4 // 768 * 768 + 768]),
        shape=np.array([-1, SIDE, SIDE, 3]),
    )
    with pytest.raises(DancingError, match="image model failed"):
        drawn(small_bundle(tmp_path / "b", image=greedy))
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------------------------- replacing


def test_replacing_leaves_no_moment_without_a_bundle(tmp_path):
    place = tmp_path / "b"
    write_bundle({CARD: b"0"}, place)
    missed, done = [], threading.Event()

    def look():
        while not done.is_set():
            if not (place / CARD).exists():
                missed.append(1)

    thread = threading.Thread(target=look)
    thread.start()
    for turn in range(50):
        write_bundle({CARD: str(turn).encode()}, place)
    done.set()
    thread.join()
    assert not missed and (place / CARD).read_text() == "49"
    assert list(tmp_path.iterdir()) == [place]


def test_where_names_cannot_be_exchanged_the_old_bundle_comes_back(ava, tmp_path, monkeypatch):
    place = shutil.copytree(ava, tmp_path / "b", copy_function=os.link)
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)

    class Killed(BaseException):
        pass

    def replace(path, target, real=Path.replace):
        if Path(target) == place:
            raise Killed
        return real(path, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", replace)
        write_bundle({CARD: b"new"}, place)
    assert not place.exists()
    assert Bundle(place).name == "ava"
    write_bundle({CARD: b"new"}, place)
    assert (place / CARD).read_bytes() == b"new" and list(tmp_path.iterdir()) == [place]


def test_a_link_to_a_bundle_stays_a_link(tmp_path):
    write_bundle({CARD: b"0"}, tmp_path / "b")
    (tmp_path / "link").symlink_to("b")
    write_bundle({CARD: b"1"}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "b" / CARD).read_bytes() == b"1"
