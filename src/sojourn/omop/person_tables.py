"""What of a set of tables can become a dataset: each table of persons as it stands, and one row a person of all."""

from __future__ import annotations

from sojourn.errors import HarmonisationError
from sojourn.omop.identifiers import quoted
from sojourn.omop.tables import TABLES

PERSONS, PERSON = "persons", "person_id"
_COUNTED = {
    "visits": "visit_occurrence",
    "conditions": "condition_occurrence",
    "drugs": "drug_exposure",
    "procedures": "procedure_occurrence",
    "measurements": "measurement",
    "observations": "observation",
}
_KEPT = ("gender_concept_id", "race_concept_id", "ethnicity_concept_id", "year_of_birth")


def person_table(name: str) -> str:
    """The SQL of one: `persons`, or a table of the model that has `person_id`; HarmonisationError for others.

    `persons` has a row a person: sex, race, ethnicity and year of birth, whether a death is known, how many rows the
    tables of events hold of them, and for how many days they are observed. Rows have the same order each time.
    """
    if name == PERSONS:
        return _persons()
    table = TABLES.get(name)
    if table is None or not table.has(PERSON):
        known = ", ".join(each.name for each in TABLES.values() if each.has(PERSON))
        raise HarmonisationError("No such table names persons.", remedy=f"Choose `{PERSONS}`, or one of: {known}.")
    columns = ", ".join(quoted(column.name) for column in table.columns)
    return f"SELECT {columns} FROM {quoted(name)} ORDER BY {PERSON}, {columns}"


def concept_columns(name: str) -> frozenset[str]:
    """Those of its columns that hold concepts' ids: numbers that name something, and are never summed."""
    table = TABLES["person"] if name == PERSONS else TABLES[name]
    return frozenset(column.name for column in table.columns if column.is_concept)


def _persons() -> str:
    kept = ", ".join(f"p.{column}" for column in _KEPT)
    counts = ", ".join(f"coalesce({name}.n, 0) AS {name}" for name in _COUNTED)
    joins = " ".join(
        f"LEFT JOIN (SELECT {PERSON}, count(*) AS n FROM {table} GROUP BY 1) AS {name} USING ({PERSON})"
        for name, table in _COUNTED.items()
    )
    days = "sum(observation_period_end_date - observation_period_start_date + 1)"
    return (
        f"SELECT {PERSON}, {kept}, death.{PERSON} IS NOT NULL AS died, {counts}, "
        f"coalesce(observed.n, 0) AS observed_days FROM person AS p "
        f"LEFT JOIN (SELECT DISTINCT {PERSON} FROM death) AS death USING ({PERSON}) {joins} "
        f"LEFT JOIN (SELECT {PERSON}, CAST({days} AS BIGINT) AS n FROM observation_period GROUP BY 1) AS observed "
        f"USING ({PERSON}) ORDER BY {PERSON}"
    )
