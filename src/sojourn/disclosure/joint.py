"""Joint disclosure: whether the sum over all sites may be shown, where no site's own part could be.

    a number shows where, for every site k, total - own_k >= T

so that neither an outsider nor a site that subtracts its own part learns about fewer than T persons. own is not how
many persons a site has there but how many of them are still hidden, beside its earlier clear releases. All sites lay
out the same questions from the plan alone (`Layout`), each puts its numbers in, T being the greatest threshold of all,
and only whether a number passes is opened (`secrecy.joint`). What fails is hidden alike at all sites, with its
complement (`structural`). A model has one bit for all that it asks.

What a rule knows no joint test for is refused. Persons who are in two sites count twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import rfc8785
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Cells, Support
from sojourn.analysis.values import BINS, HASHES
from sojourn.analysis.variable import SITE, Variables
from sojourn.disclosure.demands import Demands as Demands
from sojourn.disclosure.demands import evaluators as evaluators
from sojourn.disclosure.demands import strictest as strictest
from sojourn.disclosure.joint_forms import (
    LEVELS,
    UNITS,
    at_least,
    grid,
    many_values,
    none_or,
    undominated,
    varies,
)
from sojourn.disclosure.joint_parts import Model, Quantiles, Sum, Table
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.structural import structural_complement
from sojourn.disclosure.suppression import Mask, spread, union
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import MOST, Alternative, Condition, JointTest, factors

MOST_FACTORS = 500_000  # of a test; each is shared anew about three times, in four bytes, by and for each evaluator
MOST_INPUTS = 200_000
POPULATION = "population"


@dataclass(frozen=True)
class Told:
    """What an earlier masked release over the same roster made known.

    name: its study and analysis. labels: of the sets, which all sites know. persons: this site's part of each.
    """

    name: str
    labels: tuple[str, ...]
    persons: tuple[BitMap, ...]


@dataclass(frozen=True)
class Layout:
    """The questions of one analysis, the same at every site.

    residual: whether numbers of more than persons need residual degrees of freedom. told: name and labels of earlier
    masked releases over the same sites and dataset.
    """

    tables: tuple[Table, ...]
    sums: tuple[Sum, ...]
    model: Model | None
    quantiles: tuple[Quantiles, ...]
    residual: bool
    told: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, empty: Support, variables: Variables, rules: Sequence[str], told: Sequence[Told] = ()) -> Layout:
        """From the support of an empty population; DisclosureRefused where there is no joint test for what it holds."""
        _answerable(empty, variables, rules)
        tables = tuple(Table.of(cells) for cells in empty.cells)
        design = empty.design
        layout = cls(
            tables,
            tuple(Sum.of(sums, tables, design is not None) for sums in empty.contributions),
            None if design is None else Model.of(design, bool(tables)),
            tuple(Quantiles(one.output, one.fractions, one.persons.shape) for one in empty.positions),
            "residual freedom" in rules,
            tuple((one.name, one.labels) for one in told),
        )
        known = sum(len(one.labels) for one in told)
        if 2 * known * len(list(layout._sets())) > MOST_INPUTS or layout.inputs > MOST_INPUTS:
            raise DisclosureRefused("capacity")
        return layout

    def digest(self) -> str:
        """sha256 (hex) of the questions: sites that do not agree on it do not answer."""
        return hashlib.sha256(rfc8785.dumps(asdict(self))).hexdigest()

    def labels(self) -> tuple[str, ...]:
        """What a site puts in, one label a number."""
        return tuple(self._labels())

    def _labels(self) -> Iterator[str]:
        yield from self._sets()
        for number, sums in enumerate(self.sums):
            for place in range(len(sums.most)):
                at = f"{number} {place}"
                yield f"there {at}"
                yield from (f"{word} {at} {level}" for level in range(LEVELS) for word in ("over", "units"))
                yield from (f"class {at} {level}" for level in range(sums.levels))
                if sums.table >= 0 and not sums.levels:
                    yield from (f"hit {at} {bit}" for bit in range(HASHES * BINS))
        if self.model is not None:
            yield from (f"hit {name} {bit}" for name in self.model.numbers for bit in range(HASHES * BINS))
            yield from ("events",) * self.model.events
        for number, one in enumerate(self.quantiles):
            yield from (f"behind {number} {place}" for place in range(math.prod(one.shape)))
        known = [f"{number} {place}" for number, (_, labels) in enumerate(self.told) for place in range(len(labels))]
        for label in self._sets() if known else ():
            yield from (f"{word} {earlier} {label}" for earlier in known for word in ("more", "less"))

    def _sets(self) -> Iterator[str]:
        """The sets of persons that are counted."""
        yield POPULATION
        for number, table in enumerate(self.tables):
            yield from (f"cell {number} {place}" for place in table.places())
        for label, _, _ in self._sums():
            yield label
        if self.model is not None:
            yield from (f"level {label}" for label in self.model.levels)

    def _sums(self) -> Iterator[tuple[str, int, list[int]]]:
        """What tables of fewer dimensions would show: label, table, cells."""
        if self.model is None:
            for number, table in enumerate(self.tables):
                yield from ((_sum_label(number, place), number, cells) for place, cells in table.sums())

    @property
    def inputs(self) -> int:
        """How many numbers a site puts in."""
        return len(self.labels())

    def numbers(
        self, support: Support, parameters: Parameters, clear: Sequence[BitMap] = (), told: Sequence[Told] = ()
    ) -> NDArray[np.int64]:
        """What a site puts in. clear: the sets that it has made known by clear releases of this dataset.

        told: as the layout was made with. DisclosureRefused where its evidence is not what the questions are about; it
        then puts in nothing but zeros.
        """
        if tuple((one.name, one.labels) for one in told) != self.told:
            raise ValueError("other earlier releases than those that are asked about")
        sets = self.sets(support)
        found = {label: still_hidden(sets[label], clear) for label in self._sets()}
        found |= self._contributed(support, parameters, sets, clear)
        if self.model is not None and support.design is not None:
            found |= _hits(support.design.numbers)
            found["events"] = support.design.events or 0
        for number, one in enumerate(support.positions):
            found |= {f"behind {number} {place}": int(n) for place, n in enumerate(one.persons.ravel())}
        for number, earlier in enumerate(told):
            for place, persons in enumerate(earlier.persons):
                for label, now in sets.items():
                    found[f"more {number} {place} {label}"] = still_hidden(now - persons, clear)
                    found[f"less {number} {place} {label}"] = still_hidden(persons - now, clear)
        return np.array([min(found[label], MOST) for label in self._labels()], dtype=np.int64)

    def nothing(self) -> NDArray[np.int64]:
        """What a site without data, or that refuses, puts in."""
        return np.zeros(self.inputs, dtype=np.int64)

    def sets(self, support: Support) -> dict[str, BitMap]:
        """A site's persons by label. DisclosureRefused where its evidence is of other tables or levels."""
        found = {POPULATION: support.population}
        for number, (table, cells) in enumerate(zip(self.tables, self._own_cells(support), strict=True)):
            if any(cells.persons[place] for place in table.empty):
                raise DisclosureRefused("dictionary")  # declared to hold nobody
            found |= {f"cell {number} {place}": cells.persons[place] for place in table.places()}
        for label, number, places in self._sums():
            found[label] = BitMap.union(BitMap(), *(found.get(f"cell {number} {place}", BitMap()) for place in places))
        if (support.design is None) != (self.model is None):
            raise DisclosureRefused("design support")
        if support.design is not None and self.model is not None:
            levels = support.design.levels
            strange = any(not self.model.knows(label) for label in levels)
            if strange or not set(self.model.levels) <= set(levels):
                raise DisclosureRefused("design support")
            if set(support.design.numbers) != set(self.model.numbers):
                raise DisclosureRefused("design support")
            found |= {f"level {label}": levels[label] for label in self.model.levels}
        return found

    def _own_cells(self, support: Support) -> list[Cells]:
        """A site's cells, table by table. More than these may be there for numbers that have few values at the site."""
        found: list[Cells] = []
        sums = {one.output for one in self.sums}
        for cells in support.cells:
            if len(found) < len(self.tables) and self.tables[len(found)].holds(cells):
                found.append(cells)
            elif self.model is None and cells.output not in sums:
                raise DisclosureRefused("minimum frequency")
            elif self.model is not None and not set(cells.dimensions) <= set(self.model.numbers):
                raise DisclosureRefused("design support")
        if len(found) < len(self.tables):
            raise DisclosureRefused("minimum frequency")
        return found

    def _contributed(
        self, support: Support, parameters: Parameters, sets: Mapping[str, BitMap], clear: Sequence[BitMap]
    ) -> dict[str, int]:
        """What a site puts in about its sums."""
        found: dict[str, int] = {}
        if [(one.output, one.shape) for one in self.sums] != [
            (one.output, one.total.shape) for one in support.contributions
        ]:
            raise DisclosureRefused("dominance")
        for number, (one, sums) in enumerate(zip(self.sums, support.contributions, strict=True)):
            if one.table >= 0 and (sums.values is None or len(sums.persons) != one.levels):
                raise DisclosureRefused("minimum frequency")
            for place, most in enumerate(one.most):
                label = POPULATION if one.table < 0 else f"cell {one.table} {place}"
                persons = sets.get(label, BitMap())
                hidden = still_hidden(persons, clear)
                largest, total = float(sums.largest.flat[place]), float(sums.total.flat[place])
                at = f"{number} {place}"
                found |= _needs(at, largest, total if hidden == len(persons) else 0.0, most, parameters, hidden > 0)
                for level, cells in enumerate(sums.persons):
                    found[f"class {at} {level}"] = still_hidden(cells[place], clear)
                if one.table >= 0 and not one.levels and sums.values is not None:
                    found |= _hits({at: int(sums.values.flat[place])})
        return found

    def test(self, sites: Sequence[str], evaluators: Sequence[str], demands: Demands) -> JointTest:
        """The joint test under the strictest demands of all; its order of sites is the sorted one.

        DisclosureRefused where it would be too large.
        """
        sites = tuple(sorted(sites))
        conditions = tuple(condition for _, condition in self._conditions(len(sites), demands))
        if sum(map(factors, conditions)) > MOST_FACTORS:
            raise DisclosureRefused("capacity")
        return JointTest(sites, tuple(sorted(evaluators)), self.inputs, conditions)

    def masks(self, bits: NDArray[np.bool_], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Mask]:
        """What is hidden of the arrays of a step, whose shapes these are; DisclosureRefused where all of it is."""
        passed = self._passed(bits)
        if not passed[POPULATION]:
            raise DisclosureRefused("minimum frequency" if self.model is None else "design support")
        if self.model is not None:
            return {}
        hidden = self._hidden(passed)
        if hidden and all(mask.all() for _, mask in hidden):
            raise DisclosureRefused("minimum frequency")
        masks = union(
            {name: spread(mask, shapes[name]) for name in output if name in shapes} for output, mask in hidden
        )
        return {name: mask for name, mask in masks.items() if mask.any()}

    def release(self, name: str, bits: NDArray[np.bool_], support: Support) -> Told:
        """What a release under these bits makes known, for the layouts of later ones; `support`: of this site."""
        sets, passed = self.sets(support), self._passed(bits)
        labels = [POPULATION] + [label for label in self._sets() if label.startswith("level ")]
        for number, table in enumerate(self.tables):
            hidden = self._of_table(number, passed).ravel()
            labels += [f"cell {number} {place}" for place in table.places() if not hidden[place]]
            sums = [(label, cells) for label, of, cells in self._sums() if of == number]
            labels += [label for label, cells in sums if not hidden[cells].any()]
        return Told(name, tuple(labels), tuple(sets[label] for label in labels))

    def _passed(self, bits: NDArray[np.bool_]) -> dict[str, bool]:
        """Each bit by what it is about."""
        names = [name for name, _ in self._conditions(3, Demands(3, 1, 1.0))]
        if bits.shape != (len(names),) or bits.dtype != np.bool_:
            raise ValueError("the bits are not those of this layout")
        return dict(zip(names, bits.tolist(), strict=True))

    def _hidden(self, passed: Mapping[str, bool]) -> list[tuple[tuple[str, ...], Mask]]:
        """Masks of cells, with the arrays that they are over."""
        found = [(table.output, self._of_table(number, passed)) for number, table in enumerate(self.tables)]
        for number, sums in enumerate(self.sums):
            table = self.tables[sums.table]
            gone = found[sums.table][1].ravel()
            failed = [place for place in range(table.size) if gone[place] or not passed[f"sum {number} {place}"]]
            found.append((sums.output, self._completed(sums.table, failed, passed)))
        for number, one in enumerate(self.quantiles):
            places = range(math.prod(one.shape) * len(one.fractions))
            mask = np.array([not passed[f"quantile {number} {place}"] for place in places], dtype=bool)
            found.append((one.output, mask.reshape(*one.shape, len(one.fractions))))
        return found

    def _of_table(self, number: int, passed: Mapping[str, bool]) -> Mask:
        """The cells of a table that are hidden. A model's are no part of what it shows."""
        table = self.tables[number]
        cells = [place for place in table.places() if self.model is None and not passed[f"cell {number} {place}"]]
        return self._completed(number, cells, passed)

    def _completed(self, number: int, failed: Iterable[int], passed: Mapping[str, bool]) -> Mask:
        table = self.tables[number]
        cells, known = np.zeros(table.size, dtype=bool), np.zeros(table.size, dtype=bool)
        cells[list(failed)], known[list(table.empty)] = True, True
        cells &= ~known
        if not table.dimensions or self.model is not None:
            return cells.reshape(table.shape)
        whole = np.zeros(tuple(size + 1 for size in table.shape), dtype=bool)
        whole[tuple(slice(None, -1) for _ in table.shape)] = cells.reshape(table.shape)
        for place, _ in table.sums():
            whole[place] = not passed[_sum_label(number, place)]
        return structural_complement(whole, known.reshape(table.shape))

    def _conditions(self, sites: int, demands: Demands) -> Iterator[tuple[str, Condition]]:
        """What is asked, by the name of what it is asked about; names and order do not depend on the demands."""
        place = {label: number for number, label in enumerate(self._labels())}
        if self.model is not None:
            differing = tuple(form for label in self._sets() for form in self._differ(label, place, sites, demands))
            main = (*self._designed(self.model, place, sites, demands), *differing)
            numbers = (many_values(_bins(name, place), sites) for name in self.model.numbers)
            yield POPULATION, ((main,), *numbers, *(self._sum(n, i, place, sites) for n, i in self._entries()))
            return
        least = max(demands.threshold, demands.residual + 1) if self.residual else demands.threshold
        forms = at_least(least, place[POPULATION], sites)
        yield POPULATION, (((*forms, *self._differ(POPULATION, place, sites, demands)),),)
        for number, table in enumerate(self.tables):
            for cell in table.places():
                label = f"cell {number} {cell}"
                forms = at_least(least if table.measured else demands.threshold, place[label], sites)
                yield label, (((*forms, *self._differ(label, place, sites, demands)),),)
        for label, _, _ in self._sums():
            forms = at_least(demands.threshold, place[label], sites)
            yield label, (((*forms, *self._differ(label, place, sites, demands)),),)
        for number, i in self._entries():
            at = f"{number} {i}"
            levels = range(self.sums[number].levels)
            classes = tuple(
                form for level in levels for form in at_least(demands.threshold, place[f"class {at} {level}"], sites)
            )
            varied = (classes,) if levels else many_values(_bins(at, place), sites)
            yield f"sum {at}", (varied, self._sum(number, i, place, sites))
        for number, one in enumerate(self.quantiles):
            for i in range(math.prod(one.shape)):
                for j, q in enumerate(one.fractions):
                    beyond = math.ceil(demands.threshold / min(q, 1 - q) - 1e-9)
                    forms = at_least(beyond, place[f"behind {number} {i}"], sites)
                    yield f"quantile {number} {i * len(one.fractions) + j}", ((forms,),)

    def _entries(self) -> Iterator[tuple[int, int]]:
        return ((number, i) for number, sums in enumerate(self.sums) for i in range(len(sums.most)))

    def _sum(self, number: int, i: int, place: Mapping[str, int], sites: int) -> tuple[Alternative, ...]:
        over, units = ([place[f"{word} {number} {i} {level}"] for level in range(LEVELS)] for word in ("over", "units"))
        return undominated(over, units, place[f"there {number} {i}"], sites)

    def _differ(self, label: str, place: Mapping[str, int], sites: int, demands: Demands) -> Alternative:
        """What a set has beyond each earlier one, and what that has beyond it, is nobody or at least T persons."""
        return tuple(
            form
            for number, (_, labels) in enumerate(self.told)
            for earlier in range(len(labels))
            for word in ("more", "less")
            for form in none_or(demands.threshold, place[f"{word} {number} {earlier} {label}"], sites)
        )

    def _designed(self, model: Model, place: Mapping[str, int], sites: int, demands: Demands) -> Alternative:
        """What a model asks of numbers of persons."""
        p, threshold = model.parameters, demands.threshold
        everyone = place[POPULATION]
        enough = max(threshold, p + demands.residual, math.ceil(p / demands.observations - 1e-9))
        forms = [*at_least(enough, everyone, sites)]
        for number, table in enumerate(self.tables):  # the outcome's classes
            for cell in table.places():
                forms += at_least(max(threshold, 2 * p), place[f"cell {number} {cell}"], sites)
        if model.events:
            forms += at_least(max(threshold, 2 * p), place["events"], sites)
        for label in model.levels:
            forms += none_or(threshold, place[f"level {label}"], sites)
            if " & " not in label:
                forms += varies(threshold, everyone, place[f"level {label}"], sites)
        return tuple(forms)


def still_hidden(persons: BitMap, clear: Sequence[BitMap]) -> int:
    """How many persons of a set are hidden beside what is known: the least by which it differs from a known set."""
    least = len(persons)
    for known in clear:
        if abs(len(known) - len(persons)) < least:
            least = min(least, persons.symmetric_difference_cardinality(known))
    return least


def _needs(at: str, largest: float, total: float, most: float, parameters: Parameters, hidden: bool) -> dict[str, int]:
    """How great the sum must be for this site's largest contribution, and what the site adds, on each level."""
    if not (math.isfinite(largest) and math.isfinite(total) and largest >= 0 and total >= 0):
        raise DisclosureRefused("dominance")
    factor = max(2 + parameters.p_percent / 100, 100 * parameters.dominance_n / parameters.dominance_k)
    found = {f"there {at}": int(hidden and largest > 0)}
    for level, value in enumerate(grid(most)):
        found[f"over {at} {level}"] = int(hidden and factor * largest > value)
        found[f"units {at} {level}"] = int(min(total * UNITS / value * (1 - 1e-12), MOST)) if hidden else 0
    return found


def _hits(numbers: Mapping[str, int]) -> dict[str, int]:
    return {f"hit {name} {bit}": hit >> bit & 1 for name, hit in numbers.items() for bit in range(HASHES * BINS)}


def _bins(name: str, place: Mapping[str, int]) -> list[list[int]]:
    return [[place[f"hit {name} {BINS * number + bin}"] for bin in range(BINS)] for number in range(HASHES)]


def _sum_label(number: int, place: tuple[int, ...]) -> str:
    return f"margin {number} {' '.join(map(str, place))}"


def _answerable(empty: Support, variables: Variables, rules: Sequence[str]) -> None:
    """DisclosureRefused where a rule has no joint test."""
    if not rules or not set(rules) <= _TESTED:
        raise DisclosureRefused("check failed")
    if empty.steps:
        raise DisclosureRefused("survival steps")
    if empty.risk_sets is not None:
        raise DisclosureRefused("risk sets")
    if empty.pairs is not None:
        raise DisclosureRefused("correlation")
    if any(not 0 < q < 1 for one in empty.positions for q in one.fractions):
        raise DisclosureRefused("positions")
    if any(SITE in cells.dimensions for cells in empty.cells):
        raise DisclosureRefused("minimum frequency")  # a site's own numbers never show
    if "class disclosure" in rules and _sensitive(empty, variables):
        raise DisclosureRefused("class disclosure")
    if not set(rules) & {"design support", "minimum frequency"}:
        raise DisclosureRefused("check failed")
    if "design support" in rules and empty.design is None:
        raise DisclosureRefused("check failed")
    if {"dominance", "p percent"} & set(rules) and not empty.contributions:
        raise DisclosureRefused("check failed")
    if "positions" in rules and not empty.positions:
        raise DisclosureRefused("check failed")


def _sensitive(empty: Support, variables: Variables) -> bool:
    """Whether near-certainty of a level would harm: that is a share, which these tests do not know."""
    return any(variables[name].sensitive for cells in empty.cells for name in cells.dimensions)


_TESTED = frozenset(
    {
        "minimum frequency",
        "class disclosure",
        "histogram",
        "dominance",
        "p percent",
        "residual freedom",
        "design support",
        "events",
        "parameters to observations",
        "positions",
        "text",
    }
)
