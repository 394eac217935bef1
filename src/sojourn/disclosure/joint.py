"""Joint disclosure: whether the sum over all sites may be shown, where no site's own part could be.

    a number shows where, for every site k, total - own_k >= T

so that neither an outsider nor a site that subtracts its own part learns about fewer than T persons. The same is asked
of those who are still hidden beside the sites' earlier releases and unions of these, or whose values are: nobody at any
site, or at least T beyond each. All sites lay out the same questions from the plan alone (`Layout`), each puts its
numbers in, T being the greatest threshold of all, and only whether a number passes is opened (`secrecy.joint`). What
fails is hidden alike at all sites, with its complement (`structural`). A model has one bit for all that it asks.

What a rule knows no joint test for is refused. Persons who are in two sites count twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Cells, Support
from sojourn.analysis.values import BINS, HASHES
from sojourn.disclosure.demands import Demands as Demands
from sojourn.disclosure.demands import evaluators as evaluators
from sojourn.disclosure.demands import strictest as strictest
from sojourn.disclosure.joint_beside import beside_unions, still_hidden
from sojourn.disclosure.joint_drawn import demand_apart
from sojourn.disclosure.joint_earlier import of_earlier, padded
from sojourn.disclosure.joint_families import parts_of
from sojourn.disclosure.joint_forms import (
    UNITS,
    grid,
)
from sojourn.disclosure.joint_levels import need, of_levels, safe_alone
from sojourn.disclosure.joint_parts import Range
from sojourn.disclosure.joint_questions import (
    NEAR,
    POPULATION,
    SOME,
    Questions,
    Told,
    small_area,
    stretch_label,
    sum_label,
)
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.perturbation import OFF
from sojourn.disclosure.structural import follows, structural_complement
from sojourn.disclosure.suppression import Mask, spread, union
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import MOST

FEW = "joint frequency"
Values = Mapping[str, Sequence[tuple[BitMap, BitMap]]]  # column → known sets, and whose value changed since
NO_VALUES: Values = MappingProxyType({})


@dataclass(frozen=True)
class Layout(Questions):
    """The questions of one analysis, what a site puts in, and what follows from the bits."""

    def numbers(
        self,
        support: Support,
        parameters: Parameters,
        clear: Sequence[BitMap] = (),
        told: Sequence[Told] = (),
        values: Values = NO_VALUES,
    ) -> NDArray[np.int64]:
        """What a site puts in. clear: the sets that it has made known by clear releases of this dataset; values: of
        which of them a column's sum, and whose value in it is another one since.

        told: as the layout was made with, without sets where this site does not remember. DisclosureRefused where its
        evidence is not what the questions are about; it then puts in nothing but zeros.
        """
        if tuple((one.name, one.labels) for one in told) != self.told:
            raise ValueError("other earlier releases than those that are asked about")
        if parameters.rounding != OFF or parameters.cell_key:
            raise DisclosureRefused("rounding")  # a sum over sites can be neither rounded nor perturbed by one of them
        if small_area(self.areas, parameters):
            raise DisclosureRefused("geography")
        demand_apart(support, parameters, self.threshold)
        sets = self.sets(support)
        found = {label: len(sets[label]) for label in self._sets()}
        counted = [(persons, BitMap()) for persons in clear]
        for label in self._sets():
            found[f"hidden {label}"] = min(still_hidden(sets[label], clear), beside_unions(sets[label], counted))
        for column in self.summed:
            known = values.get(column, ())
            for label in self._sets():
                unknown = min(still_unknown(sets[label], known), beside_unions(sets[label], known))
                found[f"valued {column} {label}"] = unknown
        found |= self._contributed(support, parameters, sets, clear)
        if self.model is not None and support.design is not None:
            found |= _hits(support.design.numbers)
            found |= {"events": support.design.events or 0, "clusters": support.design.clusters or 0}
        for number, one in enumerate(support.positions):
            found |= {f"behind {number} {place}": int(n) for place, n in enumerate(one.persons.ravel())}
        for number, earlier in enumerate(map(padded, told)):
            found |= {f"changed {number} {label}": changed(sets[label], earlier, support) for label in self._sets()}
        found |= of_earlier(self, sets, told, clear)
        found |= {label: int(found[label.removeprefix(f"{SOME} ")] > 0) for label in self._somebody()}
        return np.array([min(found[label], MOST) for label in self._labels()], dtype=np.int64)

    def _somebody(self) -> list[str]:
        return [label for label in self.labels() if label.startswith(f"{SOME} ")]

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
        counted = [(one.output, one.shape) for one in support.thresholds]
        if counted != [(one.output, one.shape) for one in self.ranges]:
            raise DisclosureRefused("positions")
        for number, (one, parts) in enumerate(zip(self.ranges, support.thresholds, strict=True)):
            found |= {stretch_label(number, stretch): one.persons(parts, stretch) for stretch in one.stretches()}
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
        # What has two values at one site need not at others; whether it has many in all is asked of its bins.
        mine = [sums for sums in support.contributions if not sums.local]
        if [(one.output, one.shape) for one in self.sums] != [(sums.output, sums.total.shape) for sums in mine]:
            raise DisclosureRefused("dominance")
        for number, (one, sums) in enumerate(zip(self.sums, mine, strict=True)):
            if one.cells != bool(sums.behind):
                raise DisclosureRefused("dominance")
            if one.cells:
                found |= of_levels(number, sums, one.most, parameters, clear)
                continue
            if one.table >= 0 and (sums.values is None or len(sums.persons) != one.levels):
                raise DisclosureRefused("minimum frequency")
            for place, most in enumerate(one.most):
                label = POPULATION if one.table < 0 else f"cell {one.table} {place}"
                persons = sets.get(label, BitMap())
                hidden = still_hidden(persons, clear)
                largest, total = float(sums.largest.flat[place]), float(sums.total.flat[place])
                at = f"{number} {place}"
                # What was hidden in clear for being one person's is no less so beside what is known of his group.
                open_still = hidden > 0 or not safe_alone(largest, float(sums.second.flat[place]), total, parameters)
                found |= _needs(at, largest, total if hidden == len(persons) else 0.0, most, parameters, open_still)
                for level, cells in enumerate(sums.persons):
                    found[f"class {at} {level}"] = len(cells[place])
                    found[f"hidden class {at} {level}"] = still_hidden(cells[place], clear)
                if one.table >= 0 and not one.levels and sums.values is not None:
                    found |= _hits({at: int(sums.values.flat[place])})
        return found

    def masks(self, bits: NDArray[np.bool_], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Mask]:
        """What is hidden of the arrays of a step, whose shapes these are; DisclosureRefused where all of it is."""
        passed = self._passed(bits)
        if not passed[POPULATION]:
            raise DisclosureRefused(FEW)
        if self.model is not None:
            return {}
        hidden = self._hidden(passed)
        if any(self._shown(number, cells, passed) for number, cells in self._failed_unions(passed)):
            raise DisclosureRefused(FEW)
        if hidden and all(mask.all() for _, mask in hidden):
            raise DisclosureRefused(FEW)
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
        for number, one in enumerate(self.ranges):
            labels += [stretch_label(number, stretch) for stretch in self._known_of(number, one, passed)]
        return Told(name, tuple(labels), tuple(sets[label] for label in labels))

    def _known_of(self, number: int, one: Range, passed: Mapping[str, bool]) -> list[tuple[int, int, int]]:
        """The stretches that a release makes known; where everything passed, which is asked before anything is, all."""
        if all(passed[stretch_label(number, stretch)] for stretch in one.stretches()):
            return one.stretches()
        return one.runs(self._told(number, passed))

    def _told(self, number: int, passed: Mapping[str, bool]) -> NDArray[np.bool_]:
        return self.ranges[number].told(lambda *stretch: passed[stretch_label(number, stretch)])

    def _hidden(self, passed: Mapping[str, bool]) -> list[tuple[tuple[str, ...], Mask]]:
        """Masks of cells, with the arrays that they are over."""
        found = [(table.output, self._of_table(number, passed)) for number, table in enumerate(self.tables)]
        found += [(sums.output, self._of_sum(number, passed)) for number, sums in enumerate(self.sums)]
        for number, one in enumerate(self.quantiles):
            places = range(math.prod(one.shape) * len(one.fractions))
            mask = np.array([not passed[f"quantile {number} {place}"] for place in places], dtype=bool)
            found.append((one.output, mask.reshape(*one.shape, len(one.fractions))))
        found += [((one.output,), ~self._told(number, passed)) for number, one in enumerate(self.ranges)]
        return found

    def _of_table(self, number: int, passed: Mapping[str, bool]) -> Mask:
        """The cells of a table that are hidden. A model's are no part of what it shows."""
        table = self.tables[number]
        cells = [place for place in table.places() if self.model is None and not passed[f"cell {number} {place}"]]
        return self._completed(number, cells, passed)

    def _of_sum(self, number: int, passed: Mapping[str, bool]) -> Mask:
        """The cells whose sums of values are hidden."""
        sums = self.sums[number]
        table = self.tables[sums.table]
        gone = [place for place in table.places() if not passed[f"cell {sums.table} {place}"]]
        failed = {place for place in range(table.size) if not passed[f"sum {number} {place}"]} | set(gone)
        return self._completed(sums.table, failed, passed)

    def _failed_unions(self, passed: Mapping[str, bool]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Table and cells of the sums and unions that must not be known."""
        yield from ((number, tuple(cells)) for label, number, cells in self._sums() if not passed[label])
        parts = (parts_of(label) for label, enough in passed.items() if not enough)
        yield from (one for one in parts if one is not None)

    def _shown(self, number: int, union: tuple[int, ...], passed: Mapping[str, bool]) -> bool:
        """Whether the number or a sum of a union of cells follows from what would be shown of the table."""
        table = self.tables[number]
        lines = [cells for label, of, cells in self._sums() if of == number and passed[label]]
        masks = [self._of_table(number, passed)]
        masks += [self._of_sum(place, passed) for place, sums in enumerate(self.sums) if sums.table == number]
        hidden = ([place for place in table.places() if mask.ravel()[place]] for mask in masks)
        return any(follows(union, [table.places(), *lines], places) for places in hidden)

    def _completed(self, number: int, failed: Iterable[int], passed: Mapping[str, bool]) -> Mask:
        """Those and what is hidden for their sake, with the cells that are nearly known; which may be the same."""
        failed, places = set(failed), self.tables[number].places()
        asked = self.told and self.model is None  # else there are no such bits
        near = {place for place in places if asked and not passed[f"{NEAR} cell {number} {place}"]}
        hidden = self._beside(number, failed, passed)
        return hidden if all(hidden.ravel()[list(near)]) else self._beside(number, failed | near, passed)

    def _beside(self, number: int, failed: Iterable[int], passed: Mapping[str, bool]) -> Mask:
        table = self.tables[number]
        cells, known = np.zeros(table.size, dtype=bool), np.zeros(table.size, dtype=bool)
        cells[sorted(failed)], known[list(table.empty)] = True, True
        cells &= ~known
        if not table.dimensions or self.model is not None:
            return cells.reshape(table.shape)
        whole = np.zeros(tuple(size + 1 for size in table.shape), dtype=bool)
        whole[tuple(slice(None, -1) for _ in table.shape)] = cells.reshape(table.shape)
        for place, _ in table.sums():
            whole[place] = not passed[sum_label(number, place)]
        return structural_complement(whole, known.reshape(table.shape))


def still_unknown(persons: BitMap, known: Sequence[tuple[BitMap, BitMap]]) -> int:
    """Of how many persons of a set the values are not known, of one column: the least by which a known sum differs.

    known: the sets whose sums are, each with those whose value is another one now.
    """
    least = len(persons)
    for told, other in known:
        if abs(len(told) - len(persons)) < least:
            apart = persons.symmetric_difference_cardinality(told)
            least = min(least, apart + (persons & told).intersection_cardinality(other))
    return least


def changed(persons: BitMap, earlier: Told, support: Support) -> int:
    """Of how many persons of a set the values are others than when the same set was told of."""
    if not set(earlier.measures) & set(support.measures) or persons not in earlier.persons:
        return 0
    return persons.intersection_cardinality(earlier.changed)


def _needs(at: str, largest: float, total: float, most: float, parameters: Parameters, hidden: bool) -> dict[str, int]:
    """How great the sum must be for this site's largest contribution, and what the site adds, on each level."""
    if not (math.isfinite(largest) and math.isfinite(total) and largest >= 0 and total >= 0):
        raise DisclosureRefused("dominance")
    factor = need(parameters)
    found = {f"there {at}": int(hidden and largest > 0)}
    for level, value in enumerate(grid(most)):
        found[f"over {at} {level}"] = int(hidden and factor * largest > value)
        found[f"units {at} {level}"] = int(min(total * UNITS / value * (1 - 1e-12), MOST)) if hidden else 0
    return found


def _hits(numbers: Mapping[str, int]) -> dict[str, int]:
    return {f"hit {name} {bit}": hit >> bit & 1 for name, hit in numbers.items() for bit in range(HASHES * BINS)}
