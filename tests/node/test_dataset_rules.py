"""The custodian's rules of one dataset: read from node.yaml, never milder than the site's, used for its releases."""

from __future__ import annotations

import pandas as pd
import pytest

import sojourn as sj
from sojourn.disclosure.parameters import Parameters, layer
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import ConfigurationError
from sojourn.node import program
from sojourn.node.config import NodeHome
from sojourn.testbed import Federation


@pytest.fixture
def home(tmp_path):
    return program.create(tmp_path / "node", "Cleveland", sandbox="none")


def written(home, words):
    with (home.folder / "node.yaml").open("a", encoding="utf-8") as file:
        file.write(words)
    return NodeHome.load(home.folder)


def test_each_dataset_has_its_own_rules(home):
    read = written(home, "dataset_rules: {registry: {threshold: 20, rounding: midpoint 6}, open: {threshold: 5}}\n")
    node = program.open_node(read)
    try:
        assert node.policy.parameters == Parameters()
        assert node.policy.of("registry").parameters == Parameters(threshold=20, rounding="midpoint 6")
        assert node.policy.of("open").parameters == Parameters()  # 5 is milder than the site's 10
        assert node.policy.of("patients").parameters == Parameters()
        assert node.policy.of("registry").hidden_max() == 19
    finally:
        node.close()


@pytest.mark.parametrize(
    "words", ["{registry: 20}", "{registry: {treshold: 20}}", "{registry: {threshold: 1}}", "[20]"]
)
def test_what_is_no_rule_is_refused_without_its_value(home, words):
    with pytest.raises(ConfigurationError) as refusal:
        program.open_node(written(home, f"dataset_rules: {words}\n"))
    assert refusal.value.remedy
    assert "20" not in str(refusal.value).split("Remedy")[0]


def test_of_jurisdictions_and_own_rules_the_strictest_holds(home):
    """15 of the site's own rules is stricter than 11, and milder than 21."""
    words = "jurisdictions: [CMS cell size, {}]\nrules: {{threshold: 15}}\ndataset_rules: {{open: {{threshold: 12}}}}\n"
    for other, threshold in (("UK Biobank", 15), ("All of Us", 21)):
        (home.folder / "node.yaml").write_text("site: Cleveland\n" + words.format(other), encoding="utf-8")
        node = program.open_node(NodeHome.load(home.folder))
        try:
            assert node.policy.parameters == Parameters(threshold=threshold)
            assert node.policy.of("open").hidden_max() == threshold - 1
        finally:
            node.close()


@pytest.mark.parametrize("words", ["[CMS cell sise]", "CMS cell size", "[11]"])
def test_a_jurisdiction_that_is_none_says_which_there_are(home, words):
    with pytest.raises(ConfigurationError) as refusal:
        program.open_node(written(home, f"jurisdictions: {words}\n"))
    assert "jurisdiction" in str(refusal.value) and "CMS cell size" in refusal.value.remedy


def test_a_release_goes_by_the_rules_of_its_dataset():
    """Two tables of the same 80 persons at one site; 40 women are too few under the rules of one of them."""
    frame = pd.DataFrame({"sex": ["f", "m"] * 40})
    site = Parameters()
    policy = StandardPolicy(site, {"registry": layer({"threshold": 50}, site)})
    with Federation({"Cleveland": {"registry": frame, "patients": frame}}, rules=policy) as federation:
        told = {}
        for table in ("registry", "patients"):
            plan = sj.Plan(table=table, analyses={"n": sj.count(by="sex")}, min_sites=1)
            told[table] = federation.run(plan)["n"].table["n"].tolist()
    assert told["patients"] == [40, 40]
    assert [str(cell).startswith("suppressed") for cell in told["registry"]] == [True, True]
