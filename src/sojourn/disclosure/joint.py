"""Joint disclosure: whether the sum over all sites may be shown, where no site's own part could be.

    a number shows where, for every site k, total - own_k >= T

so that neither an outsider nor a site that subtracts its own part learns about fewer than T persons. own is not how
many persons a site has there but how many of them are still hidden, beside its earlier clear releases. All sites lay
out the same questions from the plan alone (`Layout`), each puts its numbers in, T being the greatest threshold of all,
and only whether a number passes is opened (`secrecy.joint`). What fails is hidden alike at all sites, with its
complement.

What a rule knows no joint test for is refused. Persons who are in two sites count twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Cells, Support
from sojourn.analysis.variable import SITE, Variables
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.structural import structural_complement
from sojourn.disclosure.suppression import Mask, spread, union
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import MOST, Alternative, Condition, Form, JointTest

MOST_EVALUATORS = 5
POPULATION = "population"


@dataclass(frozen=True)
class Demands:
    """What a site's rules ask of the whole, stated in the open. threshold: T. residual, observations: of a model."""

    threshold: int
    residual: int
    observations: float

    @classmethod
    def of(cls, parameters: Parameters) -> Demands:
        """Of a site's parameters; none of them is confidential."""
        return cls(parameters.threshold, parameters.residual, parameters.observations)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Demands:
        """Read `to_dict`'s form; ValueError on anything else, and on demands that no site's parameters could make."""
        if not isinstance(document, Mapping) or set(document) != {"threshold", "residual", "observations"}:
            raise ValueError("not demands")
        threshold, residual, observations = (document[word] for word in ("threshold", "residual", "observations"))
        if type(threshold) is not int or not 3 <= threshold <= MOST:
            raise ValueError("not a threshold")
        if type(residual) is not int or not 1 <= residual <= MOST:
            raise ValueError("not residual degrees of freedom")
        if type(observations) not in (int, float) or not 0 < observations <= 1:
            raise ValueError("not a share of parameters")
        return cls(threshold, residual, float(observations))


def strictest(demands: Iterable[Demands]) -> Demands:
    """What satisfies all sites."""
    every = list(demands)
    return Demands(
        max(one.threshold for one in every),
        max(one.residual for one in every),
        min(one.observations for one in every),
    )


def evaluators(study: str, sites: Iterable[str]) -> tuple[str, ...]:
    """The sites that evaluate: an odd number of at most five, by a lot that the study's name draws.

    ValueError where there are fewer than three sites.
    """
    every = sorted(set(sites), key=lambda site: hashlib.sha256(f"{study}\n{site}".encode()).digest())
    if len(every) < 3:
        raise ValueError("a joint test needs three sites")
    most = min(MOST_EVALUATORS, len(every))
    return tuple(sorted(every[: most - (most % 2 == 0)]))


@dataclass(frozen=True)
class Told:
    """What an earlier masked release over the same roster made known.

    name: its study and analysis. labels: of the sets, which all sites know. persons: this site's part of each.
    """

    name: str
    labels: tuple[str, ...]
    persons: tuple[BitMap, ...]


@dataclass(frozen=True)
class Table:
    """A table of cells as all sites know it: see `Cells`."""

    output: tuple[str, ...]
    shape: tuple[int, ...]
    dimensions: tuple[str, ...]
    empty: tuple[int, ...]

    @classmethod
    def of(cls, cells: Cells) -> Table:
        """Without the persons."""
        return cls(cells.output, cells.shape, cells.dimensions, cells.empty)

    def places(self) -> list[int]:
        """Those cells, in C order, that may hold somebody."""
        return [place for place in range(int(np.prod(self.shape))) if place not in set(self.empty)]


@dataclass(frozen=True)
class Layout:
    """The questions of one analysis, the same at every site.

    tables: of cells that are hidden one by one; a model's are part of its one bit. levels: of a model's design, by
    label; None without a model. parameters: of the model. told: name and labels of earlier masked releases.
    """

    tables: tuple[Table, ...]
    levels: tuple[str, ...] | None
    parameters: int
    told: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, empty: Support, variables: Variables, rules: Sequence[str], told: Sequence[Told] = ()) -> Layout:
        """From the support of an empty population; DisclosureRefused where there is no joint test for what it holds."""
        _answerable(empty, variables, rules)
        design = empty.design
        return cls(
            tuple(Table.of(cells) for cells in empty.cells),
            None if design is None else tuple(design.levels),
            0 if design is None else design.parameters,
            tuple((one.name, one.labels) for one in told),
        )

    def digest(self) -> str:
        """sha256 (hex) of the questions: sites that do not agree on it do not answer."""
        return hashlib.sha256(rfc8785.dumps(asdict(self))).hexdigest()

    def labels(self) -> tuple[str, ...]:
        """The sets of persons that are counted, in the order of the inputs."""
        cells = [f"cell {number} {place}" for number, table in enumerate(self.tables) for place in table.places()]
        return (POPULATION, *cells, *(f"level {label}" for label in self.levels or ()))

    @property
    def inputs(self) -> int:
        """How many numbers a site puts in."""
        return len(self.labels())

    def test(self, sites: Sequence[str], evaluators: Sequence[str], demands: Demands) -> JointTest:
        """The joint test under the strictest demands of all; its order of sites is the sorted one."""
        sites = tuple(sorted(sites))
        return JointTest(sites, tuple(sorted(evaluators)), self.inputs, tuple(self._conditions(len(sites), demands)))

    def numbers(self, support: Support, clear: Sequence[BitMap] = ()) -> NDArray[np.int64]:
        """What a site puts in. clear: the sets that it has made known by clear releases of this dataset.

        DisclosureRefused where its evidence is not what the questions are about; it then puts in nothing but zeros.
        """
        sets = self.sets(support)
        return np.array([min(still_hidden(sets[label], clear), MOST) for label in self.labels()], dtype=np.int64)

    def nothing(self) -> NDArray[np.int64]:
        """What a site without data, or that refuses, puts in."""
        return np.zeros(self.inputs, dtype=np.int64)

    def sets(self, support: Support) -> dict[str, BitMap]:
        """A site's persons by label."""
        if tuple(Table.of(cells) for cells in support.cells) != self.tables:
            raise DisclosureRefused("minimum frequency")
        found = {POPULATION: support.population}
        for number, (cells, table) in enumerate(zip(support.cells, self.tables, strict=True)):
            cells.structural()
            found |= {f"cell {number} {place}": cells.persons[place] for place in table.places()}
        levels = {} if support.design is None else support.design.levels
        if (support.design is None) != (self.levels is None) or set(levels) != set(self.levels or ()):
            raise DisclosureRefused("design support")
        return found | {f"level {label}": levels[label] for label in self.levels or ()}

    def masks(self, bits: NDArray[np.bool_], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Mask]:
        """What is hidden of the arrays of a step, whose shapes these are; DisclosureRefused where all of it is."""
        if not bits[0]:
            raise DisclosureRefused("minimum frequency" if self.levels is None else "design support")
        if self.levels is not None:
            return {}
        hidden = list(self._hidden(bits))
        if all(mask.all() for mask in hidden):
            raise DisclosureRefused("minimum frequency")
        return union(
            {name: spread(mask, shapes[name]) for name in table.output if name in shapes}
            for table, mask in zip(self.tables, hidden, strict=True)
        )

    def _hidden(self, bits: NDArray[np.bool_]) -> Iterator[Mask]:
        """Of each table the cells that are hidden."""
        first = 1
        for table in self.tables:
            failed = np.zeros(int(np.prod(table.shape)), dtype=bool)
            places = table.places()
            failed[places] = ~bits[first : first + len(places)]
            first += len(places)
            known = np.zeros(failed.shape, dtype=bool)
            known[list(table.empty)] = True
            if table.dimensions:
                yield structural_complement(failed.reshape(table.shape), known.reshape(table.shape))
            else:
                yield failed.reshape(table.shape)

    def _conditions(self, sites: int, demands: Demands) -> Iterator[Condition]:
        labels = {label: place for place, label in enumerate(self.labels())}
        if self.levels is not None:
            yield (self._model(labels, sites, demands),)
            return
        for place in labels.values():
            yield (at_least(demands.threshold, place, sites),)

    def _model(self, labels: Mapping[str, int], sites: int, demands: Demands) -> Alternative:
        """All that a model asks, as one."""
        p, threshold = self.parameters, demands.threshold
        enough = max(threshold, p + demands.residual, int(np.ceil(p / demands.observations)))
        forms = [*at_least(enough, labels[POPULATION], sites)]
        for label, place in labels.items():
            if label.startswith("cell "):  # the outcome's classes
                forms += at_least(max(threshold, 2 * p), place, sites)
            elif label.startswith("level "):
                forms += none_or(threshold, place, sites)
                if " & " not in label:
                    forms += varies(threshold, labels[POPULATION], place, sites)
        return tuple(forms)


def at_least(threshold: int, place: int, sites: int) -> Alternative:
    """Beyond each site at least T persons."""
    return tuple(Form(((place, 1),), ((site, place, -1),), 0, threshold - 1) for site in range(sites))


def none_or(threshold: int, place: int, sites: int) -> Alternative:
    """Beyond each site nobody, or at least T persons."""
    return tuple(Form(((place, 1),), ((site, place, -1),), 1, threshold - 1) for site in range(sites))


def varies(threshold: int, everyone: int, level: int, sites: int) -> Alternative:
    """Beyond each site at least T persons who are not in a level: else its sum tells of everybody."""
    return tuple(
        Form(((everyone, 1), (level, -1)), ((site, everyone, -1), (site, level, 1)), 0, threshold - 1)
        for site in range(sites)
    )


def still_hidden(persons: BitMap, clear: Sequence[BitMap]) -> int:
    """How many persons of a set are hidden beside what is known: the least by which it differs from a known set."""
    least = len(persons)
    for known in clear:
        if abs(len(known) - len(persons)) < least:
            least = min(least, persons.symmetric_difference_cardinality(known))
    return least


def _answerable(empty: Support, variables: Variables, rules: Sequence[str]) -> None:
    """DisclosureRefused where a rule has no joint test."""
    unknown: Mapping[str, Callable[[], bool]] = {
        "positions": lambda: bool(empty.positions),
        "survival steps": lambda: bool(empty.steps),
        "risk sets": lambda: empty.risk_sets is not None,
        "correlation": lambda: empty.pairs is not None,
        "class disclosure": lambda: "class disclosure" in rules and _sensitive(empty, variables),
        "minimum frequency": lambda: any(SITE in cells.dimensions for cells in empty.cells),
        "check failed": lambda: not rules or not set(rules) <= _TESTED,
    }
    for family, there in unknown.items():
        if there():
            raise DisclosureRefused(family)


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
        "text",
    }
)
