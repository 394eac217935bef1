"""Every number of persons from 0 to T - 1 looks the same to the analyst, whichever way he asks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from small_frames import SITES, T, events, federation, frame, outcome, plan, still_works

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy

pytestmark = pytest.mark.long

N = 60


def marked(site: str):
    """`flagK` is true and `twoK` is 7.25 for the first K persons."""
    made = frame(site, N)
    made["cost"] = made["age"]
    made["arm"] = np.where(made["rank"] <= N / 2, "p", "q")  # those who differ are all in arm p
    for k in range(T + 1):
        first = made["rank"] <= k
        made[f"flag{k}"] = first
        made[f"most{k}"] = ~first
        made[f"two{k}"] = np.where(first, 7.25, 3.5)
        made[f"zero{k}"] = np.where(first, 0.0, 12.0)
        made[f"mixed{k}"] = np.where(made["arm"] == "p", np.where(first, 7.25, 3.5), made["age"])
    return made


def answered(made):
    """The custodian answers for these columns, of which any two are equal for all but few."""
    return replace(made, nearly_equal=tuple(combinations([name for name in made.columns if "mixed" in name], 2)))


class WithoutLedger(StandardPolicy):
    """The rules of one output: these tests ask about many sets that differ by few, which the ledger would refuse."""

    def differencing(self):
        return None


@pytest.fixture(scope="module", params=[False, True], ids=["zeros hidden", "zeros shown"])
def small(request):
    parameters = Parameters(zero_shown=request.param)
    frames = {site: marked(site) for site in SITES[:2]}
    with federation(frames, rules=WithoutLedger(parameters), review=answered) as one:
        yield one


def test_every_number_of_selected_persons_looks_the_same():
    asked = {
        "all": sj.count(),
        "pairs": sj.crosstab("sex", "smoker"),
        "mean": sj.describe("age", "smoker", by="sex"),
        "bins": sj.histogram("age", [0, 50, 60, 100]),
        "line": sj.glm("y ~ age + C(sex)"),
        "odds": sj.glm("ill ~ age", family="binomial"),
    }
    seen = set()
    with federation({site: frame(site, N) for site in SITES[:2]}) as one:
        for n in range(T):
            run = one.project().submit(plan(f"rank <= {n}", **asked))
            results = run.wait(30)
            words = {words for result in results.values() for words in result.sites.values()}
            assert words == {"not released: minimum frequency"}
            seen.add(json.dumps([outcome(results), without_asks(events(run))], sort_keys=True))
    assert len(seen) == 1


@pytest.mark.parametrize("by", [None, "arm", "site"])
def test_every_number_of_persons_with_a_value_looks_the_same(small, by):
    """0 to T - 1 persons who differ from all others: numbers stay, mean and deviation are hidden, alike for all."""
    kinds = ("flag", "most", "two", "zero")
    results = small.run(plan(**{kind: sj.describe(*(f"{kind}{k}" for k in range(T + 1)), by=by) for kind in kinds}))
    for kind in kinds:
        table = results[kind].table
        rows = [table.loc[[f"{kind}{k}"]].to_json(default_handler=str).replace(f"{kind}{k}", "") for k in range(T)]
        assert len(set(rows)) == 1
        everyone = table if by is None else table.xs("all", level=by)
        assert everyone["n"].tolist() == [2 * N] * (T + 1)
        assert {type(cell) for cell in everyone["mean"].iloc[:T]} == {Suppressed}
        assert isinstance(everyone["mean"].iloc[T], float)


def test_few_who_differ_in_a_group_of_a_column_of_many_values(small):
    table = small.run(plan(d=sj.describe(*(f"mixed{k}" for k in range(T + 1)), by="arm")))["d"].table
    p = table.xs("p", level="arm")
    assert set(p["mean"].iloc[:T]) == set(p["sd"].iloc[:T]) == {Suppressed()}
    assert len(set(p["n"])) == 1
    assert isinstance(p["mean"].iloc[T], float)


def test_a_cell_that_one_site_hides_is_hidden_for_all():
    frames = {site: frame(site) for site in SITES}
    frames["beryl"]["stage"] = np.where(
        frames["beryl"]["rank"] <= 5, "III", np.where(frames["beryl"]["rank"] <= 9, "I", "II")
    )
    with federation(frames) as one:
        result = one.run(plan(n=sj.count(by="stage")))["n"]
        cells = result.table["n"]
        true = {level: sum((made["stage"] == level).sum() for made in frames.values()) for level in ("I", "III")}
        for level, n in true.items():
            assert isinstance(cells[level], Suppressed)
            assert cells[level].low <= n and (cells[level].high is None or n <= cells[level].high)
        with pytest.raises(TypeError):
            _ = cells["I"] + 1
        assert set(result.sites.values()) == {"contributed"}
        assert not re.search(r"\d", str(result.sites))
        still_works(one)


def without_asks(said: list[str]) -> list[str]:
    return [re.sub(r"[0-9a-f]{32,}", "", line) for line in said]
