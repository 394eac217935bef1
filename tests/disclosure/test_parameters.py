"""The figures of the rules as data: read strictly, composed by the strictest, p never told."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.disclosure.families.dominance import PPercent
from sojourn.disclosure.gate import judge, release
from sojourn.disclosure.layers import LAYERS, composed, layers_of
from sojourn.disclosure.output import Tier, Verdict
from sojourn.disclosure.parameters import STRICTER, Parameters, layer, strictest
from sojourn.disclosure.perturbation import ROUNDINGS
from sojourn.disclosure.policy import POLICIES, RULES, StandardPolicy, for_dataset, named
from sojourn.disclosure.rules import by_itself
from sojourn.errors import ConfigurationError

SECRET = 13.577531
parameters = st.builds(
    Parameters,
    threshold=st.integers(3, 50),
    zero_shown=st.booleans(),
    dimensions=st.integers(1, 5),
    sensitive_percent=st.floats(50, 100),
    dominance_n=st.integers(1, 2),
    dominance_k=st.floats(50, 100),
    p_percent=st.floats(1, 50),
    residual=st.integers(1, 50),
    observations=st.floats(0.05, 1),
    leverage=st.floats(0.05, 1),
    automatic=st.sampled_from([Tier.LOW, Tier.MEDIUM]),
    suppressed=st.sampled_from([Tier.LOW, Tier.MEDIUM]),
    rounding=st.sampled_from(ROUNDINGS),
    cell_key=st.integers(0, 2**63 - 1),
    zip3=st.integers(1, 100_000),
    custom_area=st.integers(1, 100_000),
    numbers=st.integers(1, 100_000),
)
documents = st.dictionaries(st.sampled_from(sorted(STRICTER)), st.none()).flatmap(
    lambda names: parameters.map(lambda drawn: {name: getattr(drawn, name) for name in names})
)


def test_settings_are_read_and_the_rest_is_default():
    read = Parameters.from_dict({"threshold": 8, "zero_shown": True, "automatic": "medium"})
    assert read == Parameters(threshold=8, zero_shown=True, automatic=Tier.MEDIUM)
    assert Parameters.from_dict({}) == Parameters()


@pytest.mark.parametrize(
    "document",
    [
        {"treshold": 10},
        {"UnsafeReleaseAll": True},
        {"threshold": 2},
        {"threshold": 0},
        {"threshold": "10"},
        {"threshold": True},
        {"threshold": 10.0},
        {"zero_shown": 1},
        {"dominance_n": 3},
        {"dominance_k": 0},
        {"p_percent": float("nan")},
        {"residual": 0},
        {"observations": 1.5},
        {"leverage": None},
        {"automatic": "high"},
        {"automatic": []},
        {"suppressed": "high"},
        {"rounding": "base 10"},
        {"cell_key": -1},
        {"zip3": 0},
        {"numbers": 0},
    ],
    ids=str,
)
def test_unknown_words_and_figures_out_of_range_are_refused(document):
    with pytest.raises(ConfigurationError) as refusal:
        Parameters.from_dict(document)
    assert refusal.value.remedy


def test_p_is_never_told():
    secret = Parameters(p_percent=SECRET)
    told = [repr(secret), str(secret), f"{secret.public()}", repr(StandardPolicy(secret)), repr(PPercent(SECRET, 10))]
    told += [repr(build(secret)) for build in RULES.values()]
    with pytest.raises(ConfigurationError) as refusal:
        Parameters(p_percent=-SECRET)
    told.append(str(refusal.value))
    assert not [text for text in told if "13.57" in text]
    assert not {"p_percent", "cell_key"} & set(secret.public())
    keyed = Parameters(cell_key=135_775_310)
    assert "1357753" not in f"{keyed!r}{keyed.public()}{StandardPolicy(keyed)!r}{StandardPolicy(keyed).perturbations!r}"


def test_p_is_in_no_release_and_no_finding(outputs):
    policy = StandardPolicy(Parameters(p_percent=SECRET))
    output = outputs.sums([[100.0] * 30, [1.0] * 30 + [1000.0, 100.0], [90.0] * 40], rules=("p percent",))
    assert "13.57" not in f"{release(output, policy, outputs.HEADER).to_dict()}{judge(output, policy)}"


@given(a=parameters, b=parameters, c=parameters)
def test_the_strictest_of_several_does_not_depend_on_their_order(a, b, c):
    assert strictest(a, a) == a
    assert strictest(a, b) == strictest(b, a)
    assert strictest(a, strictest(b, c)) == strictest(strictest(a, b), c)


@given(a=parameters, b=parameters)
def test_the_strictest_is_nowhere_milder(a, b):
    both = strictest(a, b)
    assert both.threshold >= a.threshold
    assert both.zero_shown <= a.zero_shown
    assert both.dominance_n >= a.dominance_n
    assert both.dominance_k <= a.dominance_k
    assert both.p_percent >= a.p_percent
    assert both.residual >= a.residual
    assert both.observations <= a.observations
    assert both.leverage <= a.leverage
    assert both.sensitive_percent <= a.sensitive_percent
    assert both.dimensions <= a.dimensions
    for name, direction in STRICTER.items():
        assert direction(getattr(both, name)) >= direction(getattr(a, name))


@given(site=parameters, layers=st.lists(documents, max_size=3), further=documents)
def test_a_further_layer_never_loosens(site, layers, further):
    for words in layers:
        site = layer(words, site)
    both = layer(further, site)
    for name, direction in STRICTER.items():
        assert direction(getattr(both, name)) >= direction(getattr(site, name))
        assert name in further or getattr(both, name) == getattr(site, name)


@given(site=parameters, one=documents, other=documents)
def test_layers_may_come_in_any_order(site, one, other):
    assert layer(one, layer(other, site)) == layer(other, layer(one, site))


def test_every_value_says_in_which_direction_it_is_stricter():
    assert set(STRICTER) == {item.name for item in fields(Parameters)}
    assert strictest() == Parameters()


def test_examples_of_layers_name_their_source_and_never_loosen():
    for one in LAYERS.values():
        assert one.source and one.verified and one.confidence in "ABC"
        holds = composed([one])
        assert strictest(holds, Parameters()) == holds
    assert composed([LAYERS["CMS cell size"]]) == Parameters(threshold=11)  # zeros stay hidden: the site hides them
    assert composed(LAYERS.values()) == Parameters(threshold=21, rounding="midpoint 6")
    assert [one.name for one in layers_of(["SACRO", "ABS"])] == ["SACRO", "ABS"]
    assert composed([LAYERS["OpenSAFELY midpoint"]]).threshold == 10


def test_a_dataset_s_rules_are_nowhere_milder(outputs):
    site = Parameters(threshold=10)
    policy = StandardPolicy(site, {"registry": layer({"threshold": 20}, site)})
    assert for_dataset(policy, "registry").hidden_max() == 19
    assert for_dataset(policy, "patients") == StandardPolicy(site)
    output = outputs.table([40, 30, 15, 14])
    assert judge(output, for_dataset(policy, "registry")).verdict is Verdict.SUPPRESS
    assert judge(output, for_dataset(policy, "patients")).verdict is Verdict.RELEASE
    with pytest.raises(ConfigurationError):
        StandardPolicy(site, {"registry": Parameters(threshold=5)})


def test_a_site_may_hold_outputs_of_which_something_is_hidden(outputs):
    output = outputs.table([40, 30, 6, 7])
    finding = judge(output, StandardPolicy(Parameters(suppressed=Tier.MEDIUM, automatic=Tier.MEDIUM)))
    assert (finding.verdict, finding.tier) == (Verdict.SUPPRESS, Tier.MEDIUM)
    assert by_itself(finding, Tier.LOW).verdict is Verdict.REFUSE
    assert judge(outputs.table([40, 30]), StandardPolicy(Parameters(suppressed=Tier.MEDIUM))).tier is Tier.LOW


def test_policies_are_found_by_name():
    assert named("default") == StandardPolicy()
    assert named("default").watermark == ""


@pytest.mark.parametrize(
    "name", ["UnsafeReleaseAll", "unsafe", "", "sojourn.disclosure.rules.UnsafeReleaseAll", "default "]
)
def test_the_unsafe_policy_has_no_name(name):
    with pytest.raises(ConfigurationError):
        named(name)
    assert all(isinstance(policy, StandardPolicy) for policy in POLICIES.values())


def test_the_registry_does_not_take_another():
    with pytest.raises(TypeError):
        POLICIES["mine"] = StandardPolicy()


def test_every_rule_has_its_name_and_scope():
    for name, build in RULES.items():
        rule = build(Parameters())
        assert (rule.name, rule.scope) == (name, "site")


@pytest.mark.parametrize("rules", [(), ("minimum frequency", "luck")])
def test_a_policy_refuses_what_names_no_rule_or_an_unknown_one(rules, outputs):
    finding = StandardPolicy().judge(outputs.table([40, 30], rules=rules))
    assert (finding.verdict, finding.family) == (Verdict.REFUSE, "output schema")
