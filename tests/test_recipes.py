"""The recipes of the shipped weights run from folders of data to bundles, on tiny data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dancing import music
from dancing.body.drawing import draw_skeleton
from dancing.bundle import Bundle
from media import clicks, write_wav
from puppet import a_dance
from videos import sine, write_video

RECIPES = Path(__file__).parent.parent / "recipes"


def films(folder, count, seed):
    """Videos of a puppet before a striped floor, with exact landmarks and mattes."""
    folder.mkdir(parents=True)
    floor = np.full((96, 54, 3), 60, np.uint8)
    floor[::8] = 90
    for i in range(count):
        poses, _ = a_dance(1.5, 90 + 10 * i, seed + i)
        frames, mattes = [], []
        for landmarks in poses.landmarks:
            frame = floor.copy()
            draw_skeleton(frame, landmarks)
            frames.append(frame)
            mattes.append(np.repeat((frame != floor).any(-1, keepdims=True) * np.uint8(255), 3, -1))
        # The hash of their names holds out air_4.
        write_video(folder / f"air_{i}.mp4", frames, sound=sine(1.5))
        write_video(folder / f"air_{i}_alpha.mp4", mattes)
        poses.save(folder / f"air_{i}.npz")


def run(recipe, *folders, work):
    scripts = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "WORK": str(work), "MINUTES_SCALE": "0.0003", "SIZE": "96", "BATCH_SIZE": "4",
        "EPOCHS": "1",
    }  # fmt: skip
    command = ["bash", RECIPES / recipe, *folders]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_recipes_run_from_data_to_bundles(tmp_path):
    for number, part in enumerate(("clips", "more", "mixed")):
        films(tmp_path / "videos" / part, 5, 10 * number)
    films(tmp_path / "kai", 5, 70)
    songs, dances = tmp_path / "songs", tmp_path / "dances"
    songs.mkdir()
    dances.mkdir()
    for i in range(5):
        write_wav(songs / f"air_{i}.wav", clicks(12, 90 + 10 * i))
        a_dance(12, 90 + 10 * i, i)[0].save(dances / f"air_{i}_0.npz")
    work = tmp_path / "work"
    run("ava.sh", tmp_path / "videos", songs, dances, work=work)
    run("kai.sh", tmp_path / "kai", work=work)

    run("warp.sh", tmp_path / "kai", work=work)
    first, last = Bundle(work / "warp").stage("image").training
    assert last.parents[0].weights == first.weights and last.config["lineless"] > 0

    ava, kai = Bundle(work / "ava"), Bundle(work / "kai")
    assert ava.has("motion") and ava.has("image") and not kai.has("motion")
    steps = ava.stage("image").training
    last = steps[-1]
    shares = [parent.share for parent in last.parents]
    np.testing.assert_allclose(shares, np.array([1, 1, 1, 0.3, 0.025]) / 3.325, atol=1e-5)
    known = {step.weights for step in steps}
    assert all(parent.weights in known for step in steps for parent in step.parents)
    kinds = [step.kind for step in steps]
    assert kinds.count("train") == 8 and kinds.count("mean") == 3
    assert str(tmp_path) not in json.dumps(ava.card.to_json())


def test_the_beat_tables_are_what_their_recipe_writes(tmp_path):
    """From songs with known beats, in the layout that the tracker reads."""
    songs = tmp_path / "songs"
    songs.mkdir()
    for bpm in (100, 120, 132):
        write_wav(songs / f"song_{bpm}.wav", clicks(20, bpm))
        beats = np.arange(0, 20, 60 / bpm).tolist()
        (songs / f"song_{bpm}.json").write_text(json.dumps({"beats": beats, "bpm": bpm}))
    tables = tmp_path / "tables.npz"
    command = [sys.executable, RECIPES / "beat_template.py", songs, "-o", tables]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shipped = np.load(Path(music.__file__).with_name("beat_template.npz"))
    made = np.load(tables)
    assert {name: made[name].shape for name in made} == {
        name: shipped[name].shape for name in shipped
    }
