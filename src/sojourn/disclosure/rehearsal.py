"""Rehearsals: the same rules over synthetic stand-ins, and a mark by which no answer of one passes for a real one."""

from __future__ import annotations

from typing import Any

from sojourn.disclosure.gate import Policy
from sojourn.disclosure.output import Finding, Output, Tier

WATERMARK = "rehearsal on synthetic stand-ins: numbers mean nothing"
HELD = "would be held"  # a word of `errors.REASONS`


class Rehearsed:
    """A site's policy as it judges a rehearsal: nothing is different but the mark in every release's header."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def name(self) -> str:
        """See `Policy`."""
        return self._policy.name

    @property
    def version(self) -> str:
        """See `Policy`."""
        return self._policy.version

    @property
    def watermark(self) -> str:
        """The mark of rehearsals first, then the policy's own."""
        return "; ".join(filter(None, (WATERMARK, self._policy.watermark)))

    @property
    def automatic(self) -> Tier:
        """See `Policy`."""
        return self._policy.automatic

    def differencing(self) -> None:
        """A stand-in's numbers are compared with those of its own rehearsal alone, by who runs it."""

    def hidden_max(self) -> int:
        """See `Policy`."""
        return self._policy.hidden_max()

    def judge(self, output: Output) -> Finding:
        """See `Policy`."""
        return self._policy.judge(output)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the policy has."""
        return getattr(self._policy, name)


def is_rehearsal(watermark: str) -> bool:
    """Whether a release's header says that it is of a rehearsal."""
    return WATERMARK in watermark
