"""What an ordinary analyst gets: 200 outputs of published studies' kinds, at a threshold of 10 persons.

Through the testbed: hub, four nodes, gates, ledgers. At 50,000 people over four sites of unequal size after the
ledgers have 1,000 entries of other people's studies; and at 4 x 100 patients. An output leaves *whole*, or *changed*
(one offered mitigation was accepted), or with *cells hidden*, or *without a site* (it refused, the others answered), or
it is *refused*. For the small sites the same plans run without any control too: what the answers lost in precision.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from machine import keep
from papers import Paper, papers
from sqlalchemy import func, select

import sojourn as sj
from cohort import LARGE, MISSING, SMALL, cohort
from sojourn.analysis.statistic import Suppressed
from sojourn.client.results import Result, Results
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DisclosureRefused, SojournError, TooFewSites
from sojourn.node.dictionary import Dictionary
from sojourn.node.tables import ledger
from sojourn.testbed import Federation

ENTRIES = 1_000
MOST_HISTORY = 40  # papers of others before
MOST_OFFERS = 3  # that an analyst tries, one at a time
WHOLE, CHANGED, WITHOUT, HIDDEN, REFUSED = "whole", "changed", "without a site", "cells hidden", "refused"
SUFFIX = {"core": "", "as it is": "_undeclared", "known": "_complete"}
_LEVEL = re.compile(r"(?<==)[^\s&]+")


@dataclass
class Outcome:
    """What became of one output. `first`: before a mitigation. `why`: families and the custodians' notes, by site."""

    kind: str
    first: str
    last: str = ""
    family: str = ""
    why: dict[str, str] = field(default_factory=dict)
    share: float = 0.0  # of the numbers that are hidden
    errors: dict[str, float] = field(default_factory=dict)  # standard errors by term


def judged(result: Result) -> tuple[str, float, str]:
    """An outcome's word, the share of numbers that are hidden, and the family of a refusal."""
    try:
        table = result.table.drop(columns="missing", errors="ignore")
    except (DisclosureRefused, TooFewSites) as error:
        return REFUSED, 1.0, getattr(error, "family", "")
    hidden = float(table.map(lambda cell: isinstance(cell, Suppressed)).to_numpy().mean())
    lacking = [outcome for outcome in result.sites.values() if outcome != "contributed"]
    return HIDDEN if hidden else WITHOUT if lacking else WHOLE, hidden, ""


def notes(federation: Federation, study: str, analysis: str) -> dict[str, str]:
    """Why sites refused, as their custodians read it, without the names of levels."""
    found = {}
    for site, node in federation.nodes.items():
        for row in node.released(study):
            if row["analysis"] == analysis and row["reason"]:
                # What it may carry is told of every output, and is no reason.
                words = [word for word in row["note"].split("; ") if not word.startswith("capacity:")]
                note = _LEVEL.sub("…", words[-1] if words else "")
                found[site] = f"{row['reason']}: {note}" if note else row["reason"]
    return found


def asked(federation: Federation, paper: Paper) -> dict[str, Outcome]:
    """Run one paper, and accept a mitigation where one is offered and needed."""
    plan = sj.Plan(title=paper.title, table="patients", where=paper.where, analyses=paper.analyses)
    results = federation.run(plan, 120)
    found = {}
    for name in paper.analyses:
        result = results[name]
        word, share, family = judged(result)
        outcome = Outcome(kind_of(name, paper), word, word, family, share=share)
        if word != WHOLE:
            outcome.why = notes(federation, results.study.study, name)
        if word in (REFUSED, HIDDEN):
            outcome.last = mitigated(result, word)
        if word in (WHOLE, WITHOUT) and "estimate" in result.table:
            outcome.errors = result.table["std_error"].to_dict()
        found[name] = outcome
    return found


def mitigated(result: Result, word: str) -> str:
    """`changed` where one of the first offers passes whole, else what it was."""
    for offer in list(getattr(result, "offers", ()))[:MOST_OFFERS]:
        with contextlib.suppress(SojournError):
            again: Results = result.accept(offer).wait(120)
            if judged(again[result.name])[0] in (WHOLE, WITHOUT):
                return CHANGED
    return word


def kind_of(name: str, paper: Paper) -> str:
    """How the output is called in a paper."""
    if name not in ("crude", "adjusted"):
        return {"table1": "table 1", "crosstab": "cross-table", "distribution": "histogram"}[name]
    family = paper.analyses[name].distribution
    return {"gaussian": "linear model", "binomial": "logistic model", "poisson": "Poisson model"}[family]


def entries(federation: Federation) -> dict[str, int]:
    """Sets of persons in each site's ledger."""
    counted = {}
    for site, node in federation.nodes.items():
        [row] = node.store.rows(select(func.count().label("n")).select_from(ledger))
        counted[site] = int(row["n"])
    return counted


def fill(federation: Federation, least: int) -> int:
    """Other people's papers, until the sites' ledgers have so many entries in the mean; how many that took."""
    for number, paper in enumerate(papers(40, 40 + MOST_HISTORY), start=1):
        plan = sj.Plan(title="others", table="patients", where=paper.where, analyses=paper.analyses)
        federation.run(plan, 120)
        print(f"history {number}: {entries(federation)}", file=sys.stderr, flush=True)
        if statistics.mean(entries(federation).values()) >= least:
            break
    return number


def bare_errors(sizes: dict[str, int], wanted: list[Paper]) -> Iterator[dict[str, dict[str, float]]]:
    """The standard errors of each paper's models where nothing is controlled."""
    tables = {site: {"patients": table} for site, table in cohort(sizes).items()}
    with Federation(tables, rules=UnsafeReleaseAll()) as federation:
        for paper in wanted:
            models = {name: paper.analyses[name] for name in ("crude", "adjusted")}
            # The population is complete in all that the paper names, so the other analyses come along.
            plan = sj.Plan(table="patients", where=paper.where, analyses=paper.analyses)
            results = federation.run(plan, 120)
            yield {name: errors_of(results[name]) for name in models}


def errors_of(result: Result) -> dict[str, float]:
    """Standard errors by term; none where the model has no maximum."""
    with contextlib.suppress(SojournError):
        return {str(term): float(error) for term, error in result.table["std_error"].items()}
    return {}


def lost(outcomes: list[dict[str, Outcome]], bare: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Standard errors of the models that leave over those without any control."""
    ratios, refused, estimable = [], 0, 0
    for paper, free in zip(outcomes, bare, strict=True):
        for name, errors in free.items():
            estimable += bool(errors)
            own = paper[name].errors
            refused += bool(errors) and not own
            ratios += [own[term] / errors[term] for term in own if term in errors]
    middle = statistics.median(ratios) if ratios else None
    return {
        "models": estimable,
        "not_released": refused,
        "standard_error_ratio": {"median": middle, "largest": max(ratios, default=None), "terms": len(ratios)},
    }


def cored(dictionary: Dictionary) -> Dictionary:
    """What a custodian does whose tables are used by many: rows take part where they are complete in all of these."""
    return replace(dictionary, core=tuple(sorted(set(MISSING) & set(dictionary.columns))))


def measured(
    sizes: dict[str, int], least: int, wanted: list[Paper], seconds: float, missing: str = "as it is"
) -> tuple[dict[str, Any], list[dict[str, Outcome]]]:
    """All papers through one federation, in order, or as many as so many seconds allow."""
    tables = {site: {"patients": table} for site, table in cohort(sizes, complete=missing == "known").items()}
    with Federation(tables, review=cored if missing == "core" else lambda dictionary: dictionary) as federation:
        began = time.perf_counter()
        studies = fill(federation, least) if least else 0
        filled, before = time.perf_counter() - began, entries(federation)
        outcomes = []
        for paper in wanted:
            if time.perf_counter() - began > seconds:
                break
            outcomes.append(asked(federation, paper))
            words = ", ".join(outcome.last for outcome in outcomes[-1].values())
            print(f"{time.perf_counter() - began:.0f} s {paper.title}: {words}", file=sys.stderr, flush=True)
        after = entries(federation)
    taken = time.perf_counter() - began - filled
    return summary(outcomes) | {
        "sites": sizes,
        "ledger_before": before,
        "ledger_after": after,
        "studies_before": studies,
        "filling_s": filled,
        "papers_s": taken,
    }, outcomes


def summary(outcomes: list[dict[str, Outcome]]) -> dict[str, Any]:
    """Counts by kind, and the reasons, most frequent first."""
    every = [outcome for paper in outcomes for outcome in paper.values()]
    kinds = {
        kind: {
            "outputs": len(of_kind := [outcome for outcome in every if outcome.kind == kind]),
            **{word: sum(outcome.last == word for outcome in of_kind) for word in (WHOLE, CHANGED, WITHOUT, HIDDEN)},
            REFUSED: sum(outcome.last == REFUSED for outcome in of_kind),
        }
        for kind in dict.fromkeys(outcome.kind for outcome in every)
    }
    reasons = Counter(
        why for outcome in every if outcome.first != WHOLE for why in (set(outcome.why.values()) or {HIDDEN})
    )
    total = {word: sum(counts[word] for counts in kinds.values()) for word in next(iter(kinds.values()))}
    leaves = total["outputs"] - total[REFUSED]
    hidden = [outcome.share for outcome in every if outcome.last == HIDDEN]
    return {
        "total": total,
        "leaves_percent": 100 * leaves / total["outputs"],
        "whole_or_changed_percent": 100 * (total[WHOLE] + total[CHANGED] + total[WITHOUT]) / total["outputs"],
        "hidden_numbers_median": statistics.median(hidden) if hidden else 0.0,
        "all_hidden": sum(share == 1 for share in hidden),
        "kinds": kinds,
        "reasons": dict(reasons.most_common(20)),
    }


def main() -> None:
    """Both sizes, or one; kept under benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=["large", "small"])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--papers", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=3600.0, help="no further paper is begun after so many")
    parser.add_argument(
        "--missing",
        choices=["core", "as it is", "known"],
        default="core",
        help="rows are complete in a declared core; or nothing is declared; or what is missing is known after all",
    )
    given = parser.parse_args()
    wanted = papers(given.first, given.first + given.papers)
    for size, sizes, least in (("large", LARGE, ENTRIES), ("small", SMALL, 0)):
        if given.size not in (None, size):
            continue
        figures, outcomes = measured(sizes, least, wanted, given.seconds, given.missing)
        if size == "small":
            figures["precision"] = lost(outcomes, list(bare_errors(sizes, wanted[: len(outcomes)])))
        keep(f"utility_{size}{SUFFIX[given.missing]}", figures)


if __name__ == "__main__":
    main()
