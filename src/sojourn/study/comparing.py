"""The rounds in which a masked plan compares counts with a number: after the joint test, of those that it lets pass.

share, multiply, open: as in the joint test, of another one (`secrecy.comparison.reached`). Only the bits exist. What a
search over many numbers could tell is bounded twice: each question is tested and remembered as a count of the same
cells, and the numbers are multiples of a stride that is not below T (`disclosure.demands.stride`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Compared, Step
from sojourn.disclosure.masked_gate import Masks
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.comparison import reached
from sojourn.secrecy.joint import MOST
from sojourn.study.joint_rounds import Evaluating
from sojourn.study.question import MOST_TESTING, Question

SHARE, MULTIPLY, OPEN = "compare.share", "compare.multiply", "compare.open"
STEPS: Mapping[str, Step] = MappingProxyType(
    {
        SHARE: Step(SHARE, {}, {}),
        MULTIPLY: Step(MULTIPLY, {"number": (1,)}, {}),
        OPEN: Step(OPEN, {}, {}),
    }
)


class Comparing(Evaluating):
    """The comparison of one analysis. counting: what a site computes for it. places: the cells that are compared."""

    def __init__(self, question: Question, compared: Compared, counting: Ask, cells: Masks, threshold: int) -> None:
        """DisclosureRefused where it would take too many rounds."""
        self.counting, self._compared = counting, compared
        (step,) = compared.steps(question.variables)
        shape = step.partial[compared.compared]
        self._hidden = np.array(np.broadcast_to(cells.get(compared.compared, np.False_), shape))
        self.places = np.flatnonzero(~self._hidden)
        sites, evaluators = tuple(sorted(question.circle.sites)), question.evaluators
        test = reached(sites, evaluators, len(self.places), compared.k, threshold)
        if test.rounds() > MOST_TESTING - 2:
            raise DisclosureRefused("capacity")
        super().__init__((SHARE, MULTIPLY, OPEN), SHARE, test)

    def numbers(self, partial: Partial) -> NDArray[np.int64]:
        """What a site puts in, of what it computed."""
        counts = np.asarray(partial[self._compared.compared]).ravel()[self.places]
        return np.append(np.minimum(counts, MOST), 0).astype(np.int64)

    def nothing(self, veto: bool = False) -> NDArray[np.int64]:
        """What a site puts in that takes part with nothing, or whose rules refuse now."""
        return np.append(np.zeros(len(self.places), dtype=np.int64), int(veto))

    def sums(self) -> Partial | None:
        """What the coordinator is told: k for a cell that reaches it, else 0. None where a site vetoed."""
        assert self.bits is not None
        if not self.bits[0]:
            return None
        told = np.zeros(self._hidden.size, dtype=np.int64)
        told[self.places] = np.where(self.bits[1:], self._compared.k, 0)
        array = {self._compared.compared: told.reshape(self._hidden.shape)}
        return Partial(array, {self._compared.compared: self._hidden} if self._hidden.any() else {})
