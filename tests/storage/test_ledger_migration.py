"""A ledger of version 0.1 comes through the migration, and back, with every set whose number was released."""

from __future__ import annotations

import json

import pytest
from pyroaring import BitMap
from sqlalchemy import text

from sojourn.disclosure.ledger import digest
from sojourn.node.program import MIGRATIONS
from sojourn.storage.engine import open_engine
from sojourn.storage.migrate import downgrade, upgrade

SETS = {"population": BitMap(range(100)), "level a": BitMap(range(40)), "count[1]": BitMap(range(100))}
HIDDEN = {"count[0]": BitMap(range(4))}
PARTIAL = {"arrays": {"count": {"dtype": "<i8", "shape": [2], "data": ""}}, "suppressed": {"count": [0]}}
RELEASE = {
    "study": "1" * 32,
    "ask": "5" * 64,
    "answer": json.dumps({"release": {"partial": PARTIAL}}),
    "acknowledged": True,
}
RUN = {
    "study": "1" * 32,
    "nonce": "2" * 32,
    "project": "heart",
    "researcher": "3" * 64,
    "request": "{}",
    "dataset": "patients",
    "snapshot": "4" * 16,
    "admitted": 1.0,
    "ended": "",
}


@pytest.fixture
def engine(databases):
    engine = open_engine(databases.empty())
    yield engine
    engine.dispose()


def test_the_sets_stay(engine):
    upgrade(engine, MIGRATIONS)
    downgrade(engine, MIGRATIONS, "0002")
    with engine.begin() as connection:
        names = ", ".join(RUN)
        connection.execute(text(f"INSERT INTO run ({names}) VALUES ({', '.join(f':{name}' for name in RUN)})"), RUN)
        connection.execute(
            text(
                "INSERT INTO release"
                " (study, analysis, ask, round, sites, reason, answer, tier, note, made, acknowledged)"
                " VALUES (:study, 'm', :ask, 1, '[]', '', :answer, 'low', '', 1.0, :acknowledged)"
            ),
            RELEASE,
        )
        for label, persons in (SETS | HIDDEN).items():
            row = {"study": RUN["study"], "snapshot": RUN["snapshot"], "label": label, "persons": persons.serialize()}
            connection.execute(
                text(
                    "INSERT INTO ledger (study, analysis, snapshot, measure, label, persons)"
                    " VALUES (:study, 'm', :snapshot, '[]', :label, :persons)"
                ),
                row,
            )
    upgrade(engine, MIGRATIONS)
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT dataset, label, digest FROM ledger ORDER BY id")).all()
        kept = dict(connection.execute(text("SELECT digest, persons FROM person_set")).all())
    assert rows == [("patients", label, digest(persons)) for label, persons in SETS.items()]
    assert len(kept) == 2
    assert all(BitMap.deserialize(bytes(kept[digest(persons)])) == persons for persons in SETS.values())
    downgrade(engine, MIGRATIONS, "0002")
    with engine.begin() as connection:
        back = connection.execute(text("SELECT label, persons FROM ledger ORDER BY id")).all()
    assert {label: BitMap.deserialize(bytes(persons)) for label, persons in back} == SETS
