"""Joint tests: which conditions on the sum of all sites' numbers hold, and not a bit more.

Every site shares its small numbers among a few of the sites, the evaluators. A condition says that a linear form v of
the numbers is none of low .. high, which holds where the product of all (v - j), low <= j <= high, is not zero in the
field. All forms of an alternative: the product of their products. One of several alternatives: the sum of theirs, each
times a random number that nobody knows. So what is opened is 0 where a condition fails, else uniform among all numbers.
A condition that holds fails with probability 2^-31, and one that fails never holds.

Products by M. Ben-Or, S. Goldwasser, A. Wigderson, STOC 1988: each evaluator multiplies its shares, and shares the
product anew. Nothing is learnt by up to t of 2 t + 1 evaluators who keep to the protocol. Roots that lie
opposite one another share a product: (v - j) (v - (s - j)) = v (v - s) + j (s - j), s = low + high.

An evaluator keeps nothing between two rounds: what it sends follows from what it received in the round before, and
fresh randomness. Each message is sent once and stored; drawing the randomness of a round twice would open it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sojourn.secrecy.shamir import (
    PRIME,
    Field,
    Random,
    consistent,
    deal,
    field,
    pack,
    recombine,
    times,
    uniform,
    unpack,
)

MOST = 2**20  # the greatest number that a site may put in
Places = NDArray[np.int64]
_P = np.uint64(PRIME)


@dataclass(frozen=True)
class Form:
    """A sum of the sites' numbers that must not be any of low .. high.

    total: (input, factor), of the numbers of all sites. own: (place of a site, input, factor), of one site's.
    """

    total: tuple[tuple[int, int], ...]
    own: tuple[tuple[int, int, int], ...]
    low: int
    high: int


Alternative = tuple[Form, ...]  # all must hold; none always holds
Condition = tuple[Alternative, ...]  # one must hold; none never holds


@dataclass(frozen=True)
class JointTest:
    """What is asked, which is public: the sites, the evaluators among them, numbers a site puts in, conditions.

    ValueError where there are fewer than three evaluators, or an even number, or a form could leave the field.
    """

    sites: tuple[str, ...]
    evaluators: tuple[str, ...]
    inputs: int
    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if len(self.evaluators) < 3 or len(self.evaluators) % 2 == 0:
            raise ValueError("a joint test has an odd number of evaluators, at least three")
        if len(set(self.sites)) < len(self.sites) or not set(self.evaluators) <= set(self.sites):
            raise ValueError("the evaluators are not among the sites")
        if len(set(self.evaluators)) < len(self.evaluators):
            raise ValueError("an evaluator is named twice")
        for form in (form for condition in self.conditions for alternative in condition for form in alternative):
            self._check(form)

    def _check(self, form: Form) -> None:
        size = sum(abs(factor) for _, factor in form.total) * len(self.sites)
        size = (size + sum(abs(factor) for _, _, factor in form.own)) * MOST
        if form.low > form.high or size + max(abs(form.low), abs(form.high)) > PRIME // 2:
            raise ValueError("a form leaves the field")
        inputs = [place for place, _ in form.total] + [place for _, place, _ in form.own]
        if not all(0 <= place < self.inputs for place in inputs):
            raise ValueError("a form of numbers that nobody puts in")
        if not all(0 <= site < len(self.sites) for site, _, _ in form.own):
            raise ValueError("a form of a site that is not there")

    @property
    def degree(self) -> int:
        """How many evaluators together still know nothing."""
        return (len(self.evaluators) - 1) // 2

    def rounds(self) -> int:
        """How often the evaluators multiply."""
        return len(self.circuit.sizes)

    @cached_property
    def circuit(self) -> Circuit:
        """The products to be made."""
        return Circuit.of(self)


@dataclass(frozen=True, eq=False)
class Circuit:
    """The same for all evaluators. Of each level, the places of the factors that are multiplied with one another.

    sums, owns: (form, input, factor) and (form, site, input, factor). middle: low + high of each form; single: whether
    it has one root alone, which is then its middle. spread, shift: the form of each factor after the first round, and
    what is added. pairs: for each further level left and right factor, -1 where there is none. alternatives: the
    condition of each alternative. sizes: elements that are shared anew in each round.
    """

    sums: Places
    owns: Places
    middle: Field
    single: NDArray[np.bool_]
    spread: Places
    shift: Field
    pairs: tuple[tuple[Places, Places], ...]
    alternatives: Places
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, test: JointTest) -> Circuit:
        """Lay out a test's products."""
        choices = [(place, alternative) for place, condition in enumerate(test.conditions) for alternative in condition]
        forms = [form for _, alternative in choices for form in alternative]
        single = np.array([form.low == form.high for form in forms], dtype=bool)
        middle = np.array([form.low if form.low == form.high else form.low + form.high for form in forms], np.int64)
        sums = [(place, *term) for place, form in enumerate(forms) for term in form.total]
        owns = [(place, *term) for place, form in enumerate(forms) for term in form.own]
        spread, shift, groups, first = [], [], [], 0
        for number, (_, alternative) in enumerate(choices):
            spread.append(len(forms) + number)  # the alternative's random number
            shift.append(0)
            for form in alternative:
                roots = range(form.low, (form.low + form.high) // 2 + 1)
                spread += [first] * len(roots)
                shift += [0 if form.low == form.high else root * (form.low + form.high - root) for root in roots]
                first += 1
            groups += [number] * (len(spread) - len(groups))
        pairs = tuple(_pairs(np.array(groups, dtype=np.int64)))
        return cls(
            np.array(sums, dtype=np.int64).reshape(-1, 3),
            np.array(owns, dtype=np.int64).reshape(-1, 4),
            field(middle),
            single,
            np.array(spread, dtype=np.int64),
            field(np.array(shift, dtype=np.int64)),
            pairs,
            np.array([place for place, _ in choices], dtype=np.int64),
            (len(forms) + len(choices), *(len(left) for left, _ in pairs)),
        )


def _pairs(groups: Places) -> list[tuple[Places, Places]]:
    """Levels of a product tree over neighbours of one group, until each group is one number."""
    levels = []
    while len(groups) > len(np.unique(groups)):
        start = np.searchsorted(groups, groups)
        left = np.flatnonzero((np.arange(len(groups)) - start) % 2 == 0)
        right = left + 1
        alone = (right >= len(groups)) | (groups[np.minimum(right, len(groups) - 1)] != groups[left])
        levels.append((left, np.where(alone, -1, right)))
        groups = groups[left]
    return levels


def share(test: JointTest, site: str, own: NDArray[np.int64], random: Random = secrets.token_bytes) -> dict[str, bytes]:
    """A site's numbers, 0 .. MOST, shared: for each evaluator its bundle. ValueError where they do not fit the test.

    Of the test only sites, evaluators, and how many inputs and alternatives there are, count here.
    """
    own = np.asarray(own, dtype=np.int64)
    if own.shape != (test.inputs,) or (own < 0).any() or (own > MOST).any():
        raise ValueError("the numbers do not fit the test")
    values = own.astype(np.uint64)
    if site in test.evaluators:
        values = np.concatenate([values, uniform(len(test.circuit.alternatives), random)])
    return _dealt(test, values, random)


def step(
    test: JointTest, number: int, received: Mapping[str, bytes], random: Random = secrets.token_bytes
) -> dict[str, bytes]:
    """An evaluator's part of round 1 .. `rounds()`: its products, shared anew.

    received: for round 1 the bundle that each site shared with it, then the bundle of each evaluator in the round
    before. ValueError, which names no value, where a bundle is missing, too many, or not of its size and range.
    """
    circuit = test.circuit
    if number == 1:
        left, right = _first(test, received)
    elif 1 < number <= test.rounds():
        factors = _factors(test, number - 1, received)
        first, second = circuit.pairs[number - 2]
        left = factors[first]
        right = np.where(second < 0, np.uint64(1), factors[second])
    else:
        raise ValueError("there is no such round")
    return _dealt(test, times(left, right), random)


def opening(test: JointTest, received: Mapping[str, bytes]) -> bytes:
    """An evaluator's share of every condition's number, after the last round; to be shown to all."""
    last = _factors(test, test.rounds(), received)
    total = np.zeros(len(test.conditions), dtype=np.uint64)
    np.add.at(total, test.circuit.alternatives, last)
    return pack(total % _P)


def verdict(test: JointTest, openings: Mapping[str, bytes]) -> NDArray[np.bool_]:
    """Which conditions hold. ValueError where the evaluators' shares do not go together."""
    shares = _bundles(test, openings, dict.fromkeys(test.evaluators, len(test.conditions)))
    if not consistent(shares, test.degree):
        raise ValueError("the evaluators' shares contradict one another")
    return np.asarray(recombine(shares) != 0)


def _dealt(test: JointTest, values: Field, random: Random) -> dict[str, bytes]:
    shares = deal(values, test.degree, len(test.evaluators), random)
    return {name: pack(share) for name, share in zip(test.evaluators, shares, strict=True)}


def _bundles(test: JointTest, received: Mapping[str, bytes], sizes: Mapping[str, int]) -> dict[int, Field]:
    """The bundles of all senders by their place, from 1."""
    if set(received) != set(sizes):
        raise ValueError("a bundle is missing, or of nobody")
    return {place: unpack(received[name], sizes[name]) for place, name in enumerate(sizes, start=1)}


def _first(test: JointTest, received: Mapping[str, bytes]) -> tuple[Field, Field]:
    """What is multiplied in the first round: each form with itself, moved; and each random number with one."""
    circuit = test.circuit
    randoms = len(circuit.alternatives)
    sizes = {site: test.inputs + (randoms if site in test.evaluators else 0) for site in test.sites}
    bundles = list(_bundles(test, received, sizes).values())
    own = np.stack([bundle[: test.inputs] for bundle in bundles])
    total = own.sum(axis=0) % _P
    value = np.zeros(len(circuit.middle), dtype=np.uint64)
    form, place, factor = circuit.sums.T
    np.add.at(value, form, times(total[place], field(factor)))
    form, site, place, factor = circuit.owns.T
    np.add.at(value, form, times(own[site, place], field(factor)))
    value %= _P
    moved = (value + (_P - circuit.middle)) % _P
    random = np.zeros(randoms, dtype=np.uint64)
    for bundle in bundles:
        if len(bundle) > test.inputs:
            random += bundle[test.inputs :]
    one = np.ones(1, dtype=np.uint64)
    left = np.concatenate([np.where(circuit.single, one, value), random % _P])
    return left, np.concatenate([moved, np.ones(randoms, dtype=np.uint64)])


def _factors(test: JointTest, number: int, received: Mapping[str, bytes]) -> Field:
    """The factors after a round: the products that the evaluators shared anew, brought to the degree of shares."""
    circuit = test.circuit
    products = recombine(_bundles(test, received, dict.fromkeys(test.evaluators, circuit.sizes[number - 1])))
    if number > 1:
        return products
    return np.asarray((products[circuit.spread] + circuit.shift) % _P)
