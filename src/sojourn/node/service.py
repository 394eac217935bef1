"""What a node does, as plain functions: its program, its commands and the testbed all call these."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import select

from sojourn import __version__
from sojourn.audit.entry import Entry
from sojourn.disclosure.budget import Budget
from sojourn.disclosure.gate import Policy
from sojourn.disclosure.policy import for_dataset
from sojourn.errors import ConfigurationError, DatasetError
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.messages import Publish
from sojourn.node.admission import REHEARSED, Admission
from sojourn.node.airlock import Airlock
from sojourn.node.config import NodeHome
from sojourn.node.dataset import RARE_BELOW, import_dataset, load_snapshot
from sojourn.node.departures import Later, after
from sojourn.node.dictionary import Dictionary
from sojourn.node.forward import Forward
from sojourn.node.harmonise.handing import handed
from sojourn.node.hub_link import HubLink
from sojourn.node.journal import Journal
from sojourn.node.ledgers import Ledgers
from sojourn.node.line import Line
from sojourn.node.masking import Masking
from sojourn.node.metrics import BEGINS, ENDS, NodeMetrics
from sojourn.node.opening import Openings
from sojourn.node.outgoing import forget_receipts
from sojourn.node.polling import Polling
from sojourn.node.privacy import FormalPrivacy
from sojourn.node.recovery import Recovery
from sojourn.node.reviewing import Desk
from sojourn.node.runner import Lines, Runner
from sojourn.node.shown import approval_shown, checker_shown, run_shown
from sojourn.node.stand_in import StandIns
from sojourn.node.store import NodeStore
from sojourn.node.tables import approvals, datasets, metadata, releases, runs
from sojourn.omop.person_tables import PERSON
from sojourn.operations.logs import SILENT, Log
from sojourn.operations.readiness import Readiness
from sojourn.operations.watch import Watch
from sojourn.storage.witnessing import Peer, Witnessing
from sojourn.versions import advice

NO_BUDGETS: Mapping[str, Budget] = MappingProxyType({})


class Node:
    """One custodian's node: its decisions, its data, its way out."""

    def __init__(
        self,
        home: NodeHome,
        store: NodeStore,
        key: PrivateKey,
        policy: Policy,
        openings: Openings,
        clock: Callable[[], float] = time.time,
        lines: Lines = Line,
        budgets: Mapping[str, Budget] = NO_BUDGETS,
        later: Later = after,
    ) -> None:
        self.home = home
        self.store = store
        self.key = key
        self.policy = policy
        self.clock = clock
        self.log: Log = SILENT
        self.journal = Journal(home.folder, self._noted)
        self._openings = openings
        self._polling: Polling | None = None
        self.witnessing = Witnessing(store, metadata, f"node:{home.site}", recovers=True)
        self.hub: Peer | None = None  # as the owner of a log
        self.stand_ins = StandIns(home, store, self.journal.write)
        self.masking = Masking.of(home, key, store, policy)
        stand_in = self.stand_ins.snapshot
        admission = Admission(
            *(store, home.site, key.public, policy.version, home.least_sites, stand_in, self.masking, self._federation)
        )
        self.privacy = FormalPrivacy(store, home.folder, home.site, budgets)
        known = (Ledgers(store, home.folder), self.privacy, home.repeats, home.usual_asks, self.masking)
        airlock = Airlock(store, policy, home.site, key, *known)
        self.runner = Runner(
            store,
            admission,
            airlock,
            openings.open,
            self._send,
            Forward(clock),
            self.journal.write,
            lines,
            home.most_refusals,
            home.masked_pace,
            later,
        )
        self.desk, self.histories = Desk(airlock, clock, self._hand_over), airlock.histories
        self.runner.sweep = self.desk.sweep
        self.runner.opened = self._tell_reviews
        self._closing = False
        self.ready = Readiness(store.prove, lambda: self._closing, {"hub": self.reaches_hub})
        self.metrics = NodeMetrics(self)
        self.watch = Watch("node", self.metrics, self.metrics.entry, BEGINS, ENDS)
        store.watching = self.watch.committed
        openings.started = lambda: self.metrics.count("sojourn_node_worker_starts_total")
        self.runner.took = lambda seconds: self.metrics.observe("sojourn_node_computation_seconds", seconds)

    def tell(self, log: Log) -> None:
        """Say from now on what happens in this log. It may be read outside the journal's care: no texts, no values."""
        self.log = self.watch.log = log

    def _noted(self, study: str) -> None:
        self.metrics.count("sojourn_node_journal_entries_total")
        self.log.warning("journal.written", **({"study": study} if study else {}))

    # ---- the custodian's decisions

    def add_harmonised(self, source: str, table: str, dictionary: Dictionary) -> dict[str, Any]:
        """Import a table of the snapshot that readers of a harmonised source take, as `add_dataset` does a file."""
        if dictionary.person != PERSON:
            raise DatasetError(
                "The dictionary is of no harmonised table.", remedy=f"Its person column is `{PERSON}`: draft it again."
            )
        with handed(self.home.folder, source, table) as made:
            facts = {"harmonised": {"source": source, "snapshot": made.snapshot, "table": table}}
            return {**self.add_dataset(made.path, dictionary, made.origin, **facts), "harmonised": made.snapshot}

    def add_dataset(self, source: Path, dictionary: Dictionary, origin: str = "", **also: Any) -> dict[str, Any]:
        """Import a file under an approved dictionary as its table's current snapshot; also: more facts for the log."""
        rare = max(RARE_BELOW, for_dataset(self.policy, dictionary.table).hidden_max() + 1)
        snapshot = import_dataset(self.home.folder, dictionary.table, source, dictionary, rare, origin=origin)
        row = {
            "name": dictionary.table,
            "snapshot": snapshot.id,
            "dictionary": json.dumps(dictionary.public()),
            "added": self.clock(),
        }
        facts = {"snapshot": snapshot.id, "dictionary": dictionary.digest(), "source": snapshot.source_digest, **also}
        if dictionary.nearly_equal:
            facts["nearly_equal"] = [list(pair) for pair in dictionary.nearly_equal]
        entry = Entry("dataset.added", "custodian", dataset=dictionary.table, facts=facts)
        self.store.add_dataset(row, entry)
        if self._polling is not None:
            self._polling.publish()
        return {"table": dictionary.table, "snapshot": snapshot.id, "rows": snapshot.rows, "persons": snapshot.persons}

    def add_stand_in(self, source: Path, table: str) -> dict[str, Any]:
        """Import a synthetic file as the stand-in of a table, under its approved dictionary, for rehearsals."""
        if self.store.dataset(table) is None:
            raise DatasetError("There is no such table.", remedy="Add the dataset first: `sojourn dataset add`.")
        made = self.stand_ins.supply(source, table)
        row = {
            "name": table,
            "snapshot": made.id,
            "dictionary": made.dictionary.digest(),
            "persons": made.persons,
            "added": self.clock(),
        }
        facts = {"snapshot": made.id, "dictionary": made.dictionary.digest(), "source": made.source_digest}
        self.store.add_stand_in(row, Entry("rehearsal.supplied", "custodian", dataset=table, facts=facts))
        if self._polling is not None:
            self._polling.publish()
        return {"table": table, "snapshot": made.id, "rows": made.rows, "persons": made.persons}

    def approve(self, project: str, key: str, tables: list[str] | None = None, name: str = "") -> dict[str, Any]:
        """Pin a researcher's key for a project and these datasets (all present ones where none is named).

        name: of the person, who then checks nothing of their own.
        """
        pinned = PublicKey.from_hex(key)
        covered = sorted(tables) if tables else [row["name"] for row in self.store.rows(select(datasets.c.name))]
        row = {
            "project": project,
            "key": pinned.hex,
            "tables": json.dumps(covered),
            "approved": self.clock(),
            "revoked": None,
            "name": " ".join(name.split())[:200],
        }
        facts = {"project": project, "key": pinned.id, "tables": covered}
        self.store.approve(row, Entry("researcher.approved", "custodian", facts=facts))
        return {"project": project, "key": pinned.id, "tables": covered}

    def revoke(self, project: str, key: str) -> dict[str, Any]:
        """Withdraw an approval: queued and running work of it is never released."""
        pinned = PublicKey.from_hex(key)
        facts = {"project": project, "key": pinned.id}
        self.store.revoke(project, pinned.hex, self.clock(), Entry("researcher.revoked", "custodian", facts=facts))
        self.desk.sweep()
        return facts

    def scanned(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Keep that a file was examined by hand (see `scanning`): its digest, and whether anything was found."""
        entry = Entry("artifact.scanned", "custodian", facts=facts)
        self.store.write(entry, lambda connection: None)
        return facts

    def harmonised(self, word: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Keep that tables were signed for, published, undone, redone, or a row of them asked for (see `harmonise`)."""
        kinds = ("pilot.signed", "tables.published", "tables.undone", "tables.redone", "row.explained")
        entry = Entry(kinds[kinds.index(word)], "custodian", facts=facts)
        self.store.write(entry, lambda connection: None)
        return facts

    def pin(self, site: str, key: str) -> dict[str, Any]:
        """Trust that this is the key of that site, so that this one adds with it under masks."""
        return self.masking.pin(site, key, self.clock())

    def accept_log(self, reason: str) -> dict[str, Any]:
        """Trust the hub's log again, in the state that it showed last; what it has lost since, it may ask again."""
        done = self.witnessing.accept(self._hub(), reason, "custodian", forget_receipts)
        if self._polling is not None:
            self._polling.again()
        return done

    def recover(self) -> dict[str, int]:
        """After a restore from a backup: recall from the hub what this site said since then, and charge it.

        The node runs again when the hub's administrator has accepted its log. ConfigurationError where nothing was
        lost, or the node is not connected.
        """
        hub = self._hub()
        if self._polling is None or not self.witnessing.behind(hub.origin):
            raise ConfigurationError(
                "There is nothing to recover, as far as this node knows.",
                remedy="Start the node, wait until it has asked its hub, and look at `sojourn node show`.",
            )
        if self.witnessing.distrusts(hub.origin):
            raise ConfigurationError(
                "The hub's own log is under suspicion.", remedy="Decide on `node accept-log` first."
            )
        link = self._polling.link
        opener, losses = self._openings.open, self.privacy.restored
        counts = Recovery(self.store, link, self.key.public, self.home.folder, opener, self.clock, losses).run()
        entry = Entry("node.recovered", "custodian", facts=counts)
        self.store.write(entry, lambda connection: self.witnessing.recovered(connection, hub.origin))
        self._polling.again()
        return counts

    def _federation(self) -> str:
        return self.hub.origin if self.hub is not None else self.home.federation

    def _hub(self) -> Peer:
        if self.hub is None:
            raise ConfigurationError("The node has not joined a federation.", remedy="Run `sojourn node join` first.")
        return self.hub

    # ---- what the custodian sees

    def publication(self) -> Publish:
        """All that this site tells of its data and rules without being asked."""
        documents = [json.loads(row["dictionary"]) for row in self.store.rows(select(datasets))]
        rules: dict[str, Any] = {
            "name": self.policy.name,
            "version": self.policy.version,
            "threshold": self.policy.hidden_max() + 1,
            "least_sites": self.home.least_sites,
            "watermark": self.policy.watermark,
            "stand_ins": {row["name"]: self.stand_ins.told(row["name"]) for row in self.store.rows(select(datasets))},
        }
        rules |= self.masking.public(self._federation())
        if self.home.overlaps:
            rules["overlaps"] = {table: sorted(partners) for table, partners in self.home.overlaps.items()}
        if declared := {name: one.public() for name, one in self.privacy.budgets.items() if one.publish}:
            rules["privacy"] = declared
        return Publish(datasets=documents, rules=rules, sandbox=self._openings.name, software=__version__)

    def show(self) -> dict[str, Any]:
        """The node at a glance: settings, datasets, approvals, runs."""
        polling = self._polling
        hub = polling.hub_software if polling else ""
        troubles = (self.runner.trouble, polling.trouble if polling else "", self.privacy.trouble())
        return {
            "site": self.home.site,
            "hub": self.home.hub,
            "connected": self.reaches_hub(),
            "trouble": " ".join(filter(None, troubles)),
            "software": __version__,
            "hub_software": hub,
            "advice": advice("the hub", hub, "this node") if hub else "",
            "sandbox": self._openings.name,
            "rules": self.publication().rules,
            "datasets": self.datasets(),
            "checkers": [checker_shown(row) for row in self.desk.airlock.reviews.checkers()],
            "reviews": len(self.desk.airlock.reviews.waiting()),
            "alarms": self.histories.shown(),
            "privacy": self.privacy.left(),
            "pins": self.masking.shown()[1:],
            "approvals": [approval_shown(row) for row in self.store.rows(select(approvals))],
            "runs": [run_shown(row) for row in self.store.rows(select(runs).order_by(runs.c.admitted))],
            "log": self.witnessing.facts(),
        }

    def datasets(self) -> list[dict[str, Any]]:
        """Every dataset with its snapshot; counts stay inside the site."""
        found = []
        for row in self.store.rows(select(datasets).order_by(datasets.c.name)):
            snapshot = load_snapshot(self.home.folder, row["name"], row["snapshot"])
            found.append(
                {
                    "table": row["name"],
                    "snapshot": row["snapshot"],
                    "rows": snapshot.rows,
                    "persons": snapshot.persons,
                    "columns": {name: str(variable.kind) for name, variable in snapshot.dictionary.columns.items()},
                }
            )
        return found

    def released(self, study: str | None = None) -> list[dict[str, Any]]:
        """What left this site, or why not, with the custodian's notes; newest last."""
        query = select(releases).order_by(releases.c.made)
        if study is not None:
            query = query.where(releases.c.study == study)
        own = select(runs.c.study).where(runs.c.dataset.startswith(REHEARSED, autoescape=True))
        rehearsals = {row["study"] for row in self.store.rows(own)}
        return [
            {
                "study": row["study"],
                "rehearsal": row["study"] in rehearsals,
                "analysis": row["analysis"],
                "round": row["round"],
                "reason": row["reason"],
                "tier": row["tier"],
                "note": row["note"],
                "bytes": 0 if row["sealed"] is None else len(row["sealed"]),
                "answer": None if row["answer"] is None else json.loads(row["answer"]),
                "acknowledged": row["acknowledged"],
            }
            for row in self.store.rows(query)
        ]

    # ---- the conversation with the hub

    def warm(self) -> None:
        """Have a sandboxed worker ready."""
        self._openings.warm()

    def connect(self, link: HubLink) -> None:
        """Begin to ask the hub for work."""
        self.converse(link).start()

    def converse(self, link: HubLink) -> Polling:
        """The conversation with a hub, not begun."""
        if self._polling is not None:
            raise ConfigurationError("The node is connected already.", remedy="Stop it first.")
        self.hub = link.peer
        self._polling = Polling(
            link, self.store, self.runner, self.publication, self.clock, self.journal.write, self.witnessing, self.log
        )
        return self._polling

    def connected(self, timeout: float) -> bool:
        """Whether the node has told the hub its datasets, waiting for that at most so long."""
        return self._polling is not None and self._polling.connected.wait(timeout)

    def reaches_hub(self) -> bool:
        """Whether the hub answered the node's latest word."""
        return self._polling is not None and self._polling.connected.is_set()

    def latest_poll(self) -> tuple[float, float] | None:
        """When the hub last answered a poll by this machine's clock, and the hub's clock less ours then."""
        return None if self._polling is None else self._polling.latest

    def leave(self) -> None:
        """Take no more work."""
        self._closing = True
        if self._polling is not None:
            self._polling.leave()

    def close(self) -> None:
        """End within bounded time: runs in hand go on after a restart, nothing sealed is lost."""
        self._closing = True
        if self._polling is not None:
            self._polling.stop()
        self.runner.close()
        self._openings.close()
        self.store.close()
        self.journal.close()

    def _send(self, study: str, analysis: str, ask: str) -> None:
        if self._polling is not None:
            self._polling.send(study, analysis, ask)

    def _hand_over(self, study: str, analysis: str, ask: str) -> None:
        """Once, for a person who waits; after a failure the next turn hands over."""
        if self._polling is not None:
            self._polling.hand_over(study, analysis, ask)

    def _tell_reviews(self) -> None:
        if self._polling is not None:
            self._polling.tell()
