"""Rules are small frozen values, joined by `AllOf` and `AnyOf`; no rules refuse; the unsafe one is called Unsafe.

The laws: an empty set of rules refuses. An exception inside a rule is a refusal of the family "check failed". Joining
with `AllOf` takes the strictest word and hides whatever any rule hides, so that a further rule never loosens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from sojourn.disclosure.output import Finding, Output, Tier, Verdict, strictness
from sojourn.disclosure.suppression import union

CHECK_FAILED = "check failed"


class Rule(Protocol):
    """One disclosure rule. `family` is a word of `errors.REASONS`; `scope` is "site", the unit that it protects."""

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def scope(self) -> str: ...

    def judge(self, output: Output) -> Finding:
        """What this rule says of one output."""


def refuse(family: str, note: str = "") -> Finding:
    """The finding that lets nothing out."""
    return Finding(Verdict.REFUSE, family, tier=Tier.HIGH, note=note)


def ask(rule: Rule, output: Output) -> Finding:
    """A rule's word; whatever goes wrong inside it is a refusal. The note names the kind of error, never its text."""
    try:
        return rule.judge(output)
    except Exception as error:  # any failure of a check is high risk
        return refuse(CHECK_FAILED, f"{rule.name}: {type(error).__name__}")


def joined(findings: Sequence[Finding]) -> Finding:
    """One word of several: the strictest verdict and tier, every cell that any of them hides, all notes.

    The family is that of the first among the strictest; `raised` that of the first of the highest tier.
    """
    strictest = max(findings, key=lambda finding: strictness(finding.verdict))
    riskiest = max(findings, key=lambda finding: strictness(finding.tier))
    refused = strictest.verdict is Verdict.REFUSE
    cells = {} if refused else union(finding.cells for finding in findings)
    risky = {} if refused else union(finding.risky for finding in findings)
    raised = "" if riskiest.tier is Tier.LOW else riskiest.raised or riskiest.family
    return Finding(strictest.verdict, strictest.family, cells, riskiest.tier, _notes(findings), raised, risky)


def by_itself(finding: Finding, highest: Tier) -> Finding:
    """The word on what would leave without a checker: what is riskier than `highest` is refused."""
    if finding.verdict is Verdict.REFUSE or strictness(finding.tier) <= strictness(highest):
        return finding
    return replace(refuse(finding.raised or finding.family or CHECK_FAILED, finding.note), tier=finding.tier)


@dataclass(frozen=True)
class AllOf:
    """Every rule must agree: the strictest verdict and tier, and every cell that any of them hides."""

    rules: tuple[Rule, ...]
    name: ClassVar[str] = "all of"
    family: ClassVar[str] = CHECK_FAILED
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """The joined word; the family is that of the first among the strictest."""
        if not self.rules:
            return refuse(CHECK_FAILED, "no rule was asked")
        return joined([_owned(rule, ask(rule, output)) for rule in self.rules])


@dataclass(frozen=True)
class AnyOf:
    """One rule's consent suffices: the mildest finding, the first of equals."""

    rules: tuple[Rule, ...]
    name: ClassVar[str] = "any of"
    family: ClassVar[str] = CHECK_FAILED
    scope: ClassVar[str] = "site"

    def judge(self, output: Output) -> Finding:
        """The mildest word."""
        if not self.rules:
            return refuse(CHECK_FAILED, "no rule was asked")
        findings = [ask(rule, output) for rule in self.rules]
        return min(findings, key=lambda finding: (strictness(finding.verdict), strictness(finding.tier)))


@dataclass(frozen=True)
class UnsafeReleaseAll:
    """No disclosure control at all: for exactness tests in one process. Every result carries the watermark.

    It is in no registry and cannot be written in a configuration: only code that holds this class can ask for it.
    """

    name: ClassVar[str] = "UnsafeReleaseAll"
    version: ClassVar[str] = "0"
    watermark: ClassVar[str] = "UnsafeReleaseAll: no disclosure control, for tests only"
    automatic: ClassVar[Tier] = Tier.HIGH

    def hidden_max(self) -> int:
        """Nothing is hidden."""
        return 0

    def differencing(self) -> None:
        """Nothing is compared."""

    def judge(self, output: Output) -> Finding:
        """Release."""
        return Finding(Verdict.RELEASE, tier=Tier.HIGH)


def _owned(rule: Rule, finding: Finding) -> Finding:
    """The finding with the family of its rule as the one that raised its tier, where it names none."""
    if finding.tier is Tier.LOW or finding.raised or finding.family:
        return finding
    return replace(finding, raised=rule.family)


def _notes(findings: Iterable[Finding]) -> str:
    return "; ".join(dict.fromkeys(word for finding in findings for word in finding.note.split("; ") if word))
