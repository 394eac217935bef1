"""A person's word for a pilot: their name, the day, and the hashes of the very plan and report that they saw."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.reporting import aside_share
from sojourn.node.whole import write_whole
from sojourn.omop.plan import Plan

REPORT, PAGE, SIGNATURE = "report.json", "report.html", "signature.json"


@dataclass(frozen=True)
class Signature:
    """name, day: who and when. plan, report: SHA-256 (hex). vocabulary: the digest of what the pilot mapped with."""

    name: str
    day: str
    plan: str
    report: str
    vocabulary: str


def sign(folder: Path, plan: Plan, name: str, day: date) -> Signature:
    """Sign the pilot of this plan; HarmonisationError where there is none, or nobody is named."""
    report = folder / REPORT
    if not report.is_file():
        raise HarmonisationError(
            "This very plan has no pilot.", remedy="Run `sojourn harmonise pilot PLAN`, and look at its report."
        )
    if not name.strip() or len(name) > 120 or not name.isprintable():
        raise HarmonisationError("A signature needs a person's name.", remedy="Give --name with your full name.")
    said = json.loads(report.read_text(encoding="utf-8"))
    if said["plan"] != plan.digest():
        raise HarmonisationError("The report is of another plan.", remedy="Run the pilot again.")
    share, most = aside_share(said), plan.quarantine_at_most
    if share > most:
        raise HarmonisationError(
            f"The run would stop: {share:.1%} of the rows are kept aside, the plan allows {most:.1%}.",
            remedy="Mend the rules by the report's reasons, or raise `quarantine_at_most`; then run the pilot again.",
        )
    signature = Signature(name.strip(), day.isoformat(), plan.digest(), _digest(report), said["vocabulary"]["digest"])
    write_whole(folder / SIGNATURE, json.dumps(asdict(signature), indent=1) + "\n")
    return signature


def demand_signature(folder: Path, plan: Plan, vocabulary: str) -> Signature:
    """The signature over this very plan; HarmonisationError without, or where plan, report or vocabulary changed."""
    path = folder / SIGNATURE
    if not path.is_file():
        raise HarmonisationError(
            "Nobody has signed the pilot of this very plan." + _another(folder),
            remedy="Run `sojourn harmonise pilot PLAN`, look at its report, then `sojourn harmonise sign PLAN`.",
        )
    try:
        signature = Signature(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise HarmonisationError("The signature is damaged.", remedy="Sign the pilot again.") from None
    if signature.plan != plan.digest() or signature.report != _digest(folder / REPORT):
        raise HarmonisationError(
            "Plan or report changed after they were signed.", remedy="Run the pilot again, look at it, and sign it."
        )
    if signature.vocabulary != vocabulary:
        raise HarmonisationError(
            "The vocabulary in use is another one than that of the signed pilot.",
            remedy="Use the pilot's version (`sojourn harmonise vocabulary use`), or run and sign a new pilot.",
        )
    return signature


def _another(folder: Path) -> str:
    """Who signed another version of the plan last; empty where nobody did."""
    found = []
    for path in folder.parent.glob(f"*/{SIGNATURE}"):
        try:
            found.append(Signature(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue
    last = max(found, key=lambda each: each.day, default=None)
    return f" {last.name} signed another version of it ({last.plan[:16]}) on {last.day}." if last else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
