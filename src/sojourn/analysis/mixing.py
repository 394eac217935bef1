"""Fixed points in fewer rounds: the next step is mixed from those before (D. G. Anderson, J. of the ACM 12, 1965)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
MEMORY = 5
LONGEST = 4.0  # of a mixed step, in plain ones: far from its end a mixture can lead anywhere


@dataclass
class Mixing:
    """Remembers places and the plain steps from there. close: length of the longest step that is mixed."""

    close: float
    places: list[Vector] = field(default_factory=list)
    steps: list[Vector] = field(default_factory=list)

    def move(self, at: Vector, step: Vector, root: Vector) -> Vector:
        """Where to go from here instead of the plain step; lengths are those of `root` times a step."""
        length, moved = float(np.linalg.norm(root @ step)), step
        if self.steps and length <= self.close:
            turns = np.array([step - earlier for earlier in self.steps[-MEMORY:]]).T
            ways = np.array([at - earlier for earlier in self.places[-MEMORY:]]).T
            share = np.linalg.lstsq(root @ turns, root @ step, rcond=1e-10)[0]
            mixed = step - (ways + turns) @ share
            ahead = (root @ mixed) @ (root @ step) > 0 and np.linalg.norm(root @ mixed) < LONGEST * length
            moved = mixed if ahead else step
        self.places.append(at)
        self.steps.append(step)
        return moved
