"""Hashes of tables: those of a slow reading in Python; order and files change nothing, any change of a row does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harmonise.clinic import Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.hashing import table_hashes
from sojourn.node.harmonise.publishing import history, manifest_of
from sojourn.omop.tables import TABLES


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("hashes")
    clinic = Clinic(folder, vocabulary(folder))
    clinic.write()
    clinic.made()
    return clinic


def written(value: Any) -> str:
    text = str(value)
    return "-" if value is None else f"{len(text.encode())}:{text}"


def slowly(rows: Iterable[tuple[Any, ...]]) -> str:
    hashes = sorted(hashlib.sha256("".join(map(written, row)).encode()).hexdigest() for row in rows)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def columns(table: str) -> str:
    return ", ".join(f'"{column.name}"' for column in TABLES[table].columns)


def test_each_hash_is_that_of_the_rows_read_in_python(done: Clinic) -> None:
    hashes = table_hashes(done.places)
    assert set(hashes) == set(manifest_of(done.places)["tables"]) and "person" in hashes
    assert hashes == {table: slowly(done.rows(table, columns(table))) for table in hashes}
    assert len(set(hashes.values())) > 5
    assert hashes == table_hashes(done.places, history(done.places).current)


def rewritten(done: Clinic, *queries: str) -> str:
    """The hash of persons where their file holds, in as many files, what those queries of it give."""
    folder = done.places.snapshots / history(done.places).current / "person"
    (path,) = folder.iterdir()
    kept = path.read_bytes()
    path.unlink()
    source = done.folder / "kept.parquet"
    source.write_bytes(kept)
    made: list[Path] = []
    try:
        with duckdb.connect() as connection:
            connection.execute(f"CREATE VIEW person AS FROM read_parquet('{source}')")
            for number, query in enumerate(queries):
                made.append(folder / f"{number:04}.parquet")
                connection.execute(f"COPY ({query}) TO '{made[-1]}' (FORMAT parquet)")
        return table_hashes(done.places)["person"]
    finally:
        for each in made:
            each.unlink()
        path.write_bytes(kept)


def test_order_and_files_change_nothing_and_any_row_does(done: Clinic) -> None:
    whole = table_hashes(done.places)["person"]
    assert rewritten(done, "FROM person ORDER BY person_id DESC") == whole
    least = "(SELECT min(person_id) FROM person)"
    assert rewritten(done, f"FROM person WHERE person_id > {least}", f"FROM person WHERE person_id = {least}") == whole
    changed = (
        "SELECT * REPLACE (year_of_birth + 1 AS year_of_birth) FROM person",
        f"FROM person WHERE person_id > {least}",
        f"FROM person UNION ALL FROM person WHERE person_id = {least}",
        "SELECT * REPLACE (coalesce(race_source_value, '') AS race_source_value) FROM person",  # nothing is no text
    )
    hashes = [rewritten(done, query) for query in changed]
    assert len({whole, *hashes}) == len(changed) + 1
    assert table_hashes(done.places)["person"] == whole


def test_fields_do_not_run_into_each_other(done: Clinic) -> None:
    ways = (("1-", "b"), ("1", "-b"))  # with what is empty between them the same letters
    hashes = {
        rewritten(
            done,
            f"SELECT * REPLACE ('{first}' AS race_source_value, NULL AS race_source_concept_id, "
            f"'{second}' AS ethnicity_source_value) FROM person",
        )
        for first, second in ways
    }
    assert len(hashes) == len(ways)


def test_a_snapshot_that_is_not_there(done: Clinic) -> None:
    with pytest.raises(HarmonisationError, match="no such snapshot"):
        table_hashes(done.places, "0" * 16)
    assert not list(done.places.folder.glob("hashing-*"))
    assert json.loads(done.places.current.read_text())
