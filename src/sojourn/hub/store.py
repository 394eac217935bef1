"""What the hub remembers. Every writing method takes its audit entry; both are in one transaction or neither is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.errors import AuditError, ConfigurationError, IdentityError, StudyFailed
from sojourn.hub.tables import asks, events, members, projects, results, seal_keys, sites, studies, tasks, tokens
from sojourn.storage.store import Store
from sojourn.study.lifecycle import SITE, STUDY

Document = Mapping[str, Any]
Key = tuple[str, str, str, str]  # of a task: study, analysis, ask, site
LIVE = tuple(state for state in STUDY.states if state not in STUDY.terminal)


@dataclass(frozen=True)
class Settled:
    """A task that was settled just now. entry: of the log. alone: no other site has still to answer the same ask."""

    entry: int
    alone: bool


class HubStore(Store):
    """The hub's tables behind its own words."""

    # ---- people and sites

    def add_project(self, name: str, entry: Entry) -> None:
        """A new project; ConfigurationError where the name is taken."""

        def action(connection: Connection) -> None:
            if connection.execute(select(projects).where(projects.c.name == name)).first():
                raise ConfigurationError(f"There is a project {name} already.", remedy="Choose another name.")
            connection.execute(insert(projects).values(name=name))

        self.write(entry, action)

    def add_member(self, project: str, key: str, entry: Entry) -> None:
        """A researcher's key may submit to the project (each custodian still decides for itself)."""

        def action(connection: Connection) -> None:
            if not connection.execute(select(projects).where(projects.c.name == project)).first():
                raise ConfigurationError(f"There is no project {project}.", remedy="Run `sojourn project add` first.")
            found = select(members).where(members.c.project == project, members.c.key == key)
            if not connection.execute(found).first():
                connection.execute(insert(members).values(project=project, key=key))

        self.write(entry, action)

    def add_token(self, digest: str, site: str, expires: float, entry: Entry) -> None:
        """A one-time token with which one site may join."""
        row = {"digest": digest, "site": site, "expires": expires, "used": False}
        self.write(entry, lambda connection: connection.execute(insert(tokens).values(row)))

    def join(self, digest: str, row: Document, now: float, entry: Entry) -> None:
        """Spend a token and admit its site; IdentityError where the token does not hold."""

        def action(connection: Connection) -> None:
            token = connection.execute(select(tokens).where(tokens.c.digest == digest)).mappings().first()
            if token is None or token["used"] or token["expires"] < now or token["site"] != row["name"]:
                raise IdentityError(
                    "The join token does not hold: unknown, used, expired or for another site.",
                    remedy="Ask the hub's administrator for a new one (`sojourn hub invite SITE`).",
                )
            taken = (sites.c.name == row["name"]) | (sites.c.key == row["key"])
            if connection.execute(select(sites.c.name).where(taken)).first():
                raise IdentityError("A site of that name or key has joined.", remedy="Ask the hub's administrator.")
            connection.execute(update(tokens).where(tokens.c.digest == digest).values(used=True))
            connection.execute(insert(sites).values(dict(row)))

        self.write(entry, action)

    def publish(self, site: str, document: Document, entry: Entry) -> None:
        """Replace what a site tells of its datasets and rules."""
        values = {"published": json.dumps(document)}
        self.write(
            entry, lambda connection: connection.execute(update(sites).where(sites.c.name == site).values(values))
        )

    # ---- studies

    def add_seal_key(self, public: str, private: bytes, now: float, entry: Entry) -> None:
        """A new per-run key to which nodes seal their answers."""
        row = {"public": public, "private": private, "made": now}
        self.write(entry, lambda connection: connection.execute(insert(seal_keys).values(row)))

    def submit(self, row: Document, seal_key: str, event: Document, entry: Entry) -> int:
        """Record a signed request; the index of its log entry. StudyFailed where its id or seal key does not hold."""

        def action(connection: Connection) -> None:
            if connection.execute(select(studies.c.id).where(studies.c.id == row["id"])).first():
                raise StudyFailed("This request was submitted before.", remedy="Submit the plan again: each is new.")
            if not connection.execute(select(seal_keys.c.public).where(seal_keys.c.public == seal_key)).first():
                raise StudyFailed("The request names a seal key of another hub.", remedy="Submit the plan again.")
            connection.execute(insert(studies).values(dict(row)))
            _event(connection, row["id"], event)

        return self.write_indexed(entry, action)[1]

    def dispatch(self, ask: Document, rows: Sequence[Document], event: Document, entry: Entry) -> None:
        """One round of one analysis, asked of all its sites at once; what exists stays as it is."""

        def action(connection: Connection) -> None:
            same = (asks.c.study == ask["study"], asks.c.analysis == ask["analysis"], asks.c.digest == ask["digest"])
            if not connection.execute(select(asks.c.digest).where(*same)).first():
                connection.execute(insert(asks).values(dict(ask)))
            for row in rows:
                found = select(tasks.c.site).where(*_task(row["study"], row["analysis"], row["ask"], row["site"]))
                if not connection.execute(found).first():
                    connection.execute(insert(tasks).values(dict(row)))
            study = rows[0]["study"]
            fresh = update(studies).where(studies.c.id == study, studies.c.state == STUDY.initial)
            connection.execute(fresh.values(state=STUDY.move(STUDY.initial, "start")))
            _event(connection, study, event)

        self.write(entry, action)

    def settle(self, key: Key, values: Document, event: Document, entry: Entry) -> Settled | None:
        """Record what became of one task, once. None where it was settled before or the study has ended."""

        class SettledBefore(Exception):
            """Rolls the savepoint back, so that a duplicate leaves no second entry."""

        def action(connection: Connection) -> bool:
            live = select(studies.c.id).where(studies.c.id == key[0], studies.c.state.in_(LIVE)).exists()
            waiting = update(tasks).where(*_task(*key), tasks.c.state == SITE.initial, live).values(dict(values))
            if connection.execute(waiting).rowcount != 1:
                raise SettledBefore
            _event(connection, key[0], event)
            same = (tasks.c.study == key[0], tasks.c.analysis == key[1], tasks.c.ask == key[2])
            others = select(tasks.c.site).where(*same, tasks.c.state == SITE.initial).limit(1)
            return connection.execute(others).first() is None

        try:
            alone, index = self.write_indexed(entry, action)
        except SettledBefore:
            return None
        return Settled(index, alone)

    def note_late(self, entry: Entry) -> None:
        """Log that an answer came too late, once for each ask and site; the answer itself is not kept."""
        try:
            self.receipt_of(entry.study, entry.kind, entry.facts)
        except AuditError:
            self.write(entry, lambda connection: None)

    def conclude(self, study: str, analysis: str, values: Document, event: Document, entry: Entry) -> None:
        """The estimate or error of one analysis, once."""

        def action(connection: Connection) -> None:
            found = select(results).where(results.c.study == study, results.c.analysis == analysis)
            if not connection.execute(found).first():
                connection.execute(insert(results).values(study=study, analysis=analysis, **values))
                _event(connection, study, event)

        self.write(entry, action)

    def finish(self, study: str, event: str, message: str, now: float, entry: Entry) -> bool:
        """Move a study to an end by an event of its life, once; False where that cannot happen any more."""

        class EndedBefore(Exception):
            """Rolls the savepoint back: an end is final."""

        def action(connection: Connection) -> None:
            state = connection.scalar(select(studies.c.state).where(studies.c.id == study))
            if state not in LIVE:
                raise EndedBefore
            # An analysis may conclude without asking anyone: then the study starts and ends at once.
            before = STUDY.move(state, "start") if event not in STUDY.transitions[state] else state
            after = STUDY.move(before, event)
            values = {"state": after, "message": message, "finished": now}
            connection.execute(update(studies).where(studies.c.id == study).values(values))
            _event(connection, study, {"state": after, "time": now})

        try:
            self.write(entry, action)
        except EndedBefore:
            return False
        return True

    # ---- reading

    def row(self, query: Any) -> RowMapping | None:
        """The first row of a query."""
        return self.read(lambda connection: connection.execute(query).mappings().first())

    def rows(self, query: Any) -> list[RowMapping]:
        """All rows of a query."""
        return self.read(lambda connection: list(connection.execute(query).mappings()))

    def study(self, study: str) -> RowMapping | None:
        """One study."""
        return self.row(select(studies).where(studies.c.id == study))

    def live_studies(self) -> list[RowMapping]:
        """Studies that have not ended."""
        return self.rows(select(studies).where(studies.c.state.in_(LIVE)))

    def states_of(self, site: str, found: Sequence[str], asked: Sequence[str]) -> dict[str, str]:
        """The states of those of these studies that are known, and of those in which a site was asked this."""
        if not found and not asked:
            return {}
        of_tasks = select(tasks.c.study).where(tasks.c.site == site, tasks.c.ask.in_(asked))
        query = select(studies.c.id, studies.c.state).where(studies.c.id.in_(found) | studies.c.id.in_(of_tasks))
        return {row["id"]: row["state"] for row in self.rows(query)}

    def task(self, key: Key) -> RowMapping | None:
        """One task, by study, analysis, ask and site."""
        return self.row(select(tasks).where(*_task(*key)))

    def waiting_in(self, study: str) -> list[RowMapping]:
        """Tasks of a study that no site has answered yet."""
        return self.rows(select(tasks).where(tasks.c.study == study, tasks.c.state == SITE.initial))

    def tasks_of(self, study: str) -> list[RowMapping]:
        """All tasks of a study, in the order of rounds."""
        return self.rows(select(tasks).where(tasks.c.study == study).order_by(tasks.c.round, tasks.c.site))

    def asks_of(self, study: str) -> dict[tuple[str, str], RowMapping]:
        """All asks of a study by (analysis, digest)."""
        found = self.rows(select(asks).where(asks.c.study == study))
        return {(row["analysis"], row["digest"]): row for row in found}

    def results_of(self, study: str) -> dict[str, RowMapping]:
        """The results of a study by analysis."""
        return {row["analysis"]: row for row in self.rows(select(results).where(results.c.study == study))}

    def concluded(self, study: str) -> set[str]:
        """The analyses of a study that have ended."""
        return {row["analysis"] for row in self.rows(select(results.c.analysis).where(results.c.study == study))}

    def answered(self, study: str) -> int:
        """How many analyses of a study have an estimate."""
        found = select(results.c.analysis).where(results.c.study == study, results.c.estimate.is_not(None))
        return len(self.rows(found))

    def waiting_of(self, site: str) -> list[RowMapping]:
        """Tasks that a site has still to answer, of studies that have not ended."""
        query = (
            select(tasks.c.study, tasks.c.analysis, tasks.c.ask)
            .join(studies, studies.c.id == tasks.c.study)
            .where(tasks.c.site == site, tasks.c.state == SITE.initial, studies.c.state.in_(LIVE))
        )
        return self.rows(query.order_by(tasks.c.dispatched))

    def said_by(self, site: str, after: str, most: int) -> list[RowMapping]:
        """Tasks that a site has settled or was given up for, of the first studies after this one; by study and round."""
        settled = (tasks.c.site == site, tasks.c.state != SITE.initial)
        found = select(tasks.c.study).where(*settled, tasks.c.study > after).distinct()
        first = self.rows(found.order_by(tasks.c.study).limit(most))
        query = select(tasks).where(*settled, tasks.c.study.in_([row["study"] for row in first]))
        return self.rows(query.order_by(tasks.c.study, tasks.c.round, tasks.c.analysis))

    def events_of(self, study: str, since: int) -> list[dict[str, Any]]:
        """Progress events from number `since` on."""
        query = select(events.c.document).where(events.c.study == study, events.c.number >= since)
        return [json.loads(row["document"]) for row in self.rows(query.order_by(events.c.number))]

    def site(self, name: str) -> RowMapping | None:
        """One joined site."""
        return self.row(select(sites).where(sites.c.name == name))

    def is_member(self, project: str, key: str) -> bool:
        """Whether a key may submit to a project."""
        return self.row(select(members).where(members.c.project == project, members.c.key == key)) is not None

    def is_researcher(self, key: str) -> bool:
        """Whether a key belongs to any project."""
        return self.row(select(members).where(members.c.key == key).limit(1)) is not None


def _task(study: str, analysis: str, ask: str, site: str) -> tuple[Any, ...]:
    return (tasks.c.study == study, tasks.c.analysis == analysis, tasks.c.ask == ask, tasks.c.site == site)


def _event(connection: Connection, study: str, document: Document) -> None:
    last = connection.execute(select(func.max(events.c.number)).where(events.c.study == study)).scalar()
    number = 0 if last is None else last + 1
    body = json.dumps({"number": number, **document}, sort_keys=True)
    connection.execute(insert(events).values(study=study, number=number, document=body))
