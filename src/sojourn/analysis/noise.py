"""What was drawn into a site's numbers, as its release says it: public, so that readers know what it can bear."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

LAPLACE, GAUSSIAN = "discrete Laplace", "discrete Gaussian"
LONGEST, LONGEST_NAME = 16_000, 100
_WORDS = {"mechanism", "epsilon", "delta", "scales"}


@dataclass(frozen=True)
class Noise:
    """A differentially private answer's loss and noise.

    mechanism: LAPLACE or GAUSSIAN. epsilon, delta: the loss of this answer by itself, one person's rows in or out.
    scales: for each kind of number the scale of its noise, in that number's own unit: b of a Laplace, sigma of a
    Gaussian distribution.
    """

    mechanism: str
    epsilon: float
    delta: float
    scales: Mapping[str, float]

    def deviation(self, name: str) -> float:
        """The noise's standard deviation: b times the square root of 2, or sigma."""
        return self.scales[name] * (math.sqrt(2) if self.mechanism == LAPLACE else 1.0)

    def sentence(self) -> str:
        """For the reader: what was drawn, and how wide."""
        wide = ", ".join(f"{name} {self.deviation(name):.3g}" for name in sorted(self.scales))
        return f"{self.mechanism} noise of epsilon {self.epsilon:g}, delta {self.delta:g}; standard deviation: {wide}."

    def text(self) -> str:
        """The one text that a header carries: JSON, sorted, without spaces."""
        document = {word: getattr(self, word) for word in sorted(_WORDS)} | {"scales": dict(self.scales)}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def read(cls, text: str) -> Noise:
        """Read `text`'s form; ValueError on anything else."""
        if len(text) > LONGEST:
            raise ValueError("not a noise")
        try:
            document = json.loads(text)
        except RecursionError as error:
            raise ValueError("not a noise") from error
        if not isinstance(document, dict) or set(document) != _WORDS or not isinstance(document["scales"], dict):
            raise ValueError("not a noise")
        numbers = [document["epsilon"], document["delta"], *document["scales"].values()]
        if any(type(number) is not float or not math.isfinite(number) or number < 0 for number in numbers):
            raise ValueError("a noise's number is none")
        if any(not name.isprintable() or len(name) > LONGEST_NAME for name in document["scales"]):
            raise ValueError("a noise's name is none")
        noise = cls(**document)
        if noise.mechanism not in (LAPLACE, GAUSSIAN) or noise.text() != text:
            raise ValueError("not a noise")
        return noise
