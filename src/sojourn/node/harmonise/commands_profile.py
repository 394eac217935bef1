"""`sojourn harmonise profile` and `sojourn harmonise vocabulary …`: a site looks at its export, and loads its terms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sojourn.errors import DatasetError
from sojourn.node.harmonise import profiling, profiling_files, suggesting, vocabulary_deltas
from sojourn.node.harmonise.engine import demand_memory
from sojourn.node.harmonise.profiling_sources import MEMORY as OF_A_PROFILE
from sojourn.node.harmonise.vocabulary_codes import known_in
from sojourn.node.harmonise.vocabulary_deltas import KINDS
from sojourn.node.harmonise.vocabulary_loading import MEMORY, Version, connected, load, use, versions
from sojourn.report.printing import answer, rows
from sojourn.report.profile import shown

vocabularies = typer.Typer(help="The OMOP vocabularies of this site, as its own Athena download.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The export: a folder of CSV, Parquet, DuckDB or SQLite files, or one.")]
Warehouse = Annotated[Path, typer.Option("--warehouse", help="The DuckDB file that holds vocabularies and CDM.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
HERE = Path("warehouse.duckdb")
_SHOWN = 20


def show_profile(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Where profile.html, profile.yaml and drafts are written.")] = Path(
        "profile"
    ),
    threshold: Annotated[int, typer.Option(min=1, help="A value is shown only if so many rows hold it.")] = 10,
    memory: Annotated[str, typer.Option(help="What the database may use; it spills beyond it.")] = OF_A_PROFILE,
    warehouse: Annotated[
        Path | None, typer.Option("--warehouse", help="Also look codes up in the vocabularies loaded here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at an export before planning: columns, codes, units, dates, keys, identifiers; drafts dictionaries.

    What it writes describes records, and stays in this institution.
    Example: sojourn harmonise profile export
    """
    demand_memory(memory)
    made = _profiled(folder, threshold, memory, warehouse)
    written = profiling_files.write(made, out)
    answer({**made.document, "written": written}, as_json)
    if not as_json:
        Console().print(shown(made.document))
        print(f"Written to {out}: {', '.join(written)}.")
    if made.failed and not made.document["tables"]:
        raise typer.Exit(1)


def suggest_plan(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="The YAML file to write; it must not be there yet.")] = Path(
        "plan.yaml"
    ),
    threshold: Annotated[int, typer.Option(min=1, help="A value is shown only if so many rows hold it.")] = 10,
    memory: Annotated[str, typer.Option(help="What the database may use; it spills beyond it.")] = OF_A_PROFILE,
    as_json: AsJson = False,
) -> None:
    """Draft the plan of an export: a likely table for each file, a likely field for each column, with confidence and
    reason. Nothing of it is used until people have answered its questions and accepted its rules.

    Example: sojourn harmonise suggest export --out plan.yaml
    """
    made = suggesting.draft(folder, threshold=threshold, memory=memory)
    suggesting.write(made, out)
    found = [
        {"file": each.name, "column": name, "is": column.role, "confidence": column.confidence, "reason": column.reason}
        for each in made.likely
        for name, column in each.columns.items()
    ]
    files = [
        {
            "file": each.name,
            "table": each.table.role,
            "confidence": each.table.confidence,
            "drafted": not left,
            "why not": left,
        }
        for each, left in zip(made.likely, made.left, strict=True)
    ]
    answer({"plan": str(out), "open": made.open, "files": files, "columns": found}, as_json)
    if not as_json:
        rows("Files", ("file", "table", "confidence", "drafted", "why not"), files)
        rows("Columns", ("file", "column", "is", "confidence"), [each for each in found if each["is"]])
        print(f"Drafted {out}: {made.open} places wait for an answer, and every rule for a person who accepts it.")
        print("It describes records, and stays in this institution.")


def _profiled(folder: Path, threshold: int, memory: str, warehouse: Path | None) -> profiling.Profile:
    if warehouse is None:
        return profiling.profile(folder, threshold=threshold, memory=memory)
    with connected(warehouse, (), MEMORY, must_be=True) as to:
        if not versions(to):
            raise DatasetError(
                "No vocabulary is loaded there.", remedy="Load one: `sojourn harmonise vocabulary load ZIP`."
            )
        return profiling.profile(folder, threshold=threshold, memory=memory, known=known_in(to))


@vocabularies.command("load")
def load_vocabulary(
    download: Annotated[Path, typer.Argument(help="The zip from Athena, or the folder it was unpacked into.")],
    warehouse: Warehouse = HERE,
    memory: Annotated[str, typer.Option(help="What the database may use; it spills beyond it.")] = MEMORY,
    as_json: AsJson = False,
) -> None:
    """Load a vocabulary download beside the versions that are there, and use it from now on: all of it, or nothing.

    Example: sojourn harmonise vocabulary load vocabulary_download_v5.zip
    """
    demand_memory(memory)
    done = load(download, warehouse, memory=memory)
    lines = [f"Version {done.number} is loaded and in use: {done.version}, {done.counts['concept']:,} concepts."]
    lines += _notes(done)
    if done.number > 1:
        lines.append("Next: sojourn harmonise vocabulary impact   (what changed, and which codes in use it concerns)")
    answer(done.document(), as_json, lines)


@vocabularies.command("list")
def list_versions(warehouse: Warehouse = HERE, as_json: AsJson = False) -> None:
    """The loaded versions, and which of them is in use.

    Example: sojourn harmonise vocabulary list
    """
    with connected(warehouse, (), MEMORY, must_be=True) as to:
        found = versions(to)
    answer([each.document() for each in found], as_json)
    if not as_json:
        table = [
            {**each.counts, **each.document(), "concepts": f"{each.counts['concept']:,}", "in use": _mark(each)}
            for each in found
        ]
        rows("Vocabularies", ("number", "version", "in use", "loaded", "concepts"), table)
        for each in found:
            for line in _notes(each):
                print(f"{each.number}: {line}")


@vocabularies.command("use")
def use_version(
    number: Annotated[int, typer.Argument(help="The version's number in the list.")],
    warehouse: Warehouse = HERE,
    as_json: AsJson = False,
) -> None:
    """Use another loaded version.

    Example: sojourn harmonise vocabulary use 1
    """
    done = use(warehouse, number)
    answer(done.document(), as_json, [f"Version {done.number} is in use: {done.version}."])


@vocabularies.command("impact")
def show_impact(
    before: Annotated[int | None, typer.Option("--from", help="The older version; default: the one before.")] = None,
    after: Annotated[int | None, typer.Option("--to", help="The newer version; default: the newest.")] = None,
    codes: Annotated[
        Path | None, typer.Option("--codes", help="A CSV of more codes in use: vocabulary_id, concept_code, rows.")
    ] = None,
    warehouse: Warehouse = HERE,
    as_json: AsJson = False,
) -> None:
    """What changed between two versions, and which codes and mappings of this site that concerns.

    Example: sojourn harmonise vocabulary impact
    """
    found = vocabulary_deltas.impact(warehouse, before, after, codes)
    answer(found.document(), as_json)
    if as_json:
        return
    print(f"From {found.before.version} (version {found.before.number}) to {found.after.version} "
          f"(version {found.after.number}):")  # fmt: skip
    for kind, words in KINDS.items():
        print(f"  {found.changes[kind]:>9,}  concept {words}")
    print(f"Looked through for codes in use: {', '.join(found.places) or 'nothing, there are no tables yet'}.")
    table = [each.__dict__ for each in found.concerned[:_SHOWN]]
    columns = ("place", "vocabulary", "code", "name", "change", "before", "after", "rows")
    rows(f"In use and changed: {len(found.concerned)}", columns, table)
    if len(found.concerned) > _SHOWN:
        print(f"{len(found.concerned) - _SHOWN} more: see them with --json.")


def _mark(version: Version) -> str:
    return "yes" if version.current else ""


def _notes(version: Version) -> list[str]:
    return [
        f"Note: {note.count:,} {note.words}" + (f" E.g. {', '.join(note.examples)}." if note.examples else "")
        for note in version.notes
    ]
