"""Clear or masked is decided at submit from the plan and what the sites publish, and written into what is signed."""

from __future__ import annotations

from typing import Any

import pytest

import sojourn as sj
from sojourn.client.aggregation import aggregation_of
from sojourn.errors import PlanError
from sojourn.messages import SiteView

EXCHANGE = {"key": "a" * 64, "signature": "b" * 128}


def site(name: str, **rules: Any) -> SiteView:
    said = {"threshold": 10, "masking": "allowed", "least_masked": 3, "exchange": EXCHANGE, **rules}
    return SiteView.model_construct(site=name, key="c" * 64, online=True, datasets=[], rules=said)


THREE = [site("a"), site("b"), site("c")]


def plan(**words: Any) -> sj.Plan:
    return sj.Plan(table="patients", analyses={"n": sj.count()}, **words)


@pytest.mark.parametrize(
    ("words", "sites", "chosen"),
    [
        ({}, THREE, "clear"),
        ({"expected": 200}, THREE, "clear"),
        ({"expected": 10}, THREE, "clear"),
        ({"expected": 9}, THREE, "masked"),
        ({"expected": 10}, [*THREE, site("d", threshold=11)], "masked"),
        ({}, [*THREE, site("d", masking="required")], "masked"),
        ({"expected": 3}, [*THREE, site("d", masking="refused")], "clear"),
        ({"aggregation": "masked"}, THREE, "masked"),
        ({"aggregation": "clear", "expected": 3}, THREE, "clear"),
    ],
)
def test_from_policies_and_expectation(words: dict[str, Any], sites: list[SiteView], chosen: str) -> None:
    assert aggregation_of(plan(**words), sites) == chosen


@pytest.mark.parametrize(
    ("words", "sites", "said"),
    [
        ({"aggregation": "clear"}, [*THREE, site("d", masking="required")], "d: "),
        ({"aggregation": "masked"}, [*THREE, site("d", masking="refused")], "d: "),
        ({}, [site("a", masking="required"), site("b"), site("c", masking="refused")], "c: "),
        ({"aggregation": "masked"}, THREE[:2], "needs 3 sites"),
        ({"aggregation": "masked"}, [*THREE, site("d", least_masked=5)], "needs 5 sites"),
    ],
)
def test_what_the_sites_cannot_do_is_a_plan_error(words: dict[str, Any], sites: list[SiteView], said: str) -> None:
    with pytest.raises(PlanError, match=said) as caught:
        aggregation_of(plan(**words), sites)
    assert caught.value.field == "aggregation"


def test_nothing_but_policies_is_looked_at() -> None:
    """Whatever else the sites publish, their dictionaries with how many persons a table has for example."""
    fuller = [one.model_copy(update={"datasets": [{"table": "patients", "persons": 2}]}) for one in THREE]
    assert aggregation_of(plan(), fuller) == "clear"
