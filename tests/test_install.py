"""The core alone, in a new environment: no torch, and a video from a song."""

import subprocess
import sys
from pathlib import Path

import pytest

from media import EXAMPLE, read_video

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_core_alone_makes_a_video(tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", ROOT], check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout.lower()
    for heavy in ("torch", "lightning", "librosa", "matplotlib"):
        assert heavy not in listed
    video = tmp_path / "dance.mp4"
    subprocess.run(
        [environment / "bin" / "dancing", "generate", EXAMPLE, "-o", video, "--duration", "1"],
        check=True,
        cwd=tmp_path,
    )
    made = read_video(video)
    assert len(made.frames) == 30 and made.sound is not None
