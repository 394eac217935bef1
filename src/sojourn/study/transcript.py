"""The transcript of an analysis: replaying the coordinator so that a node computes only what it can derive.

Law: a broadcast is followed only if the pure coordinator, fed with the earlier rounds' releases, each signed by its
site under the roster that the researcher signed, asks the same step with the same arrays (whole numbers
exactly, others to a relative tolerance of 1e-6).
Source of the threat: a hub that chooses coefficients reads rows as differences of scores (disclosure-rules, "A node
computes only what it can derive"). Sums alone would not bind a hub that may forge them; signed releases do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sojourn.analysis.noise import Noise
from sojourn.analysis.partial import total
from sojourn.analysis.statistic import Ask, Estimate, Gathered, Statistic, fits
from sojourn.analysis.variable import Variables
from sojourn.disclosure.gate import ReceivedRelease
from sojourn.disclosure.masked_gate import Received
from sojourn.disclosure.rehearsal import is_rehearsal

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Round:
    """One past round: the ask as it was broadcast, its hash, and each site's release."""

    ask: Ask
    digest: str
    releases: Mapping[str, Received]


def gather(received: Mapping[str, Received]) -> Gathered:
    """The sum over the sites in name order, beside each site's part; ValueError where one is of a masked plan."""
    names = sorted(received)
    releases = {name: release for name, release in received.items() if isinstance(release, ReceivedRelease)}
    if len(releases) < len(received):
        raise ValueError("a masked release among clear ones")
    parts = {name: releases[name].partial for name in names}
    hidden = {name: releases[name].header.hidden_max for name in names}
    noise = {name: Noise.read(release.header.noise) for name, release in releases.items() if release.header.noise}
    return Gathered(total(parts.values()), parts, hidden, noise)


def marked(estimate: Estimate, noise: Mapping[str, Noise]) -> Estimate:
    """The estimate that says which sites' numbers hold noise, and how much."""
    if not noise:
        return estimate
    said = {f"epsilon {one.epsilon:g}, delta {one.delta:g}" for one in noise.values()}
    why = f"differentially private ({'; '.join(sorted(said))}) at {', '.join(sorted(noise))}"
    before = estimate.exactness.removeprefix("approximate: ")
    exactness = f"approximate: {why}" if before == "pooled" else f"approximate: {before}; {why}"
    told = tuple(f"{site}: {one.sentence()}" for site, one in sorted(noise.items()))
    return replace(estimate, exactness=exactness, warnings=(*estimate.warnings, *told))


class Replay:
    """A coordinator that is told one round after the other. `state`: what it asks now, or concludes."""

    def __init__(self, statistic: Statistic, variables: Variables) -> None:
        self._steps = {step.name: step for step in statistic.steps(variables)}
        self._coordinator = statistic.coordinator(variables)
        self._noise: dict[str, Noise] = {}
        self.state: Ask | Estimate = self._declared(next(self._coordinator))

    def tell(self, past: Round) -> None:
        """Go on by a round; ValueError where it does not follow from those before it."""
        if isinstance(self.state, Estimate):
            raise ValueError("the transcript goes on after its end")
        if not same(self.state, past.ask):
            raise ValueError("a broadcast does not follow from the releases before it")
        try:
            gathered = gather(past.releases)
            self._noise |= gathered.noise
            self.state = self._declared(self._coordinator.send(gathered))
        except StopIteration as end:
            estimate: Estimate = end.value
            self.state = marked(estimate, self._noise)

    def _declared(self, ask: Ask) -> Ask:
        if ask.step not in self._steps or not fits(ask, self._steps[ask.step]):
            raise ValueError("the coordinator asks what its steps do not declare")
        return ask


def replay(statistic: Statistic, variables: Variables, rounds: Sequence[Round]) -> Ask | Estimate:
    """What the coordinator asks, or concludes, after these rounds; ValueError where a round does not follow."""
    told = Replay(statistic, variables)
    for past in rounds:
        told.tell(past)
    return told.state


def same(derived: Ask, broadcast: Ask) -> bool:
    """Whether two asks agree: the same step, the same arrays, whole numbers exactly and others to the tolerance."""
    if derived.step != broadcast.step or set(derived.broadcast) != set(broadcast.broadcast):
        return False
    for name, ours in derived.broadcast.items():
        theirs = broadcast.broadcast[name]
        if ours.shape != theirs.shape:
            return False
        if ours.dtype.kind != "f":  # also the rounds of a joint test: another number would be another place there
            if ours.dtype != theirs.dtype or not np.array_equal(ours, theirs):
                return False
            continue
        # A number that should be zero may come out as rounding error elsewhere; measured against the array's own size.
        floor = 1e-9 * float(np.max(np.abs(ours), initial=0.0))
        if not np.allclose(ours, theirs, rtol=TOLERANCE, atol=floor):
            return False
    return True


def coherent(
    rounds: Sequence[Round],
    study: str,
    plan_hash: str,
    analysis: str,
    own: str,
    least: int,
    rehearsal: bool = False,
) -> bool:
    """Whether the rounds are one analysis of one study: each release answers its round, of one snapshot and policy.

    All rounds have the same sites, `own` among them, and at least `least`. rehearsal: whether every release must say
    that it is of a rehearsal; else none may.
    """
    sites = {frozenset(past.releases) for past in rounds}
    if len(sites) > 1 or any(own not in names or len(names) < least for names in sites):
        return False
    return grounded(rounds, study, plan_hash, analysis, rehearsal)


def grounded(rounds: Sequence[Round], study: str, plan_hash: str, analysis: str, rehearsal: bool = False) -> bool:
    """Whether each release answers its round of this analysis, each site's from one snapshot under one policy."""
    grounds: dict[str, set[tuple[str, str, str, int]]] = {}
    for number, past in enumerate(rounds, start=1):
        for site, release in past.releases.items():
            header = release.header
            if (header.site, header.study, header.plan) != (site, study, plan_hash):
                return False
            if (header.analysis, header.ask, header.round) != (analysis, past.digest, number):
                return False
            if is_rehearsal(header.watermark) != rehearsal:
                return False
            ground = (header.snapshot, header.policy, header.policy_version, header.hidden_max)
            grounds.setdefault(site, set()).add(ground)
    return all(len(found) == 1 for found in grounds.values())
