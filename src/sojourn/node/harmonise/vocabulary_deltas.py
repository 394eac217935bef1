"""What changed between two loaded versions of the vocabularies, and which codes in use that concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.errors import DatasetError
from sojourn.node.harmonise.vocabulary_loading import MEMORY, Version, connected, versions
from sojourn.node.harmonise.vocabulary_tables import STORE, VIEWS, schema_of
from sojourn.node.warehouse import quote

if TYPE_CHECKING:
    import duckdb

KINDS = {
    "new": "is new",
    "gone": "is gone",
    "invalid": "is no longer valid",
    "standard": "changed its standard status",
    "domain": "changed its domain",
    "maps to": 'changed its "Maps to"',
}
_MAPS = ("source_to_concept_map",)  # the CDM's own table of a site's mappings
MOST_LINES = 10_000


@dataclass(frozen=True)
class Concerned:
    """One code in use whose concept changed. place: the table and column, or file, that uses it. rows: how often.

    before, after: the status, domain or target codes of then and now.
    """

    place: str
    vocabulary: str
    code: str
    name: str
    change: str
    before: str
    after: str
    rows: int


@dataclass(frozen=True)
class Impact:
    """changes: number of concepts by kind of change. places: what was looked through for codes in use.

    concerned: what is in use and changed, the most used first, at most MOST_LINES.
    """

    before: Version
    after: Version
    changes: dict[str, int]
    concerned: tuple[Concerned, ...]
    places: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "before": {"number": self.before.number, "version": self.before.version},
            "after": {"number": self.after.number, "version": self.after.version},
            "changes": self.changes,
            "concerned": [asdict(each) for each in self.concerned],
            "places": list(self.places),
        }


def impact(warehouse: Path, before: int | None = None, after: int | None = None, codes: Path | None = None) -> Impact:
    """Compare two versions, by default the newest with the one before it; look for codes in use in the warehouse.

    In use are: every column `…_concept_id` of a table outside the vocabularies' own schemas, the source codes of a
    `source_to_concept_map`, and `codes`: a CSV file with the columns `vocabulary_id`, `concept_code`, and `rows` where
    it is counted. Reads only.
    """
    sources = () if codes is None else (codes.resolve(),)
    if codes is not None and not codes.is_file():
        raise DatasetError("There is no such file of codes.", remedy="Give a CSV with vocabulary_id and concept_code.")
    with connected(warehouse, sources, MEMORY, must_be=True) as to:
        old, new = _chosen(versions(to), before, after)
        for statement in _changes(schema_of(old.number), schema_of(new.number)):
            to.execute(statement)
        counted = to.execute("SELECT change, count(*) FROM changed GROUP BY 1").fetchall()
        to.execute("CREATE TEMP TABLE used (place VARCHAR, concept_id BIGINT, uses BIGINT)")
        places = [*_in_tables(to), *_in_maps(to, old.number, new.number)]
        if codes is not None:
            places.append(_in_file(to, codes, old.number, new.number))
        found = to.execute(
            "SELECT u.place, d.vocabulary_id, d.concept_code, d.concept_name, d.change, d.before, d.after, "
            "CAST(sum(u.uses) AS BIGINT) "
            "FROM used AS u JOIN changed AS d USING (concept_id) GROUP BY ALL "
            f"ORDER BY 8 DESC, 1, 2, 3, 5 LIMIT {MOST_LINES}"
        ).fetchall()
    numbers = dict(counted)
    changes = {kind: int(numbers.get(kind, 0)) for kind in KINDS}
    lines = tuple(Concerned(*row) for row in found)
    return Impact(old, new, changes, lines, tuple(sorted(places)))


def _chosen(found: Sequence[Version], before: int | None, after: int | None) -> tuple[Version, Version]:
    by_number = {each.number: each for each in found}
    if len(by_number) < 2:
        raise DatasetError("There are not two versions to compare.", remedy="Load the newer download first.")
    newest = max(by_number) if after is None else after
    older = [number for number in by_number if number < newest]
    oldest = (max(older) if older else newest) if before is None else before
    if newest not in by_number or oldest not in by_number or newest == oldest:
        raise DatasetError(
            "These are not two loaded versions.", remedy="See their numbers: `sojourn harmonise vocabulary list`."
        )
    return by_number[oldest], by_number[newest]


def _changes(old: str, new: str) -> list[str]:
    """The table `changed`: one row a concept and kind of change."""
    both = (
        f"CREATE TEMP TABLE both_sides AS SELECT coalesce(n.concept_id, o.concept_id) AS concept_id, "
        "coalesce(n.vocabulary_id, o.vocabulary_id) AS vocabulary_id, "
        "coalesce(n.concept_code, o.concept_code) AS concept_code, "
        "coalesce(n.concept_name, o.concept_name) AS concept_name, o.concept_id AS was, n.concept_id AS is_now, "
        "o.standard_concept AS old_standard, n.standard_concept AS new_standard, o.domain_id AS old_domain, "
        "n.domain_id AS new_domain, o.invalid_reason AS old_reason, n.invalid_reason AS new_reason "
        f"FROM {old}.concept AS o FULL OUTER JOIN {new}.concept AS n USING (concept_id)"
    )
    head = "SELECT concept_id, vocabulary_id, concept_code, concept_name"
    plain = (
        f"CREATE TEMP TABLE changed AS {head}, 'new' AS change, '' AS before, new_domain AS after FROM both_sides "
        f"WHERE was IS NULL UNION ALL {head}, 'gone', old_domain, '' FROM both_sides WHERE is_now IS NULL "
        f"UNION ALL {head}, 'invalid', 'valid', 'invalid: ' || new_reason FROM both_sides WHERE was IS NOT NULL "
        f"AND old_reason IS NULL AND new_reason IS NOT NULL UNION ALL {head}, 'standard', "
        "coalesce(old_standard, 'none'), coalesce(new_standard, 'none') FROM both_sides WHERE was IS NOT NULL AND "
        f"is_now IS NOT NULL AND old_standard IS DISTINCT FROM new_standard UNION ALL {head}, 'domain', old_domain, "
        "new_domain FROM both_sides WHERE was IS NOT NULL AND is_now IS NOT NULL AND old_domain <> new_domain"
    )
    # Only what is in one version and not in the other is listed by code: most mappings never change.
    moved = (
        f"CREATE TEMP TABLE moved AS SELECT DISTINCT a FROM ((({_maps(old)}) EXCEPT ({_maps(new)})) UNION ALL "
        f"(({_maps(new)}) EXCEPT ({_maps(old)}))) JOIN both_sides ON concept_id = a "
        "WHERE was IS NOT NULL AND is_now IS NOT NULL"
    )
    mapped = (
        f"INSERT INTO changed {head}, 'maps to', coalesce(o.targets, 'nothing'), coalesce(n.targets, 'nothing') "
        f"FROM both_sides JOIN moved ON a = concept_id LEFT JOIN ({_targets(old)}) AS o USING (a) "
        f"LEFT JOIN ({_targets(new)}) AS n USING (a)"
    )
    return [both, plain, moved, mapped, "DROP TABLE both_sides", "DROP TABLE moved"]


def _maps(schema: str) -> str:
    return (
        f"SELECT concept_id_1 AS a, concept_id_2 AS b FROM {schema}.concept_relationship WHERE relationship_id = "
        "'Maps to' AND invalid_reason IS NULL"
    )


def _targets(schema: str) -> str:
    return (
        f"SELECT a, string_agg(coalesce(c.vocabulary_id || ' ' || c.concept_code, 'concept ' || b), ', ' ORDER BY b) "
        f"AS targets FROM ({_maps(schema)}) JOIN moved USING (a) LEFT JOIN {schema}.concept AS c ON c.concept_id = b "
        "GROUP BY a"
    )


def _own(schema: str) -> bool:
    return schema in (VIEWS, STORE) or (schema.startswith(f"{VIEWS}_") and schema[len(VIEWS) + 1 :].isdigit())


def _in_tables(to: duckdb.DuckDBPyConnection) -> list[str]:
    found = to.execute(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_catalog = "
        "current_database() AND column_name LIKE '%\\_concept\\_id' ESCAPE '\\' "
        "AND data_type IN ('INTEGER', 'BIGINT') ORDER BY ALL"
    ).fetchall()
    places = []
    for schema, table, column in found:
        if not _own(schema):
            place = f"{schema}.{table}.{column}"
            places.append(place)
            to.execute(
                f"INSERT INTO used SELECT $place, {quote(column)}, count(*) FROM {quote(schema)}.{quote(table)} "
                f"WHERE {quote(column)} <> 0 GROUP BY 2",
                {"place": place},
            )
    return places


def _in_maps(to: duckdb.DuckDBPyConnection, old: int, new: int) -> list[str]:
    """A site's own map also concerns by its source codes, where these are codes of a vocabulary."""
    found = to.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = current_database() AND "
        "table_name IN (SELECT unnest($1)) ORDER BY ALL",
        [list(_MAPS)],
    ).fetchall()
    places = []
    for schema, table in found:
        if not _own(schema):
            places.append(f"{schema}.{table}.source_code")
            columns = f"source_vocabulary_id AS v, source_code AS c, 1 AS uses FROM {quote(schema)}.{quote(table)}"
            _use_codes(to, places[-1], f"SELECT {columns}", old, new)
    return places


def _in_file(to: duckdb.DuckDBPyConnection, path: Path, old: int, new: int) -> str:
    import duckdb

    reader = f"read_csv('{str(path.resolve()).replace(chr(39), chr(39) * 2)}', header=true, all_varchar=true)"
    try:
        names = {str(row[0]) for row in to.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()}
        uses = "coalesce(TRY_CAST(rows AS BIGINT), 1)" if "rows" in names else "1"
        query = f"SELECT vocabulary_id AS v, concept_code AS c, {uses} AS uses FROM {reader}"
        _use_codes(to, path.name, query, old, new)
    except (duckdb.BinderException, duckdb.InvalidInputException):
        raise DatasetError(
            "The file of codes lacks vocabulary_id or concept_code.", remedy="Name both in its first line."
        ) from None
    return path.name


def _use_codes(to: duckdb.DuckDBPyConnection, place: str, codes: str, old: int, new: int) -> None:
    known = " UNION ".join(
        f"SELECT vocabulary_id AS v, concept_code AS c, concept_id FROM {schema_of(number)}.concept"
        for number in (old, new)
    )
    to.execute(
        f"INSERT INTO used SELECT $place, concept_id, sum(uses) FROM ({codes}) JOIN ({known}) USING (v, c) GROUP BY 2",
        {"place": place},
    )
