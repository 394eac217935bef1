"""What the hub remembers. Every writing method takes its audit entry; both are in one transaction or neither is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.errors import AuditError, ConfigurationError, IdentityError, StudyFailed
from sojourn.hub import statements
from sojourn.hub.statements import LIVE, SILENT
from sojourn.hub.tables import (
    members,
    projects,
    removed_keys,
    results,
    seal_keys,
    sites,
    studies,
    tasks,
    tokens,
)
from sojourn.storage.store import Store
from sojourn.study.lifecycle import SITE, STUDY

Document = Mapping[str, Any]
Key = tuple[str, str, str, str]  # of a task: study, analysis, ask, site


@dataclass(frozen=True)
class Settled:
    """A task that was settled just now. entry: of the log. alone: no other site has still to answer the same ask."""

    entry: int
    alone: bool


class Stale(Exception):
    """Between reading a study and writing what follows from it, a site fell out of it: nothing was written."""


class Repeated(Exception):
    """All of it stands already, by another thread or program: nothing was written, and nothing logged twice."""


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

    def join(
        self, digest: str, row: Document, now: float, entry: Entry, first: Callable[[Connection], None] | None = None
    ) -> None:
        """Spend a token and admit its site; IdentityError where the token does not hold, or the key was removed.

        The same keys with a spent token have joined: they may have missed the answer. first: what a new site needs too.
        """

        class JoinedBefore(Exception):
            """Rolls the savepoint back, so that a repetition leaves no second entry."""

        def action(connection: Connection) -> None:
            if connection.execute(select(removed_keys).where(removed_keys.c.key == row["key"])).first():
                raise IdentityError(
                    "This key was removed from the federation.", remedy="Make a new node, with a key of its own."
                )
            token = connection.execute(select(tokens).where(tokens.c.digest == digest)).mappings().first()
            if token is not None and token["used"] and token["site"] == row["name"]:
                same = [sites.c[word] == row[word] for word in ("name", "key", "log_key")]
                if connection.execute(select(sites.c.name).where(*same)).first():
                    raise JoinedBefore
            if token is None or token["used"] or token["expires"] < now or token["site"] != row["name"]:
                raise IdentityError(
                    "The join token does not hold: unknown, used, expired or for another site.",
                    remedy="Ask the hub's administrator for a new one (`sojourn hub invite SITE`).",
                )
            taken = (sites.c.name == row["name"]) | (sites.c.key == row["key"])
            if connection.execute(select(sites.c.name).where(taken)).first():
                raise IdentityError("A site of that name or key has joined.", remedy="Ask the hub's administrator.")
            if first is not None:
                first(connection)
            connection.execute(update(tokens).where(tokens.c.digest == digest).values(used=True))
            connection.execute(insert(sites).values(dict(row)))

        with suppress(JoinedBefore):
            self.write(entry, action)

    def remove_site(self, site: str, now: float, entry: Entry) -> None:
        """Forget a site, its invitations too, and take its key no more; ConfigurationError where there is none."""

        def action(connection: Connection) -> None:
            key = connection.scalar(select(sites.c.key).where(sites.c.name == site))
            if key is None:
                raise ConfigurationError(f"There is no site {site}.", remedy="See `sojourn hub show`.")
            connection.execute(insert(removed_keys).values(key=key, site=site, removed=now))
            connection.execute(update(tokens).where(tokens.c.site == site).values(used=True))
            connection.execute(delete(sites).where(sites.c.name == site))

        self.write(entry, action)

    def publish(self, site: str, document: Document, entry: Entry, software: str) -> None:
        """Replace what a site tells of its datasets, its rules and its version."""
        values = {"published": json.dumps(document), "software": software[:40]}
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

    def dispatch(
        self, ask: Document, rows: Sequence[Document], fallen: Set[str], event: Document, entry: Entry
    ) -> None:
        """One round of one analysis, asked of these sites at once; Stale, or Repeated where all were asked before.

        fallen: the sites that had dropped out of the analysis when the ask was derived.
        """
        study, analysis, digest = ask["study"], ask["analysis"], ask["digest"]

        def action(connection: Connection) -> None:
            _demand_fresh(connection, study, analysis, fallen)
            place = {"of_study": study, "of_analysis": analysis, "of_ask": digest}
            if connection.execute(statements.ASKED, place).first() is None:
                connection.execute(statements.ADD_ASK, dict(ask))
            asked = set(connection.scalars(statements.TASK_SITES, place))
            fresh = [dict(row) for row in rows if row["site"] not in asked]
            if not fresh:
                raise Repeated
            connection.execute(statements.ADD_TASK, fresh)
            connection.execute(statements.START, {"of_study": study})
            _event(connection, study, event)

        self.write(entry, action)

    def settle(
        self, key: Key, values: Document, event: Document, entry: Entry, by: str | None = None
    ) -> Settled | None:
        """Record what became of one task, once. None where it was settled before or the study has ended.

        by: the key of the site whose word this is; IdentityError where it is no longer the site's.
        """

        class SettledBefore(Exception):
            """Rolls the savepoint back, so that a duplicate leaves no second entry."""

        def action(connection: Connection) -> bool:
            if by is not None and connection.scalar(statements.SITE_KEY, {"of_site": key[3]}) != by:
                raise removed(key[3])
            place = _place(key)
            if connection.execute(statements.SETTLE, {**place, **values}).rowcount != 1:
                raise SettledBefore
            _event(connection, key[0], event)
            return connection.execute(statements.TASK_WAITS, place).first() is None

        try:
            alone, index = self.write_indexed(entry, action)
        except SettledBefore:
            return None
        return Settled(index, alone)

    def note_review(self, key: Key, now: float, event: Document, entry: Entry) -> None:
        """A site's answer waits for a checker there; once, and not where it has answered meanwhile."""

        class KnownBefore(Exception):
            """Rolls the savepoint back."""

        def action(connection: Connection) -> None:
            if connection.execute(statements.NOTE_REVIEW, {**_place(key), "since": now}).rowcount != 1:
                raise KnownBefore
            _event(connection, key[0], event)

        with suppress(KnownBefore):
            self.write(entry, action)

    def untold_reviews(self, site: str, asks: Sequence[str]) -> list[RowMapping]:
        """Those of a site's waiting tasks to these asks that are not known to wait for a checker."""
        return self.rows(statements.UNTOLD, {"of_site": site, "asked": list(asks)})

    def note_late(self, entry: Entry) -> None:
        """Log that an answer came too late, once for each ask and site; the answer itself is not kept."""
        try:
            self.receipt_of(entry.study, entry.kind, entry.facts)
        except AuditError:
            self.write(entry, lambda connection: None)

    def conclude(
        self, study: str, analysis: str, values: Document, fallen: Set[str], event: Document, entry: Entry
    ) -> None:
        """The estimate or error of one analysis; Stale (see `dispatch`), or Repeated where it has one."""

        def action(connection: Connection) -> None:
            _demand_fresh(connection, study, analysis, fallen)
            found = select(results).where(results.c.study == study, results.c.analysis == analysis)
            if connection.execute(found).first():
                raise Repeated
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

    def row(self, query: Any, values: Document | None = None) -> RowMapping | None:
        """The first row of a query with these values."""
        return self.read(lambda connection: connection.execute(query, values).mappings().first())

    def rows(self, query: Any, values: Document | None = None) -> list[RowMapping]:
        """All rows of a query with these values."""
        return self.read(lambda connection: list(connection.execute(query, values).mappings()))

    def study(self, study: str) -> RowMapping | None:
        """One study."""
        return self.row(statements.STUDY_ROW, {"of_study": study})

    def live_studies(self) -> list[RowMapping]:
        """Studies that have not ended."""
        return self.rows(statements.LIVE_ROWS)

    def states_of(self, site: str, found: Sequence[str], asked: Sequence[str]) -> dict[str, str]:
        """The states of those of these studies that are known, and of those in which a site was asked this."""
        if not found and not asked:
            return {}
        values = {"found": list(found), "asked": list(asked), "of_site": site}
        return {row["id"]: row["state"] for row in self.rows(statements.STATES, values)}

    def task(self, key: Key) -> RowMapping | None:
        """One task, by study, analysis, ask and site."""
        return self.row(statements.TASK_ROW, _place(key))

    def waiting_in(self, study: str) -> list[RowMapping]:
        """Tasks of a study that no site has answered yet."""
        return self.rows(statements.WAITING_IN, {"of_study": study})

    def tasks_of(self, study: str) -> list[RowMapping]:
        """All tasks of a study, in the order of rounds."""
        return self.rows(statements.TASK_ROWS, {"of_study": study})

    def silent(self, study: str) -> str:
        """A site that gave no answer to something a study asked; empty where there is none."""
        row = self.row(select(tasks.c.site).where(tasks.c.study == study, tasks.c.state.in_(SILENT)).limit(1))
        return "" if row is None else str(row["site"])

    def asks_of(self, study: str) -> dict[tuple[str, str], RowMapping]:
        """All asks of a study by (analysis, digest)."""
        found = self.rows(statements.ASKS, {"of_study": study})
        return {(row["analysis"], row["digest"]): row for row in found}

    def results_of(self, study: str) -> dict[str, RowMapping]:
        """The results of a study by analysis."""
        return {row["analysis"]: row for row in self.rows(select(results).where(results.c.study == study))}

    def concluded(self, study: str) -> set[str]:
        """The analyses of a study that have ended."""
        return {row["analysis"] for row in self.rows(statements.CONCLUDED, {"of_study": study})}

    def answered(self, study: str) -> int:
        """How many analyses of a study have an estimate."""
        found = select(results.c.analysis).where(results.c.study == study, results.c.estimate.is_not(None))
        return len(self.rows(found))

    def waiting_of(self, site: str) -> list[RowMapping]:
        """Tasks that a site has still to answer, of studies that have not ended."""
        return self.rows(statements.WAITING_OF, {"of_site": site})

    def said_by(self, site: str, after: str, most: int) -> list[RowMapping]:
        """Tasks that a site settled or was given up for, of the first studies after this one; by study and round."""
        settled = (tasks.c.site == site, tasks.c.state != SITE.initial)
        found = select(tasks.c.study).where(*settled, tasks.c.study > after).distinct()
        first = self.rows(found.order_by(tasks.c.study).limit(most))
        query = select(tasks).where(*settled, tasks.c.study.in_([row["study"] for row in first]))
        return self.rows(query.order_by(tasks.c.study, tasks.c.round, tasks.c.analysis))

    def events_of(self, study: str, since: int) -> list[dict[str, Any]]:
        """Progress events from number `since` on."""
        return [
            json.loads(row["document"]) for row in self.rows(statements.EVENTS, {"of_study": study, "since": since})
        ]

    def site_key(self, name: str) -> str | None:
        """The key of a joined site."""
        return self.read(lambda connection: connection.scalar(statements.SITE_KEY, {"of_site": name}))

    def site(self, name: str) -> RowMapping | None:
        """One joined site."""
        return self.row(statements.SITE_ROW, {"of_site": name})

    def site_keys(self) -> dict[str, str]:
        """The key of every joined site."""
        return {row["name"]: row["key"] for row in self.rows(select(sites.c.name, sites.c.key))}

    def is_member(self, project: str, key: str) -> bool:
        """Whether a key may submit to a project."""
        return self.row(statements.IS_MEMBER, {"of_project": project, "of": key}) is not None

    def is_researcher(self, key: str) -> bool:
        """Whether a key belongs to any project."""
        return self.row(statements.IS_RESEARCHER, {"of": key}) is not None


def _place(key: Key) -> dict[str, str]:
    return dict(zip(("of_study", "of_analysis", "of_ask", "of_site"), key, strict=True))


def removed(site: str) -> IdentityError:
    """The error for the key of a site that was removed."""
    return IdentityError(
        f"This key is no longer {site}'s: the site was removed.",
        remedy="Ask the hub's administrator for `sojourn hub invite SITE`, and join with a new node.",
    )


def _demand_fresh(connection: Connection, study: str, analysis: str, fallen: Set[str]) -> None:
    """Stale unless the study lives and exactly these sites have dropped out of the analysis."""
    place = {"of_study": study, "of_analysis": analysis}
    if (
        connection.scalar(statements.STATE, place) not in LIVE
        or set(connection.scalars(statements.SILENT_SITES, place)) != fallen
    ):
        raise Stale


def _event(connection: Connection, study: str, document: Document) -> None:
    last = connection.scalar(statements.LAST_EVENT, {"of_study": study})
    number = 0 if last is None else last + 1
    body = json.dumps({"number": number, **document}, sort_keys=True)
    connection.execute(statements.ADD_EVENT, {"study": study, "number": number, "document": body})
