"""What each distinct code of a file becomes: the SQL of a small table, made once for all rows that hold the code.

A code's concept is followed along `Maps to` until a standard one; a decision of the plan comes before. One code may
become several concepts; `Maps to value` gives the value. Without a concept it is 0, with a reason (`reasons.UNMAPPED`).
"""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.omop.expression import compiled
from sojourn.omop.identifiers import ORDINALS, literal, quoted
from sojourn.omop.plan import DOMAIN, Code, Decision, Plan, Rule, Systems
from sojourn.omop.tables import BY_DOMAIN

MOST_STEPS = 8  # along `Maps to`; real vocabularies need one

_WALK = """\
WITH RECURSIVE seen AS (
  SELECT r.{column} AS code, {system} AS vocabulary, count(*) AS rows FROM stage_{file} AS r{where} GROUP BY ALL
), decided(code, vocabulary, concept_id) AS (
  {decided}
), known AS MATERIALIZED (
  SELECT concept_id, concept_code, vocabulary_id, standard_concept, invalid_reason FROM vocabulary.concept
  WHERE (concept_code, vocabulary_id) IN (SELECT (code, vocabulary) FROM seen)
), named AS MATERIALIZED (
  SELECT seen.code, seen.vocabulary, c.concept_id, c.standard_concept
  FROM seen JOIN known AS c ON c.concept_code = seen.code AND c.vocabulary_id = seen.vocabulary
  QUALIFY row_number() OVER (
    PARTITION BY seen.code, seen.vocabulary ORDER BY coalesce(c.invalid_reason, ''), c.concept_id) = 1
), {links}, link AS MATERIALIZED (
  {all_links}
), near AS MATERIALIZED (
  SELECT concept_id, domain_id, standard_concept FROM vocabulary.concept WHERE concept_id IN (
    SELECT concept_id_2 FROM link UNION SELECT concept_id FROM named UNION SELECT concept_id FROM decided)
), walk AS (
  SELECT code, vocabulary, concept_id AS place, [concept_id] AS path, FALSE AS circular,
    coalesce(standard_concept, '') = 'S' AS ends
  FROM named
  UNION ALL
  SELECT walk.code, walk.vocabulary, c.concept_id, list_append(walk.path, c.concept_id),
    list_contains(walk.path, c.concept_id), coalesce(c.standard_concept, '') = 'S'
  FROM walk JOIN link ON link.concept_id_1 = walk.place JOIN near AS c ON c.concept_id = link.concept_id_2
  WHERE NOT walk.ends AND NOT walk.circular AND len(walk.path) < {steps}
), targets AS (
  SELECT d.code, d.vocabulary, c.concept_id, c.domain_id
  FROM decided AS d JOIN near AS c ON c.concept_id = d.concept_id AND c.standard_concept = 'S'
  UNION
  SELECT walk.code, walk.vocabulary, c.concept_id, c.domain_id
  FROM walk JOIN near AS c ON c.concept_id = walk.place
  WHERE walk.ends AND (walk.code, walk.vocabulary) NOT IN (SELECT (code, vocabulary) FROM decided)
), found AS (
  SELECT *, row_number() OVER (PARTITION BY code, vocabulary ORDER BY concept_id) - 1 AS ordinal FROM targets
  QUALIFY ordinal < {most}
), valued AS (
  SELECT named.code, named.vocabulary, min(link.concept_id_2) AS concept_id
  FROM named JOIN (
    SELECT concept_id_1, concept_id_2 FROM vocabulary.concept_relationship
    WHERE relationship_id = 'Maps to value' AND coalesce(invalid_reason, '') = ''
      AND concept_id_1 IN (SELECT concept_id FROM named)
  ) AS link ON link.concept_id_1 = named.concept_id
  GROUP BY ALL
), ends AS (
  SELECT code, vocabulary, bool_or(circular) AS circular, max(len(path)) AS steps FROM walk GROUP BY ALL
)
SELECT seen.code, seen.vocabulary, seen.rows, coalesce(named.concept_id, 0) AS source_concept_id,
  coalesce(found.concept_id, 0) AS concept_id, valued.concept_id AS value_concept_id, found.domain_id AS domain,
  {target} AS target,
  coalesce(found.ordinal, 0) AS ordinal,
  CASE
    WHEN found.concept_id IS NOT NULL THEN NULL
    WHEN seen.code IS NULL THEN 'no code'
    WHEN (seen.code, seen.vocabulary) IN (SELECT (code, vocabulary) FROM decided) THEN 'bad decision'
    WHEN seen.vocabulary IS NULL OR seen.vocabulary NOT IN (SELECT vocabulary_id FROM vocabulary.vocabulary)
      THEN 'unknown vocabulary'
    WHEN named.code IS NULL THEN 'unknown code'
    WHEN ends.circular THEN 'circular map'
    WHEN ends.steps > 1 THEN 'not standard'
    ELSE 'no map'
  END AS unmapped
FROM seen
LEFT JOIN named ON named.code = seen.code AND named.vocabulary = seen.vocabulary
LEFT JOIN found ON found.code = seen.code AND found.vocabulary = seen.vocabulary
LEFT JOIN valued ON valued.code = seen.code AND valued.vocabulary = seen.vocabulary
LEFT JOIN ends ON ends.code = seen.code AND ends.vocabulary = seen.vocabulary"""


# The links of a step. `IN` a small set keeps a whole vocabulary out of memory, where a recursion's join would hold it.
_LINKS = """\
{name} AS MATERIALIZED (
  SELECT concept_id_1, concept_id_2 FROM vocabulary.concept_relationship
  WHERE relationship_id = 'Maps to' AND coalesce(invalid_reason, '') = '' AND concept_id_1 IN ({places})
)"""


def codes_sql(plan: Plan, rule: Rule, code: Code, routed: bool) -> str:
    """SQL of the table of a column's codes. routed: whether it is the rule's own, which picks the table of rows."""
    where = f" WHERE {compiled(rule.where, 'r')}" if rule.where else ""
    return _WALK.format(
        column=quoted(code.code),
        file=rule.file,
        where=where,
        decided=_decided(plan.decisions),
        system=system_sql(code),
        steps=MOST_STEPS,
        links=_links(),
        all_links=" UNION ".join(f"FROM link_{step}" for step in range(1, MOST_STEPS)),
        target=_target(rule) if routed else "''",
        most=1 << ORDINALS,
    )


def _links() -> str:
    places = "SELECT concept_id FROM named"
    found = []
    for step in range(1, MOST_STEPS):
        found.append(_LINKS.format(name=f"link_{step}", places=places))
        places = f"SELECT concept_id_2 FROM link_{step} WHERE concept_id_1 <> concept_id_2"
    return ", ".join(found)


def join_sql(code: Code, alias: str) -> str:
    """The condition under which a row `r` has the code of a row of that table."""
    same = f"{alias}.code IS NOT DISTINCT FROM r.{quoted(code.code)}"
    if isinstance(code.vocabulary, Systems):
        same += f" AND {alias}.vocabulary IS NOT DISTINCT FROM {system_sql(code)}"
    return same


def system_sql(code: Code) -> str:
    """The vocabulary of a row's code; empty where the plan does not list what the file calls it."""
    if not isinstance(code.vocabulary, Systems):
        return literal(code.vocabulary)
    cases = " ".join(f"WHEN {literal(word)} THEN {literal(name)}" for word, name in code.vocabulary.names.items())
    return f"CASE r.{quoted(code.vocabulary.of)} {cases} END"


def _decided(decisions: Sequence[Decision]) -> str:
    rows = [
        f"({literal(each.code)}, {literal(each.vocabulary)}, {concept})"
        for each in decisions
        for concept in each.concepts
    ]
    return "VALUES " + ", ".join(rows) if rows else "SELECT NULL::VARCHAR, NULL::VARCHAR, NULL::BIGINT WHERE FALSE"


def _target(rule: Rule) -> str:
    """SQL of the table that a code's rows go to; empty where there is none for the domain."""
    if rule.to != DOMAIN:
        return literal(rule.to)
    routes = [
        f"WHEN {literal(domain)} THEN {literal(table)}" for domain, table in BY_DOMAIN.items() if table in rule.targets
    ]
    cases = " ".join(routes)
    by_domain = f"CASE found.domain_id {cases} ELSE '' END"
    return f"CASE WHEN found.concept_id IS NULL THEN {literal(rule.otherwise)} ELSE {by_domain} END"
