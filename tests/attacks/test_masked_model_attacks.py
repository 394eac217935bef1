"""Models under masks: rows read out of gradients, two models in one round, requests that the hub alters or forges."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hand_hub import HandHub, other_broadcast
from naive_masks import shares, summed
from one_site import model, people, rounds
from recorded import Figures

import sojourn as sj
from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import DisclosureRefused
from sojourn.hub.drive import Concluded, Ended, Wanted
from sojourn.identity.envelope import REQUEST_TYPE, Envelope, sign
from sojourn.identity.keys import PrivateKey
from sojourn.secrecy.ring import to_bytes
from sojourn.secrecy.uniformity import plausible
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam", "Dee")
LINE = sj.Plan(table="patients", analyses={"n": sj.glm("ill ~ age", family="poisson")}, aggregation="masked")
COUNT = sj.Plan(table="patients", analyses={"n": sj.count(by=["ward"])}, aggregation="masked")


def patients(seed: int, rows: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    age = random.uniform(0, 1, rows)
    few = np.where(age < np.sort(age)[2], "yes", "no")  # two persons
    return pd.DataFrame({"age": age, "ill": random.poisson(1 + age), "ward": ["a", "b"] * (rows // 2), "few": few})


def bounded(dictionary: Any) -> Any:
    columns = dict(dictionary.columns)
    columns["age"] = replace(columns["age"], low=0.0, high=1.0)
    columns["ill"] = replace(columns["ill"], low=0.0, high=20.0)
    return replace(dictionary, columns=columns)


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    tables = {site: {"patients": patients(seed)} for seed, site in enumerate(SITES)}
    with Federation(tables, review=bounded) as made:
        yield made


# ---- rows out of gradients (L. Zhu, Z. Liu, S. Han, 2019: for a linear layer in closed form, x = dW / db)

COVARIATES = 60
NAMES = [f"x{number}" for number in range(COVARIATES)]
LOGISTIC = model(f"y ~ {' + '.join(NAMES)}", family="binomial")
KINDS = {name: Variable(Kind.NUMBER) for name in NAMES} | {"y": Variable(Kind.BOOLEAN)}


def drawn(persons: int, seed: int) -> Population:
    random = np.random.default_rng(seed)
    return people({name: random.normal(size=persons) for name in NAMES} | {"y": np.arange(persons) % 2.0}, KINDS)


def inverted(gradient: np.ndarray, records: Population) -> float:
    """The largest correlation of any of these records with what a gradient gives as "the" record."""
    guess = gradient[1:] / gradient[0]
    rows = np.stack([records.columns[name] for name in NAMES], axis=1)
    return max(abs(float(np.corrcoef(guess, row)[0, 1])) for row in rows)


def gradient(population: Population) -> np.ndarray:
    """X'(y - 0.3) of everybody: the first round's, at coefficients that the hub knows."""
    at = {"centre": np.zeros(COVARIATES + 1), "coefficients": np.r_[np.log(0.3 / 0.7), np.zeros(COVARIATES)]}
    return LOGISTIC.local("newton", population, at)["score"]


def test_a16_gradients_are_of_many_or_of_nobody(figures: Figures) -> None:
    alone, strangers = drawn(1, 1), drawn(2000, 2)
    assert inverted(gradient(alone), alone) > 0.999
    sites = [drawn(100, seed) for seed in range(20)]
    parts = {f"site {number}": gradient(site) for number, site in enumerate([alone, *sites[1:]])}
    sent = shares(parts)
    assert plausible(to_bytes(sent["site 0"]))  # one person's gradient, and random to all others
    total = summed(parts)
    best = max(inverted(total, site) for site in (alone, *sites[1:]))
    by_chance = inverted(total, strangers)
    assert best <= 0.55 and best < by_chance + 0.1
    with pytest.raises(DisclosureRefused):
        list(rounds(LOGISTIC, drawn(100, 3)))  # in clear, of one site
    small = model("y ~ x0", family="binomial")
    assert list(rounds(small, drawn(200, 4)))
    figures(
        "A16",
        f"a record as the gradient over its constant term, {COVARIATES} covariates, one site with one person among 20",
        without="correlation 1.000 with the person's record, from the site's own gradient",
        with_defence=f"the site's share is random; of the sum at most {best:.2f} with any of 1,901 records "
        f"({by_chance:.2f} with 2,000 persons who are in no site)",
        mark="correlation ≤ 0.55 for every record; least numbers hold",
        benign="a model of one covariate of 200 persons is released",
    )


def test_a16_a_masked_model_of_few_persons_has_no_rounds(federation: Federation, figures: Figures) -> None:
    few = LINE.replace(where="few == 'yes'")
    parts = {site: [int((patients(seed)["few"] == "yes").sum())] for seed, site in enumerate(SITES)}
    assert summed(parts).tolist() == [8]
    hub = HandHub(federation, few)
    end = hub.go()
    assert isinstance(end, Ended) and not any(past.ask.step == "start" for past in hub.rounds)
    assert isinstance(HandHub(federation, LINE).go(), Concluded)
    figures(
        "A16",
        "a masked model of eight persons, two at each of four sites",
        without="its sums over eight persons",
        with_defence=f"ends after the joint test: {getattr(end.error, 'family', '')}; no sum is asked for",
        mark="least numbers hold for the sum",
        benign="the same model of 160 persons is fitted",
    )


# ---- two models in one round (D. Pasquini, D. Francati, G. Ateniese, 2022)


def populations() -> dict[str, Population]:
    kinds = {"age": Variable(Kind.NUMBER), "ill": Variable(Kind.NUMBER)}
    return {site: people({word: patients(seed)[word] for word in kinds}, kinds) for seed, site in enumerate(SITES)}


def test_a17_two_models_in_one_round(federation: Federation, figures: Figures) -> None:
    asked = model("ill ~ age", family="poisson")
    honest = {"centre": np.zeros(2), "coefficients": np.zeros(2)}
    silent = {"centre": np.zeros(2), "coefficients": np.array([-600.0, 0.0])}  # their working weights are nil
    parts = {
        site: asked.local("newton", rows, honest if site == "Avon" else silent)["information"]
        for site, rows in populations().items()
    }
    own = parts["Avon"].ravel()
    assert np.allclose(summed(parts), own, rtol=1e-12)  # under masks, and yet all of it is Avon's

    hub = HandHub(federation, LINE)
    due = hub.go(until="newton")
    assert isinstance(due, Wanted)
    said = [hub.put(site, hub.task(other_broadcast(due.ask, coefficients=[-600.0, 0.0]))) for site in SITES[1:]]
    assert said == ["broadcast"] * 3
    answers = {site: hub.put(site, hub.task(due.ask)) for site in SITES}
    assert not any(isinstance(answer, str) for answer in answers.values())
    figures(
        "A17",
        "the hub sends one site the model and all others one under which they add nothing",
        without=f"{len(own)} of {len(own)} sums of the site alone, exact, under masks",
        with_defence="3 of 3 others refuse: each derives the round's model from the signed transcript",
        mark="two models in one round: nodes abort",
        benign="the model that follows from the transcript is answered by all",
    )


# ---- requests that the hub alters or forges


def without_signature(hub: HandHub, **changes: Any) -> dict[str, Any]:
    """Another request under the signature of the first."""
    body = json.loads(hub.envelope.payload) | changes
    return replace(hub.envelope, payload=json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).to_dict()


def resigned(key: Callable[[HandHub], PrivateKey], **changes: Any) -> Callable[[HandHub], dict[str, Any]]:
    return lambda hub: sign(REQUEST_TYPE, replace(hub.request, **changes).encode(), key(hub)).to_dict()


def hub_key(hub: HandHub) -> PrivateKey:
    return PrivateKey.generate()


def researcher(hub: HandHub) -> PrivateKey:
    return hub.federation.project().federation.key


def garbled(hub: HandHub) -> dict[str, Any]:
    document = hub.envelope.to_dict()
    document["signatures"][0]["sig"] = base64.b64encode(b"\0" * 64).decode()
    return document


def of_another_type(hub: HandHub) -> dict[str, Any]:
    return sign("application/vnd.sojourn.plan+json", hub.envelope.payload, researcher(hub)).to_dict()


def relabelled(hub: HandHub) -> dict[str, Any]:
    return replace(hub.envelope, payload_type="application/json").to_dict()


def spaced(hub: HandHub) -> dict[str, Any]:
    return sign(REQUEST_TYPE, json.dumps(json.loads(hub.envelope.payload)).encode(), researcher(hub)).to_dict()


ALTERED: dict[str, Callable[[HandHub], dict[str, Any]]] = {
    "another plan": lambda hub: without_signature(hub, plan=LINE.replace(where="few == 'yes'").to_dict()),
    "a smaller roster": lambda hub: without_signature(hub, roster=dict(list(hub.request.roster.items())[:3])),
    "another key for the answers": lambda hub: without_signature(hub, seal_key="0" * 64),
    "a longer life": lambda hub: without_signature(hub, expires=hub.request.expires + 3600),
    "a key of the hub's": resigned(hub_key),
    "a key of the hub's, named as the researcher's": lambda hub: replace(
        Envelope.from_dict(resigned(hub_key)(hub)), key=hub.envelope.key
    ).to_dict(),
    "no signature": garbled,
    "another type, signed": of_another_type,
    "another type, relabelled": relabelled,
    "another way of writing it, signed": spaced,
    "a plan that the signed hash is not of": resigned(researcher, plan_hash="0" * 64),
    "expired": resigned(researcher, issued=1_000_000, expires=1_003_600),
    "of next year": resigned(researcher, issued=4_000_000_000, expires=4_000_003_600),
    "ten years long": resigned(researcher, expires=4_000_000_000),
    "another policy": resigned(researcher, policy_version="other"),
    "another project": resigned(researcher, project="another"),
}


def test_a19_requests_that_the_hub_alters_or_forges(federation: Federation, figures: Figures) -> None:
    said: dict[str, Any] = {}
    for word, altered in ALTERED.items():
        hub = HandHub(federation, COUNT)
        task = hub.task().model_copy(update={"request": altered(hub)})
        said[word] = hub.put("Avon", task)
    assert all(isinstance(answer, str) for answer in said.values()), said
    reasons = sorted(set(said.values()))
    assert not isinstance((own := HandHub(federation, COUNT)).put("Avon", own.task()), str)
    # Where signatures do not stand between, each well written request runs: here the researcher signs the hub's wishes.
    for wish in ({}, {"expires": hub.request.expires - 60}, {"seal_key": "1" * 64}):
        written = HandHub(federation, COUNT.replace(where="age < 0.9"))
        written.sign_again(**wish)
        assert not isinstance(written.put("Avon", written.task()), str), wish
    figures(
        "A19",
        f"a hub that alters or forges a request in {len(ALTERED)} ways",
        without="3 of 3 run, where the signature is right: another plan, another life, another key for the answers",
        with_defence=f"{len(said)} of {len(said)} refused: {', '.join(reasons)}",
        mark="all refused",
        benign="the researcher's own request is answered",
    )
