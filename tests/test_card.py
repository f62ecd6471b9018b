"""Cards: what is read of older and foreign ones, and that nothing is lost when one is written."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from dancing import export
from dancing.bundle import _EMBEDDED, Bundle
from dancing.errors import DancingError
from dancing.evaluation.table import Estimate, Report, Row


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(_EMBEDDED / "ava", tmp_path / "ava")


def changed(folder, **entries):
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder


@pytest.mark.parametrize("name", ["ava", "kai", "leo", "mia"])
def test_shipped_cards_are_written_as_they_are(name):
    text = (_EMBEDDED / name / "card.json").read_text()
    assert json.loads(text) == Bundle(name).card.to_json()
    assert Bundle(name).card.reproducible is False and Bundle(name).card.remark


def test_a_card_of_format_1_has_a_history_of_one_step(folder):
    entry = json.loads((folder / "card.json").read_text())["image"]
    entry["training"] = {
        "command": "dancing train image /home/me/clips.h5", "clips": 32, "seconds": 387.8,
        "steps": 10904, "sources": ["19c6e99a1307cb8a"],
    }  # fmt: skip
    bundle = Bundle(changed(folder, format=1, image=entry))
    (step,) = bundle.stage("image").training
    assert (step.steps, step.minutes, step.note) == (10904, None, "32 clips, 387.8 seconds")
    assert bundle.stage("image").sources == {"19c6e99a1307cb8a"}
    assert "/home/me" not in json.dumps(bundle.card.to_json())


def test_what_is_not_known_is_written_back(folder):
    card = json.loads((folder / "card.json").read_text())
    card["image"] |= {"palette": [1, 2]}
    card["image"]["training"][0]["room"] = "studio"
    changed(folder, image=card["image"], motto="dance")
    row = Row("limbs", {"psnr": Estimate(27.0)}, [])
    report = Report("a table", {"command": "dancing evaluate"}, (), [row], [])
    report.save_to_card(Bundle(folder), "image", "limbs")
    again = json.loads((folder / "card.json").read_text())
    assert again["motto"] == "dance" and again["image"]["palette"] == [1, 2]
    assert again["image"]["training"][0]["room"] == "studio"
    assert again["figures"]["image"]["psnr"] == 27.0


def test_a_model_of_no_family_is_named(folder):
    entry = json.loads((folder / "card.json").read_text())["motion"] | {"model": "waltz"}
    with pytest.raises(DancingError, match="no motion model 'waltz'; there are flow, lstm-vae"):
        Bundle(changed(folder, motion=entry))


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("run", "run", 1),
        ("run:3", "run", 3),
        ("a:b:.5", "a:b", 0.5),
        (r"C:\runs\a", r"C:\runs\a", 1),
        (r"C:\runs\a:0.25", r"C:\runs\a", 0.25),
    ],
)
def test_only_a_number_is_a_weight(text, path, weight, monkeypatch):
    monkeypatch.setattr(export, "load_run", lambda run: SimpleNamespace(path=run))
    run = export._opened(text)
    assert (run.path, run.weight) == (Path(path), weight)
