"""Threads for the tests: workers that run at once share the processor's cores."""

import os

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# Before NumPy and PyTorch are imported; processes that the tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
