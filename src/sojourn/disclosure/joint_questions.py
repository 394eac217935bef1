"""The questions of a joint test, laid out from the plan alone: what each site puts in, what is asked of the sums."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import rfc8785
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Support
from sojourn.analysis.values import BINS, HASHES
from sojourn.analysis.variable import Variables
from sojourn.disclosure.demands import Demands, coarse
from sojourn.disclosure.joint_atoms import Cut, cuts
from sojourn.disclosure.joint_clauses import CAPS as CAPS
from sojourn.disclosure.joint_clauses import SOME as SOME
from sojourn.disclosure.joint_clauses import beside_clauses
from sojourn.disclosure.joint_families import POPULATION as POPULATION
from sojourn.disclosure.joint_families import variables_of
from sojourn.disclosure.joint_forms import LEVELS, apart, at_least, many_values, none_or, undominated, varies
from sojourn.disclosure.joint_levels import WORDS, undominated_in_level
from sojourn.disclosure.joint_levels import labels as labels_of_level
from sojourn.disclosure.joint_parts import Model, Quantiles, Range, Sum, Table
from sojourn.disclosure.joint_scope import answerable, areas_of, summed_of
from sojourn.disclosure.joint_scope import small_area as small_area
from sojourn.disclosure.joint_unions import Unions, beside_earlier
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import Alternative, Clause, Condition, JointTest, factors

MOST_FACTORS = 400_000  # of a test: some 53 MB of sealed shares in its transcript, which travels in one message
MOST_INPUTS = 200_000
MOST_BESIDE = 12_000  # unions that are compared


@dataclass(frozen=True)
class Told:
    """What an earlier masked release over the same roster made known.

    name: its study and analysis. labels: of the sets, which all sites know. persons: this site's part of each.
    changed: those whose values are others now, where it was of another snapshot. measures: the measured columns.
    """

    name: str
    labels: tuple[str, ...]
    persons: tuple[BitMap, ...]
    changed: BitMap = field(default_factory=BitMap)
    measures: tuple[str, ...] = ()


NEAR = "near"  # before a cell's label: whether it, or it among others, is nearly what was told before


@dataclass(frozen=True)
class Questions:
    """The questions of one analysis, the same at every site.

    areas: kind and population of the smallest area that each variable tells apart. residual: whether numbers of more
    than persons need residual degrees of freedom. told: name and labels of earlier masked releases over the same sites
    and dataset. summed: the columns whose values are summed. threshold: T of what is told. precise: whether sets are
    compared with earlier ones, and unions with unions, one by one; else only how deep they cut (`joint_atoms`), which
    costs the same however much was told. planned: of each analysis before this one in its plan by which variables
    its tables part everybody, where this one's do so too.
    """

    tables: tuple[Table, ...]
    sums: tuple[Sum, ...]
    model: Model | None
    quantiles: tuple[Quantiles, ...]
    ranges: tuple[Range, ...]
    areas: tuple[tuple[str, int], ...]
    residual: bool
    told: tuple[tuple[str, tuple[str, ...]], ...] = ()
    summed: tuple[str, ...] = ()
    threshold: int = 10
    precise: bool = True
    planned: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = ()

    @classmethod
    def of(
        cls,
        empty: Support,
        variables: Variables,
        rules: Sequence[str],
        told: Sequence[Told] = (),
        threshold: int = 10,
        precise: bool = True,
        planned: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (),
    ) -> Self:
        """From the support of an empty population; DisclosureRefused where there is no joint test for what it holds."""
        answerable(empty, variables, rules)
        tables = tuple(Table.of(cells) for cells in empty.cells)
        design = empty.design
        layout = cls(
            tables,
            tuple(Sum.of(sums, tables, design is not None) for sums in empty.contributions),
            None if design is None else Model.of(design, bool(tables)),
            tuple(Quantiles(one.output, one.fractions, one.persons.shape) for one in empty.positions),
            tuple(map(Range.of, empty.thresholds)),
            areas_of(empty, variables),
            "residual freedom" in rules,
            tuple((one.name, one.labels) for one in told),
            summed_of(empty, variables),
            threshold,
            precise,
            planned,
        )
        if 3 * layout.pairs > MOST_INPUTS or layout.inputs > MOST_INPUTS:
            raise DisclosureRefused("capacity")
        return layout

    @property
    def pairs(self) -> int:
        """How many pairs of a set and an earlier one are compared."""
        return sum(len(labels) for _, labels in self.told) * len(list(self._sets())) if self.precise else 0

    @property
    def set_labels(self) -> tuple[str, ...]:
        """The sets of persons that are counted."""
        return tuple(self._sets())

    @cached_property
    def unions(self) -> Unions:
        """What is asked about unions of sets; DisclosureRefused where that is too much."""
        if not (self.told and self.precise):
            return Unions((), ())
        found = beside_earlier(tuple(self._sets()), self._margins(), self.told, MOST_BESIDE, self._kin)
        if found is None:
            raise DisclosureRefused("capacity")
        return found

    @cached_property
    def cuts(self) -> tuple[Cut, ...]:
        """What is asked instead where sets are not compared one by one."""
        return () if self.precise or not self.told else cuts(tuple(self._sets()), self._margins(), self.told)

    def _kin(self, name: str, then: str, now: str) -> bool:
        """Whether sets of an analysis of the same plan and of this one are sums of the same cells."""
        planned = dict(self.planned)
        if name not in planned:
            return False
        before, here = variables_of(then, planned[name]), variables_of(now, [one.dimensions for one in self.tables])
        return before is not None and here is not None and (before <= here or here <= before)

    def _margins(self) -> dict[str, tuple[str, ...]]:
        """Of each sum over some dimensions its cells, all by their labels."""
        places = [set(table.places()) for table in self.tables]
        return {
            label: tuple(f"cell {number} {cell}" for cell in cells if cell in places[number])
            for label, number, cells in self._sums()
        }

    def digest(self) -> str:
        """sha256 (hex) of the questions: sites that do not agree on it do not answer."""
        return hashlib.sha256(rfc8785.dumps(asdict(self))).hexdigest()

    def labels(self) -> tuple[str, ...]:
        """What a site puts in, one label a number."""
        return tuple(self._labels())

    def _labels(self) -> Iterator[str]:
        yield from self._sets()
        yield from (f"hidden {label}" for label in self._sets())
        yield from (f"{SOME} hidden {label}" for label in self._sets())
        for label in self._valued():
            yield from (f"{word} {label}" for word in ("valued", f"{SOME} valued"))
        for number, sums in enumerate(self.sums):
            for place in range(len(sums.most)):
                at = f"{number} {place}"
                if sums.cells:
                    yield from labels_of_level(at)
                    continue
                yield f"there {at}"
                yield from (f"{word} {at} {level}" for level in range(LEVELS) for word in ("over", "units"))
                words = ("class", "hidden class", f"{SOME} hidden class")
                yield from (f"{word} {at} {level}" for level in range(sums.levels) for word in words)
                if sums.table >= 0 and not sums.levels:
                    yield from (f"hit {at} {bit}" for bit in range(HASHES * BINS))
        if self.model is not None:
            yield from (f"hit {name} {bit}" for name in self.model.numbers for bit in range(HASHES * BINS))
            yield from ("events",) * self.model.events
            yield from ("clusters",) * self.model.clusters
            yield from (f"{SOME} level {label}" for label in self.model.levels)
        for number, one in enumerate(self.quantiles):
            yield from (f"behind {number} {place}" for place in range(math.prod(one.shape)))
        yield from self._of_earlier()

    def _of_earlier(self) -> Iterator[str]:
        known = [f"{number} {place}" for number, (_, labels) in enumerate(self.told) for place in range(len(labels))]
        for label in self._sets() if known else ():
            words = ("more", "less", f"{SOME} differ") if self.precise else ()
            yield from (f"{word} {earlier} {label}" for earlier in known for word in words)
            both = ("changed", f"{SOME} changed")
            yield from (f"{word} {number} {label}" for number in range(len(self.told)) for word in both)
        yield from (f"{cap} {one.label}" for one in self.unions.counted for cap in CAPS)
        yield from (one.label for one in self.unions.wholes)
        yield from (f"{cap} {cut.label}" for cut in self.cuts if cut.now for cap in CAPS)
        yield from dict.fromkeys(f"{SOME} {same.label}" for cut in self.cuts for same in cut.same)

    def _sets(self) -> Iterator[str]:
        """The sets of persons that are counted."""
        yield POPULATION
        for number, table in enumerate(self.tables):
            yield from (f"cell {number} {place}" for place in table.places())
        for label, _, _ in self._sums():
            yield label
        for number, one in enumerate(self.ranges):
            yield from (stretch_label(number, stretch) for stretch in one.stretches())
        if self.model is not None:
            yield from (f"level {label}" for label in self.model.levels)

    def _valued(self) -> Iterator[str]:
        """The sets of which a column's values are summed: column and label."""
        told = set(self._sets()) if self.model is not None else {POPULATION} if self.sums else set()
        told |= {f"cell {number} {cell}" for number, cell in self._measured()}
        told |= {label for label, number, _ in self._sums() if self.tables[number].measured}
        yield from (f"{column} {label}" for column in self.summed for label in self._sets() if label in told)

    def _sums(self) -> Iterator[tuple[str, int, list[int]]]:
        """What tables of fewer dimensions would show: label, table, cells."""
        if self.model is None:
            for number, table in enumerate(self.tables):
                yield from ((sum_label(number, place), number, cells) for place, cells in table.sums())

    @property
    def inputs(self) -> int:
        """How many numbers a site puts in."""
        return len(self.labels())

    def test(self, sites: Sequence[str], evaluators: Sequence[str], demands: Demands) -> JointTest:
        """The joint test under the strictest demands of all; its order of sites is the sorted one.

        DisclosureRefused where it would be too large.
        """
        sites = tuple(sorted(sites))
        if self.told and demands.threshold != self.threshold:
            raise ValueError("the demands are not those of this layout")
        if self.pairs * len(sites) * self.threshold > MOST_FACTORS:  # which is less than they have: see `apart`
            raise DisclosureRefused("capacity")
        conditions = tuple(condition for _, condition in self._conditions(len(sites), demands))
        if sum(map(factors, conditions)) > MOST_FACTORS:
            raise DisclosureRefused("capacity")
        return JointTest(sites, tuple(sorted(evaluators)), self.inputs, conditions)

    def _passed(self, bits: NDArray[np.bool_]) -> dict[str, bool]:
        """Each bit by what it is about."""
        names = [name for name, _ in self._conditions(3, Demands(3, 1, 1.0))]
        if bits.shape != (len(names),) or bits.dtype != np.bool_:
            raise ValueError("the bits are not those of this layout")
        return dict(zip(names, bits.tolist(), strict=True))

    def _conditions(self, sites: int, demands: Demands) -> Iterator[tuple[str, Condition]]:
        """What is asked, by the name of what it is asked about; names and order do not depend on the demands."""
        place = {label: number for number, label in enumerate(self._labels())}
        beside = beside_clauses(self.unions, self.cuts, self.threshold, place, sites)
        if self.model is not None:
            differing = (clause for label in self._sets() for clause in self._differ(label, place, sites, demands))
            hides = (form for label in self._sets() for form in self._hides(label, place, sites, demands))
            main = (*self._designed(self.model, place, sites, demands), *hides)
            numbers = (many_values(_bins(name, place), sites) for name in self.model.numbers)
            sums = (self._sum(n, i, place, sites) for n, i in self._entries())
            yield POPULATION, ((main,), *differing, *numbers, *sums, *(one for of in beside.values() for one in of))
            return
        least = max(demands.threshold, demands.residual + 1) if self.residual else demands.threshold
        measured = {f"cell {number} {cell}" for number, cell in self._measured()} | {POPULATION}
        for label in self._sets():
            enough = at_least(least if label in measured else demands.threshold, place[label], sites)
            forms = (*enough, *self._hides(label, place, sites, demands))
            near = (*self._differ(label, place, sites, demands), *beside.pop(label, ()))
            if label.startswith("cell "):  # which may be hidden for another's sake already
                beside[f"{NEAR} {label}"] = list(near)
            yield label, ((forms,), *(() if label.startswith("cell ") else near))
        yield from ((label, tuple(clauses)) for label, clauses in beside.items() if clauses)  # of unions of cells, too
        for number, i in self._entries():
            at = f"{number} {i}"
            levels = range(self.sums[number].levels)
            classes = tuple(
                form
                for level in levels
                for form in (
                    *at_least(demands.threshold, place[f"class {at} {level}"], sites),
                    *_none_or(demands.threshold, f"hidden class {at} {level}", place, sites),
                )
            )
            varied = (classes,) if levels else many_values(_bins(at, place), sites)
            yield f"sum {at}", (varied, self._sum(number, i, place, sites))
        for number, one in enumerate(self.quantiles):
            for i in range(math.prod(one.shape)):
                for j, q in enumerate(one.fractions):
                    beyond = math.ceil(demands.threshold / min(q, 1 - q) - 1e-9)
                    forms = at_least(beyond, place[f"behind {number} {i}"], sites)
                    yield f"quantile {number} {i * len(one.fractions) + j}", ((forms,),)

    def _measured(self) -> Iterator[tuple[int, int]]:
        """Table and place of the cells whose numbers are of more than persons."""
        tables = enumerate(self.tables)
        return ((number, cell) for number, table in tables if table.measured for cell in table.places())

    def _entries(self) -> Iterator[tuple[int, int]]:
        return ((number, i) for number, sums in enumerate(self.sums) for i in range(len(sums.most)))

    def _sum(self, number: int, i: int, place: Mapping[str, int], sites: int) -> tuple[Alternative, ...]:
        def of(word: str) -> list[int]:
            return [place[f"{word} {number} {i} {level}"] for level in range(LEVELS)]

        there = place[f"there {number} {i}"]
        if self.sums[number].cells:
            return undominated_in_level([of(word) for word in WORDS], there, sites)
        return undominated(of("over"), of("units"), there, sites)

    def _hides(self, label: str, place: Mapping[str, int], sites: int, demands: Demands) -> Alternative:
        """Of a set nobody is hidden any more, or at least T persons are; and of the values that are summed of it."""
        valued = (f"valued {column} {label}" for column in self.summed)
        words = [f"hidden {label}", *(word for word in valued if word in place)]
        return tuple(form for word in words for form in _none_or(demands.threshold, word, place, sites))

    def _differ(self, label: str, place: Mapping[str, int], sites: int, demands: Demands) -> tuple[Clause, ...]:
        """A set and each earlier one are no pair that differs by few, nor one of which few have other values now."""
        changed = tuple(
            (_none_or(demands.threshold, f"changed {number} {label}", place, sites),)
            for number in range(len(self.told))
        )
        if not self.precise:
            return changed
        return changed + tuple(
            clause
            for number, (_, labels) in enumerate(self.told)
            for earlier in range(len(labels))
            for clause in apart(
                demands.threshold,
                place[f"more {number} {earlier} {label}"],
                place[f"less {number} {earlier} {label}"],
                place[f"{SOME} differ {number} {earlier} {label}"],
                sites,
            )
        )

    def _designed(self, model: Model, place: Mapping[str, int], sites: int, demands: Demands) -> Alternative:
        """What a model asks of numbers of persons."""
        p, threshold = model.parameters, demands.threshold
        everyone = place[POPULATION]
        enough = coarse(max(p + demands.residual, math.ceil(p / demands.observations - 1e-9)), threshold)
        of_each = coarse(2 * p, threshold)
        forms = [*at_least(enough, everyone, sites)]
        for number, table in enumerate(self.tables):  # the outcome's classes
            for cell in table.places():
                forms += at_least(of_each, place[f"cell {number} {cell}"], sites)
        if model.events:
            forms += at_least(of_each, place["events"], sites)
        if model.clusters:
            forms += at_least(threshold, place["clusters"], sites)
        for label in model.levels:
            forms += _none_or(threshold, f"level {label}", place, sites)
        for label in model.varying():
            forms += varies(threshold, everyone, place[f"level {label}"], sites)
        return tuple(forms)


def _none_or(threshold: int, label: str, place: Mapping[str, int], sites: int) -> Alternative:
    return none_or(threshold, place[label], place[f"{SOME} {label}"], sites)


def _bins(name: str, place: Mapping[str, int]) -> list[list[int]]:
    return [[place[f"hit {name} {BINS * number + bin}"] for bin in range(BINS)] for number in range(HASHES)]


def stretch_label(number: int, stretch: tuple[int, int, int]) -> str:
    """Of a stretch of a range."""
    return f"stretch {number} {' '.join(map(str, stretch))}"


def sum_label(number: int, place: tuple[int, ...]) -> str:
    """Of a sum over some dimensions of a table."""
    return f"margin {number} {' '.join(map(str, place))}"
