"""One site's part in the rounds of a joint test: its shares, and where it evaluates, the evaluators' steps."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray

from sojourn.analysis.statistic import Ask
from sojourn.disclosure.demands import Demands
from sojourn.disclosure.policy import Policy, for_dataset
from sojourn.errors import SiteRefused, SojournError
from sojourn.node.decisions import Place
from sojourn.node.masking import Masking
from sojourn.secrecy import joint
from sojourn.secrecy.exchange import open_with, seal_to
from sojourn.study.joint_rounds import TERMS, Evaluating, masked_of
from sojourn.study.remembered import Remembered
from sojourn.study.transcript import Round

LEAST = Demands(3, 1, 1.0)  # of a policy that has no parameters: a testbed's object
Part = tuple[dict[str, Any], dict[str, bytes]]  # told in the open; sealed for each evaluator


def demands_of(policy: Policy, table: str) -> Demands:
    """What a site's rules for a dataset ask of the whole."""
    parameters = getattr(for_dataset(policy, table), "parameters", None)
    return LEAST if parameters is None else Demands.of(parameters)


class JointPart:
    """The part of one site in one analysis. numbers: what it puts in, asked when it shares them."""

    def __init__(
        self,
        masking: Masking,
        place: Place,
        testing: Evaluating,
        rounds: list[Round],
        remembered: list[Remembered],
        numbers: Callable[[], NDArray[np.int64]],
    ) -> None:
        self._masking = masking
        self._site = masking.home.site
        self._place = place
        self._testing = testing
        self._rounds = rounds
        self._remembered = remembered
        self._numbers = numbers

    def of(self, ask: Ask) -> Part:
        """What is said to an ask. SiteRefused("joint test") where another site's shares cannot be used."""
        if ask.step == TERMS:
            demands = demands_of(self._masking.policy, self._place.run.plan.table)
            told = [[name, list(labels)] for name, labels in self._remembered]
            return {"demands": demands.to_dict(), "told": told}, {}
        test = self._testing.test
        assert test is not None
        if ask.step == self._testing.share:
            return {}, self._sealed(joint.share(test, self._site, self._numbers()))
        if self._site not in test.evaluators:
            return {}, {}
        try:
            received = self._received()
            if ask.step == self._testing.multiply:
                return {}, self._sealed(joint.step(test, self._testing.number, received))
            assert ask.step == self._testing.open
            return {"opening": base64.b64encode(joint.opening(test, received)).decode("ascii")}, {}
        except (ValueError, SojournError) as error:
            raise SiteRefused("joint test") from error

    def _sealed(self, bundles: Mapping[str, bytes]) -> dict[str, bytes]:
        circle = self._place.run.circle
        assert circle is not None
        return {
            site: seal_to(circle.exchange(site), bundle, self._info(self._place.ask, self._site, site))
            for site, bundle in bundles.items()
        }

    def _received(self) -> dict[str, bytes]:
        """What the round before sealed to this site."""
        before = self._rounds[-1]
        return {
            sender: open_with(
                self._masking.exchange, release.sealed[self._site], self._info(before.digest, sender, self._site)
            )
            for sender, release in masked_of(before).items()
            if self._site in release.sealed
        }

    def _info(self, ask: str, sender: str, receiver: str) -> bytes:
        place = self._place
        words: list[Any] = ["sojourn joint share", 1, place.run.request.study, place.analysis, ask, sender, receiver]
        return rfc8785.dumps(words)
