"""What is looked for in a vocabulary while it is loaded: what makes it wrong, and what its users should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sojourn.errors import DatasetError

if TYPE_CHECKING:
    import duckdb

_SHOWN = 5
_HALF = 0.5
_AGAIN = "Download it again from Athena, whole, and load the zip as it came."


@dataclass(frozen=True)
class Note:
    """One thing found. words: a sentence. examples: a few codes, of the vocabulary and of nobody's record."""

    kind: str
    count: int
    words: str
    examples: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As it is kept and printed."""
        return {"kind": self.kind, "count": self.count, "words": self.words, "examples": list(self.examples)}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Note:
        """Read `document`'s form."""
        return cls(document["kind"], document["count"], document["words"], tuple(document["examples"]))


def examine(to: duckdb.DuckDBPyConnection, schema: str, counts: dict[str, int]) -> list[Note]:
    """Refuse a vocabulary that cannot be right (DatasetError); say what is odd in one that can."""
    for table in ("concept", "vocabulary", "domain", "relationship"):
        if not counts[table]:
            raise DatasetError(f"{table.upper()}.csv has no rows.", remedy=_AGAIN)
    _check_unique(to, schema)
    nowhere = _nowhere(to, schema)
    if nowhere > _HALF * counts["concept_relationship"]:
        raise DatasetError(
            "More than half of the relationships lead to concepts that are not there: files of two downloads?",
            remedy=_AGAIN,
        )
    found = [_dangling(nowhere), _nameless(to, schema), _circles(to, schema), _unstandard(to, schema)]
    return [note for note in found if note.count]


def _check_unique(to: duckdb.DuckDBPyConnection, schema: str) -> None:
    twice = _number(to, f"SELECT count(*) - count(DISTINCT concept_id) FROM {schema}.concept")
    if twice:
        raise DatasetError(f"CONCEPT.csv names {twice} concepts twice.", remedy=_AGAIN)


def _nowhere(to: duckdb.DuckDBPyConnection, schema: str) -> int:
    return _number(
        to,
        f"SELECT count(*) FROM {schema}.concept_relationship AS r WHERE NOT EXISTS (SELECT 1 FROM {schema}.concept AS "
        f"c WHERE c.concept_id = r.concept_id_1) OR NOT EXISTS (SELECT 1 FROM {schema}.concept AS c WHERE "
        "c.concept_id = r.concept_id_2)",
    )


def _dangling(nowhere: int) -> Note:
    words = "relationships lead to concepts that are not in the download. With CPT4 chosen, run Athena's CPT4 step."
    return Note("dangling", nowhere, words)


def _nameless(to: duckdb.DuckDBPyConnection, schema: str) -> Note:
    count = _number(to, f"SELECT count(*) FROM {schema}.concept WHERE concept_name = ''")
    return Note("nameless", count, "concepts have no name. For CPT4, run the step that Athena's e-mail describes.")


def _circles(to: duckdb.DuckDBPyConnection, schema: str) -> Note:
    """Concepts that "Maps to" leads back to themselves over others.

    Edges that begin at no end, or end at no beginning, are taken away until none is left to take; what stays is circles
    and what runs between them.
    """
    to.execute(
        f"CREATE OR REPLACE TEMP TABLE edge AS SELECT DISTINCT concept_id_1 AS a, concept_id_2 AS b FROM "
        f"{schema}.concept_relationship WHERE relationship_id = 'Maps to' AND concept_id_1 <> concept_id_2 "
        "AND invalid_reason IS NULL"
    )
    before, left = -1, _number(to, "SELECT count(*) FROM edge")
    while left != before:
        to.execute(
            "CREATE OR REPLACE TEMP TABLE edge AS SELECT * FROM edge WHERE a IN (SELECT b FROM edge) "
            "AND b IN (SELECT a FROM edge)"
        )
        before, left = left, _number(to, "SELECT count(*) FROM edge")
    count = _number(to, "SELECT count(DISTINCT a) FROM edge")
    codes = _codes(to, schema, "SELECT DISTINCT a FROM edge")
    to.execute("DROP TABLE edge")
    return Note("circular", count, 'concepts map to themselves in a circle of "Maps to": none is followed.', codes)


def _unstandard(to: duckdb.DuckDBPyConnection, schema: str) -> Note:
    """Codes whose "Maps to" ends at concepts that are not standard."""
    ends = (
        f"SELECT DISTINCT r.concept_id_1 FROM {schema}.concept_relationship AS r JOIN {schema}.concept AS t "
        "ON t.concept_id = r.concept_id_2 WHERE r.relationship_id = 'Maps to' AND r.invalid_reason IS NULL "
        "AND (t.standard_concept IS DISTINCT FROM 'S' OR t.invalid_reason IS NOT NULL)"
    )
    count = _number(to, f"SELECT count(*) FROM ({ends})")
    words = 'concepts have a "Maps to" that ends at a concept which is not standard or not valid: it maps nothing.'
    return Note("not standard", count, words, _codes(to, schema, ends))


def _codes(to: duckdb.DuckDBPyConnection, schema: str, ids: str) -> tuple[str, ...]:
    rows = to.execute(
        f"SELECT vocabulary_id || ' ' || concept_code FROM {schema}.concept WHERE concept_id IN ({ids}) "
        f"ORDER BY 1 LIMIT {_SHOWN}"
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def _number(to: duckdb.DuckDBPyConnection, query: str) -> int:
    row = to.execute(query).fetchone()
    return int(row[0]) if row else 0
