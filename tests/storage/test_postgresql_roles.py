"""The recommended two roles: an owner who migrates, and a program that cannot change what stands in its log."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DatabaseError

from sojourn.errors import ConfigurationError
from sojourn.storage import migrate
from sojourn.storage.engine import open_engine

PACKAGE = "toy_migrations"
ROLE = "toy program"  # a name that must be quoted


@pytest.fixture(scope="module")
def role(postgresql):
    postgresql.run(f'CREATE ROLE "{ROLE}" LOGIN')
    return ROLE


@pytest.fixture
def urls(on_postgresql, postgresql, role):
    """The owner's URL and the program's, of one new database."""
    owner = on_postgresql.empty()
    return owner, postgresql.url(make_url(owner).database, role=role.replace(" ", "%20"))


def test_the_program_works_with_a_role_that_owns_nothing(urls, toy, key):
    owner, program = urls
    with pytest.raises(ConfigurationError, match=r"may not change the tables.*sojourn hub migrate"):
        migrate.open_migrated(program, None, PACKAGE)
    assert migrate.migrate_as_owner(owner, None, PACKAGE, program) == "0002"
    assert migrate.migrate_as_owner(owner, None, PACKAGE, program) == "0002"  # nothing to do
    migrate.open_migrated(program, None, PACKAGE).dispose()
    with toy.open_store(program, key) as store:
        store.write(toy.entry("a"), toy.adding("a"))
        assert store.read(toy.counts) == (1, 1)
        assert store.verify().ok


def test_a_program_behind_its_database_says_who_must_act(urls, toy):
    owner, program = urls
    migrate.migrate_as_owner(owner, None, PACKAGE, program)
    engine = open_engine(owner)
    migrate.downgrade(engine, PACKAGE, "0001")
    engine.dispose()
    with pytest.raises(ConfigurationError, match="sojourn hub migrate"):
        migrate.open_migrated(program, None, PACKAGE)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entry SET study = 'x'",
        "DELETE FROM log_entry",
        "TRUNCATE log_hash",
        "DROP TABLE log_checkpoint",
        "ALTER TABLE log_entry DISABLE TRIGGER ALL",
        "DROP TRIGGER log_entry_append_only ON log_entry",
        "CREATE OR REPLACE FUNCTION log_append_only() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
        "CREATE TRIGGER quiet BEFORE INSERT ON log_entry EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "UPDATE alembic_version SET version_num = '0009'",
        "ALTER TABLE thing ADD COLUMN more TEXT",
        "SET session_replication_role = replica",
    ],
)
def test_another_program_with_that_role_cannot_change_the_log(urls, toy, key, as_stranger, statement):
    """No guard is asked: these are the server's own refusals."""
    owner, program = urls
    migrate.migrate_as_owner(owner, None, PACKAGE, program)
    with toy.open_store(program, key) as store:
        store.write(toy.entry("a"), toy.adding("a"))
        with as_stranger(program) as connection, pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
            connection.exec_driver_sql(statement)
        assert store.verify().ok


def test_the_owners_url_is_of_the_same_database(urls, on_postgresql):
    with pytest.raises(ConfigurationError, match="another database"):
        migrate.migrate_as_owner(on_postgresql.empty(), None, PACKAGE, urls[1])
    with pytest.raises(ConfigurationError, match="SQLite file"):
        migrate.migrate_as_owner(urls[0], None, PACKAGE, "")
