"""`dancing` and `python -m dancing`: the command line, safe to be interrupted as it is loaded."""

from __future__ import annotations

import os
import sys

from dancing.signals import leave_at_once

TYPE_CHECKING = False  # see dancing/__init__.py
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    leave_at_once()
    _open_streams()
    try:
        from dancing.cli import main as run
    except (ImportError, OSError, MemoryError) as error:
        print(f"error: the program cannot be loaded ({error})", file=sys.stderr)
        sys.exit(1)
    run()


def _open_streams() -> None:
    """Stand in for streams that are closed: else the next file opened would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115, PTH123
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


if __name__ == "__main__":
    main()
