"""A plan's first draft from a profile: what each file and column is likely to be, and what only people can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.omop.suggesting_columns import likely_columns
from sojourn.omop.suggesting_files import likely_table
from sojourn.omop.suggesting_likely import Likely
from sojourn.omop.suggesting_several import several
from sojourn.omop.suggestion import Link


def suggest(profile: Mapping[str, Any], links: Sequence[Link]) -> list[Likely]:
    """Judge every table of a profile that has rows, in the profile's order."""
    tables = [table for table in profile["tables"] if table["rows"]]
    likely = {table["table"]: likely_table(table, links) for table in tables}
    targets = {name: each.role for name, each in likely.items()}
    return several(
        [
            Likely(table, likely[table["table"]], likely_columns(table, targets[table["table"]], links, targets))
            for table in tables
        ]
    )
