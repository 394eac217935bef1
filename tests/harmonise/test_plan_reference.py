"""The rules on the plan's page of the manual are rules: each is compiled; the page's reasons are the program's."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from harmonise.clinic import PLAN
from sojourn.errors import HarmonisationError
from sojourn.omop.compilation import compile_plan
from sojourn.omop.plan import Plan
from sojourn.omop.reasons import EMPTY_OR_ZERO, QUARANTINE, UNMAPPED

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "harmonisation.md").read_text(encoding="utf-8")
EXAMPLES = {text.partition(":")[0]: text for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)}
FILES = "".join(f"  {name}: {{path: {name}.csv, person: mrn}}\n" for name in ("labs", "drugs"))


def planned(example: str) -> Plan:
    if example.startswith("decisions:"):
        return Plan.from_yaml(PLAN + example)
    return Plan.from_yaml(PLAN.replace("rules:\n", f"{FILES}rules:\n{indent(example, '  ')}", 1))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_compiled(name: str) -> None:
    said = compile_plan(planned(EXAMPLES[name])).text()
    assert (f"rule `{name}`" in said) == (name != "decisions") and ("K029" in said) == (name == "decisions")


def test_there_is_an_example_of_each_kind() -> None:
    assert list(EXAMPLES) == ["labs", "drugs", "decisions"]
    assert {"quantity", "days_supply"} < set(planned(EXAMPLES["drugs"]).rules["drugs"].fields)


def test_the_page_quotes_what_a_rule_by_domain_may_need() -> None:
    with pytest.raises(HarmonisationError, match="drug_exposure_end_date") as refused:
        compile_plan(Plan.from_yaml(PLAN.replace("    tables: [condition_occurrence, observation]\n", "")))
    assert str(refused.value.args[0]).rstrip(".") in PAGE


def test_the_pages_reasons_are_the_programs() -> None:
    told = dict(re.findall(r"^\| `([a-z ]+)` \| ([A-Z`].*?\.) \|$", PAGE, re.M))
    assert set(QUARANTINE) | set(UNMAPPED) <= set(told)
    assert told == {name: {**QUARANTINE, **EMPTY_OR_ZERO}[name] for name in told}
