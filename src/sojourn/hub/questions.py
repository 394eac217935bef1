"""What a study asks, read from the signed envelope that the hub stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from sojourn.analysis.variable import Variables, with_site
from sojourn.identity.envelope import Envelope, Request
from sojourn.study.plan import Plan


@dataclass(frozen=True)
class Question:
    """What a study asks, read from its stored envelope."""

    request: Request
    plan: Plan
    variables: Variables


@lru_cache(maxsize=512)
def question_of(document: str) -> Question:
    """The question inside a stored envelope."""
    request = Request.read(Envelope.from_dict(json.loads(document)))
    plan = Plan.from_dict(request.plan)
    return Question(request, plan, with_site(plan.variables, tuple(request.roster)))


def request_of(document: str) -> Request:
    """The request inside a stored envelope."""
    return question_of(document).request
