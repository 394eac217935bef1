"""What is asked of the numbers that sites put in about unions of sets, as clauses of a joint test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sojourn.disclosure.joint_atoms import Cut
from sojourn.disclosure.joint_forms import caps, nowhere, spread
from sojourn.disclosure.joint_unions import Beside, Between, Split, Unions, Whole
from sojourn.secrecy.joint import Alternative, Clause, Form

CAPS = ("few", "many")  # before a label: as it is counted for sites with few persons each, and with many
SOME = "some"  # before a label: 1 where a site puts in any, else 0
MOST_EXACT = 150_000  # factors, about twice as many as there are, of tests that ask the same beyond each site
Place = Mapping[str, int]


def beside_clauses(
    unions: Unions, cuts: Sequence[Cut], threshold: int, place: Place, sites: int
) -> dict[str, list[Clause]]:
    """By the label that is hidden where one fails. place: of each label among the numbers that are put in."""
    found: dict[str, list[Clause]] = {}
    counted = list(unions.counted)
    others = [one for one in counted if not _of_three(one)]  # are not asked for more because of those
    exact, all_exact = (len(ones) * sites * threshold <= MOST_EXACT for ones in (others, counted))
    for about, pair, unseen in unions.pairs:
        if all_exact or (exact and not _of_three(pair)):
            enough: tuple[Alternative, ...] = (_beyond(pair.label, threshold, place, sites, nobody=True),)
        else:
            enough = _enough(pair.label, threshold, threshold, place, nobody=True)
        found.setdefault(about, []).append((*enough, *_few(unseen, threshold, place, sites)))
    for split in unions.splits:
        found.setdefault(split.about, []).append(_split(split, threshold, place, sites, exact))
    for cut in cuts:
        deep = _enough(cut.label, 2 * threshold - 1, threshold, place) if cut.now else ()
        same = (f"{SOME} {one.label}" for one in cut.same)
        found.setdefault(cut.about, []).append((*deep, *_one_of(same, place, sites)))
    return found


def _of_three(one: Beside | Between) -> bool:
    return isinstance(one, Between) and len(one.releases) > 2


def _split(split: Split, threshold: int, place: Place, sites: int, exact: bool) -> Clause:
    def of_one(label: str) -> tuple[Alternative, ...]:
        if exact:
            return (_beyond(label, threshold, place, sites),)
        return _enough(label, threshold, threshold, place)

    by_way = (zip(*(of_one(one.label) for one in block), strict=True) for block in split.blocks)
    of_blocks = (tuple(form for alternative in way for form in alternative) for ways in by_way for way in ways)
    same = (f"{SOME} differ {split.release} {at} {label}" for at, label in split.same)
    return (*of_blocks, *_one_of(same, place, sites), *_few(split.unseen, threshold, place, sites))


def _beyond(label: str, threshold: int, place: Place, sites: int, nobody: bool = False) -> Alternative:
    """Beyond each site exactly at least T persons, of whom each site puts in T at most; or nobody at any."""
    at, low = place[f"{CAPS[1]} {label}"], int(nobody)
    beyond = (Form(((at, 1),), ((site, at, -1),), low, threshold - 1) for site in range(sites))
    return (Form(((at, 1),), (), low, threshold), *beyond)  # of T in all, T may be one site's own


def _enough(label: str, least: int, threshold: int, place: Place, nobody: bool = False) -> tuple[Alternative, ...]:
    """Beyond each site at least so many, by either cap."""
    by_cap = zip(CAPS, caps(threshold), strict=True)
    return tuple((spread(least, place[f"{word} {label}"], cap, nobody),) for word, cap in by_cap)


def _one_of(labels: Iterable[str], place: Place, sites: int) -> Iterator[Alternative]:
    yield from ((nowhere(place[label], sites),) for label in labels)


def _few(unseen: Iterable[Whole], threshold: int, place: Place, sites: int) -> Iterator[Alternative]:
    """There are fewer than T persons at all sites, each of which puts in T at most."""
    yield from ((Form(((place[one.label], 1),), (), threshold, threshold * sites),) for one in unseen)
