"""Joint tests: which conditions on the sum of all sites' numbers hold, and not a bit more.

Every site shares its small numbers among a few of the sites, the evaluators. A form says that a sum v of the numbers is
none of low .. high, which holds where the product of all (v - j), low <= j <= high, is not zero in the field. An
alternative asks all of its forms: the product of their products. A clause asks one of its alternatives: their sum, each
times a random number that nobody knows. A condition asks all of its clauses: their product. What is opened of it is 0
where it fails, else uniform among all other numbers. A condition that holds fails with a probability of 2^-31 a clause;
one that fails never holds.

Products by M. Ben-Or, S. Goldwasser, A. Wigderson, STOC 1988: each evaluator multiplies its shares, and shares the
product anew. Up to t of 2 t + 1 evaluators learn nothing, as long as all keep to the protocol. Roots that lie opposite
one another share a product: (v - j) (v - (s - j)) = v (v - s) + j (s - j), s = low + high.

An evaluator keeps nothing between two rounds: what it sends follows from what it received in the round before, and
fresh randomness. Each message is made once and stored: two sharings of one product would tell more than one does.
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
Clause = tuple[Alternative, ...]  # one must hold; none never holds
Condition = tuple[Clause, ...]  # all must hold; none is no condition


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
        if not all(self.conditions):
            raise ValueError("a condition that asks nothing")
        for clause in (clause for condition in self.conditions for clause in condition):
            for form in (form for alternative in clause for form in alternative):
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


def factors(condition: Condition) -> int:
    """How many factors the products of a condition have, which is what it costs."""
    forms = (form for clause in condition for alternative in clause for form in alternative)
    return sum((form.high - form.low) // 2 + 2 for form in forms) + sum(map(len, condition))


@dataclass(frozen=True, eq=False)
class Circuit:
    """The products of a test, the same for all evaluators.

    sums, owns: (form, input, factor) and (form, site, input, factor). middle: low + high of each form; single: whether
    it has one root alone, which is then its middle. spread, shift: the form of each factor after the first round, and
    what is added. pairs: for each further round left and right factor, -1 where there is none. clauses: the clause of
    each alternative, to be summed after round `summed`. sizes: elements that are shared anew in each round.
    """

    sums: Places
    owns: Places
    middle: Field
    single: NDArray[np.bool_]
    spread: Places
    shift: Field
    pairs: tuple[tuple[Places, Places], ...]
    clauses: Places
    summed: int
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, test: JointTest) -> Circuit:
        """Lay out a test's products."""
        clauses = [(place, clause) for place, condition in enumerate(test.conditions) for clause in condition]
        choices = [(place, alternative) for place, (_, clause) in enumerate(clauses) for alternative in clause]
        forms = [form for _, alternative in choices for form in alternative]
        single = np.array([form.low == form.high for form in forms], dtype=bool)
        ends = np.array([(form.low, form.high) for form in forms], dtype=np.int64).reshape(-1, 2)
        sums = [(place, *term) for place, form in enumerate(forms) for term in form.total]
        owns = [(place, *term) for place, form in enumerate(forms) for term in form.own]
        spread, shift, groups = _factors_of([alternative for _, alternative in choices])
        products = _pairs(groups)
        joined = _pairs(np.array([place for place, _ in clauses], dtype=np.int64))
        return cls(
            np.array(sums, dtype=np.int64).reshape(-1, 3),
            np.array(owns, dtype=np.int64).reshape(-1, 4),
            field(np.where(single, ends[:, 0], ends.sum(axis=1))),
            single,
            spread,
            shift,
            (*products, *joined),
            np.array([place for place, _ in choices], dtype=np.int64),
            1 + len(products),
            (len(forms) + len(choices), *(len(left) for left, _ in (*products, *joined))),
        )


def _factors_of(alternatives: list[Alternative]) -> tuple[Places, Field, Places]:
    """After the first round: the product that each factor is made of, what is added, and its alternative.

    The products are one a form, then one random number an alternative.
    """
    forms = sum(map(len, alternatives))
    spread: list[int] = []
    shift: list[int] = []
    groups: list[int] = []
    first = 0
    for number, alternative in enumerate(alternatives):
        spread.append(forms + number)
        shift.append(0)
        for form in alternative:
            total = form.low + form.high
            roots = range(form.low, total // 2 + 1)
            spread += [first] * len(roots)
            shift += [0 if form.low == form.high else root * (total - root) % PRIME for root in roots]
            first += 1
        groups += [number] * (len(spread) - len(groups))
    return np.array(spread, dtype=np.int64), np.array(shift, dtype=np.uint64), np.array(groups, dtype=np.int64)


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
        values = np.concatenate([values, uniform(len(test.circuit.clauses), random)])
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
    return pack(_factors(test, test.rounds(), received))


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
    randoms = len(circuit.clauses)
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
    factors = recombine(_bundles(test, received, dict.fromkeys(test.evaluators, circuit.sizes[number - 1])))
    if number == 1:
        factors = (factors[circuit.spread] + circuit.shift) % _P
    if number == circuit.summed:
        clauses = np.zeros(sum(map(len, test.conditions)), dtype=np.uint64)
        np.add.at(clauses, circuit.clauses, factors)
        factors = clauses % _P
    return factors
