"""The studio: the same in a browser. A page over the public API, with no logic of its own.

`server` starts it, `guard` keeps to its limits, `page` is what is seen, `jobs` runs the work and
keeps the files.
"""

from dancing.studio.limits import Limits
from dancing.studio.server import serve

__all__ = ["Limits", "serve"]
