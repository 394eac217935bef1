"""A dataset out of published tables: drafted, approved, asked, and taken up again after a run and its undoing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from sqlalchemy import MetaData, select

import sojourn as sj
from harmonise.clinic import Clinic, vocabulary
from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import DatasetError, DisclosureRefused, HarmonisationError
from sojourn.node.dictionary import Dictionary
from sojourn.node.draft import draft_dictionary
from sojourn.node.harmonise.handing import handed
from sojourn.node.harmonise.publishing import step_back
from sojourn.node.program import functions
from sojourn.omop.person_tables import PERSON, concept_columns, person_table
from sojourn.omop.tables import TABLES
from sojourn.storage.log import log_tables
from sojourn.testbed import Federation

PERSONS = 60


@dataclass
class Ward(Clinic):
    """A clinic whose tables are those of a node."""

    inside: Path = Path()

    @property
    def home(self) -> Path:
        return self.inside


def export(persons: int) -> dict[str, str]:
    """Every second is a woman, every third has pneumonia twice, one in twenty died."""
    numbers = range(persons)
    people = "".join(
        f"{n},{'FM'[n % 2]},01/01/19{40 + n % 50},{'01/01/2020' if n % 20 == 0 else ''}\n" for n in numbers
    )
    stays = "".join(f"{n},a,ward,01/02/2019,10/02/2019\n" for n in numbers)
    ill = "".join(f"{n},a,J18,0{day}/02/2019\n" for n in numbers if n % 3 == 0 for day in (2, 3))
    return {
        "patients": "mrn,sex,born,died\n" + people,
        "stays": "mrn,stay,kind,from,until\n" + stays,
        "diagnoses": "mrn,stay,code,day\n" + ill,
    }


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with Federation({"Hill": {"others": pd.DataFrame({"person_id": range(40), "n": range(40)})}}) as made:
        yield made


@pytest.fixture(scope="module")
def ward(federation: Federation, tmp_path_factory: pytest.TempPathFactory) -> Ward:
    folder = tmp_path_factory.mktemp("ward")
    made = Ward(folder, vocabulary(folder), inside=federation.nodes["Hill"].home.folder)
    made.write(export(PERSONS))
    made.made()
    return made


@pytest.fixture(scope="module")
def dictionary(ward: Ward) -> Dictionary:
    """The draft of `persons`, with the year of birth that a custodian approves."""
    with handed(ward.home, "clinic", "persons") as made:
        draft = draft_dictionary(made.path, PERSON, False, table="people", codes=concept_columns("persons"))
    assert draft.columns["gender_concept_id"] == Variable(Kind.CATEGORY, levels=("8507", "8532"))
    assert draft.columns["died"].kind is Kind.BOOLEAN and draft.columns["conditions"].kind is Kind.NUMBER
    assert "year_of_birth" in draft.excluded  # a custodian decides
    columns = {**draft.columns, "year_of_birth": Variable(Kind.NUMBER, low=1930, high=2000)}
    return replace(draft, columns=columns, excluded=())


def ask(federation: Federation, by: str) -> dict[str, int]:
    plan = sj.Plan(
        table="people", where="conditions >= 1 or conditions < 1", analyses={"n": sj.count(by=by)}, min_sites=1
    )
    return {str(level): int(n) for level, n in federation.run(plan)["n"].table["n"].items()}


def test_a_study_counts_over_harmonised_tables_and_runs_and_undoing_are_taken_up(
    federation: Federation, ward: Ward, dictionary: Dictionary
) -> None:
    node = federation.nodes["Hill"]
    first = node.add_harmonised("clinic", "persons", dictionary)
    assert (first["rows"], first["persons"]) == (PERSONS, PERSONS)
    node.approve("testbed", federation._key.public.hex)
    assert node._polling is not None
    node._polling.link.publish(node.publication())  # as the next turn would, which waits for a long poll to end
    assert ask(federation, "gender_concept_id") == {"8507": PERSONS // 2, "8532": PERSONS // 2}
    ward.write(export(PERSONS + 1))
    ward.run()
    second = node.add_harmonised("clinic", "persons", dictionary)
    assert second["persons"] == PERSONS + 1 and second["snapshot"] != first["snapshot"]
    with pytest.raises(DisclosureRefused):  # one person entered: what is new would tell of them
        ask(federation, "race_concept_id")
    step_back(ward.places, ward.audit)
    assert node.add_harmonised("clinic", "persons", dictionary) == first
    assert ask(federation, "gender_concept_id") == {"8507": PERSONS // 2, "8532": PERSONS // 2}
    entry = log_tables(MetaData()).entry.c
    logged = [json.loads(row["data"]) for row in node.store.rows(select(entry.data))]
    facts = [each["facts"] for each in logged if each["kind"] == "dataset.added"]
    assert facts[-2]["harmonised"] == {"source": "clinic", "snapshot": second["harmonised"], "table": "persons"}


def test_one_row_a_person_counts_what_the_tables_hold(ward: Ward) -> None:
    with handed(ward.home, "clinic", "persons") as made:
        found = duckdb.execute(
            "SELECT count(*), count(DISTINCT person_id), sum(conditions), sum(visits), sum(drugs), "
            f"count(*) FILTER (died), min(observed_days), max(observed_days) FROM '{made.path}'"
        ).fetchone()
        assert found is not None
        path = made.path
    persons = found[0]  # with or without the one that the study's test adds
    assert found == (persons, persons, 2 * -(-persons // 3), persons, 0, -(-persons // 20), 10, 10)
    assert not path.exists()


@pytest.mark.long
@pytest.mark.parametrize("table", sorted(name for name, table in TABLES.items() if table.has(PERSON)))
def test_every_table_of_persons_can_be_read(ward: Ward, table: str) -> None:
    with handed(ward.home, "clinic", table) as made:
        described = duckdb.execute(f"DESCRIBE SELECT * FROM '{made.path}'").fetchall()
    assert [row[0] for row in described] == [column.name for column in TABLES[table].columns]


@pytest.mark.parametrize("table", ["location", "quarantine", "unmapped", "../person", "person; DROP", ""])
def test_no_other_table(table: str) -> None:
    with pytest.raises(HarmonisationError, match="No such table names persons"):
        person_table(table)


@pytest.mark.parametrize("source", ["nowhere", "../datasets", "", "clinic/snapshots"])
def test_no_other_source(ward: Ward, source: str) -> None:
    with pytest.raises(HarmonisationError, match="Nothing is published"), handed(ward.home, source, "person"):
        pass


def test_a_dictionary_of_another_table(federation: Federation, ward: Ward, dictionary: Dictionary) -> None:
    node, path = federation.nodes["Hill"], ward.folder / "people.yaml"
    dictionary.save(path)
    words = {"source": "clinic", "table": "persons", "dictionary": str(path)}
    with pytest.raises(DatasetError, match="of another table"):
        functions(node)["add_harmonised"](**words, name="others")
    with pytest.raises(DatasetError, match="no harmonised table"):
        node.add_harmonised("clinic", "persons", replace(dictionary, person="mrn"))
    with pytest.raises(DatasetError, match=r"has no column .*`conditions`"):
        functions(node)["add_harmonised"](**{**words, "table": "person"}, name="people")
