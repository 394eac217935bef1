"""What is asked of the numbers that sites put in about unions of sets, as clauses of a joint test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sojourn.disclosure.joint_atoms import Cut
from sojourn.disclosure.joint_forms import caps, nowhere, spread
from sojourn.disclosure.joint_unions import Split, Unions
from sojourn.secrecy.joint import Alternative, Clause, Form

CAPS = ("few", "many")  # before a label: as it is counted for sites with few persons each, and with many
SOME = "some"  # before a label: 1 where a site puts in any, else 0
Place = Mapping[str, int]


def beside_clauses(
    unions: Unions, cuts: Sequence[Cut], threshold: int, place: Place, sites: int
) -> dict[str, list[Clause]]:
    """By the label that is hidden where one fails. place: of each label among the numbers that are put in."""
    found: dict[str, list[Clause]] = {}
    for about, pair in unions.pairs:
        found.setdefault(about, []).append(_enough(pair.label, threshold, threshold, place, nobody=True))
    for split in unions.splits:
        found.setdefault(split.about, []).append(_split(split, threshold, place, sites))
    for cut in cuts:
        deep = _enough(cut.label, 2 * threshold - 1, threshold, place) if cut.now else ()
        same = (f"{SOME} {one.label}" for one in cut.same)
        found.setdefault(cut.about, []).append((*deep, *_one_of(same, place, sites)))
    return found


def _split(split: Split, threshold: int, place: Place, sites: int) -> Clause:
    of_blocks = (
        tuple(form for one in block for form in _enough(one.label, threshold, threshold, place)[number])
        for block in split.blocks
        for number in range(len(CAPS))
    )
    same = (f"{SOME} differ {split.release} {at} {label}" for at, label in split.same)
    few = ((Form(((place[one.label], 1),), (), threshold, threshold * sites),) for one in split.unseen)
    return (*of_blocks, *_one_of(same, place, sites), *few)


def _enough(label: str, least: int, threshold: int, place: Place, nobody: bool = False) -> tuple[Alternative, ...]:
    """Beyond each site at least so many, by either cap."""
    by_cap = zip(CAPS, caps(threshold), strict=True)
    return tuple((spread(least, place[f"{word} {label}"], cap, nobody),) for word, cap in by_cap)


def _one_of(labels: Iterable[str], place: Place, sites: int) -> Iterator[Alternative]:
    yield from ((nowhere(place[label], sites),) for label in labels)
