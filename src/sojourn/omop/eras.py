"""What is derived from other tables: observation periods, condition, drug and dose eras. SQL over the model's tables.

Eras by the OHDSI convention: rows of one concept belong together while no more than so many days lie between the end
of what came before and the next start; a row without an end lasts one day. Numbers follow from person, concept and
start, so that each run gives the same.
"""

from __future__ import annotations

from sojourn.omop.identifiers import literal
from sojourn.omop.plan import Plan
from sojourn.omop.tables import CDM_CONCEPT, TABLES, VERSION

# The first 63 bits of the MD5, by the engine's function for all 128: that for 64 takes three times as long.
_NUMBER = "CAST(md5_number(concat_ws('|', {words})) >> 65 AS BIGINT)"
_MERGED = """\
SELECT {by}, min(start) AS start, max(stop) AS stop, sum(times) AS times, sum(covered) AS covered
FROM (
  SELECT *, sum(CAST(before IS NULL OR start > before + {gap} AS INTEGER)) OVER (
    PARTITION BY {by} ORDER BY start ROWS UNBOUNDED PRECEDING) AS era
  FROM (
    SELECT *, max(stop) OVER (PARTITION BY {by} ORDER BY start
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
      SELECT {by}, start, max(stop) AS stop, sum(times) AS times, sum(covered) AS covered
      FROM ({spans}) GROUP BY {by}, start
    )
  )
) GROUP BY {by}, era"""  # one row a start: equal ones would stand in another order in each window
_OF_CONCEPT, _OF_DOSE = "person_id, concept_id", "person_id, concept_id, unit, dose"
_UNTIL = (
    "coalesce(e.drug_exposure_end_date, e.drug_exposure_start_date + CAST(e.days_supply AS INTEGER),\n"
    "    e.drug_exposure_start_date + 1)"
)
# Of each drug and ingredient the one amount in a piece; a concentration says nothing without a volume.
AMOUNTS = (
    "SELECT drug_concept_id AS drug, ingredient_concept_id AS ingredient, min(amount_value) AS amount,\n"
    "    min(amount_unit_concept_id) AS unit FROM vocabulary.drug_strength\n"
    "  WHERE amount_value > 0 AND amount_unit_concept_id IS NOT NULL AND coalesce(invalid_reason, '') = ''\n"
    "  GROUP BY ALL HAVING min(amount_value) = max(amount_value)\n"
    "    AND min(amount_unit_concept_id) = max(amount_unit_concept_id)"
)


def observation_periods(plan: Plan) -> str:
    """One period a person: from the first to the last day of the tables that the plan names."""
    assert plan.observation_period is not None
    spans = []
    for name in plan.observation_period.tables:
        dated = [column.name for column in TABLES[name].columns if column.type == "DATE"]
        end = next((column for column in dated if column.endswith("end_date")), dated[0])
        spans.append(f"SELECT person_id, {dated[0]} AS start, coalesce({end}, {dated[0]}) AS stop FROM {name}")
    return (
        "SELECT person_id AS observation_period_id, person_id, min(start) AS observation_period_start_date,\n"
        "  max(stop) AS observation_period_end_date,\n"
        f"  CAST({plan.observation_period.type} AS BIGINT) AS period_type_concept_id\n"
        f"FROM ({' UNION ALL '.join(spans)}) GROUP BY person_id"
    )


def condition_eras(plan: Plan) -> str:
    """Of every condition with a concept."""
    spans = (
        "SELECT person_id, condition_concept_id AS concept_id, condition_start_date AS start,\n"
        "  coalesce(condition_end_date, condition_start_date + 1) AS stop, 1 AS times, 0 AS covered\n"
        "FROM condition_occurrence WHERE condition_concept_id <> 0"
    )
    number = _NUMBER.format(words="'condition_era', person_id, concept_id, start")
    return (
        f"SELECT {number} AS condition_era_id, person_id, concept_id AS condition_concept_id,\n"
        "  start AS condition_era_start_date, stop AS condition_era_end_date,\n"
        "  CAST(times AS BIGINT) AS condition_occurrence_count\n"
        f"FROM ({_MERGED.format(by=_OF_CONCEPT, spans=spans, gap=plan.eras.condition_gap)})"
    )


def drug_eras(plan: Plan) -> str:
    """Of every ingredient that the vocabulary names for a drug; gap_days: days of the era that no exposure covers."""
    spans = (
        "SELECT e.person_id, i.ingredient AS concept_id, e.drug_exposure_start_date AS start,\n"
        f"  {_UNTIL} AS stop, 1 AS times, 0 AS covered\n"
        "FROM drug_exposure AS e JOIN (\n"
        "  SELECT a.descendant_concept_id AS drug, a.ancestor_concept_id AS ingredient\n"
        "  FROM vocabulary.concept_ancestor AS a JOIN vocabulary.concept AS c ON c.concept_id = a.ancestor_concept_id\n"
        "  WHERE c.concept_class_id = 'Ingredient' AND c.standard_concept = 'S'\n"
        "  UNION SELECT concept_id, concept_id FROM vocabulary.concept\n"
        "  WHERE concept_class_id = 'Ingredient' AND standard_concept = 'S'\n"
        ") AS i ON i.drug = e.drug_concept_id"
    )
    together = _MERGED.format(by=_OF_CONCEPT, spans=spans, gap=0)
    covered = f"SELECT person_id, concept_id, start, stop, times, stop - start AS covered FROM ({together})"
    number = _NUMBER.format(words="'drug_era', person_id, concept_id, start")
    return (
        f"SELECT {number} AS drug_era_id, person_id, concept_id AS drug_concept_id, start AS drug_era_start_date,\n"
        "  stop AS drug_era_end_date, CAST(times AS BIGINT) AS drug_exposure_count,\n"
        "  CAST((stop - start) - covered AS BIGINT) AS gap_days\n"
        f"FROM ({_MERGED.format(by=_OF_CONCEPT, spans=covered, gap=plan.eras.drug_gap)})"
    )


def dose_eras(plan: Plan) -> str:
    """Of every ingredient in an exposure whose daily amount is known: quantity times amount, by the days of supply.

    Where days of supply are missing they are those from start to end, both counted. Exposures at another daily amount
    are other eras, also where they overlap: nothing is added up. Source: OHDSI CDM, DRUG_STRENGTH and DOSE_ERA.
    """
    days = (
        "coalesce(CASE WHEN e.days_supply > 0 THEN e.days_supply END,\n"
        "    e.drug_exposure_end_date - e.drug_exposure_start_date + 1)"
    )
    spans = (
        "SELECT e.person_id, a.ingredient AS concept_id, a.unit AS unit,\n"
        f"  round(e.quantity * a.amount / {days}, 6) AS dose,\n"
        f"  e.drug_exposure_start_date AS start, {_UNTIL} AS stop, 1 AS times, 0 AS covered\n"
        f"FROM drug_exposure AS e JOIN (\n  {AMOUNTS}\n) AS a ON a.drug = e.drug_concept_id\n"
        "WHERE e.quantity > 0"
    )
    number = _NUMBER.format(words="'dose_era', person_id, concept_id, unit, dose, start")
    return (
        f"SELECT {number} AS dose_era_id, person_id, concept_id AS drug_concept_id, unit AS unit_concept_id,\n"
        "  dose AS dose_value, start AS dose_era_start_date, stop AS dose_era_end_date\n"
        f"FROM ({_MERGED.format(by=_OF_DOSE, spans=spans, gap=plan.eras.drug_gap)})"
    )


def doses_told() -> str:
    """How many exposures there are, and of how many the daily amount of some ingredient is known."""
    return (
        "SELECT count(*), count(*) FILTER (quantity > 0 AND drug_concept_id IN "
        f"(SELECT drug FROM ({AMOUNTS}))) FROM drug_exposure"
    )


def cdm_source(plan: Plan, released: str, vocabulary: str, software: str) -> str:
    """The one row that says what this is. released: the day on which the plan was signed."""
    about = plan.about
    words = {
        "cdm_source_name": literal(about.name),
        "cdm_source_abbreviation": literal(about.abbreviation),
        "cdm_holder": literal(about.holder),
        "source_description": literal(about.description),
        "source_documentation_reference": literal(about.documentation),
        "cdm_etl_reference": literal(f"Sojourn {software}, plan {plan.digest()}"),
        "source_release_date": f"DATE '{about.released}'",
        "cdm_release_date": f"DATE '{released}'",
        "cdm_version": literal(VERSION),
        "cdm_version_concept_id": f"CAST({CDM_CONCEPT} AS BIGINT)",
        "vocabulary_version": literal(vocabulary),
    }
    return "SELECT " + ", ".join(f"{sql} AS {name}" for name, sql in words.items())


def metadata(plan: Plan, released: str, vocabulary: str, software: str) -> str:
    """Rows for who reads the tables without us: by which plan, software and vocabulary they were made."""
    facts = {
        "CDM version": VERSION,
        "Harmonisation plan (SHA-256)": plan.digest(),
        "Software": f"Sojourn {software}",
        "Vocabulary": vocabulary,
        "Time zone": plan.time_zone,
    }
    rows = ", ".join(
        f"({number}, {literal(name)}, {literal(said)})" for number, (name, said) in enumerate(facts.items(), 1)
    )
    return (
        "SELECT CAST(number AS BIGINT) AS metadata_id, CAST(0 AS BIGINT) AS metadata_concept_id,\n"
        "  CAST(0 AS BIGINT) AS metadata_type_concept_id, name, said AS value_as_string,\n"
        "  CAST(NULL AS BIGINT) AS value_as_concept_id, CAST(NULL AS DOUBLE) AS value_as_number,\n"
        f"  DATE '{released}' AS metadata_date, CAST(NULL AS TIMESTAMP) AS metadata_datetime\n"
        f"FROM (VALUES {rows}) AS facts(number, name, said)"
    )
