"""Which vocabularies know a column's codes: better evidence than their form, where a download is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sojourn.node.harmonise.vocabulary_tables import VIEWS

if TYPE_CHECKING:
    import duckdb

Known = Callable[[Sequence[str]], dict[str, float]]
_ASKED = 500  # distinct values
_LEAST = 0.05
_SHOWN = 3


def known_in(warehouse: duckdb.DuckDBPyConnection) -> Known:
    """A function that says which share of distinct values are codes of which vocabularies, the largest first."""

    def known(values: Sequence[str]) -> dict[str, float]:
        distinct = sorted({value.strip() for value in values} - {""})
        asked = distinct[:: max(1, len(distinct) // _ASKED)]
        found = warehouse.execute(
            f"SELECT vocabulary_id, count(DISTINCT concept_code) AS codes FROM {VIEWS}.concept WHERE concept_code IN "
            "(SELECT unnest($1::VARCHAR[])) GROUP BY 1 ORDER BY codes DESC, 1",
            [asked],
        ).fetchall()
        shares = {str(name): round(count / len(asked), 4) for name, count in found}
        return {name: share for name, share in list(shares.items())[:_SHOWN] if share >= _LEAST}

    return known
