"""Files appear whole, under any name; what killed processes left goes; folders give their media."""

import os
import threading

import pytest

from dancing import files
from dancing.errors import DancingError
from dancing.files import (
    MEDIA_SUFFIXES,
    expand,
    fitted,
    from_pipe,
    is_pipe,
    only_one,
    temporary_folder,
    write_then_rename,
)
from media import Recorder


def test_threads_that_write_leave_the_umask_alone(tmp_path):
    before = os.umask(0o027)
    try:

        def write(number):
            for k in range(200):
                with write_then_rename(tmp_path / f"{number}-{k}.txt") as temporary:
                    temporary.write_text("whole")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = os.umask(0o027)
    finally:
        os.umask(before)
    assert after == 0o027
    made = list(tmp_path.iterdir())
    assert len(made) == 800
    assert {path.stat().st_mode & 0o777 for path in made} == {0o640}


def test_nothing_is_left_of_what_failed(tmp_path):
    with pytest.raises(RuntimeError), write_then_rename(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    with pytest.raises(DancingError, match="is a folder"), write_then_rename(tmp_path / "folder"):
        pass


def test_names_of_any_length_and_letters(tmp_path):
    for name in ("x" * 251 + ".mp4", "я" * 125 + ".h5", "x." + "y" * 253, "caf\udce9.npz"):
        with write_then_rename(tmp_path / name) as temporary:
            temporary.write_text("whole")
        assert (tmp_path / name).read_text() == "whole"
    with pytest.raises(DancingError, match="too long"), write_then_rename(tmp_path / ("x" * 256)):
        pass
    assert len(list(tmp_path.iterdir())) == 4
    assert fitted("song", ".mp4") == "song.mp4"
    assert fitted("x" * 255, ".mp4") == "x" * 251 + ".mp4"
    assert fitted("я" * 127, "_2.mp4") == "я" * 124 + "_2.mp4", "whole letters"


def test_through_a_link_its_target_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.txt").write_text("old")
    for name in ("real.txt", "none.txt"):
        link = tmp_path / f"link-{name}"
        link.symlink_to(tmp_path / "folder" / name)
        with write_then_rename(link) as temporary:
            temporary.write_text("new")
        assert link.is_symlink() and (tmp_path / "folder" / name).read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(DancingError, match="a file is needed"),
        write_then_rename(tmp_path / "pipe"),
    ):
        pass


def test_what_a_killed_process_left_goes_and_what_others_write_stays(tmp_path):
    stale = tmp_path / ".dancing-0123456789abcdef.partial.mp4"
    stale.touch()
    (tmp_path / ".dancing-123456789abcdef0.partial" / "0").mkdir(parents=True)
    (tmp_path / ".dancing-123456789abcdef0.partial" / "0" / "frames").touch()
    others = [tmp_path / name for name in (".dancing-notes", ".o-1234.partial.mp4", "me.partial")]
    for other in others:
        other.touch()
    with write_then_rename(tmp_path / "a.txt") as first:
        assert sorted(tmp_path.iterdir()) == sorted([first, *others])
        with temporary_folder(tmp_path) as folder, write_then_rename(tmp_path / "b.txt"):
            (folder / "picture").touch()
            assert folder.stat().st_mode & 0o077 == 0, "for this user alone"
            with write_then_rename(tmp_path / "c.txt"):
                assert first.exists() and (folder / "picture").exists()
        assert not folder.exists()
    assert sorted(p.name for p in tmp_path.iterdir() if p not in others) == [
        "a.txt", "b.txt", "c.txt",
    ]  # fmt: skip


def test_where_there_are_no_locks_nothing_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_lock", lambda file: None)
    stale = tmp_path / ".dancing-0123456789abcdef.partial.mp4"
    stale.touch()
    with write_then_rename(tmp_path / "a.txt") as temporary:
        assert temporary.exists()
    assert sorted(tmp_path.iterdir()) == sorted([stale, tmp_path / "a.txt"])


def test_one_at_a_time(tmp_path):
    with only_one(tmp_path / "work"):
        with pytest.raises(DancingError, match="another process"), only_one(tmp_path / "work"):
            pass
        with only_one(tmp_path / "other"), write_then_rename(tmp_path / "a.txt"):
            pass
        with pytest.raises(DancingError, match="another process"), only_one(tmp_path / "work"):
            pass
    with only_one(tmp_path / "work"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


# --------------------------------------------------------------------------------------- pipes


def test_what_comes_through_a_pipe_is_stored(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert is_pipe(pipe) and not is_pipe(tmp_path) and not is_pipe(tmp_path / "none")

    def give(content):
        thread = threading.Thread(target=lambda: pipe.write_bytes(content))
        thread.start()
        return thread

    writer = give(b"x" * 3_000_000)
    with from_pipe(pipe, tmp_path / "out") as temporary:
        assert temporary.stat().st_size == 3_000_000
        assert temporary.parent == tmp_path / "out"
    writer.join()
    writer = give(b"")
    with pytest.raises(DancingError, match="nothing came"), from_pipe(pipe, tmp_path / "out"):
        pass
    writer.join()
    monkeypatch.setattr(files, "PIPE_BYTES", 1000)
    writer = give(b"x" * 1001)
    with pytest.raises(DancingError, match="more than"), from_pipe(pipe, tmp_path / "out"):
        pass
    writer.join()
    assert not list((tmp_path / "out").iterdir())


# ------------------------------------------------------------------------------------- folders


def test_a_folder_gives_its_media_and_says_what_else_may_be_one(tmp_path):
    media = [*sorted(f"a{suffix}" for suffix in MEDIA_SUFFIXES), "b.FLAC"]
    for name in [*media, "list.m3u8", "cover.jpg", "poses.npz", "film.h264", ".hidden.mp3"]:
        (tmp_path / name).touch()
    listener = Recorder()
    found = expand([tmp_path], MEDIA_SUFFIXES, "songs", listener)
    assert [path.name for path in found] == media and not listener.notes
    for name in ("noname", "song.xyz"):
        (tmp_path / name).touch()
    assert expand([tmp_path], MEDIA_SUFFIXES, "songs", listener) == found
    (note,) = listener.notes
    assert note.startswith(f"{tmp_path}: passed over") and "noname, song.xyz" in note
    for named in (tmp_path / "noname", tmp_path / "cover.jpg"):
        assert expand([named], MEDIA_SUFFIXES, "songs") == [named]


def test_a_signal_as_a_temporary_begins_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dancing.files._lock", interrupted)
    for begin in (temporary_folder(tmp_path), write_then_rename(tmp_path / "a.txt")):
        with pytest.raises(KeyboardInterrupt), begin:
            pass
        assert not list(tmp_path.iterdir())
