"""`sojourn harmonise sql|pilot|sign|run|undo|redo|list|explain`: from an export to tables of the common model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sojourn.errors import HarmonisationError
from sojourn.node import program
from sojourn.node.config import NodeHome
from sojourn.report.printing import answer, rows

Home = Annotated[Path, typer.Option("--home", help="The node's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
PlanFile = Annotated[Path, typer.Argument(help="The plan of the source, a YAML file.")]
Export = Annotated[Path, typer.Argument(help="The folder that holds the files of the export; default: this one.")]
SourceName = Annotated[str, typer.Argument(help="The source's name, as its plan says.")]
Warehouse = Annotated[Path, typer.Option("--warehouse", help="The DuckDB file that holds the vocabularies.")]
Memory = Annotated[str, typer.Option(help="What the database may take, beside some 100 MB for the program.")]
HERE, STORE, ENOUGH, FILES = Path("node"), Path("warehouse.duckdb"), "320MB", Path()


def show_sql(plan: PlanFile) -> None:
    """Print the SQL that a plan is compiled to, to be read.

    Example: sojourn harmonise sql plan.yaml
    """
    from sojourn.omop.compilation import compile_plan
    from sojourn.omop.plan import Plan

    print(compile_plan(Plan.from_yaml(_text(plan))).text())


def pilot(
    plan: PlanFile,
    export: Export = FILES,
    share: Annotated[float, typer.Option(help="The part of persons that the sample takes.")] = 0.1,
    home: Home = HERE,
    warehouse: Warehouse = STORE,
    memory: Memory = ENOUGH,
    as_json: AsJson = False,
) -> None:
    """Make the tables of a sample of persons, and a report for the person who signs; nothing is published.

    Example: sojourn harmonise pilot plan.yaml export --share 0.1
    """
    from sojourn.node.harmonise import running
    from sojourn.node.harmonise.reporting import aside_share

    report = running.pilot(_work(plan, export, home, warehouse, memory), share)
    folder = _places(home, report["source"]).pilot(report["plan"])
    public = _public(report)
    answer({**public, "report": str(folder / "report.html")}, as_json)
    if not as_json:
        tell(public)
        for doubt in report["doubts"]:
            print(f"Question to the data's owner: {doubt}")
        if (aside := aside_share(report)) > report["aside_at_most"]:
            print(f"The run would stop: {aside:.1%} of the rows are kept aside, the plan allows "
                  f"{report['aside_at_most']:.1%}. It cannot be signed so.")  # fmt: skip
        print(f"Look at {folder / 'report.html'}, which stays inside: it names codes of the data.")
        if aside <= report["aside_at_most"]:
            print(f"Then: sojourn harmonise sign {plan} --name YOU --home {home}")


def sign(
    plan: PlanFile,
    name: Annotated[str, typer.Option(help="The person who looked at the report.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Sign the pilot's report of this very plan, so that it may run.

    Example: sojourn harmonise sign plan.yaml --name "Ada Example"
    """
    from sojourn.node.harmonise.signing import sign as signed
    from sojourn.omop.plan import Plan

    read = Plan.from_yaml(_text(plan))
    places = _places(home, read.source)
    done = signed(places.pilot(read.digest()), read, name, datetime.now(UTC).date())
    facts = {"source": read.source, "plan": done.plan, "report": done.report, "name": done.name}
    program.ask(home, "harmonised", word="pilot.signed", facts=facts)
    answer(vars(done), as_json, [f"{done.name} signed plan {done.plan[:16]} on {done.day}.",
                                 f"Next: sojourn harmonise run {plan} EXPORT --home {home}"])  # fmt: skip


def run(
    plan: PlanFile,
    export: Export = FILES,
    home: Home = HERE,
    warehouse: Warehouse = STORE,
    memory: Memory = ENOUGH,
    as_json: AsJson = False,
) -> None:
    """Make all tables by a signed plan and publish them; a run that was ended goes on where it stood.

    Example: sojourn harmonise run plan.yaml export
    """
    from sojourn.node.harmonise import running

    done = running.run(_work(plan, export, home, warehouse, memory), _audit(home))
    public = _public(done.report)
    facts = {"snapshot": done.snapshot, "published": done.published, "made": done.made, "found": done.found}
    answer({**public, **facts}, as_json)
    if not as_json:
        tell(public)
        print(f"{done.made} steps were made, {done.found} were there already.")
        print(f"Snapshot {done.snapshot} is {'published' if done.published else 'the current one already'}.")


def undo(source: SourceName, home: Home = HERE, as_json: AsJson = False) -> None:
    """Go back to the snapshot before; nothing is removed.

    Example: sojourn harmonise undo synthea
    """
    from sojourn.node.harmonise.publishing import step_back

    snapshot = step_back(_places(home, source), _audit(home))
    answer({"source": source, "snapshot": snapshot}, as_json, [f"Readers of {source} take snapshot {snapshot} now."])


def redo(source: SourceName, home: Home = HERE, as_json: AsJson = False) -> None:
    """Go forward again to the snapshot that was undone.

    Example: sojourn harmonise redo synthea
    """
    from sojourn.node.harmonise.publishing import step_forward

    snapshot = step_forward(_places(home, source), _audit(home))
    answer({"source": source, "snapshot": snapshot}, as_json, [f"Readers of {source} take snapshot {snapshot} now."])


def list_snapshots(source: SourceName, home: Home = HERE, as_json: AsJson = False) -> None:
    """The snapshots of a source, the oldest first, and which of them readers take.

    Example: sojourn harmonise list synthea
    """
    from sojourn.node.harmonise.publishing import history, manifest_of

    places = _places(home, source)
    known = history(places)
    found = []
    for place, snapshot in enumerate(known.snapshots):
        manifest = manifest_of(places, snapshot)
        total = sum(table["rows"] for table in manifest["tables"].values())
        signed = f"{manifest['signature']['name']}, {manifest['signature']['day']}"
        words = {"plan": manifest["plan"][:16], "rows": total, "signed": signed}
        found.append({"snapshot": snapshot, "current": place == known.at, **words})
    answer(found, as_json)
    if not as_json:
        rows("Snapshots", ("snapshot", "current", "plan", "rows", "signed"), found)


def hashes(
    source: SourceName,
    snapshot: Annotated[str, typer.Option(help="A snapshot's id; default: the current one.")] = "",
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """SHA-256 of what each table of a snapshot holds: equal tables have equal hashes, whatever order their rows lie in.

    Example: sojourn harmonise hashes synthea
    """
    from sojourn.node.harmonise.hashing import table_hashes

    found = table_hashes(_places(home, source), snapshot)
    answer(found, as_json, [f"{hashed}  {table}" for table, hashed in found.items()])


def explain(
    source: SourceName,
    field: Annotated[str, typer.Argument(help="TABLE.FIELD, or `all` for the machine form of every field.")],
    concept: Annotated[int | None, typer.Option("--concept", help="One concept's id in that field.")] = None,
    row: Annotated[int | None, typer.Option("--row", help="A row's number; that it was asked for is logged.")] = None,
    snapshot: Annotated[str, typer.Option(help="A snapshot's id; default: the current one.")] = "",
    home: Home = HERE,
    warehouse: Warehouse = STORE,
    as_json: AsJson = False,
) -> None:
    """Say where a field comes from: file, column, rule, decision, plan, vocabulary and run.

    Example: sojourn harmonise explain synthea condition_occurrence.condition_concept_id --concept 4112343
    """
    from sojourn.node.harmonise import explaining

    places = _places(home, source)
    if field == "all":
        answer(explaining.provenance(places, snapshot), True)
        return
    document = explaining.explain(places, warehouse, field, concept, snapshot, row, _audit(home))
    answer(document, as_json, explaining.words(document))


def tell(report: dict[str, Any]) -> None:
    """Print a report's counts; no code and no value."""
    rows("Tables", ("table", "rows"), [{"table": name, "rows": n} for name, n in report["tables"].items()])
    if report["aside"]:
        rows("Kept aside", ("file", "rule", "table", "reason", "columns", "rows"), report["aside"])
    for each in report["files_aside"]:
        print(f"Warning: of {each['path']} {each['aside']} of {each['rows']} rows are kept aside; the plan allows "
              f"{report['aside_at_most']:.1%} of all. Is it of another form?")  # fmt: skip
    if report["left_out"]:
        found = [{"rule": name, "rows": n} for name, n in report["left_out"].items()]
        rows("Left out by `where`", ("rule", "rows"), found)
    if report["unlisted"]:
        words = ("rule", "field", "of", "becomes", "values", "rows")
        rows("Values that a list of the plan does not name (the report names them)", words, report["unlisted"])
    columns = ("rule", "codes", "unmapped_codes", "rows", "unmapped_rows")
    rows("Codes", columns, [{"rule": name, **each} for name, each in report["unmapped"].items()])
    if report["medicines"]:
        found = [{"rule": name, **each} for name, each in report["medicines"].items()]
        kinds = ("drug", "ingredient", "decision", "unknown")
        rows("Names of medicines, by what they became", ("rule", "names", *(f"{each}_names" for each in kinds)), found)
    if report["doses"]["exposures"]:
        told = report["doses"]
        print(
            f"{told['with_dose']} of {told['exposures']} drug exposures tell a daily amount; others have no dose era."
        )
    if report["units"]:
        found = [{"rule": name, **each} for name, each in report["units"].items()]
        rows("Units", ("rule", "spellings", "unread_rows", "two_units_rows"), found)
    if report["results"]:
        found = [{"rule": name, **each} for name, each in report["results"].items()]
        counted = ("rule", "values", "numbers", "ranges", "texts", "other_sign", "grouped")
        rows("Measured values, in rows", counted, found)


def _public(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what names values of the data."""
    unmapped = {name: {k: n for k, n in each.items() if k != "listed"} for name, each in report["unmapped"].items()}
    units = {name: {k: n for k, n in each.items() if k != "listed"} for name, each in report["units"].items()}
    named = {name: {k: n for k, n in each.items() if k != "listed"} for name, each in report["medicines"].items()}
    results = {name: {k: n for k, n in each.items() if k != "listed"} for name, each in report["results"].items()}
    unlisted = [{k: n for k, n in each.items() if k != "listed"} for each in report["unlisted"]]
    tables = {name: table["rows"] for name, table in report["tables"].items()}
    counted = {"unmapped": unmapped, "units": units, "medicines": named, "tables": tables, "unlisted": unlisted}
    return {**report, **counted, "results": results}


def _work(plan: Path, export: Path, home: Path, warehouse: Path, memory: str) -> Any:
    from sojourn.node.harmonise.databases import databases_of
    from sojourn.node.harmonise.running import Work

    node = NodeHome.load(home)
    words = (node.folder, warehouse.resolve(), _text(plan), export.resolve(), memory)
    return Work(*words, databases=databases_of(node))


def _places(home: Path, source: str) -> Any:
    from sojourn.node.harmonise.places import Places

    return Places(NodeHome.load(home).folder, source)


def _audit(home: Path) -> Any:
    return lambda word, facts: program.ask(home, "harmonised", word=word, facts=facts)


def _text(plan: Path) -> str:
    try:
        return plan.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise HarmonisationError("The plan cannot be read.", remedy="Give the path of a UTF-8 YAML file.") from None
