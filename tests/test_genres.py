"""Genres of dance and the form of songs: from what is learned to what is asked for."""

import numpy as np
import pytest

from dancing.body import kinematics
from dancing.body.poses import PoseSequence
from dancing.bundle import Bundle
from dancing.data.dataset import Dataset, DatasetWriter
from dancing.errors import DancingError
from dancing.motion.choreographer import Choreographer, parts_of
from dancing.motion.flow.data import Phrases
from dancing.motion.flow.features import CONTEXT
from dancing.motion.flow.network import Config
from dancing.motion.flow.pulse import pulse
from dancing.motion.flow.runtime import GUIDANCE, Runtime
from dancing.music.counts import Counts, count
from dancing.music.genre import genre_of, song_features
from dancing.music.song import load_song
from dancing.music.structure import form_of
from media import clicks, command, write_wav
from puppet import a_dance

TINY = (
    "--device", "cpu", "--batch-size", 128, "--epochs", 1, "--set", "counts=16",
    "--set", "components=40", "--set", "width=32", "--set", "depth=1", "--set", "heads=2",
    "--set", "least_epoch=1024",
)  # fmt: skip


def test_what_is_asked_for_is_read():
    assert parts_of("auto") is None and parts_of("House") == {"house": 1.0}
    assert parts_of("hiphop:0.7, latin:0.3") == {"hiphop": 0.7, "latin": 0.3}
    for wrong in ("", "house:", "house:0", "house:-1", "house:nan", ":1", "a,,b"):
        with pytest.raises(DancingError, match="name one, such as 'house'"):
            parts_of(wrong)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A puppet that waves fast in one genre, and one that does in no other way but slowly."""
    folder = tmp_path_factory.mktemp("genres")
    poses_of, songs = folder / "poses", folder / "songs"
    poses_of.mkdir()
    songs.mkdir()
    for i in range(8):
        tempo = 90 + 6 * i
        write_wav(songs / f"air_{i}.wav", clicks(20, tempo))
        poses, _ = a_dance(20, tempo, i)
        np.savez(
            poses_of / f"dance_air_{i}.npz", landmarks=poses.landmarks, world=poses.world,
            fps=poses.fps, beats=poses.beats, genre="polka" if i % 2 else "tango",
        )  # fmt: skip
    command("prepare", poses_of, "--songs", songs, "-o", folder / "data.h5")
    command("train", "motion", folder / "data.h5", "-o", folder / "run", *TINY)
    command("export", folder / "run", "-o", folder / "me")
    return folder


def test_genres_go_from_pose_files_to_the_card(trained):
    with Dataset(trained / "data.h5") as data:
        assert sorted({clip.genre for clip in data}) == ["polka", "tango"]
    card = Bundle(trained / "me").stage("motion")
    assert card.genres == ("polka", "tango") and len(card.genre_vigour) == 2
    assert card.genre == "auto" and card.body.floor == pytest.approx(0.91, abs=0.03)
    assert Choreographer(trained / "me").genres == ("polka", "tango")


def test_another_genre_is_another_dance_and_an_unknown_one_is_refused(trained, tmp_path):
    song = write_wav(tmp_path / "song.wav", clicks(6, 120))
    options = ("--motion", trained / "me", "--as-is")
    dances = {}
    for genre in ("auto", "polka", "tango", "polka:0.5,tango:0.5"):
        command("generate", song, "-o", tmp_path / "d.npz", *options, "--genre", genre)
        dances[genre] = PoseSequence.load(tmp_path / "d.npz").landmarks
    # Its song is of neither, so that 'auto' asks for none.
    assert len({dance.tobytes() for dance in dances.values()}) == 4
    for genre, said in (("waltz", "knows polka, tango"), ("a:b", "name one")):
        done = command(
            "generate", song, "-o", tmp_path / "no.npz", *options, "--genre", genre, ok=False
        )
        assert said in " ".join((done.stdout + done.stderr).split())
        assert not (tmp_path / "no.npz").exists()


def test_what_is_learned_further_without_a_genre_dances_without_one(trained, tmp_path):
    with DatasetWriter(tmp_path / "own.h5") as writer:
        poses, mfcc = a_dance(20, 100, 77)
        writer.clip("own", poses, mfcc=mfcc, source="own.mp4")
    command(
        "train", "motion", tmp_path / "own.h5", "-o", tmp_path / "run", "--device", "cpu",
        "--epochs", 1, "--from", trained / "me", "--set", "least_epoch=64",
    )  # fmt: skip
    command("export", tmp_path / "run", "-o", tmp_path / "own")
    card = Bundle(tmp_path / "own").stage("motion")
    assert card.genre == "own" and card.genres == ("polka", "tango")


def test_dances_without_music_are_counted_by_their_steps_and_go_with_any(tmp_path):
    with DatasetWriter(tmp_path / "data.h5") as writer:
        poses, mfcc = a_dance(20, 100, 0)
        writer.clip("heard", poses, mfcc=mfcc, downbeats=poses.beats[::4])
        poses, _ = a_dance(20, 118, 1)
        writer.clip("silent", PoseSequence(poses.landmarks, poses.fps, world=poses.world))
    with Dataset(tmp_path / "data.h5") as data:
        config = Config(counts=8, borrowed_probability=1, unheard_probability=0, least_epoch=1)
        phrases = Phrases(list(data), config, augment=True)
        silent = [d for d in phrases._dances if not d["heard"]]
        assert len(phrases._dances) == 2 and len(silent) == 1
        assert np.exp(np.median(silent[0]["tempo"])) * 100 == pytest.approx(118, rel=0.03)
        for window in (phrases[0], phrases[len(phrases) - 1]):
            assert window["context"][:, 8].eq(1).all() and window["mfcc"].abs().sum() > 0


@pytest.mark.parametrize("tempo", [80, 97, 113, 140])
def test_the_pulse_of_a_walk_is_that_of_its_steps(tempo, tmp_path):
    poses, _ = a_dance(20, tempo, 0)
    still = np.repeat(poses.landmarks[:1], 300, 0)
    with DatasetWriter(tmp_path / "data.h5") as writer:
        writer.clip("walk", PoseSequence(poses.landmarks, poses.fps, world=poses.world))
        writer.clip("statue", PoseSequence(still, poses.fps))
    with Dataset(tmp_path / "data.h5") as data:
        clips = {clip.name: clip for clip in data}
        counts = pulse(clips["walk"])
        assert not len(pulse(clips["statue"]))
    assert 60 / np.median(np.diff(counts)) == pytest.approx(tempo, rel=0.03)
    away = np.abs(poses.beats[:, None] - counts).min(1)
    assert np.median(away) < 0.06


def song_of_sections(order, counts_each, tempo=120.0):
    """MFCC whose sections differ, in an order of letters, and their counts."""
    random = np.random.default_rng(0)
    seconds = 60 / tempo
    sounds = {letter: 20 * random.standard_normal((16, 13)) for letter in set(order)}
    rows = []
    for letter in order:
        n = round(counts_each * seconds * 30)
        rows.append(sounds[letter][np.arange(n) % 16] + random.normal(0, 2, (n, 13)))
    mfcc = np.concatenate(rows)
    duration = len(mfcc) / 30
    beats = np.arange(0, duration, seconds)
    return mfcc, count(beats, beats[::4], duration)


def test_a_section_that_returns_brings_its_phrases_back():
    mfcc, counts = song_of_sections("ABACA", 32)
    form = form_of(mfcc, counts)
    back, first = form.returning, form.first
    begin = round((counts.positions(np.zeros(1))[0] - first) / 8)
    assert counts.phase[first] == 0
    assert {begin + 4 * k for k in range(1, 5)} <= set(form.sections)
    assert (counts.phase[form.turns] == 0).all()
    whole = back[begin : begin + 20]
    np.testing.assert_array_equal(whole[:8], -1)
    np.testing.assert_array_equal(whole[12:16], -1)
    for section in (8, 16):
        found = whole[section : section + 4]
        assert (found >= 0).sum() >= 3
        assert set(found - begin) <= set(range(-1, 4)) | set(range(8, 12)) | {-1 - begin}


def test_a_loop_brings_nothing_back():
    mfcc, counts = song_of_sections("AAAA", 32)
    assert (form_of(mfcc, counts).returning < 0).all()
    few = Counts(np.arange(12.0), np.arange(12) % 8, True)
    assert (form_of(mfcc, few).returning < 0).all()


def test_the_features_of_a_rhythm_forget_loudness_and_keep_tempo(tmp_path):
    song = load_song(write_wav(tmp_path / "a.wav", clicks(16, 100)))
    quiet = load_song(write_wav(tmp_path / "b.wav", 0.3 * clicks(16, 100)))
    one, other = (song_features(s.mfcc, s.beats, s.downbeats) for s in (song, quiet))
    np.testing.assert_allclose(one, other, atol=0.2)
    assert one[-1] == pytest.approx(np.log(song.tempo / 100), abs=0.03)
    assert genre_of(song) in ("funk", "hiphop", "house", "latin", "pop", "retro", "robot")
    silence = load_song(write_wav(tmp_path / "c.wav", np.zeros(22050 * 4)))
    assert genre_of(silence) == "modern"


def test_prepare_says_the_genre_of_what_does_not_name_its_own(tmp_path):
    poses, _ = a_dance(3, 100, 0)
    for name, own in (("a", {"genre": "waltz"}), ("b", {})):
        np.savez(tmp_path / f"{name}.npz", landmarks=poses.landmarks, fps=poses.fps, **own)
    command("prepare", tmp_path, "-o", tmp_path / "data.h5", "--genre", "polka")
    with Dataset(tmp_path / "data.h5") as data:
        assert {clip.name: clip.genre for clip in data} == {"a": "waltz", "b": "polka"}


def test_a_genre_is_danced_more_clearly_than_it_was_learned(trained):
    """And without one, the model is asked once."""
    card = Bundle(trained / "me").stage("motion")
    asked = []

    def run(inputs):
        asked.append(inputs["context"])
        total = inputs["context"][..., CONTEXT:].sum(-1, keepdims=True)
        return [np.repeat(1 + total, kinematics.CHANNELS, -1)]

    runtime = Runtime(run, card)
    shape = (card.window, kinematics.CHANNELS)
    conditions = {
        "mask": np.zeros((1, *shape), np.float32),
        "mfcc": np.zeros((1, card.window, 13), np.float32),
        "context": np.zeros((1, card.window, CONTEXT + 2), np.float32),
    }
    point = np.zeros(shape, np.float32)
    np.testing.assert_array_equal(runtime._guess(point, 0.5, conditions), 1)
    assert asked[0].shape[0] == 1
    conditions["context"][..., -1] = 1
    np.testing.assert_allclose(runtime._guess(point, 0.5, conditions), 1 + GUIDANCE)
    assert asked[1].shape[0] == 2 and not asked[1][1, :, CONTEXT:].any()
