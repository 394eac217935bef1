"""Imports of libraries that load more where it is there: their command line, colours for tracebacks.

httpx and structlog do, with rich and pygments: 4 MB in the memory of each program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """To a library that is imported here these modules are not installed; afterwards they are as they were."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
