"""Which earlier masked sums count: under any order of asks, with up to half of the sites forgetting."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sojourn.study.remembered import Remembered, counted

ENTRY = ("a" * 64, ("population", "cell 0 0"))


@dataclass
class Site:
    """One site as the node keeps it: what it gave first numbers to, in order, and what it said and when."""

    given: list[tuple[int, bool]] = field(default_factory=list)  # study, whether it was vetoed here
    terms: dict[int, int] = field(default_factory=dict)  # study → how many others' sums stood here at its terms

    def standing(self, study: int) -> int:
        return sum(other != study and not vetoed for other, vetoed in self.given)

    def tell(self, study: int) -> list[Remembered]:
        self.terms[study] = self.standing(study)
        return [(f"{other:064}", ENTRY[1]) for other, _ in self.given]

    def give(self, study: int) -> bool:
        """Its first numbers; whether they are a veto."""
        tested = self.terms.keys() - {other for other, _ in self.given}
        vetoed = self.standing(study) != self.terms[study] or any(other < study for other in tested)
        self.given.append((study, vetoed))
        return vetoed


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]], set[int]]:
    """Sites, studies, who is asked next of which study, and who says that it remembers nothing."""
    sites, studies = draw(st.integers(3, 6)), draw(st.integers(2, 3))
    steps = [(study, site) for study in range(studies) for site in range(sites)] * 2
    forgetful = draw(st.sets(st.integers(0, sites - 1), max_size=sites // 2))
    return sites, studies, draw(st.permutations(steps)), forgetful if sites - len(forgetful) > 1 else set()


@given(schedules())
def test_of_two_sums_one_was_tested_against_the_other(
    drawn: tuple[int, int, list[tuple[int, int]], set[int]],
) -> None:
    many, studies, steps, forgetful = drawn
    sites = [Site() for _ in range(many)]
    told: list[dict[int, list[Remembered]]] = [{} for _ in range(studies)]
    gave: list[dict[int, bool]] = [{} for _ in range(studies)]
    for study, site in [*steps, *sorted(steps)]:
        if site not in told[study]:
            told[study][site] = [] if site in forgetful else sites[site].tell(study)
            sites[site].terms.setdefault(study, sites[site].standing(study))
        elif len(told[study]) == many and site not in gave[study]:
            gave[study][site] = sites[site].give(study)
    summed = [study for study in range(studies) if len(gave[study]) == many and not any(gave[study].values())]
    assert 0 in summed  # the lowest id is vetoed by nobody, whatever the order
    for one in summed:
        for other in summed:
            names = {name for study in (one, other) for name, _ in counted(list(told[study].values()))}
            assert one == other or names & {f"{one:064}", f"{other:064}"}


@given(st.integers(3, 25), st.data())
def test_what_few_gave_numbers_to_stands_in_no_ones_way(many: int, data: st.DataObject) -> None:
    """A study that was given up, or one that liars invent: fewer than half, or a single one, make it count."""
    few = data.draw(st.integers(0, max(1, (many - 1) // 2)))
    told = [[ENTRY]] * few + [[]] * (many - few)
    assert counted(data.draw(st.permutations(told))) == ()


@given(st.integers(3, 25), st.data())
def test_half_of_the_sites_cannot_end_the_comparison(many: int, data: st.DataObject) -> None:
    honest = data.draw(st.integers(max(2, -(-many // 2)), many))
    others = data.draw(
        st.lists(st.sampled_from([[], [("a" * 64, ("population",))]]), min_size=many - honest, max_size=many - honest)
    )
    told = data.draw(st.permutations([[ENTRY, ENTRY]] * honest + others))
    assert ENTRY in counted(told)
