"""A pilot on a sample, then the run by the same plan: steps, tables, snapshot, pointer."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sojourn import __version__
from sojourn.errors import HarmonisationError
from sojourn.node.dataset import snapshot_key
from sojourn.node.harmonise import publishing
from sojourn.node.harmonise.databases import Database
from sojourn.node.harmonise.engine import MEMORY, THREADS, Engine, open_engine
from sojourn.node.harmonise.making import ROWS, Made, Maker
from sojourn.node.harmonise.page import page
from sojourn.node.harmonise.places import Places, custodian_key
from sojourn.node.harmonise.plan_checks import concept_doubts, decision_doubts, unused_decisions
from sojourn.node.harmonise.quarantine import QUARANTINE_TABLE, UNMAPPED_TABLE, kept_aside, without_concept
from sojourn.node.harmonise.reporting import aside_share, report_of
from sojourn.node.harmonise.signing import PAGE, REPORT, SIGNATURE, demand_signature
from sojourn.node.harmonise.steps import Steps
from sojourn.node.whole import write_whole
from sojourn.omop.plan import Plan


@dataclass(frozen=True)
class Work:
    """What a pilot or run is given. export: the folder of the plan's files. warehouse: the file of the vocabularies.

    databases: of the site, whose tables the plan may name.
    """

    home: Path
    warehouse: Path
    plan_text: str
    export: Path
    memory: str = MEMORY
    threads: int = THREADS
    databases: Mapping[str, Database] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What a run did. made, found: steps, by itself or by earlier ones. published: whether readers see new tables."""

    snapshot: str
    published: bool
    made: int
    found: int
    report: dict[str, Any]


def pilot(work: Work, share: float) -> dict[str, Any]:
    """Make all tables of a sample of persons, and the report on them, which is kept; nothing is published."""
    if not 0 < share <= 1:
        raise HarmonisationError("The sample is a part between 0 and 1.", remedy="Give e.g. `--share 0.05`.")
    plan, places = _opened(work)
    with _alone(places), _engine(work, places) as (engine, steps, key):
        maker = _maker(work, places, plan, (engine, steps, key), share)
        doubts = [*concept_doubts(plan, maker.made.compiled, engine), *decision_doubts(plan, engine)]
        made = maker.make()
        report = report_of(made, engine, share)
        report["doubts"] = [*report["doubts"], *doubts, *unused_decisions(made, engine, share)]
    folder = places.pilot(plan.digest())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / SIGNATURE).unlink(missing_ok=True)  # it was of another report
    write_whole(folder / REPORT, json.dumps(report, indent=1, sort_keys=True) + "\n")
    write_whole(folder / PAGE, page(report))
    return report


def run(work: Work, audit: publishing.Audit) -> Run:
    """Make all tables by a signed plan and publish them as a snapshot; HarmonisationError, and nothing seen, else."""
    plan, places = _opened(work)
    with _alone(places), _engine(work, places) as (engine, steps, key):
        signature = demand_signature(places.pilot(plan.digest()), plan, engine.vocabulary.digest)
        made = _maker(work, places, plan, (engine, steps, key), day=signature.day).make()
        report = report_of(made, engine, 1.0)
        _demand_few_aside(plan, report)
        aside, unmapped = kept_aside(made, engine, steps), without_concept(made, engine, steps)
        inputs = {
            "plan": plan.digest(),
            "files": made.digests,
            "vocabulary": made.vocabulary[1],
            "key": _mark(key),
            "signed": signature.day,
            "software": __version__,
        }
        snapshot = publishing.snapshot_id(snapshot_key(work.home), inputs)
        manifest = _manifest(made, report, asdict(signature), inputs, snapshot)
        files = {table: [part.step.folder / ROWS for part in parts] for table, parts in made.parts.items()}
        files |= {QUARANTINE_TABLE: [aside.folder / ROWS], UNMAPPED_TABLE: [unmapped.folder / ROWS]}
        published = publishing.publish(places, snapshot, manifest, work.plan_text, files, audit)
        steps.forget_others(set())
    return Run(
        snapshot, published, sum(each.made for each in steps.used), sum(not each.made for each in steps.used), report
    )


def _maker(
    work: Work, places: Places, plan: Plan, opened: tuple[Engine, Steps, bytes], share: float = 1.0, day: str = ""
) -> Maker:
    engine, steps, key = opened
    return Maker(engine, steps, plan, work.export, places.work, _mark(key), share, day, work.databases)


def _opened(work: Work) -> tuple[Plan, Places]:
    plan = Plan.from_yaml(work.plan_text)
    if not work.export.is_dir():
        raise HarmonisationError("There is no such export folder.", remedy="Give the folder that holds the files.")
    places = Places(work.home, plan.source)
    try:
        places.make()
    except OSError:
        raise disk_full() from None
    return plan, places


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One pilot or run of a source at a time; what an earlier one left half made is removed."""
    with (places.folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HarmonisationError(
                "This source is being harmonised already.", remedy="Wait for it, or end it."
            ) from None
        shutil.rmtree(places.work, ignore_errors=True)
        places.make()
        try:
            yield
        except OSError as error:
            if error.errno is not None and os.strerror(error.errno) == os.strerror(28):
                raise disk_full() from None
            raise


@contextmanager
def _engine(work: Work, places: Places) -> Iterator[tuple[Engine, Steps, bytes]]:
    import duckdb  # loads with the first use, not with an idle node

    key = custodian_key(work.home)
    reach = (places.folder, work.export)
    with open_engine(work.warehouse, places.work, reach, key, work.memory, work.threads) as engine:
        yield engine, Steps(places.steps, places.work, f"duckdb {duckdb.__version__}"), key


def _demand_few_aside(plan: Plan, report: dict[str, Any]) -> None:
    share = aside_share(report)
    if share > plan.quarantine_at_most:
        raise HarmonisationError(
            f"{share:.1%} of the rows would be kept aside; the plan allows {plan.quarantine_at_most:.1%}.",
            remedy="Run the pilot again on these files and look at the reasons. Nothing was published.",
        )


def _manifest(
    made: Made, report: dict[str, Any], signature: dict[str, Any], inputs: dict[str, Any], snapshot: str
) -> dict[str, Any]:
    """What a snapshot follows from and holds: counts, digests, who signed; of codes only how many."""
    tables = {
        table: {
            "rows": sum(part.step.facts["rows"] for part in parts),
            "digest": hashlib.sha256("".join(sorted(part.step.facts["digest"] for part in parts)).encode()).hexdigest(),
            "parts": [
                {"rule": part.rule, "file": part.file, **{k: part.step.facts[k] for k in ("rows", "empty", "zero")}}
                for part in parts
            ],
        }
        for table, parts in made.parts.items()
    }
    unmapped = {
        name: {word: n for word, n in each.items() if word != "listed"} for name, each in report["unmapped"].items()
    }
    return {
        "snapshot": snapshot,
        "source": made.plan.source,
        **inputs,
        "vocabulary_version": made.vocabulary[0],
        "signature": signature,
        "files": report["files"],
        "tables": tables,
        "aside": report["aside"],
        "files_aside": report["files_aside"],
        "left_out": report["left_out"],
        "unmapped": unmapped,
    }


def _mark(key: bytes) -> str:
    """Tells keys apart without telling the key."""
    return hashlib.sha256(b"sojourn pseudonym key\0" + key).hexdigest()[:16]


def disk_full() -> HarmonisationError:
    """Of a disk without room, wherever it is met."""
    return HarmonisationError(
        "The disk is full. No reader sees any of it.", remedy="Make room and run again: it goes on where it stopped."
    )
