"""What each distinct name of a medicine becomes: the SQL of a small table, made once for all rows that hold the name.

A decision of the plan comes first; then the vocabulary's standard drug of that very name; then the one Clinical Drug
with these ingredients in these strengths and this form; else each ingredient. Strengths are compared as
`medicines.normal` gives them, forms by the dose form's own name where it stands in the text, else by our word for it.
"""

from __future__ import annotations

from sojourn.omop.codes import decided_sql
from sojourn.omop.expression import compiled
from sojourn.omop.identifiers import ORDINALS, literal, quoted
from sojourn.omop.medicines import MEDICINE
from sojourn.omop.plan import Plan, Rule

RXNORM = "('RxNorm', 'RxNorm Extension')"
AS_INGREDIENT, AS_DRUG, AS_DECIDED = "ingredient", "drug", "decision"
UNIT_COLUMNS = ("concept_id", "base", "factor")  # of `medicine_units`: units of strengths, in base units
FORM_COLUMNS = ("concept_id", "name", "form")  # of `medicine_forms`: dose forms, with our word for each

_WANTED = """\
SELECT {name} AS name, {strength} AS strength, {form} AS form, {text} AS code, count(*) AS rows
FROM stage_{file} AS r{where} GROUP BY ALL"""

_CODES = """\
WITH standard AS NOT MATERIALIZED (
  SELECT concept_id, concept_name, domain_id, concept_class_id, vocabulary_id FROM vocabulary.concept
  WHERE standard_concept = 'S' AND coalesce(invalid_reason, '') = ''
), decided AS (
  SELECT a._record, d.concept_id FROM names_{rule} AS a
  JOIN ({decided}) AS d(code, vocabulary, concept_id) ON d.code = a.code AND d.vocabulary = {medicine}
), named AS (
  SELECT a._record, any_value(s.concept_id) AS concept_id FROM names_{rule} AS a
  JOIN standard AS s ON lower(s.concept_name) = lower(a.code) AND s.domain_id = 'Drug' AND s.vocabulary_id IN {rxnorm}
  WHERE a._record NOT IN (SELECT _record FROM decided)
  GROUP BY a._record HAVING count(*) = 1
), part AS (
  SELECT _record, len(parts) AS parts, unnest(parts, recursive := true) FROM names_{rule}
  WHERE reason IS NULL AND _record NOT IN (SELECT _record FROM decided UNION ALL SELECT _record FROM named)
), strength AS (
  SELECT d.drug_concept_id AS drug, d.ingredient_concept_id AS ingredient,
    CASE WHEN d.amount_value IS NOT NULL THEN d.amount_value * top.factor
      ELSE d.numerator_value * top.factor / (coalesce(nullif(d.denominator_value, 0), 1) * held.factor) END AS amount,
    top.base AS unit, CASE WHEN d.amount_value IS NOT NULL THEN '' ELSE held.base END AS per
  FROM vocabulary.drug_strength AS d
  JOIN standard AS s ON s.concept_id = d.drug_concept_id AND s.concept_class_id = 'Clinical Drug'
  LEFT JOIN medicine_units AS top
    ON CAST(top.concept_id AS BIGINT) = CASE WHEN d.amount_value IS NOT NULL THEN d.amount_unit_concept_id
      ELSE d.numerator_unit_concept_id END
  LEFT JOIN medicine_units AS held ON CAST(held.concept_id AS BIGINT) = d.denominator_unit_concept_id
  WHERE coalesce(d.invalid_reason, '') = ''
), size AS (
  SELECT drug, count(*) AS parts FROM strength GROUP BY drug
), fits AS (
  SELECT p._record, s.drug
  FROM part AS p
  JOIN strength AS s ON s.ingredient = p.ingredient AND s.unit = p.unit AND s.per = p.per
    AND abs(s.amount - p.amount) <= 1e-6 * p.amount
  JOIN size ON size.drug = s.drug
  WHERE size.parts = p.parts
  GROUP BY p._record, s.drug, p.parts HAVING count(DISTINCT s.ingredient) = p.parts
), formed AS (
  SELECT f._record, f.drug,
    CASE WHEN contains(' ' || lower(a.code) || ' ', ' ' || d.name || ' ') THEN length(d.name) ELSE 0 END AS literally
  FROM fits AS f JOIN names_{rule} AS a ON a._record = f._record
  JOIN vocabulary.concept_relationship AS link ON link.concept_id_1 = f.drug
    AND link.relationship_id = 'RxNorm has dose form' AND coalesce(link.invalid_reason, '') = ''
  JOIN medicine_forms AS d ON CAST(d.concept_id AS BIGINT) = link.concept_id_2
  WHERE literally > 0 OR d.form = a.form
  QUALIFY rank() OVER (PARTITION BY f._record ORDER BY literally DESC) = 1
), drug AS (
  SELECT _record, any_value(drug) AS concept_id FROM formed GROUP BY _record HAVING count(DISTINCT drug) = 1
), target AS (
  SELECT d._record, d.concept_id, {as_decided} AS level FROM decided AS d
  UNION SELECT _record, concept_id, {as_drug} FROM named
  UNION SELECT _record, concept_id, {as_drug} FROM drug
  UNION SELECT _record, ingredient, {as_ingredient} FROM part WHERE _record NOT IN (SELECT _record FROM drug)
), found AS (
  SELECT t._record, t.concept_id, s.domain_id AS domain,
    CASE WHEN t.level = {as_drug} AND s.concept_class_id = 'Ingredient' THEN {as_ingredient} ELSE t.level END AS level,
    row_number() OVER (PARTITION BY t._record ORDER BY t.concept_id) - 1 AS ordinal
  FROM target AS t JOIN standard AS s ON s.concept_id = t.concept_id
  QUALIFY ordinal < {most}
)
SELECT a.name, a.strength, a.form_text AS form, a.code, {medicine} AS vocabulary, a.rows,
  CAST(0 AS BIGINT) AS source_concept_id,
  CAST(coalesce(f.concept_id, 0) AS BIGINT) AS concept_id, CAST(NULL AS BIGINT) AS value_concept_id, f.domain,
  'drug_exposure' AS target, coalesce(f.ordinal, 0) AS ordinal, f.level,
  CASE
    WHEN f.concept_id IS NOT NULL THEN NULL
    WHEN a._record IN (SELECT _record FROM decided) THEN 'bad decision'
    ELSE a.reason
  END AS unmapped
FROM names_{rule} AS a LEFT JOIN found AS f ON f._record = a._record"""


def wanted(rule: Rule) -> str:
    """The distinct (name, strength, form) of a rule's rows with their text and how many rows have them."""
    where = f" WHERE {compiled(rule.where, 'r')}" if rule.where else ""
    name, strength, form = _columns(rule)
    return _WANTED.format(name=name, strength=strength, form=form, text=text(rule), file=rule.file, where=where)


def codes(plan: Plan, name: str) -> str:
    """The table of a rule's names: as that of codes, with `level`: what of the vocabulary a name became.

    It reads `names_RULE`: what `wanted` gave, with what was read of each, and the small tables of units and forms.
    """
    return _CODES.format(
        rule=name,
        decided=decided_sql(plan.decisions),
        medicine=literal(MEDICINE),
        rxnorm=RXNORM,
        as_decided=literal(AS_DECIDED),
        as_drug=literal(AS_DRUG),
        as_ingredient=literal(AS_INGREDIENT),
        most=1 << ORDINALS,
    )


def text(rule: Rule) -> str:
    """SQL of the text that a row has for its medicine: name, strength and form as they stand, joined by a blank."""
    assert rule.medicine is not None
    columns = [f"r.{quoted(each)}" for each in rule.medicine.columns]
    return columns[0] if len(columns) == 1 else f"nullif(concat_ws(' ', {', '.join(columns)}), '')"


def join(rule: Rule, alias: str) -> str:
    """The condition under which a row `r` has the name of a row of that table."""
    pairs = zip(("name", "strength", "form"), _columns(rule), strict=True)
    return " AND ".join(f"{alias}.{word} IS NOT DISTINCT FROM {sql}" for word, sql in pairs if sql != _NONE)


_NONE = "CAST(NULL AS VARCHAR)"


def _columns(rule: Rule) -> tuple[str, str, str]:
    assert rule.medicine is not None
    name, strength, form = (
        f"r.{quoted(each)}" if each else _NONE
        for each in (rule.medicine.name, rule.medicine.strength, rule.medicine.form)
    )
    return name, strength, form
