"""Tables and views of the site's databases as sources: SQLite, DuckDB, and a real PostgreSQL server."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from postgresql_server import PASSWORD, ROLE, Server
from sojourn.errors import ConfigurationError, HarmonisationError, SojournError
from sojourn.node.config import NodeHome
from sojourn.node.harmonise import databases_files, databases_postgresql, running
from sojourn.node.harmonise.databases import Database, databases_of
from sojourn.node.harmonise.explaining import explain
from sojourn.node.harmonise.explaining import words as told
from sojourn.node.harmonise.passing import Asked, Read, write
from sojourn.node.harmonise.passing import lines as csv_lines
from sojourn.node.harmonise.publishing import manifest_of
from sojourn.omop.plan import Plan

KINDS = ("sqlite", "duckdb", "postgresql")
SECRET = "Borgo-Pio-4711"  # a value of a record: no error says it
TABLES = PLAN.replace("path: patients.csv", "database: his, table: patients")
TABLES = TABLES.replace("path: stays.csv", "database: his, table: stays")
TABLES = TABLES.replace("path: diagnoses.csv", "database: his, table: main.diagnoses")


class Store:
    """A database with the clinic's tables. run: any statement there."""

    def __init__(self, kind: str, folder: Path, server: Server | None) -> None:
        self.kind = kind
        if server is None:
            path = folder / f"his.{kind}"
            self.database = Database("his", file=path)
            self._connect: Callable[[], Any] = lambda: (
                sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(path)
            )
        else:
            url = server.database()
            self.database = Database("his", url=url)
            self._connect = lambda: psycopg.connect(url, autocommit=True)
            self.run("CREATE SCHEMA main")
        for name, text in FILES.items():
            self.make(f"main.{name}" if name == "diagnoses" else name, text)

    def run(self, *statements: str) -> None:
        connection = self._connect()
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def make(self, table: str, text: str) -> None:
        head, *rows = text.splitlines()
        columns = ", ".join(f'"{name}" TEXT' for name in head.split(","))
        values = ", ".join(
            "(" + ", ".join(f"'{cell}'" if cell else "NULL" for cell in row.split(",")) + ")" for row in rows
        )
        self.run(f"CREATE TABLE {table} ({columns})", f"INSERT INTO {table} VALUES {values}")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(
        request.param, tmp_path, request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    )


@pytest.fixture
def on_server(tmp_path: Path, postgresql: Server) -> Store:
    return Store("postgresql", tmp_path, postgresql)


def _clinic(folder: Path, warehouse: Path, store: Store) -> Clinic:
    clinic = Clinic(folder, warehouse, TABLES, databases={"his": store.database})
    clinic.export.mkdir()
    return clinic


def test_tables_give_what_the_same_rows_as_files_give(tmp_path: Path, warehouse: Path, store: Store) -> None:
    clinic = _clinic(tmp_path, warehouse, store)
    clinic.made()
    files = Clinic(tmp_path / "files", warehouse)
    files.folder.mkdir()
    files.write()
    files.made()
    for table, columns in {
        "person": "gender_concept_id, year_of_birth, birth_datetime",
        "death": "death_date",
        "visit_occurrence": "visit_concept_id, visit_start_date, visit_end_date",
        "condition_occurrence": "condition_concept_id, condition_start_date, visit_occurrence_id IS NULL",
        "observation_period": "observation_period_start_date, observation_period_end_date",
        "unmapped": "*",
    }.items():
        assert clinic.rows(table, columns) == files.rows(table, columns), table
    assert manifest_of(clinic.places)["files"]["diagnoses"]["path"] == "his: main.diagnoses"
    said = told(explain(clinic.places, clinic.warehouse, "condition_occurrence.condition_concept_id", None))
    assert any("from `code` of his: main.diagnoses" in line for line in said)
    row = clinic.rows("condition_occurrence", "condition_occurrence_id")[0][0]
    said = told(
        explain(
            clinic.places,
            clinic.warehouse,
            "condition_occurrence.condition_concept_id",
            None,
            row=row,
            audit=clinic.audit,
        )
    )
    assert any(line.startswith("That table's rows had the digest") for line in said) and "file" not in str(said)
    assert not list(clinic.places.work.glob("tables-*"))


def test_an_unchanged_table_makes_nothing_again_whatever_the_order_of_its_rows(
    tmp_path: Path, warehouse: Path, store: Store
) -> None:
    clinic = _clinic(tmp_path, warehouse, store)
    first = clinic.made()
    store.run(
        "CREATE TABLE again AS SELECT * FROM main.diagnoses ORDER BY code DESC",
        "DELETE FROM main.diagnoses",
        "INSERT INTO main.diagnoses SELECT * FROM again ORDER BY day",
    )
    second = clinic.run()
    assert (second.snapshot, second.published, second.made) == (first.snapshot, False, 0)
    before = clinic.everything()
    shutil.rmtree(clinic.places.steps)  # made again of the other order, rows have the numbers that they had
    assert clinic.run().snapshot == first.snapshot
    assert _conditions(clinic) == before["condition_occurrence"]
    store.run("INSERT INTO main.diagnoses VALUES ('3', NULL, 'J18', '02/01/2024')")
    third = clinic.run()
    after = clinic.everything()
    assert third.published and 0 < third.made < first.made + first.found
    assert {name for name in after if after[name] != before[name]} == {
        "condition_occurrence",
        "condition_era",
        "observation_period",
    }


def _conditions(clinic: Clinic) -> list[tuple[Any, ...]]:
    """What the steps hold, which are made anew, and not the published files."""
    step = [
        path for path in clinic.places.steps.glob("*/rows.parquet") if "condition_status_concept_id" in _facts(path)
    ]
    with duckdb.connect() as connection:
        listed = [str(path) for path in step]
        return connection.execute("SELECT * EXCLUDE (_record) FROM read_parquet($1) ORDER BY ALL", [listed]).fetchall()


def _facts(path: Path) -> str:
    return (path.parent / "step.json").read_text()


def test_a_view_is_a_table(tmp_path: Path, warehouse: Path, store: Store) -> None:
    store.run("CREATE VIEW main.ill AS SELECT * FROM main.diagnoses WHERE code = 'J18'")
    clinic = _clinic(tmp_path, warehouse, store)
    clinic.plan = TABLES.replace("main.diagnoses", "main.ill")
    clinic.made()
    assert {value for (value,) in clinic.rows("condition_occurrence", "condition_source_value")} == {"J18"}


def test_texts_of_any_signs_arrive_as_they_are(tmp_path: Path, warehouse: Path, store: Store) -> None:
    odd = ['a"b', "c,d", "e\nf", "g\r\nh", "è ☃", "\\N", "'", "\t", '""', " i "]
    quoted = ", ".join("('1', NULL, '" + text.replace("'", "''") + "', '02/02/2019')" for text in odd)
    store.run("DELETE FROM main.diagnoses", f"INSERT INTO main.diagnoses VALUES {quoted}")
    clinic = _clinic(tmp_path, warehouse, store)
    clinic.made()
    found = [value for (value,) in clinic.rows("condition_occurrence", "condition_source_value")]
    assert sorted(found) == sorted(odd)
    assert all(reason == "unknown code" for (reason,) in clinic.rows("unmapped", "reason"))


def test_types_become_texts_of_one_form(tmp_path: Path, warehouse: Path, on_server: Store) -> None:
    on_server.run(
        "DROP TABLE patients",
        "CREATE TABLE patients (mrn BIGINT, sex CHAR(3), born DATE, died TIMESTAMPTZ)",
        "INSERT INTO patients VALUES (1, 'F', '1960-02-29', NULL), (2, 'M', '1971-04-03', '2020-06-05 10:00+02')",
        "ALTER ROLE sojourn SET DateStyle = 'German'",
    )
    clinic = _clinic(tmp_path, warehouse, on_server)
    clinic.plan = TABLES.replace("dates:\n", "dates:\n  iso: {form: '%Y-%m-%d', answered: them}\n"
                                 "  at: {form: '%Y-%m-%d %H:%M:%S%z', answered: them}\n")  # fmt: skip
    clinic.plan = clinic.plan.replace("born, form: day", "born, form: iso").replace("died, form: day", "died, form: at")
    try:
        clinic.made()
    finally:
        on_server.run("ALTER ROLE sojourn RESET DateStyle")
    assert [str(day) for (day,) in clinic.rows("person", "birth_datetime::DATE")] == ["1960-02-29", "1971-04-03"]
    assert [str(when) for (when,) in clinic.rows("death", "death_datetime")] == ["2020-06-05 10:00:00"]


def test_all_tables_of_a_server_are_of_one_moment(
    tmp_path: Path, warehouse: Path, on_server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is committed between the first table and the last is not there."""
    clinic = _clinic(tmp_path, warehouse, on_server)
    reader = databases_postgresql._table

    def slowly(connection: Any, name: str, asked: Asked, folder: Path) -> Read:
        found = reader(connection, name, asked, folder)
        if asked.name == "patients":  # the first
            on_server.run("INSERT INTO main.diagnoses VALUES ('4', NULL, 'J18', '02/02/2019')")
            on_server.run("INSERT INTO patients VALUES ('4', 'F', '01/01/1990', NULL)")
        return found

    monkeypatch.setattr(databases_postgresql, "_table", slowly)
    report = running.pilot(clinic.work, 1.0)
    assert report["files"]["diagnoses"]["records"] == 4
    assert not [each for each in report["aside"] if each["reason"] == "unknown person"]


def test_all_tables_of_an_sqlite_file_are_of_one_moment(
    tmp_path: Path, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("sqlite", tmp_path, None)
    store.run("PRAGMA journal_mode = wal")  # in which others write while it is read
    clinic = _clinic(tmp_path, warehouse, store)
    reader = databases_files._of_sqlite

    def slowly(lite: Any, name: str, asked: Asked, folder: Path) -> Read:
        found = reader(lite, name, asked, folder)
        store.run("INSERT INTO main.diagnoses VALUES ('1', NULL, 'J18', '02/02/2019')")
        return found

    monkeypatch.setattr(databases_files, "_of_sqlite", slowly)
    assert running.pilot(clinic.work, 1.0)["files"]["diagnoses"]["records"] == 4


def test_a_connection_lost_midway_changes_nothing_and_says_so(
    tmp_path: Path, warehouse: Path, on_server: Store, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_server.run(
        "INSERT INTO main.diagnoses SELECT '1', NULL, '" + SECRET + "', '02/02/2019' FROM generate_series(1, 300000)"
    )
    clinic = _clinic(tmp_path, warehouse, on_server)
    rows = databases_postgresql._rows

    def cut(connection: Any, sql: str) -> Any:
        for place, row in enumerate(rows(connection, sql)):
            if place == 1000:
                postgresql.run(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
            yield row

    monkeypatch.setattr(databases_postgresql, "_rows", cut)
    with pytest.raises(HarmonisationError, match="`his` was lost while it was read") as caught:
        running.pilot(clinic.work, 1.0)
    assert SECRET not in _all_said(caught.value) and "run again" in caught.value.remedy
    monkeypatch.undo()
    assert running.pilot(clinic.work, 1.0)["files"]["diagnoses"]["records"] == 300004


def _all_said(error: BaseException | None) -> str:
    """An error with all that led to it and is not held back."""
    said = ""
    while error is not None:
        said += f"{error!r} {getattr(error, 'remedy', '')}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said


def test_a_login_that_fails_tells_neither_password_nor_server_words(
    tmp_path: Path, warehouse: Path, on_server: Store, postgresql: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clinic = _clinic(tmp_path, warehouse, on_server)
    name = (
        on_server.database.url.rsplit("/", 1)[0] and psycopg.conninfo.conninfo_to_dict(on_server.database.url)["dbname"]
    )
    secret = tmp_path / "his.password"
    secret.touch(mode=0o600)
    secret.write_text("guessed-wrong\n")
    by_network = Database("his", url=postgresql.url_by_network(str(name)), password_file=secret)
    clinic.databases = {"his": by_network}
    with pytest.raises(HarmonisationError, match="does not accept its reader's login") as caught:
        running.pilot(clinic.work, 1.0)
    assert "guessed-wrong" not in _all_said(caught.value) + caplog.text
    secret.write_text(f"{PASSWORD}\n")
    assert running.pilot(clinic.work, 1.0)["tables"]["person"]["rows"] == 3
    secret.chmod(0o644)
    with pytest.raises(ConfigurationError, match="can be read by others") as loose:
        running.pilot(clinic.work, 1.0)
    assert "sources.his.password_file" in loose.value.remedy
    for url, said in {
        f"postgresql://{ROLE}:{PASSWORD.replace(' ', '%20')}@127.0.0.1/x": "holds a password",
        f"postgresql://{ROLE}@127.0.0.1/x?options=-c%20search_path%3Dother": "words that are not for it",
        "mysql://somebody@127.0.0.1/x": "no URL of a PostgreSQL database",
        "postgresql://somebody@127.0.0.1": "no URL of a PostgreSQL database",
        postgresql.url_by_network("nowhere"): "does not accept its reader's login",  # it is given no password
        postgresql.url("nowhere"): "is not there, or has no such role",
        f"postgresql://{ROLE}@127.0.0.1:1/x": "cannot be reached",
    }.items():
        clinic.databases = {"his": replace(by_network, url=url, password_file=None)}
        with pytest.raises(SojournError, match=said) as refused:
            running.pilot(clinic.work, 1.0)
        assert PASSWORD not in _all_said(refused.value) and "horse" not in _all_said(refused.value)


def test_a_missing_column_table_or_database_is_named(tmp_path: Path, warehouse: Path, store: Store) -> None:
    clinic = _clinic(tmp_path, warehouse, store)
    for before, after, said in (
        ("table: stays", "table: stay", "no table or view `stay` that may be read, for `stays`"),
        ("table: stays", "table: nowhere.stays", "no table or view `nowhere.stays`"),
        (
            "{code: code, vocabulary",
            "{code: diagnosis, vocabulary",
            "table `main.diagnoses` does not have: `diagnosis`",
        ),
        ("{code: code, vocabulary", "{code: Code, vocabulary", "does not have: `Code`"),
        ("database: his, table: stays", "database: hers, table: stays", "database `hers` that this site has not named"),
    ):
        clinic.plan = TABLES.replace(before, after)
        with pytest.raises(HarmonisationError, match=said.replace(".", r"\.")) as caught:
            running.pilot(clinic.work, 1.0)
        assert caught.value.remedy


def test_what_a_view_cannot_compute_is_told_without_its_values(
    tmp_path: Path, warehouse: Path, on_server: Store
) -> None:
    on_server.run(
        f"INSERT INTO main.diagnoses VALUES ('1', NULL, '{SECRET}', '02/02/2019')",
        "CREATE VIEW main.broken AS SELECT mrn, stay, code, (CAST(code AS DATE))::text AS day FROM main.diagnoses",
    )
    clinic = _clinic(tmp_path, warehouse, on_server)
    clinic.plan = TABLES.replace("main.diagnoses", "main.broken")
    with pytest.raises(HarmonisationError, match=r"could not give the rows of `main\.broken`") as caught:
        running.pilot(clinic.work, 1.0)
    assert SECRET not in _all_said(caught.value) and "S82" not in _all_said(caught.value)


def test_a_reader_without_the_right_to_select(
    tmp_path: Path, warehouse: Path, on_server: Store, postgresql: Server
) -> None:
    postgresql.run("DROP ROLE IF EXISTS reader")
    postgresql.run("CREATE ROLE reader LOGIN")
    clinic = _clinic(tmp_path, warehouse, on_server)
    clinic.databases = {"his": replace(on_server.database, url=on_server.database.url.replace(f"{ROLE}@", "reader@"))}
    with pytest.raises(HarmonisationError, match="no table or view `patients` that may be read"):
        running.pilot(clinic.work, 1.0)


def test_a_file_that_is_none_or_in_use(tmp_path: Path, warehouse: Path, store: Store) -> None:
    if store.kind == "postgresql":
        pytest.skip("no file")
    clinic = _clinic(tmp_path, warehouse, store)
    path = store.database.file
    assert path is not None
    if store.kind == "sqlite":
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HarmonisationError, match="another program is writing"):
            running.pilot(clinic.work, 1.0)
        writer.close()
    path.write_bytes(path.read_bytes()[:700] + b"\x00" * 100)
    with pytest.raises(HarmonisationError, match=r"cannot be opened|could not give|no table or view"):
        running.pilot(clinic.work, 1.0)
    path.write_text("mrn,sex\n1,F\n")
    with pytest.raises(HarmonisationError, match="neither SQLite nor DuckDB"):
        running.pilot(clinic.work, 1.0)
    path.unlink()
    with pytest.raises(HarmonisationError, match="cannot be read"):
        running.pilot(clinic.work, 1.0)


def test_what_is_no_utf8_in_sqlite_is_kept_aside(tmp_path: Path, warehouse: Path) -> None:
    store = Store("sqlite", tmp_path, None)
    store.run("INSERT INTO diagnoses VALUES ('1', NULL, CAST(x'636166e9' AS TEXT), '02/02/2019')")
    clinic = _clinic(tmp_path, warehouse, store)
    clinic.made()
    assert ("diagnoses", "his: main.diagnoses", None, "wrong encoding") in clinic.rows(
        "quarantine", "file, path, line, reason"
    )


def test_settings_name_databases(tmp_path: Path) -> None:
    home = NodeHome(tmp_path, "Hill", sources={"lab": {"file": "lab.sqlite"}, "his": {"url": "postgresql://a@b/c"}})
    assert databases_of(home) == {
        "lab": Database("lab", file=tmp_path / "lab.sqlite"),
        "his": Database("his", url="postgresql://a@b/c"),
    }
    home.save()
    assert NodeHome.load(tmp_path).sources == home.sources
    for words in ({}, {"file": "x", "url": "y"}, {"password_file": "x"}, {"url": "y", "password": "horse"}):
        with pytest.raises(ConfigurationError, match=r"`sources\.lab` needs `file`, or `url`") as caught:
            databases_of(replace(home, sources={"lab": words}))
        assert "horse" not in _all_said(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("{database: his}", "give `path`, or `database` and `table`"),
        ("{table: t}", "give `path`, or `database` and `table`"),
        ("{path: a.csv, database: his, table: t}", "give `path`, or `database` and `table`"),
        ("{database: his, table: a.b.c}", "table"),
        ("{database: his, table: t, delimiter: ';'}", "belong to files"),
        ("{database: 'postgresql://a:b@c/d', table: t}", "database"),
    ],
)
def test_a_source_is_files_or_a_table(words: str, said: str) -> None:
    with pytest.raises(HarmonisationError, match=said):
        Plan.from_yaml(PLAN.replace("{path: diagnoses.csv, person: mrn}", words))


CELLS = st.none() | st.binary(max_size=4)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2)), st.randoms())
def test_the_digest_of_rows_is_of_the_rows_and_not_of_their_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[bytes | None]], chance: Any
) -> None:
    folder = tmp_path_factory.mktemp("passing")
    asked = Asked("t", "t", ("a", "b"))

    def digest(given: list[list[bytes | None]]) -> str:
        return write(asked, csv_lines(given), folder).digest

    mixed = list(rows)
    chance.shuffle(mixed)
    assert digest(mixed) == digest(rows)
    assert digest([*rows, [b"x", None]]) != digest(rows)
    if rows:
        assert digest(rows[1:]) != digest(rows)
        changed = [[*rows[0][:1], (rows[0][1] or b"") + b"x"], *rows[1:]]
        assert digest(changed) != digest(rows)
        assert write(Asked("t", "t", ("a", "c")), csv_lines(rows), folder).digest != digest(rows)
