"""What lies in a study's record beside its evidence: files that follow from it, so that anybody can make them again.

Law: the same plan on the same snapshots gives the same `results.json`, byte for byte: no time, no signature, no name of
a study is in it, and its sites stand in the order of their names.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

from sojourn import __version__
from sojourn.identity.envelope import Request
from sojourn.report.doubts import doubts
from sojourn.report.record import StudyRecord, analysis_to_dict
from sojourn.study.document import write
from sojourn.study.plan import Plan

FORMAT = 1
DRAWN_WITH = ("altair", "vl-convert-python", "jinja2")
_COMPUTED_WITH = ("numpy", "scipy", "pandas", *DRAWN_WITH)
# How it was carried (a joint test is longer where more was asked before), and what else may be asked: decisions.json.
_NOT_REPRODUCED = ("rounds", "bytes_left", "offers")

Rounds = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Ground:
    """What the files are made of. rounds: analysis → each round's document as it lies in the record.

    researcher: id of the key that signed the request. origin: the hub's log. versions: what the record was made with.
    """

    record: StudyRecord
    request: Request
    rounds: Rounds
    researcher: str
    origin: str
    versions: Mapping[str, Any]

    @cached_property
    def headers(self) -> dict[str, list[dict[str, Any]]]:
        """Site → the headers of its releases, in the order of the rounds."""
        found: dict[str, list[dict[str, Any]]] = {site: [] for site in sorted(self.request.roster)}
        for rounds in self.rounds.values():
            for past in rounds:
                for site, answer in past["answers"].items():
                    found[site].append(dict(answer.get("release", answer)["header"]))
        return found

    def told(self, site: str, word: str) -> list[str]:
        """The different words of a kind in a site's headers, sorted."""
        return sorted({str(header[word]) for header in self.headers[site] if header.get(word)})


def made_with() -> dict[str, Any]:
    """The versions of the programs that are in use here."""
    return {"sojourn": __version__, "python": platform.python_version(), **{it: version(it) for it in _COMPUTED_WITH}}


def follows(ground: Ground) -> dict[str, bytes]:
    """Every file that follows from the evidence but for figures and report, by its name."""
    return {
        "plan.yaml": write(Plan.from_dict(dict(ground.request.plan)).to_dict()).encode(),
        "results.json": as_json(results(ground)),
        "sites.json": as_json(_sites(ground)),
        "decisions.json": as_json(_decisions(ground)),
        "checks.json": as_json(_checks(ground)),
        "versions.json": as_json(_versions(ground)),
    }


def drawn(record: StudyRecord) -> dict[str, bytes]:
    """The report and a figure of each analysis that has one."""
    from sojourn.report.figures import figure, svg
    from sojourn.report.html import render

    files = {"report.html": render(record).encode()}
    for name, analysis in record.analyses.items():
        chart = figure(analysis, name, record.watermark)
        if chart is not None:
            files[f"figures/{name}.svg"] = svg(chart).encode()
    return files


def as_json(document: Any, in_order: bool = False) -> bytes:
    """The one way in which a record writes JSON: words sorted, or as they come. ValueError on a number not finite."""
    text = json.dumps(document, indent=1, sort_keys=not in_order, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def results(ground: Ground) -> dict[str, Any]:
    """The reproducible part: what was asked of which data under which rules, and what came out."""
    record = ground.record
    # A masked plan's snapshots are commitments, drawn anew for each study.
    words = ("policy", "policy_version") if record.aggregation == "masked" else ("snapshot", "policy", "policy_version")
    return {
        "format": FORMAT,
        "plan_hash": record.plan_hash,
        "plan": dict(record.plan),
        "aggregation": record.aggregation,
        "rehearsal": record.rehearsal,
        "watermark": record.watermark,
        "sites": {
            site: {
                **{word: ground.told(site, word) for word in words},
                "analyses": {name: str(outcome) for name, outcome in record.sites[site].items()},
            }
            for site in sorted(record.sites)
        },
        "analyses": {
            name: {word: it for word, it in analysis_to_dict(analysis).items() if word not in _NOT_REPRODUCED}
            for name, analysis in record.analyses.items()
        },
    }


def _sites(ground: Ground) -> dict[str, Any]:
    words = ("snapshot", "policy", "policy_version", "software", "watermark")
    return {
        site: {"key": ground.request.roster[site], **{word: ground.told(site, word) for word in words}}
        for site in sorted(ground.request.roster)
    }


def _decisions(ground: Ground) -> dict[str, Any]:
    """What each site decided of each analysis, and what may pass instead."""
    found: dict[str, Any] = {}
    for name, analysis in ground.record.analyses.items():
        decided = {}
        for site, outcome in ground.record.outcomes(name).items():
            answers = [past["answers"][site] for past in ground.rounds.get(name, ()) if site in past["answers"]]
            releases = [answer["release"] for answer in answers if "release" in answer]
            decided[site] = {
                **asdict(outcome),
                "rounds": len(answers),
                "bytes": analysis.bytes_left.get(site, 0),
                "risk": sorted({str(release["tier"]) for release in releases}),
                "treatment": sorted({str(it["header"]["treatment"]) for it in releases if "treatment" in it["header"]}),
            }
        refused = None if analysis.refused is None else asdict(analysis.refused)
        offers = [offer.to_dict() for offer in analysis.offers]
        found[name] = {"sites": decided, "rounds": analysis.rounds, "refused": refused, "offers": offers}
    return found


def _checks(ground: Ground) -> dict[str, Any]:
    record = ground.record
    return {
        "checks": [asdict(check) for check in record.checks],
        "doubts": {name: [asdict(doubt) for doubt in doubts(record, name)] for name in record.analyses},
    }


def _versions(ground: Ground) -> dict[str, Any]:
    return {
        "record": dict(ground.versions),
        "request": {"software": ground.request.software, "policy": ground.request.policy_version},
        "sites": {site: ground.told(site, "software") for site in ground.headers},
    }
