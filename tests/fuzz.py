"""The worker of test_fuzz: reads broken files one after the other, within limits.

Started as a program: `fuzz.py KIND FOLDER FIRST COUNT`. FOLDER/whole has files of the kind; each
case is one of them, broken as its number says. Prints a line of JSON a case: its number, file,
seconds, and what came of it: 'ok', 'refused', or what should not have happened.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np

from dancing.errors import DancingError
from dancing.listener import Silent

SECONDS = 20
MEMORY = 3 << 30
_NUMBERS = (
    0,
    1,
    2**7,
    2**8 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)


def broken(content: bytes, random: np.random.Generator) -> bytes:
    """Content, changed in one of the ways in which files break or are made to."""
    data = bytearray(content)
    for _ in range(random.integers(1, 4)):
        # Headers are what readers believe.
        at = int(random.integers(0, min(len(data), 400) if random.random() < 0.6 else len(data)))
        way = random.integers(0, 7)
        if way == 0:
            data[at] ^= 1 << int(random.integers(0, 8))
        elif way == 1:
            size = int(random.choice([1, 2, 4, 8]))
            order = "little" if random.random() < 0.5 else "big"
            number = int(random.choice(np.array(_NUMBERS, object))) % 2 ** (8 * size)
            data[at : at + size] = number.to_bytes(size, order)
        elif way == 2:
            del data[max(1, int(random.integers(1, len(data)))) :]
        elif way == 3:
            del data[at : at + int(random.integers(1, 200))]
        elif way == 4:
            part = data[at : at + int(random.integers(1, 2000))]
            data[at:at] = part
        elif way == 5:
            data[at : at + 16] = random.bytes(16)
        else:  # numbers and words of text files
            digits = [i for i, byte in enumerate(data) if byte in b"0123456789"]
            if digits:
                at = int(random.choice(digits))
                words = (b"nan", b"null", b"-1", b"1e400", b"[]", b'"', b"9" * 400, b"\xff", b"{}")
                data[at : at + 1] = words[int(random.integers(0, len(words)))]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def read_sound(path: Path, out: Path) -> None:
    from dancing.music.song import load_song

    load_song(path, 0.0, 3.0, Silent())
    load_song(path, 1.0, 1.0, Silent())


def read_video(path: Path, out: Path) -> None:
    from dancing.media.video import probe, read_frames

    probe(path)
    for _ in islice(read_frames(path, height=64, listener=Silent()), 90):
        pass


def read_picture(path: Path, out: Path) -> None:
    from dancing.image.background import Background

    next(Background(path, Silent()).frames(64, 96))


def read_poses(path: Path, out: Path) -> None:
    from dancing.pipeline import generate

    generate(None, out / "poses.json", poses_from=path, duration=1.0, listener=Silent())


def read_dataset(path: Path, out: Path) -> None:
    from dancing import inspection
    from dancing.data.dataset import Dataset

    inspection.describe(path)
    with Dataset(path) as data:
        for clip in data:
            clip.features_at_poses()
            for number in range(clip.n_pictures):
                clip.frames[number]


def read_bundle(path: Path, out: Path) -> None:
    from dancing.pipeline import generate

    generate(EXAMPLE, out / "poses.npz", dancer=path, duration=0.5, listener=Silent())


READERS = {
    "sound": read_sound,
    "video": read_video,
    "picture": read_picture,
    "poses": read_poses,
    "dataset": read_dataset,
    "bundle": read_bundle,
}


def case(kind: str, files: list[Path], folder: Path, number: int) -> dict:
    """Break a file, read it, and say what came of it."""
    random = np.random.default_rng(number)
    whole = files[number % len(files)]
    work = folder / "case"
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True)
    path = work / whole.name
    if kind == "bundle":
        break_bundle(whole, path, random)
    else:
        path.write_bytes(broken(whole.read_bytes(), random))
    before = {entry.name for entry in work.iterdir()}
    began = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        READERS[kind](path, work / "out")
        outcome = "ok"
    except DancingError as error:
        outcome = "refused" if "\n" not in str(error) else f"lines: {error}"
        if left := [entry.name for entry in (work / "out").iterdir()]:
            outcome = f"left behind: {left}"
    except BaseException as error:  # whatever it is: nothing else may come of a broken file
        outcome = f"{type(error).__name__}: {error}"
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if {entry.name for entry in work.iterdir()} != before:
        outcome = f"written beside the input: {sorted(entry.name for entry in work.iterdir())}"
    seconds = round(time.process_time() - began, 1)
    return {"case": number, "file": whole.name, "seconds": seconds, "outcome": outcome[:300]}


def break_bundle(whole: Path, path: Path, random: np.random.Generator) -> None:
    """A bundle whose card, files or archive are broken; half of the time the hashes still hold."""
    import hashlib

    with zipfile.ZipFile(whole) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    name = str(random.choice(sorted(contents)))
    if random.random() < 0.15:
        path.write_bytes(broken(whole.read_bytes(), random))
        return
    contents[name] = broken(contents[name], random)
    if name != "card.json" and random.random() < 0.7:
        card = json.loads(contents["card.json"])
        card["files"][name] = hashlib.sha256(contents[name]).hexdigest()
        contents["card.json"] = json.dumps(card).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def too_long(*_: object) -> None:
    raise TimeoutError(f"{SECONDS} s")


EXAMPLE = Path(__file__).parent.parent / "examples" / "song.ogg"

if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    first, count = map(int, sys.argv[3:])
    os.environ["HOME"] = str(folder / "home")
    signal.signal(signal.SIGVTALRM, too_long)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    whole_files = sorted((folder / "whole").iterdir())
    for number in range(first, first + count):
        print(json.dumps({"case": number}), flush=True)
        print(json.dumps(case(kind, whole_files, folder, number)), flush=True)
