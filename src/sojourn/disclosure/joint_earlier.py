"""What a site puts into a joint test about earlier sums: by whom its sets, and unions of them, differ from theirs.

A site that does not remember a sum puts in nobody: it has no part of this site, so that it adds nothing behind which
another site's difference could hide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.joint_atoms import depths
from sojourn.disclosure.joint_beside import still_hidden
from sojourn.disclosure.joint_forms import caps
from sojourn.disclosure.joint_questions import CAPS, POPULATION, SOME, Questions, Told
from sojourn.disclosure.joint_unions import Beside, Between
from sojourn.secrecy.joint import MOST

Sets = Mapping[str, BitMap]


def of_earlier(questions: Questions, sets: Sets, told: Sequence[Told], clear: Sequence[BitMap]) -> dict[str, int]:
    """By label what a site with these sets puts in about earlier sums, but for what changed. told, clear: as of
    `Layout.numbers`.
    """
    found: dict[str, int] = {}
    for number, earlier in enumerate(map(padded, told)) if questions.precise else ():
        lacking = lacks(told[number])
        for place, persons in enumerate(earlier.persons):
            for label, now in sets.items():
                more = 0 if lacking else still_hidden(now - persons, clear)
                less = 0 if lacking else still_hidden(persons - now, clear)
                found |= {f"more {number} {place} {label}": more, f"less {number} {place} {label}": less}
                found[f"differ {number} {place} {label}"] = more + less
    for one in questions.unions.counted:
        found |= _capped(one.label, still_hidden(_between(one, sets, told), clear), questions.threshold)
    for whole in questions.unions.wholes:
        planned = told[whole.release]
        number = questions.threshold if lacks(planned) else len(whole.persons(planned.persons))
        found[whole.label] = min(number, questions.threshold)
    for same in (same for cut in questions.cuts for same in cut.same):
        known = told[same.release]
        found[same.label] = 0 if lacks(known) else len(same.persons(sets, known.persons))
    return found | _cut(questions, sets, told, clear)


def _between(one: Beside | Between, sets: Sets, told: Sequence[Told]) -> BitMap:
    if isinstance(one, Beside):
        earlier = told[one.release]
        return BitMap() if lacks(earlier) else one.persons(sets, earlier.persons)
    several = [told[number] for number in one.releases]
    if any(map(lacks, several)):
        return BitMap()
    populations = (known.persons[known.labels.index(POPULATION)] for known in several)
    return one.persons(sets[one.now], *populations)


def _cut(questions: Questions, sets: Sets, told: Sequence[Told], clear: Sequence[BitMap]) -> dict[str, int]:
    """A site that does not remember all cannot say how deep a set cuts."""
    wanted = [cut for cut in questions.cuts if cut.now]
    unions = [BitMap.union(BitMap(), *(sets[label] for label in cut.now)) for cut in wanted]
    if not wanted or any(map(lacks, told)):
        found = [0] * len(wanted)
    else:
        found = depths(unions, [*clear, *(persons for earlier in told for persons in earlier.persons)])
    counts: dict[str, int] = {}
    for cut, persons in zip(wanted, found, strict=True):
        counts |= _capped(cut.label, persons, questions.threshold)
    return counts


def _capped(label: str, persons: int, threshold: int) -> dict[str, int]:
    return {f"{word} {label}": min(persons, cap) for word, cap in zip(CAPS, caps(threshold), strict=True)}


def padded(told: Told) -> Told:
    """The same, with nobody in each set where the site lacks it."""
    return Told(told.name, told.labels, tuple(BitMap() for _ in told.labels)) if lacks(told) else told


def lacks(told: Told) -> bool:
    """Whether a site does not remember an earlier release, of which another one told; or as one of other sets."""
    return len(told.persons) != len(told.labels)


def vanished(questions: Questions, told: Sequence[Told], clear: Sequence[BitMap]) -> NDArray[np.int64]:
    """What a site puts in that has nobody now: zeros, but its part of each earlier set as what the set of now lacks.

    Else the sum before less the sum now would be its whole part, and the test would see no difference. told: as the
    layout was made with. clear: as in `Layout.numbers`.
    """
    labels = questions.labels()
    gone = of_earlier(questions, {label: BitMap() for label in questions.set_labels}, told, clear)
    found = (
        int(gone.get(label.removeprefix(f"{SOME} "), 0) > 0) if label.startswith(f"{SOME} ") else gone.get(label, 0)
        for label in labels
    )
    return np.fromiter((min(number, MOST) for number in found), dtype=np.int64, count=len(labels))
