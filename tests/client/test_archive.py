"""A study's record: it comes out the same, proves itself, and says which of its files was altered and by whose word."""

from __future__ import annotations

import base64
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import bagit
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocrate.rocrate import ROCrate
from typer.testing import CliRunner

import sojourn as sj
from sojourn import errors
from sojourn.client import commands
from sojourn.client.archive import SIGNATURE, SIGNED_TYPE, Evidence, made_of, statement
from sojourn.client.archive_verification import CHECKS, Verdict, verify
from sojourn.client.commands import app
from sojourn.client.results import Results
from sojourn.client.verification import LogIdentity
from sojourn.identity.envelope import sign
from sojourn.identity.keys import PrivateKey
from sojourn.report.bag import packed, unpacked
from sojourn.report.contents import as_json
from sojourn.testbed import Federation

SIZES = {"oslo": (613, 508), "pisa": (571, 449), "lyon": (487, 523)}  # women and men: numbers that nothing else is
PLANTED = 61.4831970215
ANALYSES = {
    "model": sj.glm("died ~ age + sex", family="binomial"),
    "rare": sj.count(by="rare"),
}


@dataclass(frozen=True)
class Ran:
    """One study's results and its record's bytes."""

    results: Results
    data: bytes

    @property
    def evidence(self) -> Evidence:
        found = self.results._evidence
        assert found is not None
        return found


def _patients(seed: int, women: int, men: int) -> pd.DataFrame:
    rng, n = np.random.default_rng(seed), women + men
    age = rng.normal(60, 10, n).round(1)
    age[7] = PLANTED
    sex = np.repeat(["f", "m"], [women, men])
    rare = np.where(np.arange(n) < 2, "yes", "no")
    return pd.DataFrame({"age": age, "sex": sex, "died": rng.random(n) < 0.4, "rare": rare})


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    frames = {site: {"patients": _patients(i, *sizes)} for i, (site, sizes) in enumerate(SIZES.items())}
    with Federation(frames) as federation:
        yield federation


@pytest.fixture(scope="module")
def plan() -> sj.Plan:
    return sj.Plan(table="patients", title="Age and death", analyses=ANALYSES, aggregation="clear")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def clear(federation: Federation, plan: sj.Plan, folder: Path) -> Ran:
    results = federation.run(plan)
    return Ran(results, results.record(folder / "study.zip").read_bytes())


@pytest.fixture(scope="module")
def masked(federation: Federation, plan: sj.Plan, folder: Path) -> Ran:
    asked = plan.replace(aggregation="masked", analyses={"by_sex": sj.count(by="sex")})
    results = federation.run(asked)
    return Ran(results, results.record(folder / "masked.zip").read_bytes())


def _payload(data: bytes) -> dict[str, bytes]:
    bag = unpacked(data)
    assert not bag.faults
    return dict(bag.payload)


def _again(ran: Ran, payload: Mapping[str, bytes], key: PrivateKey | None) -> Verdict:
    """The verdict on a record of other files in a bag that is right; under a signature of `key`, or the old one."""
    study = ran.results.study.study
    tags = {SIGNATURE: unpacked(ran.data).tags[SIGNATURE]}
    if key is not None:
        tags = {SIGNATURE: as_json(sign(SIGNED_TYPE, statement(study, payload), key).to_dict())}
    return verify(packed(f"study-{study}", payload, {}, tags))


def _failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.ok}


@pytest.mark.parametrize("which", ["clear", "masked"])
def test_a_record_holds(which: str, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(which)
    verdict = verify(ran.data, ran.evidence.log, ran.evidence.key.public.hex)
    assert verdict.holds, verdict.to_dict()
    assert [check.name for check in verdict.checks] == list(CHECKS)
    assert (verdict.study, verdict.origin) == (ran.results.study.study, "testbed")
    assert verdict.researcher == ran.evidence.key.public.hex


def test_it_holds_what_its_reader_looks_for(clear: Ran) -> None:
    payload = _payload(clear.data)
    assert {name for name in payload if "/" not in name} == {
        *("plan.yaml", "request.json", "hub.json", "study.json", "results.json", "sites.json", "decisions.json"),
        *("checks.json", "versions.json", "proofs.json", "report.html", "ro-crate-metadata.json"),
    }
    assert {"figures/model.svg", "releases/model/01.json", "releases/rare/01.json"} <= set(payload)
    sites = json.loads(payload["sites.json"])
    assert set(sites) == set(SIZES)
    assert all(len(site["snapshot"]) == 1 and site["key"] for site in sites.values())
    assert json.loads(payload["decisions.json"])["rare"]["sites"]["oslo"]["status"] in ("contributed", "not released")


def test_others_read_it_too(clear: Ran, tmp_path: Path) -> None:
    with zipfile.ZipFile(BytesIO(clear.data)) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    assert bagit.Bag(str(folder)).is_valid()
    crate = ROCrate(folder / "data")
    assert crate.root_dataset["conformsTo"]["@id"] == "https://w3id.org/5s-crate/0.4"
    assert crate.mainEntity.id == "plan.yaml"
    signed = [one for one in crate.contextual_entities if one.id.startswith("#sign-off-")]
    assert {one["agent"].id for one in signed} == {f"#site-{site}" for site in SIZES}
    assert all(one["additionalType"].endswith("SignOff") and "let the plan run" in one["name"] for one in signed)
    assert {entity.id for entity in crate.data_entities} == set(_payload(clear.data)) - {"ro-crate-metadata.json"}


@pytest.mark.parametrize("which", ["clear", pytest.param("masked", marks=pytest.mark.long)])
def test_the_same_plan_on_the_same_snapshots_gives_the_same_results(
    which: str, federation: Federation, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(which)
    again = federation.run(sj.Plan.from_dict(dict(ran.results.study.plan)))
    assert again.study.study != ran.results.study.study
    assert again._evidence is not None
    other = made_of(again.study, again._evidence.view, again._evidence.log)  # what the record would hold, not drawn
    assert other["results.json"] == _payload(ran.data)["results.json"]
    assert other["study.json"] != _payload(ran.data)["study.json"]


@pytest.mark.parametrize("which", ["clear", "masked"])
def test_each_altered_file_is_named(which: str, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(which)
    with zipfile.ZipFile(BytesIO(ran.data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for name, content in files.items():
        short = name.partition("/")[2]
        for change in ({name: content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]}, {}):
            verdict = verify(_zip({**{other: it for other, it in files.items() if other != name}, **change}))
            assert not verdict.holds
            assert short in verdict.faults or (short.startswith("tagmanifest") and verdict.faults), short
    folder = name.partition("/")[0]
    assert "data/more.json" in verify(_zip({**files, f"{folder}/data/more.json": b"{}"})).faults


def _zip(files: Mapping[str, bytes]) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_bag_made_right_again_lacks_the_researchers_signature(clear: Ran) -> None:
    payload = _payload(clear.data)
    study = {**payload, "study.json": payload["study.json"].replace(b"Age and death", b"Age and life!")}
    for key in (None, PrivateKey.generate()):
        assert _failed(_again(clear, study, key)) == {"signature", "recomputed"}


def _first_number(data: bytes) -> bytes:
    return re.sub(rb": (\d)", lambda found: b": 9" + found[1], data, count=1)


def test_the_researcher_cannot_alter_what_follows_from_the_evidence(clear: Ran) -> None:
    payload = _payload(clear.data)
    changed = {
        "plan.yaml": payload["plan.yaml"] + b"\n",
        **{name: _first_number(payload[name]) for name in ("results.json", "decisions.json")},
        "sites.json": payload["sites.json"].replace(b"oslo", b"bern"),
        "checks.json": payload["checks.json"].replace(b"signatures", b"signature!"),
        "versions.json": payload["versions.json"].replace(b'"policy"', b'"rules"'),
        "report.html": payload["report.html"].replace(b"Age and death", b"Age and life!"),
        "figures/model.svg": payload["figures/model.svg"].replace(b"age", b"egg"),
        "ro-crate-metadata.json": payload["ro-crate-metadata.json"].replace(b"Completed", b"Failed"),
    }
    assert all(data != payload[name] for name, data in changed.items())
    verdict = _again(clear, {**payload, **changed}, clear.evidence.key)
    assert set(verdict.faults) == set(changed)
    assert _failed(verdict) == {"files", "drawings"}


def _other(word: str, make: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *path, last = word.split("/")
        for step in path:
            document = document[int(step) if isinstance(document, list) else step]
        document[last] = make(document[last])

    return change


EVIDENCE: list[tuple[str, str, str, Callable[[Any], Any]]] = [
    ("clear", "releases/model/02.json", "answers/oslo/release/header/hidden_max", lambda it: it + 1),
    ("clear", "releases/model/02.json", "ask/step", lambda it: "other"),
    (
        "clear",
        "hub.json",
        "analyses/model/estimate/rows",
        lambda it: [[it[0][0], it[0][1] + 1e-3, *it[0][2:]], *it[1:]],
    ),
    ("clear", "study.json", "analyses/model/rounds", lambda it: it - 1),
    ("clear", "study.json", "sites/oslo/model/status", lambda it: "no answer"),
    ("clear", "proofs.json", "receipts/0/entry", lambda it: it.replace("oslo", "bern")),
    ("clear", "proofs.json", "key", lambda it: PrivateKey.generate().public.hex),
    ("clear", "request.json", "payload", lambda it: it.replace("A", "B", 1)),
    ("masked", "releases/by_sex/02.json", "answers/oslo/digest", lambda it: "0" * 64),
    ("masked", "hub.json", "analyses/by_sex/estimate/exactness", lambda it: it + "!"),
    ("masked", "study.json", "analyses/by_sex/estimate/rows", lambda it: [*it[:-1], [it[-1][0], it[-1][1] + 1]]),
    ("masked", "proofs.json", "receipts/2/entry", lambda it: it.replace("by_sex", "by_six")),
]


@pytest.mark.parametrize(("which", "name", "word", "make"), EVIDENCE, ids=[f"{it[0]}-{it[2]}" for it in EVIDENCE])
def test_not_even_under_the_researchers_signature_may_evidence_change(
    which: str, name: str, word: str, make: Callable[[Any], Any], request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(which)
    payload = _payload(ran.data)
    document = json.loads(payload[name])
    _other(word, make)(document)
    verdict = _again(ran, {**payload, name: as_json(document, in_order=True)}, ran.evidence.key)
    assert not verdict.holds
    assert _failed(verdict) & {"request", "log", "releases", "recomputed"}
    named = {file for file in verdict.faults if name.startswith(file)}
    if word != "ask/step":  # nobody signs an ask by itself: it is bound by the releases' headers
        assert named, verdict.faults


def test_whose_keys_it_rests_on_can_be_demanded(clear: Ran) -> None:
    log, other = clear.evidence.log, PrivateKey.generate().public.hex
    assert _failed(verify(clear.data, LogIdentity(log.origin, other))) == {"log"}
    assert _failed(verify(clear.data, log, other)) == {"request"}


def test_no_value_of_a_record_is_in_it(clear: Ran, masked: Ran) -> None:
    float64 = struct.pack("<d", PLANTED)
    for ran in (clear, masked):
        for name, data in _payload(ran.data).items():
            assert str(PLANTED)[:9].encode() not in data, name
            texts = re.findall(rb'"data": "([A-Za-z0-9+/=]+)"', data)
            assert not any(float64 in base64.b64decode(text) for text in texts), name


def test_of_a_masked_study_only_sums_are_in_it(masked: Ran) -> None:
    payload = _payload(masked.data)
    own = {number for pair in SIZES.values() for number in (*pair, sum(pair))}
    for name, data in payload.items():
        if name.endswith(".json"):
            words, numbers = set(), set()
            _collect(json.loads(data), words, numbers)
            assert not words & {"partial", "ring", "sealed", "told", "release", "masked"}, name
            assert not numbers & own, name
        elif name.endswith((".svg", ".html", ".yaml")):
            shown = {int(it) for it in re.findall(rb"(?<=[>\s])(\d{3,4})(?=[<\s])", data)}
            assert not shown & own, name
    record = json.loads(payload["study.json"])["analyses"]["by_sex"]
    assert (record["by_site"], record["hidden"]) == ({}, {})
    assert sum(row[-1] for row in record["estimate"]["rows"]) == sum(map(sum, SIZES.values()))


def _collect(value: Any, words: set[str], numbers: set[float]) -> None:
    if isinstance(value, dict):
        words |= set(value)
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _collect(one, words, numbers)
    if isinstance(value, int | float) and not isinstance(value, bool):
        numbers.add(value)


def test_results_from_a_file_have_no_record(clear: Ran, tmp_path: Path) -> None:
    with pytest.raises(errors.StudyFailed, match="without the signed releases"):
        Results(clear.results.study).record(tmp_path / "study.zip")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_and_checks_a_file(
    masked: Ran, federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, bad, run = tmp_path / "study.zip", tmp_path / "bad.zip", CliRunner()
    monkeypatch.setattr(commands, "connect", federation.connection)
    wrote = run.invoke(app, ["record", masked.results.study.study, "--out", str(path), "--json"])
    assert wrote.exit_code == 0 and json.loads(wrote.stdout)["record"] == str(path)
    monkeypatch.setattr(commands, "connect", None)  # the check asks nobody
    bad.write_bytes(b"no record")
    told = run.invoke(app, ["record", "--verify", str(path), "--json"])
    assert told.exit_code == 0 and json.loads(told.stdout)["holds"] is True
    with pytest.raises(errors.AuditError, match="no study record"):
        run.invoke(app, ["record", "--verify", str(bad)], catch_exceptions=False)
    payload = {**_payload(masked.data), "checks.json": b"{}"}
    bad.write_bytes(packed("study", payload, {}, {}))
    with pytest.raises(errors.AuditError, match=r"checks\.json"):
        run.invoke(app, ["record", "--verify", str(bad)], catch_exceptions=False)
    with pytest.raises(errors.SojournError, match="A study or a file"):
        run.invoke(app, ["record"], catch_exceptions=False)


_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}(/[a-z0-9]{1,4}\.json)?", fullmatch=True)


@given(st.dictionaries(_NAMES, st.binary(max_size=40), min_size=1, max_size=4), st.data())
@settings(max_examples=60, deadline=None)
def test_a_bag_comes_back_whole_or_not_at_all(payload: dict[str, bytes], draw: st.DataObject) -> None:
    data = packed("bag", payload, {"External-Identifier": "x"}, {"signature.json": b"{}"})
    bag = unpacked(data)
    assert (bag.payload, bag.faults) == (payload, {})
    place = draw.draw(st.integers(0, len(data) - 1))
    harmed = data[:place] + bytes([data[place] ^ draw.draw(st.integers(1, 255))]) + data[place + 1 :]
    try:
        other = unpacked(harmed)
    except errors.AuditError:
        return
    assert other.faults or (other.payload, other.tags) == (bag.payload, bag.tags)
