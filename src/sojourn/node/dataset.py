"""Datasets of a node: immutable snapshots of what a custodian approved, each in a DuckDB file of its own.

home/datasets/person.key, persons.sqlite      keyed person numbers of the node
home/datasets/NAME/SNAPSHOT.duckdb, .json     one import: the approved columns, and its record
home/datasets/NAME/SNAPSHOT.prints            its fingerprints (see `prints`)
home/datasets/NAME/SNAPSHOT.linkage           its persons as other sites name them (see `linkage`), where declared
home/datasets/NAME/current                    the snapshot that new runs take
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import DatasetError
from sojourn.node.alike import refuse_alike
from sojourn.node.dictionary import Dictionary
from sojourn.node.linkage import LINKAGE, write_linkage
from sojourn.node.persons import person_numbers
from sojourn.node.prints import ENDING, load_prints, prints_key, refuse_published, write_prints
from sojourn.node.source import Source, digest_of, open_source
from sojourn.node.warehouse import PERSON, TABLE, quote
from sojourn.node.whole import keep_whole, write_whole

RARE_BELOW = 10  # persons
_TRUE = "('true', '1', '1.0', 'yes')"
_FALSE = "('false', '0', '0.0', 'no')"


@dataclass(frozen=True)
class Snapshot:
    """One frozen import. rows, persons: counts, kept inside the site. path: its DuckDB file, with its SHA-256."""

    id: str
    dataset: str
    source_digest: str
    dictionary: Dictionary
    rows: int
    persons: int
    path: Path
    file_digest: str

    def record(self) -> dict[str, Any]:
        """The JSON document beside the file."""
        return {
            "snapshot": self.id,
            "dataset": self.dataset,
            "source_sha256": self.source_digest,
            "dictionary_sha256": self.dictionary.digest(),
            "dictionary": self.dictionary.to_dict(),
            "rows": self.rows,
            "persons": self.persons,
            "file_sha256": self.file_digest,
        }


def import_dataset(
    home: Path,
    name: str,
    source: Path,
    dictionary: Dictionary,
    threshold: int = RARE_BELOW,
    *,
    another: bool = False,
    origin: str = "",
) -> Snapshot:
    """Freeze the dictionary's columns of a CSV or Parquet file as a snapshot, and make it the current one.

    The same file under the same dictionary gives the same snapshot. DatasetError, and nothing imported, where the file
    is not sound or holds what the dictionary does not declare: the error names columns and numbers of rows, no value.
    threshold: what fewer persons hold is rare, and gets a fingerprint (see `prints`).
    another: another file may follow where each row is a person, as its numbers mean nobody (a stand-in).
    origin: all that the file follows from, where the node made it itself; else its bytes name the snapshot.
    """
    folder = _folder(home, name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not source.is_file():
        raise DatasetError("There is no such file.", remedy="Give the path of a CSV or Parquet file.")
    source_digest = hashlib.sha256(origin.encode()).hexdigest() if origin else digest_of(source)
    if dictionary.row_is_person and not another:
        _check_frozen(home, name, source_digest)
    # Keyed: the id leaves with every release, and must not confirm a guess of the file.
    named = (source_digest + dictionary.digest()).encode("ascii")
    snapshot = hmac.digest(snapshot_key(home), named, "sha256").hex()[:16]
    beside = (ENDING, *([LINKAGE] if dictionary.linkage else []))
    ends = (".json", ".duckdb", *beside)  # a restore may lack the data
    missing = [end for end in ends if not (folder / f"{snapshot}{end}").exists()]
    work = Path(tempfile.mkdtemp(prefix=".import-", dir=folder))
    try:
        built = work / "file.duckdb" if missing else folder / f"{snapshot}.duckdb"
        if missing:
            rows, persons = _build(home, source, built, dictionary, threshold)
            if not origin and digest_of(source) != source_digest:
                raise DatasetError("The file changed during the import.", remedy="Import it again when it is complete.")
            refuse_published(load_prints(work / f"file{ENDING}", prints_key(home)), dictionary)
        if not another:  # also of what is there: an earlier version, or a smaller T, let it in
            refuse_alike(built, work / "spill", dictionary, threshold)
        if missing:
            path, file_digest = folder / f"{snapshot}.duckdb", digest_of(built)
            made = Snapshot(snapshot, name, source_digest, dictionary, rows, persons, path, file_digest)
            for end in beside:
                keep_whole(work / f"file{end}", folder / f"{snapshot}{end}")
            if not set(missing) <= set(beside):  # of an earlier version: runs in hand keep the file that they know
                keep_whole(built, made.path)
                write_whole(folder / f"{snapshot}.json", json.dumps(made.record(), indent=1, ensure_ascii=False) + "\n")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_whole(folder / "current", snapshot + "\n")
    return load_snapshot(home, name, snapshot)


def snapshot_key(home: Path) -> bytes:
    """The node's secret (`datasets/snapshot.key`, 0600) that names snapshots; made at the first import."""
    path = home / "datasets" / "snapshot.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, secrets.token_hex(32) + "\n")
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


def load_snapshot(home: Path, name: str, snapshot: str) -> Snapshot:
    """One snapshot of a dataset; DatasetError where there is none, or its record is damaged."""
    folder = _folder(home, name)
    path = folder / f"{snapshot}.json"
    if not re.fullmatch(r"[0-9a-f]{16}", snapshot) or not path.is_file():
        raise DatasetError("There is no such snapshot.", remedy="Run `sojourn dataset list`.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        dictionary = Dictionary.from_dict(record["dictionary"])
        loaded = Snapshot(
            record["snapshot"],
            record["dataset"],
            record["source_sha256"],
            dictionary,
            record["rows"],
            record["persons"],
            folder / f"{snapshot}.duckdb",
            record["file_sha256"],
        )
    except (KeyError, ValueError, TypeError):
        raise _damaged() from None
    if loaded.record() != record or (loaded.id, loaded.dataset) != (snapshot, name):
        raise _damaged()
    return loaded


def is_kept(home: Path, name: str, snapshot: str) -> bool:
    """Whether a snapshot is there, readable or not."""
    folder = _folder(home, name)
    return any((folder / f"{snapshot}.{kind}").exists() for kind in ("json", "duckdb"))


def current_snapshot(home: Path, name: str) -> Snapshot:
    """The snapshot that new runs take; DatasetError where the dataset is not there."""
    path = _folder(home, name) / "current"
    if not path.is_file():
        raise DatasetError("There is no such dataset.", remedy="Run `sojourn dataset list`.")
    return load_snapshot(home, name, path.read_text(encoding="ascii").strip())


def dataset_names(home: Path) -> tuple[str, ...]:
    """The names of a node's datasets, sorted."""
    return tuple(sorted(path.parent.name for path in (home / "datasets").glob("*/current")))


def _build(home: Path, source: Path, target: Path, dictionary: Dictionary, threshold: int) -> tuple[int, int]:
    """Write the approved columns, the person numbers and the fingerprints; how many rows and persons there are."""
    import duckdb  # loads with the first import or study, not with an idle node

    with open_source(source, target) as read:
        try:
            _check(read, dictionary)
            write_prints(target.with_suffix(ENDING), read, dictionary, prints_key(home), threshold)
            if dictionary.person is None:
                _create(read, dictionary, "_row", "")
                return read.rows, read.rows
            numbers = _number_persons(home, read, dictionary.person)
            if dictionary.linkage:
                write_linkage(target.with_suffix(LINKAGE), home, dictionary, numbers)
            column = f"source.{quote(dictionary.person)}"
            _create(read, dictionary, "numbers.number", f" JOIN numbers ON {column} = numbers.identifier")
            return read.rows, len(numbers)
        except duckdb.Error:
            raise DatasetError(
                "The file could not be imported.", remedy="Check free memory and disk space, and try again."
            ) from None


def _number_persons(home: Path, read: Source, person: str) -> dict[str, int]:
    import pandas as pd  # half of an idle node's memory, and needed by imports alone

    rows = read.connection.execute(f"SELECT DISTINCT {quote(person)} FROM source").fetchall()
    with person_numbers(home / "datasets") as register:
        numbers = register.number(str(row[0]) for row in rows)
        # Kept before the snapshot is: a number too many harms nobody, a lost one would come back as another person.
        register.commit()
    frame = pd.DataFrame({"identifier": list(numbers), "number": pd.Series(numbers.values(), dtype="uint32")})
    read.connection.register("numbers", frame)
    return numbers


def _create(read: Source, dictionary: Dictionary, number: str, join: str) -> None:
    columns = [f"{_value(name, variable)} AS {quote(name)}" for name, variable in dictionary.columns.items()]
    columns.append(f"CAST({number} AS UINTEGER) AS {PERSON}")
    read.connection.execute(f"CREATE TABLE {TABLE} AS SELECT {', '.join(columns)} FROM source{join} ORDER BY _row")


def _value(name: str, variable: Variable) -> str:
    column = f"source.{quote(name)}"
    if variable.kind is Kind.NUMBER:
        return f"CAST({column} AS DOUBLE) + 0.0"
    if variable.kind is Kind.BOOLEAN:
        return f"CASE WHEN lower({column}) IN {_TRUE} THEN TRUE WHEN lower({column}) IN {_FALSE} THEN FALSE END"
    return column


def _check(read: Source, dictionary: Dictionary) -> None:
    """Refuse a file that is not as declared, naming every column at fault and the number of rows."""
    missing = [name for name in (*dictionary.columns, dictionary.person) if name and name not in read.columns]
    if missing:
        raise DatasetError(
            f"The file has no column {', '.join(f'`{name}`' for name in missing)}.",
            remedy="Check the names, capitals included, in the file and the dictionary.",
        )
    faults: list[str] = []
    if dictionary.person is not None:
        faults += _fault(read, dictionary.person, "{c} IS NULL", "name no person")
        if dictionary.rows_per_person is not None:
            faults += _too_many(read, dictionary.person, dictionary.rows_per_person)
    for name, variable in dictionary.columns.items():
        faults += _faults(read, name, variable)
    if faults:
        raise DatasetError(
            "The file holds what the dictionary does not declare: " + "; ".join(faults) + ".",
            remedy="Mend the file, or review levels, bounds and kinds in the dictionary. Nothing was imported.",
        )


def _too_many(read: Source, person: str, most: int) -> list[str]:
    """Whether a person has more rows than declared, which formal privacy rests on."""
    query = f"SELECT 1 FROM source GROUP BY {quote(person)} HAVING count(*) > $1 LIMIT 1"
    found = read.connection.execute(query, [most]).fetchone()
    return [f"column `{person}`: a person has more than `rows_per_person` rows"] if found else []


def _faults(read: Source, name: str, variable: Variable) -> list[str]:
    if variable.kind is Kind.BOOLEAN:
        return _fault(read, name, f"lower({{c}}) NOT IN {_TRUE} AND lower({{c}}) NOT IN {_FALSE}", "are no yes or no")
    if variable.kind is Kind.CATEGORY:
        return _fault(read, name, "NOT list_contains($1, {c})", "hold an undeclared level", list(variable.levels))
    number = "TRY_CAST({c} AS DOUBLE)"
    faults = _fault(read, name, f"{{c}} IS NOT NULL AND NOT coalesce(isfinite({number}), FALSE)", "are no number")
    if variable.low is not None:
        faults += _fault(read, name, f"isfinite({number}) AND {number} < $1", "are below the bound", variable.low)
    if variable.high is not None:
        faults += _fault(read, name, f"isfinite({number}) AND {number} > $1", "are above the bound", variable.high)
    return faults


def _fault(read: Source, name: str, condition: str, what: str, *parameters: object) -> list[str]:
    where = condition.replace("{c}", quote(name))
    found = read.connection.execute(f"SELECT count(*) FROM source WHERE {where}", list(parameters)).fetchone()
    return [f"column `{name}`: {found[0]} rows {what}"] if found and found[0] else []


def _check_frozen(home: Path, name: str, source_digest: str) -> None:
    """Where each row is a person, another file would give the same numbers to other people."""
    for path in _folder(home, name).glob("*.json"):
        earlier = load_snapshot(home, name, path.stem)
        if earlier.dictionary.row_is_person and earlier.source_digest != source_digest:
            raise DatasetError(
                "Each row is a person here, and the file is not the one that was imported before.",
                remedy="Use the same file, add this one under a new name, or use `--person COLUMN`.",
            )


def _folder(home: Path, name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        raise DatasetError(
            "A dataset's name has letters, digits, `_` and `-`, at most 64.", remedy="Choose a name such as `patients`."
        )
    return home / "datasets" / name


def _damaged() -> DatasetError:
    return DatasetError("The record of a snapshot is damaged.", remedy="Restore the home folder from your backup.")
