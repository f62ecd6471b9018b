"""Files appear whole, with the permissions of any new file, whatever other threads do."""

import os
import threading

import pytest

from dancing.errors import DancingError
from dancing.files import write_then_rename


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
