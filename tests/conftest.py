"""Threads for the tests: workers that run at once share the processor's cores."""

import os
from subprocess import SubprocessError

from dancing.errors import DancingError
from dancing.files import cache_folder, write_then_rename

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# Before NumPy and PyTorch are imported; processes that the tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_configure(config):
    """Have the pose networks before the tests, from the package index alone."""
    if hasattr(config, "workerinput"):
        return  # the process that started the workers did
    try:
        from dancing.data import pose_model

        path = cache_folder() / pose_model.MODEL
        if not pose_model.is_model(path):
            with write_then_rename(path) as temporary:
                pose_model.build_from_wheel(temporary)
    except (ImportError, OSError, KeyError, SubprocessError, DancingError):
        pass  # tests that need it are left out, or say what is missing


_LONGEST = ("test_training", "test_evaluation", "test_studio", "test_generate", "test_flow")


def pytest_collection_modifyitems(items):
    """Files that take longest first, so that no worker is left with one at the end."""
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
