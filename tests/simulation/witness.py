"""The invariants: what must hold whatever is lost, repeated, reordered, killed or revoked.

The witness sees what crosses the network and reads the parties' stores; it never changes anything.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from simulation.checkers import Careful
from simulation.material import ANALYSES, differs, pooled
from sojourn.hub.statements import LIVE
from sojourn.hub.tables import results, studies, tasks
from sojourn.messages import Delivery, Work
from sojourn.node.tables import ledger, releases, reviews, runs

if TYPE_CHECKING:
    from simulation.parties import HubProcess, NodeProcess, Process
    from sojourn.hub.service import Hub

GROUNDS = """SELECT approval.revoked, run.ended, (
    SELECT count(*) FROM log_entry WHERE study = run.study AND data ->> 'kind' = 'release.sealed'
    AND data -> 'facts' ->> 'analysis' = ?2 AND data -> 'facts' ->> 'ask' = ?3) AS logged
    FROM run JOIN approval ON approval.project = run.project AND approval.key = run.researcher WHERE run.study = ?1"""
APPROVED = """SELECT data ->> 'facts' AS facts FROM log_entry WHERE study = ?1 AND data ->> 'kind' = 'review.approved'
    AND data -> 'facts' ->> 'analysis' = ?2"""
ENTRIES = "SELECT data FROM log_entry WHERE position >= {} ORDER BY position"
SILENT = ("not released", "no answer")
SETTLED = {"contributed": "round.answered", "not released": "round.refused", "no answer": "round.dropped"}


class Violation(BaseException):
    """An invariant does not hold; nothing in the product may catch that."""


class Witness:
    """What was seen of one federation."""

    def __init__(self) -> None:
        self.logs: dict[str, list[bytes]] = {}  # what each log held when it was last read
        self.receipts: dict[int, str] = {}  # what the hub ever answered with a receipt: index → entry
        self.bytes: dict[tuple[str, str, str, str], str] = {}  # what was sent for each place
        self.plans: dict[str, str] = {}  # submitted studies and the names of their plans
        self.acknowledged: set[str] = set()

    # ---- as it happens

    def receipt(self, document: dict[str, Any]) -> None:
        """The hub is about to answer with this receipt."""
        before = self.receipts.setdefault(document["index"], document["entry"])
        demand(before == document["entry"], "acknowledged means durable: two entries were proved for one place")

    def sending(self, process: NodeProcess, message: Delivery) -> None:
        """A node begins to send."""
        if message.sealed is None:
            return
        place = (process.name, message.study, message.analysis, message.ask)
        grounds = process.store.read(lambda connection: connection.exec_driver_sql(GROUNDS, place[1:]).one())
        demand(grounds.revoked is None, "no release after revocation", place)
        demand(not grounds.ended, "no release after the run's end", place)
        before = self.bytes.setdefault(place, message.sealed)
        demand(before == message.sealed, "nothing doubled: other bytes were sent for one place", place)
        demand(grounds.logged == 1, "no release without its log entry", place)
        if isinstance(process.policy, Careful):
            logged = process.store.read(lambda connection: connection.exec_driver_sql(APPROVED, place[1:3]).all())
            agreed = [facts for facts in (json.loads(row.facts) for row in logged) if _covers(facts, place[3])]
            demand(bool(agreed), "no release before approval", place)

    def handed_out(self, hub: Hub, work: Work) -> None:
        """The hub is about to hand these tasks out."""
        if work.tasks:
            query = f"SELECT id FROM study WHERE state IN {LIVE}"
            live = hub.store.read(lambda connection: set(connection.exec_driver_sql(query).scalars()))
            demand({task.study for task in work.tasks} <= live, "no task is handed out after the end", *work.ended)

    # ---- after a start, and at the end

    def look(self, process: Process) -> list[bytes]:
        """A log only grows, and holds what was acknowledged."""
        before = self.logs.get(process.name, [])
        found = process.store.read(lambda connection: _entries(connection, 0))
        demand(found[: len(before)] == before, "acknowledged means durable: a log did not only grow", process.name)
        self.logs[process.name] = found
        if process.name == "hub":
            for index, entry in self.receipts.items():
                there = index < len(found) and found[index].decode() == entry
                demand(there, "acknowledged means durable: a receipt's entry is not in the log", index)
        return found

    def judge(self, hub: HubProcess, nodes: list[NodeProcess]) -> None:
        """All that must hold at the end."""
        for process in (hub, *nodes):
            self.look(process)
            report = process.store.verify()
            demand(report.ok, "a log does not verify", process.name, *report.problems)
        self._judge_studies(hub)
        self._judge_rounds(hub)
        for node in nodes:
            self._judge_node(node)
        self._judge_both(hub, nodes)

    def _judge_studies(self, hub: HubProcess) -> None:
        store = hub.store
        found = {row["id"]: row for row in store.rows(select(studies))}
        lost = self.acknowledged - set(found)
        demand(not lost, "nothing lost: an acknowledged study is not there", *lost)
        of_task: dict[str, list[Any]] = {study: [] for study in found}
        for task in store.rows(select(tasks)):
            of_task[task["study"]].append(task)
        for study, row in found.items():
            demand(row["state"] not in LIVE, "nothing lost: a study did not end", study, row["state"])
            if row["state"] == "completed":
                self.judge_completed(study, json.loads(row["request"]), of_task[study], store)

    def judge_completed(self, study: str, envelope: Any, asked: list[Any], store: Any) -> None:
        import base64

        request = json.loads(base64.b64decode(envelope["payload"]))
        plan = self.plans[study]
        if request["plan"].get("stragglers") == "abort":
            silent = [task["site"] for task in asked if task["state"] in SILENT]
            demand(not silent, "the plan says abort, a site was silent, and the study completed", study, *silent)
        concluded = {row["analysis"]: row for row in store.rows(select(results).where(results.c.study == study))}
        demand(concluded.keys() == ANALYSES[plan].keys(), "nothing lost: an analysis has no end", study)
        for name, row in concluded.items():
            sites = tuple(sorted(json.loads(row["contributed"])["sites"]))
            silent = {task["site"] for task in asked if task["analysis"] == name and task["state"] in SILENT}
            if row["estimate"] is None:
                words = json.loads(row["error"])["error"]
                demand(words in ("TooFewSites", "ConvergenceError"), "an analysis failed", study, name, row["error"])
                continue
            demand(len(sites) >= request["min_sites"], "fewer sites than the plan demands", study, name)
            demand(set(sites) == set(request["roster"]) - silent, "a site is missing, or too many", study, name, *sites)
            found, expected = json.loads(row["estimate"]), pooled(plan, name, sites)
            demand(
                not differs(found, expected), "an estimate is not the pooled one", study, name, *sites, found, expected
            )

    def _judge_rounds(self, hub: HubProcess) -> None:
        """Every settled task has its one entry, and every such entry its task."""
        logged: Counter[tuple[str, ...]] = Counter()
        ends: Counter[str] = Counter()
        for entry in self._read(hub):
            if entry["kind"] in SETTLED.values():
                facts = entry["facts"]
                logged[entry["kind"], entry["study"], facts["analysis"], facts["ask"], facts["site"]] += 1
            if entry["kind"] in ("study.completed", "study.failed", "study.cancelled"):
                ends[entry["study"]] += 1
        stored = Counter(
            (SETTLED[task["state"]], task["study"], task["analysis"], task["ask"], task["site"])
            for task in hub.store.rows(select(tasks))
            if task["state"] in SETTLED
        )
        demand(
            logged == stored,
            "nothing doubled: the hub's rounds and its log differ",
            *((logged - stored) or (stored - logged)),
        )
        demand(all(times == 1 for times in ends.values()), "nothing doubled: a study ended twice", *ends)

    def _judge_node(self, node: NodeProcess) -> None:
        store, entries = node.store, self._read(node)
        kinds = Counter(
            (entry["kind"], entry["study"], entry["facts"].get("analysis"), entry["facts"].get("ask"))
            for entry in entries
        )
        for (kind, *place), times in kinds.items():
            if kind.startswith(("release.", "run.", "ledger.")):
                demand(times == 1, "nothing doubled: a node's entry is there twice", node.name, kind, *place)
        for row in store.rows(select(releases)):
            place = (row["study"], row["analysis"], row["ask"])
            sealed, refused = (kinds[f"release.{word}", *place] for word in ("sealed", "refused"))
            demand(sealed + refused == 1, "no release without its log entry", node.name, *place)
            demand(row["acknowledged"], "nothing lost: a decision never reached the hub", node.name, *place)
        for row in store.rows(select(runs)):
            self._judge_run(node, row)
        self._judge_revocations(node, entries)
        self.judge_charges(node, kinds)

    def judge_charges(self, node: NodeProcess, kinds: Counter[tuple[Any, ...]]) -> None:
        """Every analysis that was sealed stands in the ledger, once."""
        store = node.store
        charged = Counter(
            (row["study"], row["analysis"], row["label"], row["measure"]) for row in store.rows(select(ledger))
        )
        demand(all(times == 1 for times in charged.values()), "budget charged once", node.name)
        sets = Counter((study, analysis) for study, analysis, *_ in charged)
        sealed_once = {(study, analysis) for kind, study, analysis, _ in kinds if kind == "release.sealed"}
        repeated = {
            (row["study"], row["analysis"]): (row["first_study"], row["first_analysis"])
            for row in store.rows(select(releases).where(releases.c.first_study != ""))
        }
        own = sealed_once - set(repeated)  # what repeats another study's answer stands on its charge
        charged_all = own <= set(sets) <= sealed_once and set(repeated.values()) <= set(sets)
        demand(charged_all, "budget charged once: not all that was sealed was charged", node.name)

    def judge_reviews(self, node: NodeProcess) -> None:
        """At a site where everything waits: each review came to one end; what left are the bytes that were checked."""
        entries = [entry for entry in self._read(node) if entry["kind"].startswith("review.")]
        opened, ended = (
            Counter(entry["facts"]["review"] for entry in entries if entry["kind"].partition(".")[2] in words)
            for words in (("opened",), ("approved", "rejected", "closed"))
        )
        demand(opened == ended, "nothing lost, nothing doubled: a review has no end, or two", node.name)
        demand(all(times == 1 for times in opened.values()), "nothing doubled: a review was opened twice", node.name)
        answers = {
            (row["study"], row["analysis"], row["ask"]): row["answer"] for row in node.store.rows(select(releases))
        }
        for row in node.store.rows(select(reviews)):
            answer = answers.get((row["study"], row["analysis"], row["ask"]))
            if row["state"] == "approved":
                demand(answer is not None, "nothing lost: what was approved did not leave", node.name, row["id"])
                same = json.loads(str(answer))["release"] == json.loads(row["document"])
                demand(same, "no release before approval: other bytes than those checked", node.name, row["id"])
            else:
                demand(answer is None, "no release before approval", node.name, row["id"], row["state"])

    def _judge_run(self, node: NodeProcess, row: Any) -> None:
        import base64

        request = json.loads(base64.b64decode(json.loads(row["request"])["payload"]))
        demand(row["admitted"] < request["expires"], "an expired request was admitted", node.name, row["study"])
        demand(row["ended"] != "", "nothing lost: a run did not end", node.name, row["study"])

    def _judge_revocations(self, node: NodeProcess, entries: list[dict[str, Any]]) -> None:
        """In the order of the node's log, nothing is sealed under a withdrawn approval."""
        owner = {row["study"]: row["project"] for row in node.store.rows(select(runs))}
        revoked: set[str] = set()
        for entry in entries:
            match entry["kind"]:
                case "researcher.revoked":
                    revoked.add(entry["facts"]["project"])
                case "researcher.approved":
                    revoked.discard(entry["facts"]["project"])
                case "release.sealed":
                    demand(
                        owner.get(entry["study"]) not in revoked,
                        "no release after revocation",
                        node.name,
                        entry["study"],
                    )

    def _judge_both(self, hub: HubProcess, nodes: list[NodeProcess]) -> None:
        """What the hub has, the node has logged; where they speak of a release it is the same one."""
        answered = {
            (entry["facts"]["site"], entry["study"], entry["facts"]["analysis"], entry["facts"]["ask"]): entry["facts"][
                "release"
            ]
            for entry in self._read(hub)
            if entry["kind"] == "round.answered"
        }
        sealed = {
            (node.name, entry["study"], entry["facts"]["analysis"], entry["facts"]["ask"]): entry["facts"]["release"]
            for node in nodes
            for entry in self._read(node)
            if entry["kind"] == "release.sealed"
        }
        for place, release in answered.items():
            demand(sealed.get(place) == release, "no release without its log entry: hub and node differ", *place)

    # ---- reading

    def _read(self, process: Process) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.logs[process.name]]


def _entries(connection: Connection, first: int) -> list[bytes]:
    return [bytes(data) for data in connection.exec_driver_sql(ENTRIES.format(first)).scalars()]


def _covers(facts: dict[str, Any], ask: str) -> bool:
    """Whether an approval is of this ask, or was given for later rounds too by all who gave it."""
    return facts["ask"] == ask or all(vote["for_run"] == "true" for vote in facts["votes"])


def demand(holds: bool, invariant: str, *where: object) -> None:
    """Violation unless it holds."""
    if not holds:
        raise Violation(f"{invariant}: {', '.join(map(str, where))}")
