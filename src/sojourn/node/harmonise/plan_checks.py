"""Whether the vocabulary in use knows the concepts that a plan names: before anything is made."""

from __future__ import annotations

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import Engine
from sojourn.omop.compilation import Compiled
from sojourn.omop.plan import Plan
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


def _listed(found: list[Named], most: int = _MOST) -> str:
    said = ", ".join(_words(each) for each in found[:most])
    return said + (f" and {len(found) - most} more" if len(found) > most else "")


def _words(each: Named) -> str:
    return f"{each.concept} (rule `{each.rule}`, `{each.column}`)"


def _place(each: Named) -> str:
    return f"Concept {_words(each)}"
