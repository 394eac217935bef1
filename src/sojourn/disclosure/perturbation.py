"""The seam for what changes numbers before they leave: rounding, cell key, formal privacy. An output in, an output out.

The airlock applies it before the gate's form is checked and before anything is hashed, so that only changed numbers
are judged, signed and stored.
"""

from __future__ import annotations

from typing import Protocol

from sojourn.disclosure.output import Output


class Perturbation(Protocol):
    """Changes the numbers of an output, never its form."""

    def apply(self, output: Output) -> Output:
        """The same output with other numbers."""
