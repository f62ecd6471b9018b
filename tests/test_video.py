"""Reading videos of every kind, and writing the mp4."""

import warnings
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from dancing.errors import DancingError, DancingWarning
from dancing.media import SAMPLE_RATE
from dancing.media.colour import HLG, PQ, to_screen
from dancing.media.container import open_media
from dancing.media.picture import turned
from dancing.media.sound import load_audio
from dancing.media.video import VideoWriter, _decode, _turn, ahead, probe, read_frames, resize
from media import Recorder
from videos import AVA, plain, sine, sound_of, turn, write_video


def corners():
    """A picture whose quarters differ: green, blue above; red, blue below."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:], picture[:24, :32] = (255, 0, 0), (0, 0, 255), (0, 255, 0)
    return picture


def test_probe():
    info = probe(AVA)
    assert (info.width, info.height, info.fps, info.has_sound) == (202, 360, 30, True)
    assert info.duration == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_and_mirrored_videos_are_upright(tmp_path, suffix, mirrored, degrees):
    """As players show them: mirrored left to right if at all, then turned clockwise."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    side = -1 if mirrored else 1
    matrix = np.array([side * cos, side * sin, 0, -sin, cos, 0, 0, 0, 2**14]) << 16
    video = write_video(tmp_path / f"v{suffix}", [corners()] * 3, matrix=matrix.tolist())
    expected = np.rot90(corners()[:, ::side], -degrees // 90)
    (frame, *_) = read_frames(video)
    assert frame.shape == expected.shape and frame.flags.c_contiguous
    assert (probe(video).height, probe(video).width) == expected.shape[:2]
    assert np.abs(frame.astype(int) - expected).mean() < 3
    assert next(read_frames(video, height=24)).shape[0] == 24


@pytest.mark.parametrize("rotation", [0, 90, -180, -90])
def test_videos_with_unknown_notes_are_upright(rotation):
    """Where PyAV cannot tell the matrix, as in 3D videos, it still tells the rotation."""

    class Frame:
        def __init__(self):
            self.rotation = rotation

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

    found = turned(corners(), *_turn(Frame()))
    np.testing.assert_array_equal(found, np.rot90(corners(), rotation // 90))


RAMP = np.linspace(20, 220, 50)
"""Shades of pictures that get lighter: their order, and which is shown when, can be seen."""


def ramp_of(video, fps, **options):
    """The shades of a video, and how far each is from the one that should be shown then."""
    found = np.array([frame.mean() for frame in read_frames(video, fps, **options)])
    return found, np.abs(found - RAMP[: len(found)]).max()


@pytest.mark.parametrize("name", ["b.avi", "b.ts", "b.h264", "b.m4v", "b.mjpeg", "b.obu"])
def test_pictures_come_in_order_whatever_their_times(tmp_path, name):
    """Also where the container has times of decoding only (AVI), or none (bare streams)."""
    codec = {"b.m4v": "mpeg4", "b.mjpeg": "mjpeg", "b.obu": "libsvtav1"}.get(name, "libx264")
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"bf": "3", "b_strategy": "0", "crf": "5", "preset": "veryfast"}
        elif codec == "mpeg4":
            stream.options = {"bf": "2", "qmin": "1", "qmax": "2"}
        for shade in RAMP:
            frame = av.VideoFrame.from_ndarray(plain(shade, size=(64, 64))[0], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    told = Recorder()
    found, off = ramp_of(path, 25, listener=told)
    assert len(found) == len(RAMP) and off < 3
    untimed = name == "b.h264"
    assert (told.notes != []) == untimed
    assert not untimed or "25 pictures a second" in told.notes[0]
    assert probe(path).fps == 25


def test_times_that_fall_back_go_on(tmp_path):
    """Two recordings of a transport stream, joined."""
    one, two = (
        write_video(tmp_path / f"{k}.ts", [plain(s)[0] for s in half], fps=25)
        for k, half in enumerate((RAMP[:25], RAMP[25:]))
    )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    found, off = ramp_of(joined, 25)
    assert len(found) == len(RAMP) and off < 6


def test_a_track_that_begins_later_does_no_harm():
    """PyAV has no stream for its packets, and ends."""

    class Container:
        packets = iter([["a"], None, ["b", "c"], None, []])

        def demux(self, stream):
            for frames in self.packets:
                if frames is None:
                    raise IndexError("list index out of range")
                yield SimpleNamespace(decode=lambda frames=frames: frames)

    assert list(_decode(Container(), None, "late.flv", Recorder())) == ["a", "b", "c"]


def test_a_picture_is_not_held_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "gap.mkv"
    write_video(path, plain(50, 2) + plain(200, 2), times=[0, 1, 59, 360_000])
    told = Recorder()
    assert len(list(read_frames(path, listener=told))) == 59 * 30 + 1
    assert "without pictures for 359941 s" in told.notes[0] and "after 59.0 s" in told.notes[0]
    assert probe(path).duration == 6 * 3600
    write_video(path, plain(50, 4), times=[0, 1, 2, 3])
    monkeypatch.setattr("dancing.media.video.LONGEST", 2.0)
    assert len(list(read_frames(path, listener=told))) == 61
    assert "what comes after 2.0 s is left out" in told.notes[1]


def test_pictures_that_are_too_large_are_refused(tmp_path, monkeypatch):
    """Before they are decoded, also when the file is opened."""
    video = write_video(tmp_path / "v.mp4", [corners()] * 3)
    with pytest.raises(DancingError, match=r"v\.mp4: would become 8\d+x6\d+"):
        next(read_frames(video, height=6000))
    monkeypatch.setattr("dancing.media.video.MOST_PIXELS", 64 * 48 - 1)
    for reads in (probe, lambda path: next(read_frames(path, listener=Recorder()))):
        with pytest.raises(DancingError, match=r"v\.mp4: no picture .*million pixels"):
            reads(video)
    huge = tmp_path / "huge.avi"
    with av.open(str(huge), "w") as container:
        stream = container.add_stream("png", rate=30)
        stream.width, stream.height, stream.pix_fmt = 6000, 6000, "gray"
        frame = av.VideoFrame(6000, 6000, "gray")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(huge), options={"max_pixels": str(6000 * 6000)}) as container:
        assert container.streams.video[0].width == 6000
    with open_media(huge) as container:
        assert container.streams.video[0].width == 0
    with pytest.raises(DancingError, match="no picture"):
        probe(huge)


@pytest.mark.parametrize(
    ("size", "matrix", "tag"),
    [((64, 718), 5, 2), ((64, 720), 1, 2), ((1280, 64), 1, 2), ((64, 48), 1, 1), ((64, 720), 5, 5)],
)
def test_colours_without_a_name_are_what_players_take(tmp_path, size, matrix, tag):
    """BT.709 (1) from 720 lines or 1280 columns on, else BT.601 (5)."""
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.colorspace = tag
        colour = np.broadcast_to(np.uint8([200, 40, 60]), (*size[::-1], 3))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=1)
        frame.colorspace = tag
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert np.abs(next(read_frames(path)).mean((0, 1)) - [200, 40, 60]).max() < 5


@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_hdr_becomes_ordinary(transfer):
    """Grey stays grey, brighter stays brighter, and white paper is near white."""
    codes = np.linspace(0, 65535, 200).astype(np.uint16)
    grey = to_screen(np.tile(codes[None, :, None], (2, 1, 3)), 9, transfer)[0].astype(int)
    assert np.ptp(grey, axis=1).max() <= 1
    assert (np.diff(grey[:, 0]) >= 0).all() and grey[0, 0] == 0 and grey[-1, 0] == 255
    paper = {HLG: 0.75, PQ: 0.58}[transfer]  # 203 candelas a square metre
    assert 225 < grey[round(paper * 199), 0] < 245
    red = to_screen(np.uint16([[[0.6 * 65535, 0.2 * 65535, 0.2 * 65535]]]), 9, transfer)[0, 0]
    assert red[0] > 1.5 * red[1] and red[0] > 1.5 * red[2]


def test_hdr_video_is_not_washed_out(tmp_path):
    """A BT.2020 red in HLG, of a phone, comes out as the red that it is."""
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": HLG, "color_range": 1}
    video = write_video(
        tmp_path / "hlg.mp4", plain((150, 60, 40), 3), pix_fmt="yuv420p10le", **tags
    )
    found = next(read_frames(video)).mean((0, 1))
    expected = to_screen(np.uint16([[[150, 60, 40]]]) * np.uint16(257), 9, HLG)[0, 0]
    assert np.abs(found - expected).max() < 8
    assert found[0] - found[2] > 120


@pytest.mark.parametrize("fps", [24, 25, 30, 60])
def test_any_rate_becomes_30_by_time(tmp_path, fps):
    """Each output frame shows what the input showed at that time, within half an input frame."""
    shades = np.linspace(20, 220, 2 * fps)
    video = write_video(tmp_path / "v.mp4", [plain(s)[0] for s in shades], fps=fps)
    found = np.array([frame.mean() for frame in read_frames(video)])
    assert len(found) == 60
    expected = np.interp(np.arange(60) / 30, np.arange(2 * fps) / fps, shades)
    assert np.abs(found - expected).max() <= 0.55 * np.diff(shades)[0] + 2.5


def test_variable_rate_is_resampled_by_time(tmp_path):
    times = np.cumsum([0, *np.random.default_rng(1).uniform(0.01, 0.06, 80)])
    video = write_video(tmp_path / "v.mp4", [plain(20 + 70 * t)[0] for t in times], times=times)
    found = np.array([frame.mean() for frame in read_frames(video)])
    assert len(found) == pytest.approx(times[-1] * 30, abs=2)
    expected = 20 + 70 * np.arange(len(found)) / 30
    assert np.abs(found - expected)[:-1].max() <= 70 * 0.03 + 2.5


def test_odd_sizes(tmp_path):
    video = write_video(tmp_path / "odd.mp4", plain(100, 3, size=(63, 47)))
    assert next(read_frames(video)).shape == (47, 63, 3)
    scaled = next(read_frames(video, height=32))
    assert scaled.shape == (32, 42, 3)
    assert scaled.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("pictures_from", "sound_from"), [(0, 0), (0.5, 0), (0, 0.5), (0.2, 0.7)])
def test_pictures_and_sound_share_their_time(tmp_path, suffix, pictures_from, sound_from):
    """A flash and a click at the same moment stay together, whichever track begins first."""
    times = pictures_from + np.arange(60) / 30
    flashes = [plain(255 if abs(time - 1.5) < 0.01 else 0)[0] for time in times]
    click = np.zeros(2 * 44100)
    click[round((1.5 - sound_from) * 44100) :][:1000] = 0.8
    video = write_video(
        tmp_path / f"late{suffix}", flashes, times, sound=click, sound_start=sound_from
    )
    frames = list(read_frames(video))
    flash = np.argmax([frame.mean() for frame in frames]) / 30
    sound = np.abs(load_audio(video))
    heard = np.flatnonzero(sound > 0.2)[0] / SAMPLE_RATE
    assert flash == pytest.approx(1.5 - pictures_from, abs=0.01)
    assert heard == pytest.approx(flash, abs=1 / 30)
    assert len(frames) == 60
    if sound_from <= pictures_from:
        assert probe(video).duration == pytest.approx(2, abs=0.05)


def test_pixel_shape_is_obeyed(tmp_path):
    path = tmp_path / "wide.mp4"
    video = write_video(path, [corners()] * 3, pixel=Fraction(3, 2))
    assert (probe(video).width, probe(video).height) == (96, 48)
    (frame, *_) = read_frames(video)
    assert frame.shape == (48, 96, 3)
    assert np.abs(frame.astype(int) - resize(corners(), 96, 48)).mean() < 4
    assert next(read_frames(video, height=24)).shape == (24, 48, 3)
    assert next(read_frames(turn(video, 90))).shape == (96, 48, 3)
    absurd = write_video(path, [corners()] * 3, pixel=Fraction(60000, 1))
    assert next(read_frames(absurd)).shape == (48, 64, 3)


def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoWriter("Song: live.mp4", 64, 48) as writer:
        writer.write(corners())
    assert probe("Song: live.mp4").width == 64
    with pytest.raises(DancingError, match="no such"):
        probe("concat:Song: live.mp4")


def test_damaged_packets_are_left_out(tmp_path):
    """What comes after a damaged place is still seen, and told once."""
    path = tmp_path / "damaged.mp4"
    video = write_video(path, [corners()] * 20 + plain(255, 100), fps=30)
    with av.open(str(video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(video.read_bytes())
    for packet in packets[30:40]:
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    video.write_bytes(content)
    with pytest.warns(DancingWarning, match=r"damaged\.mp4: damaged, \d+ pieces") as caught:
        frames = list(read_frames(video))
    assert len(caught) == 1
    assert len(frames) > 110
    assert frames[-1].mean() > 240


def test_a_video_of_nothing_but_damage_is_given_up(tmp_path, monkeypatch):
    video = write_video(tmp_path / "v.mp4", plain(99, 40))
    with av.open(str(video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(video.read_bytes())
    for packet in packets:
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    video.write_bytes(content)
    for hopeless in (5, 1000):
        monkeypatch.setattr("dancing.media.video.HOPELESS", hopeless)
        with (
            pytest.warns(DancingWarning, match=r"v\.mp4: damaged"),
            pytest.raises(DancingError, match="no picture of this video"),
        ):
            list(read_frames(video))


def test_truncated_video_gives_what_is_there(tmp_path):
    data = AVA.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert 20 < len(list(read_frames(cut))) < 80


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.mp4", None, "no such"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"this is no video " * 100, "not a media file"),
        ("head.mp4", AVA.read_bytes()[:600], "not a media file"),
    ],
)
def test_what_is_no_video_gets_a_clear_error(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for reads in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(DancingError, match=f"{name}.*{says}"):
            reads(tmp_path / name)


def test_sound_file_has_no_pictures(tmp_path):
    path = tmp_path / "tone.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        samples = np.float32(sine(1))[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DancingError, match="no pictures"):
        probe(path)


def test_written_pictures_come_back(tmp_path):
    path = tmp_path / "new" / "out.mp4"
    with VideoWriter(path, 64, 48) as writer:
        for _ in range(45):
            writer.write(corners())
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    info = probe(path)
    assert (info.width, info.height, info.fps, info.has_sound) == (64, 48, 30, False)
    frames = list(read_frames(path))
    assert len(frames) == 45
    assert np.abs(frames[20].astype(int) - corners()).mean() < 3


@pytest.mark.parametrize("seconds", [0.5, 2, 5])
def test_sound_is_cut_or_padded_to_the_pictures(tmp_path, seconds):
    song = write_video(tmp_path / "song.mp4", plain(0), sound=sine(seconds))
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 64, 48, sound=song) as writer:
        for picture in plain(99, 60):
            writer.write(picture)
    with av.open(str(path)) as container:
        lengths = [float(s.duration * s.time_base) for s in container.streams]
    assert lengths == pytest.approx([2, 2], abs=1 / 30)
    sound = sound_of(path)
    heard = np.flatnonzero(np.abs(sound) > 0.1)
    assert heard[0] / 44100 == pytest.approx(0, abs=0.005)
    assert heard[-1] / 44100 == pytest.approx(min(seconds, 2), abs=0.03)


def test_sound_begins_at_start(tmp_path):
    tone = np.concatenate([np.zeros(44100), sine(1)])
    song = write_video(tmp_path / "song.mp4", plain(0), sound=tone)
    with VideoWriter(tmp_path / "out.mp4", 64, 48, sound=song, start=0.5) as writer:
        for picture in plain(99, 30):
            writer.write(picture)
    heard = np.flatnonzero(np.abs(sound_of(tmp_path / "out.mp4")) > 0.1)
    assert heard[0] / 44100 == pytest.approx(0.5, abs=0.01)


def fading(count):
    """Pictures of two colours whose transparency rises from left to right, and with time."""
    for k in range(count):
        alpha = np.broadcast_to(np.linspace(0, 155, 64) + 100 * k / count, (48, 64))
        yield np.dstack([corners(), alpha.astype(np.uint8)])


@pytest.mark.parametrize(
    ("suffix", "codec", "sound", "tolerance"),
    [(".mov", "prores", "aac", 1), (".webm", "libvpx-vp9", "opus", 3)],
)
def test_transparency_is_written(tmp_path, suffix, codec, sound, tolerance):
    song = write_video(tmp_path / "song.mp4", plain(0), sound=sine(1))
    path = tmp_path / f"out{suffix}"
    with VideoWriter(path, 64, 48, sound=song, transparent=True) as writer:
        for picture in fading(45):
            writer.write(picture)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # FFmpeg's own VP9 decoder leaves the transparency out.
        decoder = av.CodecContext.create(codec, "r")
        decoder.extradata = stream.codec_context.extradata
        decoder.width, decoder.height = 64, 48
        packets = list(container.demux(stream))
        decoder.codec_tag = stream.codec_context.codec_tag
        frames = [frame for packet in packets for frame in decoder.decode(packet)]
        assert container.streams.audio[0].codec_context.name == sound
        assert container.duration / av.time_base == pytest.approx(1.5, abs=1 / 30)
        assert suffix == ".mov" or stream.metadata["ALPHA_MODE"] == "1"
    if suffix == ".mov":
        clear = next(read_frames(path))[:, 0].mean()
        assert clear > 250  # white, where it is transparent
    found = np.stack([frame.to_ndarray(format="rgba") for frame in frames]).astype(int)
    expected = np.stack(list(fading(45))).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected)[..., 3].mean() < tolerance
    # Straight: the colour is there in full, however transparent.
    assert np.abs(found - expected)[:, :, :28, :3].mean() < 6
    heard = np.flatnonzero(np.abs(sound_of(path)) > 0.1)
    assert heard[[0, -1]] / 44100 == pytest.approx([0, 1], abs=0.03)


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_opaque_videos_of_other_kinds(tmp_path, suffix):
    with VideoWriter(tmp_path / f"out{suffix}", 64, 48) as writer:
        for _ in range(30):
            writer.write(corners())
    frames = list(read_frames(tmp_path / f"out{suffix}"))
    assert len(frames) == 30
    assert np.abs(frames[20].astype(int) - corners()).mean() < 6


def test_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "out.mp4", 64, 48) as writer:
        writer.write(corners())
        raise RuntimeError
    missing = VideoWriter(tmp_path / "out.mp4", 64, 48, sound=tmp_path / "none.mp3")
    with pytest.raises(DancingError, match="no such"), missing as writer:
        writer.write(corners())
    assert not list(tmp_path.iterdir())


def test_unusable_outputs(tmp_path):
    with pytest.raises(ValueError, match="even"):
        VideoWriter(tmp_path / "out.mp4", 63, 48)
    with pytest.raises(DancingError, match=r"out\.avi: .* \.mp4, \.mov, \.webm"):
        VideoWriter(tmp_path / "out.avi", 64, 48)
    with pytest.raises(DancingError, match=r"\.mp4 cannot be transparent"):
        VideoWriter(tmp_path / "out.mp4", 64, 48, transparent=True)
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    with pytest.raises(DancingError, match="is a folder"):
        VideoWriter(folder, 64, 48).__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(DancingError, match="cannot be written"):
        VideoWriter(tmp_path / "file" / "out.mp4", 64, 48).__enter__()


def test_items_made_ahead_come_in_order_with_their_errors():
    made = []

    def items():
        for k in range(4):
            made.append(k)
            yield k
        raise ValueError("the fifth")

    found = []
    with pytest.raises(ValueError, match="fifth"):
        for item in ahead(items(), 2):
            found.append(item)
            assert len(made) <= item + 4
    assert found == [0, 1, 2, 3]
    assert list(ahead(iter([]), 1)) == []


@pytest.mark.parametrize(
    ("suffix", "transparent"),
    [(".mp4", False), (".mov", False), (".mov", True), (".webm", False), (".webm", True)],
)
def test_the_same_pictures_make_the_same_file(tmp_path, suffix, transparent):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (5, 72, 48, 4 if transparent else 3), dtype=np.uint8)
    contents = []
    for name in "ab":
        path = tmp_path / f"{name}{suffix}"
        with VideoWriter(path, 48, 72, sound=None, transparent=transparent) as video:
            for picture in pictures:
                video.write(picture)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
