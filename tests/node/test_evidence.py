"""Evidence goes between worker and node without loss, and what older programs stored can be read."""

from dataclasses import replace

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.analysis.population import Population
from sojourn.analysis.support import Cells
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.families.design_support import DesignSupport
from sojourn.node.evidence import support_from_dict, support_to_dict
from sojourn.statistics.catalogue_comparisons import correlation
from sojourn.statistics.catalogue_counts import count, describe
from sojourn.statistics.catalogue_models import glm

VARIABLES = with_site(
    {"age": Variable(Kind.NUMBER, low=0, high=120), "died": Variable(Kind.BOOLEAN)}, ("north", "south")
)


def patients() -> Population:
    columns = {"age": np.arange(20.0, 50.0), "died": (np.arange(30) % 2).astype(np.int8)}
    return Population("north", VARIABLES, columns, np.arange(30, dtype=np.uint32), {})


def test_what_joint_tests_need_is_kept():
    clustered = glm("died ~ age", family="binomial", cluster="age")
    assert clustered.support(patients()).design.clusters == 30
    for statistic in (describe("age", "died"), glm("died ~ age", family="binomial"), clustered):
        support = statistic.support(patients())
        again = support_from_dict(support_to_dict(support))
        assert len(support.squares) == len(again.squares) == (1 if statistic.name == "describe" else 0)
        assert all((one.total == other.total).all() for one, other in zip(support.squares, again.squares, strict=True))
        for one, other in zip(support.contributions, again.contributions, strict=True):
            assert (one.values is None) == (other.values is None) and one.persons == other.persons
            assert one.values is None or np.array_equal(one.values, other.values)
        if support.design is not None:
            assert again.design.numbers == support.design.numbers and not again.design.by_site
            assert again.design.clusters == support.design.clusters


def test_declared_empty_places_are_kept():
    cells = Cells(("count",), (2, 2), (BitMap([1]), BitMap(), BitMap([2]), BitMap([3])), ("a", "b"), empty=(1,))
    support = replace(count(by="died").support(patients()), cells=(cells,))
    document = support_to_dict(support)
    assert support_from_dict(document).cells[0].empty == (1,)
    document["cells"][0]["empty"] = [4]
    with pytest.raises(ValueError, match="beyond"):
        support_from_dict(document)


def test_what_was_stored_before_joint_tests_is_read():
    document = support_to_dict(glm("died ~ age", family="binomial").support(patients()))
    for sums in document["contributions"]:
        del sums["values"], sums["persons"]
    del document["squares"]
    del document["design"]["numbers"], document["design"]["by_site"], document["design"]["clusters"]
    support = support_from_dict(document)
    assert support.contributions[0].values is None and support.design.numbers == {} and support.design.clusters is None
    assert support.design.levels["died=upper"] == BitMap(range(1, 30, 2))


def test_pairs_of_columns_are_kept():
    pairs = correlation("age", "died").support(patients()).pairs
    again = support_from_dict(support_to_dict(correlation("age", "died").support(patients()))).pairs
    assert again.persons.tolist() == pairs.persons.tolist() == [30]
    assert (again.columns, again.constructed, again.levels) == (pairs.columns, pairs.constructed, pairs.levels)
    document = support_to_dict(correlation("age", "died").support(patients()))
    document["pairs"]["columns"] = -1
    with pytest.raises(ValueError, match="not a count"):
        support_from_dict(document)


def test_a_model_of_drawn_values_that_says_nothing_of_its_draws_tells_too_much():
    document = support_to_dict(glm("died ~ age", family="binomial").support(patients()))
    del document["design"]["drawn"]
    assert support_from_dict(document).design.drawn is None
    document["design"]["levels"]["missing(age)=True"] = document["design"]["levels"]["died=upper"]
    design = support_from_dict(document).design
    assert design.drawn.share == 1.0
    assert "what the sets differ by" in DesignSupport(10)._fault(design)
