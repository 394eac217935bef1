"""What a drafted plan leaves to people. A plan that still has any of it is refused, so that no guess is ever run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sojourn.errors import HarmonisationError

OPEN = "OPEN QUESTION"  # stands where an answer belongs
QUESTIONS, SUGGESTION = "questions", "suggestion"
_NAMED = 5


def demand_closed(document: Mapping[str, Any]) -> None:
    """HarmonisationError where a question is open, or a suggestion stands that nobody has accepted, with its place."""
    found = list(_open(document, ()))
    if document.get(QUESTIONS):
        found.append(QUESTIONS)
    suggested = list(_suggested(document, ()))
    if not found and not suggested:
        return
    places = ", ".join(f"`{place}`" for place in [*found, *suggested][:_NAMED])
    more = len(found) + len(suggested) - _NAMED
    raise HarmonisationError(
        f"The plan is a draft: {len(found)} places wait for an answer, {len(suggested)} suggestions for a person: "
        f"{places}{f' and {more} more' if more > 0 else ''}.",
        remedy=f"Write the data owner's answer in place of `{OPEN}` and remove the question; look at each rule, remove "
        f"its `{SUGGESTION}`, and say who accepts it: `decided: {{by: NAME, day: YYYY-MM-DD}}`.",
    )


def _open(given: Any, place: tuple[str, ...]) -> Iterator[str]:
    if given == OPEN:
        yield ".".join(place)
    for word, inner in _inside(given):
        yield from _open(inner, (*place, word))


def _suggested(given: Any, place: tuple[str, ...]) -> Iterator[str]:
    for word, inner in _inside(given):
        if word == SUGGESTION and isinstance(given, Mapping):
            yield ".".join((*place, word))
        else:
            yield from _suggested(inner, (*place, word))


def _inside(given: Any) -> list[tuple[str, Any]]:
    if isinstance(given, Mapping):
        return [(str(word), inner) for word, inner in given.items()]
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [(str(place), inner) for place, inner in enumerate(given)]
    return []
