"""No message of a masked study reveals a site's count: the bytes of a whole study, in the hub's store and on the way.

Hospitals of different size answer a count, a table and a model. What each sent is as long as what the others sent in
the same role, and uniform; and what the hub keeps is nothing else.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sqlalchemy import select

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable
from sojourn.client.results import Results
from sojourn.disclosure.demands import evaluators
from sojourn.hub.tables import metadata, tasks
from sojourn.messages import received
from sojourn.secrecy import ring as rings
from sojourn.secrecy.shamir import PRIME, unpack
from sojourn.study import squaring
from sojourn.study.circle import Circle
from sojourn.study.joint_rounds import OPEN, TERMS
from sojourn.testbed import Federation

pytestmark = pytest.mark.long
SIZES = {"Avon": 131, "Brent": 237, "Cam": 164, "Dart": 0, "Exe": 183}
COLUMNS = {
    "age": Variable(Kind.NUMBER, low=0, high=120),
    "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
    "ill": Variable(Kind.BOOLEAN),
}
ANALYSES = {
    "a_count": sj.count(by="sex"),
    "b_table": sj.describe("age"),
    "c_model": sj.glm("ill ~ age", family="binomial"),
}


def patients(seed: int, rows: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    ages = random.integers(20, 95, rows).astype(float)
    ill = random.random(rows) < 1 / (1 + np.exp((60 - ages) / 15))
    return pd.DataFrame({"age": ages, "sex": random.choice(["F", "M"], rows), "ill": ill})


COUNTERS = ("number", "round", "position", "size", "bytes")  # of events, rounds, entries of logs
NOBODY = patients(9, 12).assign(age=110.0)  # none of them satisfies the plan


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    tables = {
        site: {"patients": patients(seed, rows) if rows else NOBODY} for seed, (site, rows) in enumerate(SIZES.items())
    }
    with Federation(tables, review=lambda dictionary: replace(dictionary, columns=COLUMNS, excluded=())) as federation:
        yield federation


@pytest.fixture(scope="module")
def study(federation: Federation) -> Results:
    plan = sj.Plan(table="patients", where="age < 100", aggregation="masked", analyses=ANALYSES)
    results = federation.run(plan)
    assert all(results[name].table is not None for name in ANALYSES)
    return results


@pytest.fixture(scope="module")
def sent(federation: Federation, study: Results) -> list[dict[str, Any]]:
    """Each answer of the study as the hub keeps it: its site, its step, what was read."""
    documents = federation.hub.store.asks_of(study.study.study)
    steps = {digest: json.loads(row["document"])["step"] for (_, digest), row in documents.items()}
    rows = federation.hub.store.rows(select(tasks).where(tasks.c.study == study.study.study))
    answered = [row for row in rows if row["answer"]]
    return [
        {**row, "step": steps[row["ask"]], "release": received(json.loads(row["answer"])), "size": len(row["answer"])}
        for row in answered
    ]


def evaluating(federation: Federation) -> tuple[str, ...]:
    keys = {site: (node.key.public.hex, "") for site, node in federation.nodes.items()}
    return evaluators(Circle(keys).members, SIZES)


def uniform(data: bytes | np.ndarray, parts: int = 256) -> bool:
    counted = np.bincount(np.frombuffer(data, dtype=np.uint8) if isinstance(data, bytes) else data, minlength=parts)
    return bool(stats.chisquare(counted).pvalue > 1e-6)


def test_every_byte_under_masks_or_seal_is_uniform(sent: list[dict[str, Any]]) -> None:
    by_site: dict[str, list[bytes]] = defaultdict(list)
    for one in sent:
        by_site[one["site"]] += [one["release"].ring, *one["release"].sealed.values()]
    assert set(by_site) == set(SIZES)
    for site, blobs in by_site.items():
        assert sum(map(len, blobs)) > 2_000
        assert uniform(b"".join(blobs)), site
    limbs = [rings.from_bytes(one["release"].ring) for one in sent if one["release"].ring]
    assert uniform((np.concatenate(limbs)[:, 1] >> np.uint64(56)).astype(np.int64))  # the leading byte: small numbers?


def test_the_test_finds_numbers_that_nobody_masked(sent: list[dict[str, Any]]) -> None:
    numbers = next(len(rings.from_bytes(one["release"].ring)) for one in sent if one["release"].ring)
    bare = rings.to_bytes(rings.encode(np.full(numbers, 137.0), len(SIZES)))
    assert not uniform(bare * 40)
    mixed = b"".join(one["release"].ring for one in sent) + bare * 40
    assert not uniform(mixed)


def test_what_is_opened_is_shares_of_uniform_numbers(federation: Federation, sent: list[dict[str, Any]]) -> None:
    opened = [one for one in sent if one["step"] in (OPEN, squaring.OPEN)]
    chosen = evaluating(federation)
    assert {one["site"] for one in opened} == set(chosen)
    values = np.concatenate([unpack(data, len(data) // 4) for data in map(_opening, opened)])
    assert uniform((values * np.uint64(16) // np.uint64(PRIME)).astype(np.int64), 16)


def _opening(one: dict[str, Any]) -> bytes:
    return base64.b64decode(one["release"].told["opening"])


def test_messages_of_one_role_are_of_one_length_whatever_a_site_has(
    federation: Federation, sent: list[dict[str, Any]]
) -> None:
    chosen = evaluating(federation)
    sizes: dict[tuple[str, str, bool], set[tuple[int, ...]]] = defaultdict(set)
    for one in sent:
        blobs = (len(one["release"].ring), *sorted(map(len, one["release"].sealed.values())))
        sizes[one["analysis"], one["ask"], one["site"] in chosen].add(blobs)
    assert all(len(lengths) == 1 for lengths in sizes.values())
    openly = {one["step"]: set(one["release"].told) for one in sent if one["release"].told}
    assert openly == {TERMS: {"demands", "told"}, OPEN: {"opening"}, squaring.OPEN: {"opening"}}
    assert len({json.dumps(one["release"].told) for one in sent if one["step"] == TERMS}) == 1


def test_the_hub_keeps_nothing_else_by_site(federation: Federation, study: Results, sent: list[dict[str, Any]]) -> None:
    """Every number in every table of the hub's database, in JSON too: none is a hospital's own."""
    own = {rows for rows in SIZES.values() if rows}
    for seed, rows in enumerate(SIZES.values()):
        part = patients(seed, rows)
        own |= {int((part["sex"] == "F").sum()), int(part["ill"].sum()), int(part["age"].sum())} - {0}
    for table in metadata.sorted_tables:
        for row in federation.hub.store.rows(select(table)):
            told = {name: _read(value) for name, value in row.items()}
            if table.name.startswith(("log", "witness")):  # sizes of logs; what an entry says is looked at
                told = {name: value.get("facts") for name, value in told.items() if isinstance(value, dict)}
            told = {name: value for name, value in told.items() if name not in COUNTERS}
            found = {name: set(_numbers(value)) & own for name, value in told.items()}
            assert not any(found.values()), (table.name, found)
    chosen = evaluating(federation)
    left = defaultdict(set)
    for one in sent:
        left[one["analysis"], one["ask"], one["site"] in chosen].add(one["bytes"])
    assert all(max(sizes) - min(sizes) <= 8 for sizes in left.values())  # a site's name is in its answer


def test_a_site_that_has_nobody_cannot_be_told_apart(study: Results) -> None:
    for name in ANALYSES:
        assert set(study[name].sites.values()) == {"took part"}
    assert study["a_count"].table["n"].sum() == sum(SIZES.values())


def _read(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return json.loads(value)
        except ValueError:  # a hash or a key
            return None
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.loads(value)
    return value


def _numbers(value: Any) -> Iterator[float | int]:
    if isinstance(value, dict):
        value = [inner for name, inner in value.items() if name not in COUNTERS]
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
