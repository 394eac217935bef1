"""What a doctor finds: named checks, each with a verdict, one sentence and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from sojourn.errors import SojournError


class Verdict(StrEnum):
    """`failure`: the program cannot do its work, or must not be trusted; `warning`: it will come to that."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """What one check found. `remedy` is empty where there is nothing to do; `check` is filled in by `examine`."""

    verdict: Verdict
    sentence: str
    remedy: str = ""
    check: str = ""


def well(sentence: str) -> Finding:
    """Nothing to do."""
    return Finding(Verdict.OK, sentence)


def warning(sentence: str, remedy: str) -> Finding:
    """Something to do before long."""
    return Finding(Verdict.WARNING, sentence, remedy)


def failure(sentence: str, remedy: str) -> Finding:
    """Something to do now."""
    return Finding(Verdict.FAILURE, sentence, remedy)


Check = Callable[[], Finding]


def examine(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """Make every check, in order; one that cannot be completed is a failure, and the others go on."""
    return [_named(name, check) for name, check in checks]


def unexamined(names: Sequence[str], why: str) -> list[Finding]:
    """Checks that could not begin."""
    return [Finding(Verdict.FAILURE, f"Not checked: {why}.", "Mend that first.", name) for name in names]


def sound(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed; warnings are no failures."""
    return all(finding.verdict is not Verdict.FAILURE for finding in findings)


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """The JSON form."""
    return {"ok": sound(findings), "checks": [asdict(finding) for finding in findings]}


def words(findings: Sequence[Finding]) -> Iterator[str]:
    """For people: what failed and what to do stands where they look last."""
    width = max(len(finding.check) for finding in findings)
    for verdict in Verdict:
        for finding in findings:
            if finding.verdict is verdict:
                yield f"{finding.verdict:7}  {finding.check:{width}}  {finding.sentence}"
                if finding.remedy:
                    yield f"{'':7}  {'':{width}}  Remedy: {finding.remedy}"


def _named(name: str, check: Check) -> Finding:
    try:
        said = check()
    except SojournError as error:
        said = failure(str(error.args[0]) if error.args else type(error).__name__, error.remedy)
    except Exception as error:  # its text may quote what must not be shown
        said = failure(
            f"The check could not be completed ({type(error).__name__}).",
            "Check that this user may read the home; if it stays so, report it.",
        )
    return replace(said, check=name)
