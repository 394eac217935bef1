"""The description of a study's record: RO-Crate metadata of the Five Safes profile, as JSON-LD.

Source: RO-Crate 1.2 (w3id.org/ro/crate/1.2) and Five Safes RO-Crate 0.4 (w3id.org/5s-crate/0.4). The plan is the
crate's workflow: what ran is the plan, byte for byte, and no other program.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sojourn.report.contents import Ground
from sojourn.report.record import StudyRecord

METADATA = "ro-crate-metadata.json"
PROFILE, VERSION = "https://w3id.org/5s-crate/0.4", "1.2"
WORKFLOW = "plan.yaml"
_CHECKS = "https://w3id.org/shp#"
_HASH = "https://www.iana.org/assignments/named-information#sha-512"
_DONE, _FAILED = ("http://schema.org/CompletedActionStatus", "http://schema.org/FailedActionStatus")
_RAN = ("contributed", "took part")
_TYPES = {"json": "application/json", "yaml": "application/yaml", "svg": "image/svg+xml", "html": "text/html"}
_SAYS = {
    "plan.yaml": "The plan, as it was signed",
    "request.json": "The researcher's signed request",
    "hub.json": "What the hub said at the study's end",
    "study.json": "The study's record: sites, analyses, checks, proofs",
    "results.json": "The results, reproducible byte for byte",
    "sites.json": "Sites, their keys, snapshots and rules",
    "decisions.json": "What each site decided of each analysis",
    "checks.json": "What was checked, and doubts about the results",
    "versions.json": "Versions of the programs that took part",
    "proofs.json": "Receipts of the hub's log with their checkpoints",
    "report.html": "The report, for people",
}


def described(ground: Ground, names: Iterable[str]) -> dict[str, Any]:
    """The metadata document of a record with files of these names."""
    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.file import File
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    files = sorted(set(names) | {WORKFLOW})
    for name in files:
        crate.add(File(crate, dest_path=name, properties=_file(name)))
    entities = dict(_entities(ground, files))
    for place, words in entities.items():
        crate.add(ContextEntity(crate, place, properties=dict(words)))
    root = {
        "name": ground.record.title or "A study",
        "description": "The record of a federated study: results, the signed releases behind them, and proofs.",
        "identifier": ground.record.study,
        "datePublished": ground.record.finished or ground.record.submitted,
        "conformsTo": {"@id": PROFILE},
        "license": {"@id": "#terms"},
        "mainEntity": {"@id": WORKFLOW},
        "sourceOrganization": {"@id": "#project"},
        "publisher": {"@id": "#federation"},
        "author": {"@id": "#researcher"},
        "mentions": [{"@id": place} for place, words in entities.items() if str(words["@type"]).endswith("Action")],
    }
    for word, value in root.items():
        crate.root_dataset[word] = value
    made: dict[str, Any] = crate.metadata.generate()
    return made


def shape(document: bytes, names: Iterable[str]) -> list[str]:
    """What a metadata file lacks of the profile, in words; empty where it has its shape. names: the bag's files."""
    try:
        graph = {str(one["@id"]): dict(one) for one in json.loads(document)["@graph"]}
        root, parts = graph["./"], {part["@id"] for part in graph["./"]["hasPart"]}
        actions = [graph[one["@id"]] for one in root["mentions"]]
        kinds = {one.get("additionalType", {}).get("@id", "").removeprefix(_CHECKS) for one in actions}
        runs = [one for one in actions if one["@type"] == "CreateAction"]
        wanted = {
            "the profile": root["conformsTo"]["@id"] == PROFILE,
            "the version": graph[METADATA]["conformsTo"]["@id"] == f"https://w3id.org/ro/crate/{VERSION}",
            "the plan as workflow": root["mainEntity"]["@id"] == WORKFLOW,
            "the project": _project(graph)["@type"] == "Project",
            "a licence": root["license"]["@id"] in graph and bool(root["datePublished"]),
            "one run by a person": len(runs) == 1 and graph[runs[0]["agent"]["@id"]]["@type"] == "Person",
            "disclosure checks": "DisclosureCheck" in kinds and "ValidationCheck" in kinds,
            "a sign-off by each site": _signers(actions) == {member["@id"] for member in _project(graph)["member"]},
            "the language of the plan": graph[graph[WORKFLOW]["programmingLanguage"]["@id"]]["name"] == "YAML",
            "exactly the files of the bag": parts == set(names) - {METADATA},
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ["a description that can be read"]
    return [what for what, there in wanted.items() if not there]


def _project(graph: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = graph[graph["./"]["sourceOrganization"]["@id"]]
    return found


def _signers(actions: Iterable[Mapping[str, Any]]) -> set[str]:
    """Who signed off, of actions whose kind is that."""
    kind = {"@id": f"{_CHECKS}SignOff"}
    return {str(one["agent"]["@id"]) for one in actions if one.get("additionalType") == kind}


def _file(name: str) -> dict[str, Any]:
    words: dict[str, Any] = {
        "name": _SAYS.get(name) or ("A figure" if name.startswith("figures/") else "One round with its releases"),
        "encodingFormat": _TYPES[name.rpartition(".")[2]],
    }
    if name == WORKFLOW:
        words["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
        words["programmingLanguage"] = {"@id": "#yaml"}
    return words


def _entities(ground: Ground, files: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Who and what took part, then what was done."""
    record, request = ground.record, ground.request
    sites = sorted(request.roster)
    yield PROFILE, {"@type": "Profile", "name": "Five Safes RO-Crate profile"}
    terms = "What the custodians of these sites agreed with the researcher; see the project."
    yield "#terms", {"@type": "CreativeWork", "name": terms}
    members = [{"@id": f"#site-{site}"} for site in sites]
    yield "#project", {"@type": "Project", "name": request.project, "member": members}
    yield "#federation", {"@type": "Organization", "name": ground.origin}
    person = {"@type": "Person", "name": f"Researcher {ground.researcher}", "memberOf": {"@id": "#project"}}
    yield "#researcher", person
    for site in sites:
        yield f"#site-{site}", {"@type": "Organization", "name": site, "identifier": request.roster[site]}
    rules = f"Disclosure rules, version {request.policy_version}"
    yield "#rules", {"@type": "CreativeWork", "name": rules}
    version = str(ground.versions["sojourn"])
    yield (
        "#sojourn",
        {"@type": "SoftwareApplication", "name": "Sojourn", "version": version, "softwareVersion": version},
    )
    yield "#yaml", {"@type": "ComputerLanguage", "name": "YAML", "version": "1.2", "url": "https://yaml.org/"}
    yield _HASH, {"@type": "DefinedTerm", "name": "sha-512 algorithm"}
    yield "#run", _run(ground, files)
    for site in sites:
        yield f"#sign-off-{site}", _signed_off(record, site)
    for check in record.checks:
        what = _assessed("ValidationCheck", f"{check.name}: {check.words}", check.ok, "#sojourn", record.finished)
        yield f"#check-{check.name}", {**what, "object": {"@id": "study.json"}}
    for name in record.analyses:
        for site, outcome in record.outcomes(name).items():
            ok = outcome.status in _RAN
            what = _assessed("DisclosureCheck", f"{name} at {site}: {outcome}", ok, f"#site-{site}", record.finished)
            yield f"#disclosure-{name}-{site}", {**what, "instrument": {"@id": "#rules"}, "object": {"@id": "#run"}}
    bagged = _assessed("GenerateCheckValue", "BagIt manifests made", True, "#sojourn", record.finished)
    yield "#bag", {**bagged, "@type": "UpdateAction", "instrument": {"@id": _HASH}, "object": {"@id": "./"}}


def _signed_off(record: StudyRecord, site: str) -> dict[str, Any]:
    """That a site let the plan run, which its releases show; who there agreed, and when, is in the site's own log."""
    answers = [outcome.status for outcome in record.sites.get(site, {}).values()]
    agreed = any(status in _RAN for status in answers)
    named = f"{site} {'let the plan run' if agreed else 'did not answer the plan, or did not let it run'}"
    what = _assessed("SignOff", named, agreed, f"#site-{site}", record.finished)
    return {**what, "object": [{"@id": WORKFLOW}, {"@id": "#project"}], "instrument": {"@id": "#terms"}}


def _run(ground: Ground, files: list[str]) -> dict[str, Any]:
    record = ground.record
    answered = any(analysis.estimate is not None for analysis in record.analyses.values())
    made = [name for name in files if name in ("results.json", "report.html") or name.startswith("figures/")]
    return {
        "@type": "CreateAction",
        "name": f"{'Rehearsal' if record.rehearsal else 'Run'} of the plan at {len(record.sites)} sites",
        "agent": {"@id": "#researcher"},
        "instrument": {"@id": WORKFLOW},
        "object": [{"@id": "request.json"}],
        "result": [{"@id": name} for name in made],
        "startTime": record.submitted,
        "endTime": record.finished,
        "actionStatus": _DONE if answered else _FAILED,
    }


def _assessed(kind: str, name: str, ok: bool, agent: str, end: str) -> dict[str, Any]:
    return {
        "@type": "AssessAction",
        "additionalType": {"@id": f"{_CHECKS}{kind}"},
        "name": name,
        "agent": {"@id": agent},
        "endTime": end,
        "actionStatus": _DONE if ok else _FAILED,
    }
