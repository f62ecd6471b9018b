"""Decoding of every format, its errors, and MFCC against librosa."""

from __future__ import annotations

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
from dancing.media.sound import decode_blocks, load_audio
from dancing.media.video import VideoWriter
from dancing.music import mfcc as mfcc_module
from dancing.music.mfcc import HOP_LENGTH, mfcc
from dancing.music.song import load_song

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
) -> Path:
    """Encode (C, N) float32; `picture` adds 30 fps of black."""
    with av.open(str(path), "w") as out:
        if picture:
            video = out.add_stream("mpeg4", rate=30)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        if sound:
            stream = out.add_stream(codec, rate=rate, layout=layout)
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


def test_mono_is_the_mean_of_the_channels(tmp_path: Path) -> None:
    """Not FFmpeg's downmix, which weighs the centre and leaves the low-frequency channel out."""
    levels = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], np.float32)
    path = write(
        tmp_path / "six.wav",
        np.repeat(levels[:, None], 22050, axis=1),
        "pcm_f32le",
        22050,
        "5.1",
    )
    assert load_audio(path) == pytest.approx(np.full(22050, levels.mean()), abs=1e-6)


def test_start_is_exact_to_a_sample(tmp_path: Path) -> None:
    ramp = np.linspace(-0.9, 0.9, 5 * SAMPLE_RATE, dtype=np.float32)
    path = write(tmp_path / "ramp.wav", ramp[None], "pcm_f32le", SAMPLE_RATE, "mono")
    np.testing.assert_array_equal(load_audio(path), ramp)
    begin = 3 * SAMPLE_RATE + 7
    late = load_audio(path, start=begin / SAMPLE_RATE, duration=0.25)
    np.testing.assert_array_equal(late, ramp[begin : begin + round(0.25 * SAMPLE_RATE)])
    assert len(load_audio(path, start=9)) == 0


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
