"""The rounds in which a masked plan tests squares about a mean: after the sums, before the squares themselves.

share, multiply, open: as in the joint test, of another one (`disclosure.joint_squares`). Where it would be too large
there are no such rounds, and no squares are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sojourn.analysis.population import nobody
from sojourn.analysis.statistic import Ask, Squared, Step
from sojourn.analysis.variable import SITE
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_squares import Squares
from sojourn.disclosure.masked_gate import Masks
from sojourn.disclosure.suppression import union
from sojourn.study.joint_rounds import Evaluating
from sojourn.study.question import MOST_TESTING, Question

SHARE, MULTIPLY, OPEN = "squares.share", "squares.multiply", "squares.open"
STEPS: Mapping[str, Step] = MappingProxyType(
    {
        SHARE: Step(SHARE, {}, {}),
        MULTIPLY: Step(MULTIPLY, {"number": (1,)}, {}),
        OPEN: Step(OPEN, {}, {}),
    }
)


class Squaring(Evaluating):
    """The test of one analysis's squares. waiting: what the statistic asks next. cells: what the first test hid."""

    def __init__(self, question: Question, squared: Squared, waiting: Ask, layout: Layout, cells: Masks) -> None:
        self.waiting, self._cells = waiting, cells
        variables = question.variables
        empty = squared.distances(nobody(variables[SITE].levels[0], variables), waiting.broadcast)
        self.squares = Squares.of(layout, empty, cells)
        test = self.squares.test(question.circle.sites, question.evaluators) if self.squares.parts else None
        if test is not None and test.rounds() > MOST_TESTING - 2:
            test = None
        super().__init__((SHARE, MULTIPLY, OPEN), SHARE, test)

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.test is None or self.bits is not None

    def cells(self) -> Masks:
        """What is hidden in all, once the test is over; DisclosureRefused where nothing may be shown."""
        return union([self._cells, self.squares.masks(self.bits)])
