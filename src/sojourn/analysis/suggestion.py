"""The nearest known word, for remedies."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known word, or all of a few known words, or nothing."""
    words = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in words}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{folded[near[0]]}`?"
    if 0 < len(words) <= 12:
        return f"Known here: {', '.join(f'`{candidate}`' for candidate in words)}."
    return ""
