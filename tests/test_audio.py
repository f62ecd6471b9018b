"""Decoding of every format, its errors, and MFCC against librosa."""

from __future__ import annotations

import os
import struct
import warnings
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dancing.errors import DancingError
from dancing.media import SAMPLE_RATE
from dancing.media import sound as sound_module
from dancing.media.sound import decode_blocks, decode_stereo, load_audio
from dancing.media.video import VideoWriter
from dancing.music import mfcc as mfcc_module
from dancing.music.mfcc import HOP_LENGTH, mfcc
from dancing.music.song import load_song
from media import Recorder

CLICKS = (0.5, 2.0, 3.0)  # seconds


def clicks(rate: int, seconds: float = 4.0) -> np.ndarray:
    """(N,) float32: short 1 kHz bursts at CLICKS."""
    sound = np.zeros(int(rate * seconds), np.float32)
    time = np.arange(int(0.03 * rate)) / rate
    burst = 0.8 * np.sin(2 * np.pi * 1000 * time) * np.exp(-time / 0.008)
    for click in CLICKS:
        begin = int(click * rate)
        sound[begin : begin + len(burst)] += burst
    return sound


def write(
    path: Path,
    channels: np.ndarray,
    codec: str,
    rate: int = 44100,
    layout: str = "stereo",
    picture: bool = False,
    sound: bool = True,
    bit_rate: int = 128_000,
    **options: str,
) -> Path:
    """Encode (C, N) float32; `picture` adds 30 fps of black; options of the container."""
    with av.open(str(path), "w", options=options) as out:
        if picture:
            video = out.add_stream("mpeg4", rate=30)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        if sound:
            stream = out.add_stream(codec, rate=rate, layout=layout)
            stream.bit_rate = bit_rate
        if picture:
            black = np.zeros((64, 64, 3), np.uint8)
            for _ in range(round(channels.shape[1] / rate * 30)):
                out.mux(video.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
            out.mux(video.encode(None))
        if sound:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(channels, np.float32), format="fltp", layout=layout
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            context = stream.codec_context
            fit = av.AudioResampler(context.format, layout, rate, context.frame_size or 1024)
            for part in fit.resample(frame) + fit.resample(None):
                out.mux(stream.encode(part))
            out.mux(stream.encode(None))
    return path


def onset(sound: np.ndarray) -> float:
    """Seconds until the first sample above a tenth of the peak."""
    level = np.abs(sound)
    return np.flatnonzero(level > 0.1 * level.max())[0] / SAMPLE_RATE


FORMATS = {
    "8bit.wav": ("pcm_u8", 44100, "stereo"),
    "16bit.wav": ("pcm_s16le", 44100, "stereo"),
    "24bit.wav": ("pcm_s24le", 44100, "stereo"),
    "32bit.wav": ("pcm_s32le", 44100, "stereo"),
    "float.wav": ("pcm_f32le", 44100, "stereo"),
    "double.wav": ("pcm_f64le", 44100, "stereo"),
    "phone.wav": ("pcm_s16le", 8000, "mono"),
    "studio.wav": ("pcm_s32le", 192000, "stereo"),
    "three.wav": ("pcm_s16le", 44100, "2.1"),
    "surround.m4a": ("aac", 48000, "5.1"),
    "song.mp3": ("libmp3lame", 44100, "stereo"),
    "mono.mp3": ("libmp3lame", 22050, "mono"),
    "song.m4a": ("aac", 44100, "stereo"),
    "song.ogg": ("libopus", 48000, "stereo"),
    "song.opus": ("libopus", 48000, "stereo"),
    "song.flac": ("flac", 44100, "stereo"),
    "video.mp4": ("aac", 44100, "stereo"),
    "video.mkv": ("libopus", 48000, "stereo"),
    "video.mov": ("pcm_s16le", 48000, "stereo"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_sound_is_at_its_time_in_every_format(tmp_path: Path, name: str) -> None:
    codec, rate, layout = FORMATS[name]
    count = av.AudioLayout(layout).nb_channels
    path = write(
        tmp_path / name,
        np.tile(clicks(rate), (count, 1)),
        codec,
        rate,
        layout,
        picture=name.startswith("video"),
    )
    sound = load_audio(path)
    assert sound.dtype == np.float32 and sound.ndim == 1
    assert len(sound) / SAMPLE_RATE == pytest.approx(4.0, abs=0.04)
    assert 0.5 < np.abs(sound).max() < 0.95
    assert onset(sound) == pytest.approx(CLICKS[0], abs=0.005)
    late = load_audio(path, start=1.9)
    assert onset(late) == pytest.approx(0.1, abs=0.005)
    assert len(late) / SAMPLE_RATE == pytest.approx(2.1, abs=0.04)
    assert onset(load_audio(path, start=2.95, duration=0.5)) == pytest.approx(0.05, abs=0.005)
    assert len(load_audio(path, start=2.95, duration=0.5)) == SAMPLE_RATE // 2


def test_start_is_exact_to_a_sample(tmp_path: Path) -> None:
    ramp = np.linspace(-0.9, 0.9, 5 * SAMPLE_RATE, dtype=np.float32)
    path = write(tmp_path / "ramp.wav", ramp[None], "pcm_f32le", SAMPLE_RATE, "mono")
    np.testing.assert_array_equal(load_audio(path), ramp)
    begin = 3 * SAMPLE_RATE + 7
    late = load_audio(path, start=begin / SAMPLE_RATE, duration=0.25)
    np.testing.assert_array_equal(late, ramp[begin : begin + round(0.25 * SAMPLE_RATE)])
    assert len(load_audio(path, start=9)) == 0
    assert len(load_audio(path, start=5 - 0.2 / SAMPLE_RATE)) == 0  # less than a sample is left


def test_blocks_are_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "song.mp3", np.tile(clicks(44100), (2, 1)), "libmp3lame")
    blocks = list(decode_blocks(path))
    assert len(blocks) > 10 and max(map(len, blocks)) < SAMPLE_RATE
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(path))


def test_sound_that_begins_after_the_picture_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    rate = 48000
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=30)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        stream = out.add_stream("pcm_s16le", rate=rate, layout="mono")
        black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for i in range(90):
            black.pts = i
            out.mux(video.encode(black))
        out.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.full((1, rate), 9000, np.int16), "s16", "mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), rate // 2
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert onset(load_audio(path)) == pytest.approx(0.5, abs=0.005)
    assert onset(load_audio(path, start=0.4)) == pytest.approx(0.1, abs=0.005)


def test_absurd_samples_are_clipped(tmp_path: Path) -> None:
    values = np.array([1e25, -1e25, np.inf, np.nan, 0.5] * 4410, np.float64)[None]
    path = tmp_path / "absurd.wav"
    for codec, kind, loud in (("pcm_f32le", "flt", 1e25), ("pcm_f64le", "dbl", 1e300)):
        values[:, ::5] = loud
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
            stream.codec_context.format = kind
            frame = av.AudioFrame.from_ndarray(
                values.astype("f4" if kind == "flt" else "f8"), kind, "mono"
            )
            frame.sample_rate = SAMPLE_RATE
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sound = load_audio(path)
        assert sound[1] == -8 and sound[4] == 0.5 and np.abs(sound).max() == 8
        with VideoWriter(tmp_path / "out.mp4", 64, 48, sound=path) as writer:
            for _ in range(30):
                writer.write(np.zeros((48, 64, 3), np.uint8))


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path / "Song: live.wav", clicks(44100)[None], "pcm_s16le", layout="mono")
    monkeypatch.chdir(tmp_path)
    assert onset(load_audio("Song: live.wav")) == pytest.approx(CLICKS[0], abs=0.005)
    (tmp_path / "concat:Song").write_text("no song")
    expect(Path("concat:Song"), "not a media file")


def expect(path: Path, *words: str) -> None:
    with pytest.raises(DancingError) as caught:
        load_song(path)
    message = str(caught.value)
    assert "\n" not in message and path.name in message
    for word in words:
        assert word in message


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    expect(tmp_path / "missing.mp3", "no such file")
    expect(tmp_path, "folder")
    empty = tmp_path / "empty.mp3"
    empty.touch()
    expect(empty, "empty")
    noise = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    for name in ("noise.wav", "noise.m4a"):
        (tmp_path / name).write_bytes(noise)
        expect(tmp_path / name, "not a media file")
    (tmp_path / "noise.mp3").write_bytes(noise)
    expect(tmp_path / "noise.mp3", "damaged")
    silent_film = write(
        tmp_path / "film.mp4", np.zeros((2, 44100), np.float32), "", picture=True, sound=False
    )
    expect(silent_film, "has no sound")
    with wave.open(str(tmp_path / "header.wav"), "wb") as header_only:
        header_only.setparams((1, 2, 44100, 0, "NONE", ""))
    expect(tmp_path / "header.wav", "has no sound")


def test_what_is_left_of_a_truncated_song_is_a_song(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp3", np.tile(clicks(44100), (2, 1)), "libmp3lame")
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(data[: len(data) * 6 // 10])
    with pytest.warns(UserWarning, match="cut.mp3.*ends after 2.4 s"):
        sound = load_audio(cut)
    assert len(sound) / SAMPLE_RATE == pytest.approx(2.4, abs=0.1)
    assert onset(sound) == pytest.approx(CLICKS[0], abs=0.005)


def test_a_damaged_song_warns(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp3", np.tile(clicks(44100), (2, 1)), "libmp3lame")
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5000] = np.random.default_rng(1).bytes(5000)
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(data)
    with pytest.warns(UserWarning, match="broken.mp3"):
        assert len(load_audio(broken)) > 2 * SAMPLE_RATE


def test_an_mp4_without_its_index_is_an_error(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.m4a", np.tile(clicks(44100), (2, 1)), "aac")
    cut = tmp_path / "cut.m4a"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    expect(cut, "damaged")


def remux(source: Path, target: Path, move, rising: bool = True, **options: str) -> Path:
    """Copy packets; `move` gives the new time of a packet of sound, in seconds, or None.

    Where times are not rising, muxers ask for decoding times that are.
    """
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in old.streams}
        number = 0
        for packet in old.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                time = move(number, float(packet.pts * packet.time_base))
                number += 1
                if time is None:
                    continue
                packet.pts = round(time / packet.time_base)
                packet.dts = packet.pts if rising else number - 1000
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    return target


def notes_of(path: Path, **part) -> tuple[np.ndarray, list[str]]:
    listener = Recorder()
    return load_audio(path, listener=listener, **part), listener.notes


@pytest.mark.parametrize(
    "name", ["video.mkv", "video.mp4", "video.ts", "song.flv", "song.opus", "song.flac"]
)
def test_silence_belongs_in_a_gap_of_the_time_stamps(tmp_path: Path, name: str) -> None:
    codec = {"song.opus": "libopus", "song.flac": "flac"}.get(name, "aac")
    picture = name.startswith("video")
    whole = write(
        tmp_path / f"whole{name}", np.tile(clicks(48000), (2, 1)), codec, 48000, picture=picture
    )
    pages = {"page_duration": "100000"} if codec == "libopus" else {}  # short ones, in microseconds
    lost = remux(
        whole, tmp_path / name, lambda number, time: None if 0.8 < time < 1.6 else time, **pages
    )
    sound, notes = notes_of(lost)
    assert notes == []
    assert len(sound) == pytest.approx(len(load_audio(whole)), abs=30)
    assert np.abs(sound[SAMPLE_RATE : 3 * SAMPLE_RATE // 2]).max() < 1e-3
    for begin in (0.9, 1.5, 2.9):  # before, in and after the gap
        late = load_audio(lost, start=begin)
        # Some files do not tell what the encoder put before the sound.
        assert onset(late) == pytest.approx({0.9: 1.1, 1.5: 0.5, 2.9: 0.1}[begin], abs=0.025)
        first = round(begin * SAMPLE_RATE)
        assert len(late) == len(sound) - first
        # But for the ends, whose neighbours are cut away, it is the same sound.
        np.testing.assert_allclose(late[64:-64], sound[first:][64:-64], atol=0.05)


def test_time_stamps_that_jitter_or_run_back_neither_add_nor_drop_sound(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mkv", np.tile(clicks(44100), (2, 1)), "aac")
    still = remux(whole, tmp_path / "still.mkv", lambda number, time: time, rising=False)
    expected = load_audio(still)
    random = np.random.default_rng(0)
    moves = {
        "jitter": lambda number, time: time + (number > 0) * random.uniform(0, 0.08),
        "slow": lambda number, time: 0.9 * time,
        "one late": lambda number, time: time + 2 * (number == 40),
        "back for a while": lambda number, time: time - 1.4 * (70 < number < 90),
        "anew": lambda number, time: time - 1.5 * (time >= 1.7),
        "hours": lambda number, time: time + 2 * 3600 * (number > 70),
    }
    for name, move in moves.items():
        sound, notes = notes_of(remux(whole, tmp_path / "moved.mkv", move, rising=False))
        # The time of the first frame, too, was moved.
        assert len(sound) == pytest.approx(len(expected), abs=0.03 * SAMPLE_RATE), name
        common = min(len(sound), len(expected))
        assert np.corrcoef(sound[-common:], expected[-common:])[0, 1] > 0.98, name
        assert ["leap" in note for note in notes] == ([True] if name == "hours" else []), name


def test_late_sound_is_not_made_of_memory(tmp_path: Path) -> None:
    early = write(tmp_path / "early.mkv", clicks(48000)[None], "flac", 48000, "mono", picture=True)
    late = remux(early, tmp_path / "late.mkv", lambda number, time: time + 1800)
    blocks = decode_blocks(late, duration=2.0)
    assert sum(np.abs(block).max() == 0 and len(block) < SAMPLE_RATE for block in blocks) > 4
    assert onset(load_audio(late, start=1799.9, duration=2)) == pytest.approx(0.6, abs=0.005)
    later = remux(early, tmp_path / "later.mkv", lambda number, time: time + 36_000)
    sound, notes = notes_of(later)
    assert onset(sound) == pytest.approx(CLICKS[0], abs=0.005)
    assert len(notes) == 1 and "time stamps leap" in notes[0]
    alone = write(tmp_path / "alone.mka", clicks(48000)[None], "flac", 48000, "mono")
    sound, notes = notes_of(remux(alone, tmp_path / "moved.mka", lambda number, time: time + 1000))
    assert notes == [] and onset(sound) == pytest.approx(CLICKS[0], abs=0.005)


def test_a_song_is_no_longer_than_the_limit(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "song.wav", clicks(22050)[None], "pcm_s16le", 22050, "mono")
    monkeypatch.setattr(sound_module, "LONGEST", 1.0)
    sound, notes = notes_of(path)
    assert len(sound) == SAMPLE_RATE and len(notes) == 1 and "longer than" in notes[0]
    assert notes_of(path, duration=0.5)[1] == []


def test_joined_files_are_one_song(tmp_path: Path) -> None:
    """Links of a chained Ogg file, of other codecs, rates and channels; and WAV files."""
    sound = np.tile(clicks(48000), (2, 1))
    opus = write(tmp_path / "1.opus", sound, "libopus", 48000)
    flac = write(tmp_path / "2.oga", clicks(16000)[None], "flac", 16000, "mono")
    wav = write(tmp_path / "1.wav", sound, "pcm_s16le", 48000)
    phone = write(tmp_path / "2.wav", clicks(8000)[None], "pcm_u8", 8000, "mono")
    for first, second in ((opus, flac), (wav, phone)):
        path = tmp_path / f"joined{first.suffix}"
        path.write_bytes(first.read_bytes() + second.read_bytes() + first.read_bytes())
        whole, notes = notes_of(path)
        assert notes == [] and len(whole) == pytest.approx(12 * SAMPLE_RATE, abs=4)
        for begin in (2.9, 5.9, 8.4):
            near = begin % 4
            wait = min(click - near for click in CLICKS if click >= near)
            late = load_audio(path, start=begin)
            assert onset(late[: SAMPLE_RATE // 2]) == pytest.approx(wait, abs=0.005)
            assert len(late) == pytest.approx(len(whole) - begin * SAMPLE_RATE, abs=4)
    page = opus.read_bytes()[:47]
    (tmp_path / "many.opus").write_bytes((page + page[:5] + b"\0" + page[6:]) * 1100)
    expect(tmp_path / "many.opus", "more than 1,000 files")
    (tmp_path / "bad.opus").write_bytes((page + page[:5] + b"\0" + page[6:]) * 2)
    expect(tmp_path / "bad.opus", "damaged")


def test_channels_in_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    time = np.arange(4 * 44100) / 44100
    left = clicks(44100) + 0.1 * np.sin(2 * np.pi * 200 * time).astype(np.float32)
    other = clicks(44100)[::-1] + 0.1 * np.sin(2 * np.pi * 330 * time).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.003, len(left)).astype("f4")
    opposite = {
        "exact": -left,
        "dithered": -left + noise / 30,
        "nearly": -left + noise,
        "weaker": -0.6 * left,
        "delayed": -np.roll(left, 8),
    }
    alone = load_audio(write(tmp_path / "left.wav", left[None], "pcm_f32le", layout="mono"))
    for name, right in opposite.items():
        path = write(tmp_path / "song.wav", np.stack([left, right]), "pcm_f32le")
        sound = load_audio(path)
        assert min(np.abs(sound - alone).max(), np.abs(sound + alone).max()) < 0.02, name
        heard = np.concatenate(list(decode_stereo(path, 44100)), axis=1)
        np.testing.assert_array_equal(heard, [left, right], err_msg=name)
    # Other stereo is the mean: of one sound, of two, of one side alone, or a little out of phase.
    for right in (left, other, 0 * left, -0.1 * left, np.roll(left, 300)):
        path = write(tmp_path / "song.wav", np.stack([left, right]), "pcm_f32le")
        mean = write(tmp_path / "mean.wav", (left + right)[None] / 2, "pcm_f32le", layout="mono")
        np.testing.assert_array_equal(load_audio(path), load_audio(mean))
    # A change within a song is gradual.
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(8 * 44100) / 44100)
    right = tone * np.where(np.arange(len(tone)) < 4 * 44100, -1, 1)
    sound = load_audio(write(tmp_path / "song.wav", np.stack([tone, right]), "pcm_f32le"))
    assert np.abs(np.diff(sound)).max() < 0.04
    assert all(np.abs(sound[i : i + 2205]).max() > 0.45 for i in range(0, len(sound), 2205))


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_surround_is_mixed_as_ffmpeg_does(tmp_path: Path, codec: str) -> None:
    channels = 0.3 * np.random.default_rng(0).normal(size=(6, 44100)).astype(np.float32).clip(-1, 1)
    path = write(tmp_path / "six.wav", channels, codec, layout="5.1")
    heard = np.concatenate(list(decode_stereo(path, 44100)), axis=1)
    mix = av.AudioResampler("s16p" if codec == "pcm_s16le" else "fltp", "stereo", 44100)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in mix.resample(frame)]
    full = 32768 if codec == "pcm_s16le" else 1
    expected = np.concatenate([frame.to_ndarray() for frame in frames], axis=1) / full
    np.testing.assert_allclose(heard, expected, atol=1e-4)
    # What is analysed is never louder than the file, and has every channel.
    for number in range(6):
        one = np.zeros((6, 44100), np.float32)
        one[number] = 0.5
        level = load_audio(write(tmp_path / "one.wav", one, codec, layout="5.1"))[9000]
        assert 0.05 < level < 0.2
    assert load_audio(write(tmp_path / "all.wav", 0 * one + 0.5, codec, layout="5.1"))[
        9000
    ] == pytest.approx(0.5, abs=1e-3)


def test_surround_of_no_known_places_is_the_mean(tmp_path: Path) -> None:
    path = tmp_path / "nine.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((9, 2, 22050, 0, "NONE", ""))
        file.writeframes(np.tile(np.arange(9) * 1000, 22050).astype("<i2").tobytes())
    assert load_audio(path)[9000] == pytest.approx(4000 / 32768, abs=1e-4)
    assert next(decode_stereo(path, 22050))[:, 900] == pytest.approx([4000 / 32768] * 2, abs=1e-4)


def test_cut_off_is_noted_only_where_the_file_tells_its_length(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 4 * 44100)).astype(np.float32)
    sound = clicks(44100) + noise
    bare = {"write_xing": "0", "id3v2_version": "0"}
    quiet = write(tmp_path / "a.mp3", sound, "libmp3lame", bit_rate=32_000, **bare).read_bytes()
    loud = write(tmp_path / "b.mp3", sound, "libmp3lame", bit_rate=256_000, **bare).read_bytes()
    headed = write(tmp_path / "c.mp3", sound, "libmp3lame").read_bytes()
    for content in (quiet + loud, bytes(300_000) + quiet, headed * 2):
        (tmp_path / "whole.mp3").write_bytes(content)
        assert notes_of(tmp_path / "whole.mp3")[1] == []
    for name, codec in {
        **{"song.wav": "pcm_s16le", "song.flac": "flac", "song.mp3": "libmp3lame"},
        **{"song.mka": "aac", "song.opus": "libopus", "video.mkv": "aac"},
    }.items():
        whole = write(tmp_path / name, sound, codec, 48000, picture=name.startswith("video"))
        assert notes_of(whole)[1] == []
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
        _, notes = notes_of(whole)
        assert len(notes) == 1 and "cut off, it ends after" in notes[0], name


def two_tracks(path: Path, default: int, **options: str) -> Path:
    """An mp4 or mkv of two tracks: clicks at their time, and half a second later."""
    with av.open(str(path), "w", options=options) as out:
        streams = [out.add_stream("aac", rate=44100, layout="mono") for _ in range(2)]
        streams[default].disposition = av.stream.Disposition.default
        for number, stream in enumerate(streams):
            sound = np.roll(clicks(44100), number * 22050)[None]
            frame = av.AudioFrame.from_ndarray(sound, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
            for part in av.AudioResampler(frame_size=1024).resample(frame):
                out.mux(stream.encode(part))
            out.mux(stream.encode(None))
    return path


def test_the_default_track_is_taken_or_another_that_can_be_decoded(tmp_path: Path) -> None:
    for default in (0, 1):
        path = two_tracks(tmp_path / "two.mkv", default)
        assert onset(load_audio(path)) == pytest.approx(0.5 + default / 2, abs=0.03)
    path = two_tracks(tmp_path / "two.mp4", 0)
    for count in (1, 2):  # tracks of a codec that nobody knows
        content = path.read_bytes()
        path.write_bytes(content.replace(b"mp4a", b"xy0a", 1).replace(b"esds", b"free", 1))
        if count == 1:
            assert onset(load_audio(path)) == pytest.approx(1.0, abs=0.03)
    expect(path, "codec of its sound cannot be decoded")
    key = {"encryption_key": 32 * "7", "encryption_kid": 32 * "a"}
    locked = two_tracks(tmp_path / "locked.mp4", 0, encryption_scheme="cenc-aes-ctr", **key)
    expect(locked, "encrypted (DRM)")


def test_absurd_headers_are_refused_before_decoding(tmp_path: Path) -> None:
    def wav(rate: int, channels: int, bits: int) -> Path:
        form = struct.pack("<HHIIHH", 1, channels, rate, 1000, channels * bits // 8, bits)
        path = tmp_path / "odd.wav"
        head = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 96_000)
        path.write_bytes(b"RIFF" + struct.pack("<I", 96_036) + head + bytes(96_000))
        return path

    for rate in (1, 8, 0x7FFFFFFF):
        expect(wav(rate, 2, 16), f"{rate:,} Hz")
    expect(wav(44100, 200, 16), "200 channels")
    expect(wav(44100, 0, 16), "damaged")
    assert len(load_audio(wav(44100, 2, 64))) == 3000


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe.mp3")
    expect(tmp_path / "pipe.mp3", "no regular file")


def test_short_songs(tmp_path: Path) -> None:
    tone = np.sin(np.arange(SAMPLE_RATE) / 10).astype(np.float32)[None]
    short = write(tmp_path / "short.wav", tone[:, :4410], "pcm_s16le", SAMPLE_RATE, "mono")
    song = load_song(short)
    assert song.duration == pytest.approx(0.2) and song.n_frames == 1 + 4410 // HOP_LENGTH
    assert song.beats.shape == (0,) and song.tempo == 0
    tiny = write(tmp_path / "tiny.wav", tone[:, :1500], "pcm_s16le", SAMPLE_RATE, "mono")
    expect(tiny, "0.07 s", "0.1 s")
    with pytest.raises(DancingError, match="ends before 5"):
        load_song(short, start=5)


def test_load_song(tmp_path: Path) -> None:
    path = write(tmp_path / "song.flac", np.tile(clicks(44100), (2, 1)), "flac")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        song = load_song(path)
    assert song.path == path and song.sample_rate == SAMPLE_RATE
    assert song.duration == 4.0 and len(song.audio) == 4 * SAMPLE_RATE
    assert song.mfcc.shape == (121, 13) and song.mfcc.dtype == np.float32
    assert song.beats.dtype == np.float64 and song.downbeats.dtype == np.float64
    part = load_song(path, start=1.0, duration=2.0)
    np.testing.assert_allclose(part.audio, song.audio[SAMPLE_RATE : 3 * SAMPLE_RATE], atol=1e-3)


@pytest.mark.parametrize("samples", [1, 700, 2048, 4410, 22050, 22049 * 3, 735 * 600 + 17])
def test_mfcc_is_librosas(samples: int) -> None:
    librosa = pytest.importorskip("librosa")
    random = np.random.default_rng(samples)
    # Falls from full scale to near silence, so that the 80 dB floor is met.
    sound = (random.normal(size=samples) * np.logspace(-1, -7, samples)).astype(np.float32)
    expected = librosa.feature.mfcc(
        y=sound, sr=SAMPLE_RATE, n_mfcc=13, n_fft=2048, hop_length=HOP_LENGTH
    ).T
    ours = mfcc(sound)
    assert ours.shape == expected.shape == (1 + samples // HOP_LENGTH, 13)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(chunk=st.integers(1, 400), samples=st.integers(1, 60_000))
def test_mfcc_does_not_depend_on_chunks(chunk: int, samples: int) -> None:
    sound = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    whole = mfcc(sound)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mfcc_module, "_CHUNK", chunk)
        np.testing.assert_allclose(mfcc(sound), whole, atol=1e-3)


def test_mfcc_of_silence_is_finite() -> None:
    assert np.isfinite(mfcc(np.zeros(22050, np.float32))).all()
