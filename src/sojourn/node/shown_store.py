"""What left before, for what comes: its numbers, the answers to identical asks, and the tables to be audited together.

Law: what one researcher, or one project, may get in all of a dataset is asked in the transaction by which more leaves,
so that of two answers at the same moment the second is counted after the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, func, insert, not_, select
from sqlalchemy.engine import RowMapping

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import most_numbers
from sojourn.disclosure.ledger import digest
from sojourn.disclosure.linked import MOST_TABLES, Table, tables_of
from sojourn.disclosure.output import Finding, Output, Verdict
from sojourn.disclosure.policy import Policy, StandardPolicy, linked_with
from sojourn.errors import DisclosureRefused
from sojourn.node.decisions import Place, dimensions
from sojourn.node.store import NodeStore
from sojourn.node.tables import releases, runs, shown_tables

CAPACITY = "capacity"
MOST_READ = 8 * MOST_TABLES  # of which the nearest are audited

Also = Callable[[Connection], None]

_OF_ANALYSIS = (releases.c.study == bindparam("of_study"), releases.c.analysis == bindparam("of_analysis"))
_SPENT = select(func.coalesce(func.sum(releases.c.numbers), 0).label("numbers")).where(*_OF_ANALYSIS)
_SAME = (
    select(releases)
    .where(releases.c.question == bindparam("question"), releases.c.reason == "", releases.c.answer.is_not(None))
    .where(not_(and_(*_OF_ANALYSIS)))
    .order_by(releases.c.made)
    .limit(1)
)
_TABLES = (
    select(shown_tables)
    .where(
        shown_tables.c.dataset == bindparam("of_dataset"),
        shown_tables.c.snapshot == bindparam("of_snapshot"),
        shown_tables.c.population == bindparam("of_persons"),
    )
    .order_by(shown_tables.c.id.desc())
    .limit(MOST_READ)
)


REPEATED = Finding(Verdict.RELEASE, note="as it left before")


@dataclass(frozen=True)
class ShownStore:
    """The node's tables of what left, behind its own words."""

    store: NodeStore

    def spent(self, study: str, analysis: str) -> int:
        """Distinct numbers that an analysis released so far, over all its rounds."""
        row = self.store.row(_SPENT, {"of_study": study, "of_analysis": analysis})
        return 0 if row is None else int(row["numbers"])

    def same(self, place: Place) -> RowMapping | None:
        """The first answer that left to an identical ask, of another study or analysis."""
        own = {"of_study": place.run.request.study, "of_analysis": place.analysis}
        return self.store.row(_SAME, {"question": place.question, **own}) if place.question else None

    def beside(self, place: Place, output: Output, finding: Finding, policy: Policy) -> tuple[Finding, ...]:
        """What else must be hidden of an output beside the tables that left of the same persons: one word, or none."""
        if not output.support.cells or finding.verdict is Verdict.REFUSE:
            return ()
        earlier = self.tables(place, digest(output.support.population))
        found = linked_with(policy, output, finding, earlier, dimensions(place.run, place.analysis))
        return () if found is None else (found,)

    def tables(self, place: Place, persons: str) -> list[Table]:
        """The tables that other analyses showed of these persons (the digest of their set), the newest first."""
        run, own = place.run, (place.run.request.study, place.analysis)
        of = {"of_dataset": run.dataset, "of_snapshot": run.snapshot, "of_persons": persons}
        rows = self.store.rows(_TABLES, of)
        return [Table.from_dict(json.loads(row["document"])) for row in rows if (row["study"], row["analysis"]) != own]

    def capped(self, place: Place, numbers: int, policy: Policy) -> Also:
        """What is asked with the numbers of a masked plan: whether they may be had, of this analysis and in all.

        They are counted at every site alike, whatever it has. DisclosureRefused("capacity") where they are too many.
        """
        parameters = policy.parameters if isinstance(policy, StandardPolicy) else None
        statistic = place.run.plan.analyses[place.analysis]
        own = {"study": place.run.request.study, "analysis": place.analysis, "ask": place.ask}
        row = own | {"question": "", "numbers": numbers}

        def action(connection: Connection) -> None:
            if parameters is None:
                return
            most = min(parameters.numbers, most_numbers(statistic, place.run.variables))
            asked = {"of_study": own["study"], "of_analysis": own["analysis"]}
            if int(connection.execute(_SPENT, asked).scalar_one()) + numbers > most:
                raise DisclosureRefused(CAPACITY)
            if parameters.numbers_in_all:
                _demand(connection, place, row, parameters.numbers_in_all)

        return action

    def leaving(
        self, place: Place, row: Mapping[str, Any], partial: Partial, output: Output | None, policy: Policy
    ) -> Also:
        """What is asked and stored with an answer: whether its numbers may be had, and the tables that it shows first.

        row: the release's. output: none where no table is new. DisclosureRefused("capacity"), and nothing leaves, where
        these would be more numbers than its researcher or project may get.
        """
        most = policy.parameters.numbers_in_all if isinstance(policy, StandardPolicy) else 0
        tables = [] if output is None or place.round > 1 else _documents(place, partial, output)

        def action(connection: Connection) -> None:
            if most:
                _demand(connection, place, row, most)
            if tables:
                connection.execute(insert(shown_tables), tables)

        return action


def origin_of(row: RowMapping) -> tuple[str, str]:
    """The study and analysis that an answer was first computed for."""
    return row["first_study"] or row["study"], row["first_analysis"] or row["analysis"]


def _documents(place: Place, partial: Partial, output: Output) -> list[dict[str, Any]]:
    run, names = place.run, dimensions(place.run, place.analysis)
    found = tables_of(output.support, partial, {})
    of = {"dataset": run.dataset, "snapshot": run.snapshot, "study": run.request.study, "analysis": place.analysis}
    persons = digest(output.support.population) if found else ""
    return [{**of, "population": persons, "document": json.dumps(table.called(names).to_dict())} for _, table in found]


def _demand(connection: Connection, place: Place, row: Mapping[str, Any], most: int) -> None:
    study = place.run.request.study
    researcher = connection.execute(select(runs.c.researcher).where(runs.c.study == study)).scalar_one()
    for whose in (runs.c.project == place.run.request.project, runs.c.researcher == researcher):
        if _had(connection, place.run.dataset, whose, row) > most:
            raise DisclosureRefused(CAPACITY)


def _had(connection: Connection, dataset: str, whose: Any, row: Mapping[str, Any]) -> int:
    """All distinct numbers with those at hand; what answers one question counts once."""
    own = releases.c.study + releases.c.analysis + releases.c.ask
    asked = case((releases.c.question != "", releases.c.question), else_=own).label("asked")
    each = (
        select(asked, func.max(releases.c.numbers).label("numbers"))
        .join_from(releases, runs, runs.c.study == releases.c.study)
        .where(runs.c.dataset == dataset, releases.c.numbers > 0, whose)
        .group_by(asked)
        .subquery()
    )
    had = {name: int(numbers) for name, numbers in connection.execute(select(each.c.asked, each.c.numbers))}
    had.setdefault(row["question"] or f"{row['study']}{row['analysis']}{row['ask']}", int(row["numbers"]))
    return sum(had.values())
