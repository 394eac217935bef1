"""Whether the vocabulary in use knows the concepts that a plan names, and whether any row uses its decisions."""

from __future__ import annotations

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.making import CODES, Made
from sojourn.omop.compilation import Compiled
from sojourn.omop.identifiers import literal
from sojourn.omop.plan import Decision, Plan
from sojourn.omop.plan_concepts import TYPES, Named, named

_MOST = 5  # of each kind are named


def concept_doubts(plan: Plan, compiled: Compiled, engine: Engine) -> list[str]:
    """Questions about the plan's own concepts; HarmonisationError where the vocabulary has no such concept.

    A small vocabulary, or one that lacks a whole domain, cannot tell: that is a question too.
    """
    asked = named(plan, compiled.parts)
    listed = ", ".join(str(each.concept) for each in asked) or "0"
    known = {
        int(row[0]): (str(row[1]), row[2] == "S")
        for row in engine.rows(
            f"SELECT concept_id, domain_id, standard_concept FROM vocabulary.concept WHERE concept_id IN ({listed})"
        )
    }
    domains = {str(row[0]) for row in engine.rows("SELECT DISTINCT domain_id FROM vocabulary.concept")}
    lost = [each for each in asked if each.concept not in known]
    whole = bool(engine.rows("SELECT 1 FROM vocabulary.concept_ancestor LIMIT 1"))  # a small one has no ancestors
    if absent := [each for each in lost if whole and (each.domain or TYPES) in domains]:
        raise HarmonisationError(
            f"The vocabulary in use has no concept {_listed(absent)}.",
            remedy="Look the ids up, mend the plan, or load a download that has them; 0 is for no concept.",
        )
    doubts = []
    if lost:
        doubts.append(f"The vocabulary in use cannot tell whether these concepts exist: {_listed(lost, len(lost))}.")
    for each in asked:
        domain, standard = known.get(each.concept, (each.domain, True))
        if each.domain and domain != each.domain:
            doubts.append(f"{_place(each)} is of domain {domain}; the column wants {each.domain}. Is it meant?")
        if not standard and not each.source:
            doubts.append(f"{_place(each)} is not a standard concept. Is it meant?")
    return doubts


def decision_doubts(plan: Plan, engine: Engine) -> list[str]:
    """Questions about the concepts of decisions; HarmonisationError where the vocabulary has no such concept.

    A row gets a concept of a decision from the vocabulary alone: one that is not there would be dropped in silence.
    """
    listed = ", ".join(str(concept) for each in plan.decisions for concept in each.concepts) or "0"
    asked = f"SELECT concept_id, standard_concept FROM vocabulary.concept WHERE concept_id IN ({listed})"
    known = {int(row[0]): row[1] == "S" for row in engine.rows(asked)}
    named = [(concept, place) for place, each in _numbered(plan) for concept in each.concepts if concept]
    if absent := [f"{concept} ({place})" for concept, place in named if concept not in known]:
        raise HarmonisationError(
            f"The vocabulary in use has no concept {_some(absent)}.",
            remedy="Look the ids up, mend the plan, or load a download that has them.",
        )
    return [
        f"Concept {concept} ({place}) is not a standard concept, so that no row gets it. Is it meant?"
        for concept, place in named
        if not known[concept]
    ]


def unused_decisions(made: Made, engine: Engine, share: float) -> list[str]:
    """A question about decisions whose vocabulary and code no row has."""
    places = ", ".join(literal(str(step.folder / CODES)) for step in made.codes.values())
    met = f"SELECT DISTINCT vocabulary, code FROM read_parquet([{places}], union_by_name = true)"
    used = {(row[0], row[1]) for row in (engine.rows(met) if places else [])}
    found = [place for place, each in _numbered(made.plan) if (each.vocabulary, each.code) not in used]
    if not found:
        return []
    rows = "row" if share == 1 else "row of this sample"
    said = f"No {rows} uses {_some(found)}"
    return [f"{said}: are vocabulary and code written as the rules and the files have them?"]


def _numbered(plan: Plan) -> list[tuple[str, Decision]]:
    """Decisions by their place in the plan: their codes are not told."""
    return [(f"decision {place}, {each.vocabulary}", each) for place, each in enumerate(plan.decisions, 1)]


def _some(found: list[str]) -> str:
    return "; ".join(found[:_MOST]) + (f" and {len(found) - _MOST} more" if len(found) > _MOST else "")


def _listed(found: list[Named], most: int = _MOST) -> str:
    said = ", ".join(_words(each) for each in found[:most])
    return said + (f" and {len(found) - most} more" if len(found) > most else "")


def _words(each: Named) -> str:
    return f"{each.concept} (rule `{each.rule}`, `{each.column}`)"


def _place(each: Named) -> str:
    return f"Concept {_words(each)}"
