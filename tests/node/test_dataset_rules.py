"""The custodian's rules of one dataset: read from node.yaml, never milder than the site's, used for its releases."""

from __future__ import annotations

import pytest

from sojourn.disclosure.parameters import Parameters
from sojourn.errors import ConfigurationError
from sojourn.node import program
from sojourn.node.config import NodeHome


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
