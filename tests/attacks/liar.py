"""A site that lies: its numbers outweigh all others, so that the coefficients that everybody derives are its choice."""

from __future__ import annotations

import numpy as np
from peeling import Reader

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.identity.keys import PrivateKey

WEIGHT = 1e19
MANY = 10**15


class Liar:
    """One key in the roster. It needs no data, and no help but the transcripts that every site of a clear plan sees."""

    def __init__(self, reader: Reader) -> None:
        self.key = PrivateKey.generate()
        self._reader = reader
        self._number = 0

    def answer(self, ask: Ask) -> Partial:
        """Numbers from which the next coefficients follow that it wants."""
        width = len(self._reader.terms)
        if ask.step == "handshake":
            return Partial({"n": np.array([MANY]), "sum": np.zeros(width)})
        wanted = self._reader.coefficients(self._number)
        self._number += 1
        information = WEIGHT * np.eye(width)
        if ask.step == "start":
            return Partial({"gram": information, "moment": information @ wanted, "saturated": np.zeros(1)})
        return Partial(
            {
                "deviance": np.array([1e15 * (20 - self._number)]),  # always better than the step before
                "score": information @ (wanted - ask.broadcast["coefficients"]),
                "information": information,
                "curvature": information,
                "invalid": np.array([0]),
            }
        )
