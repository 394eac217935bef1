"""What the hub does, as plain functions over its store: the web, the command line and the testbed all call these."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from sojourn import __version__
from sojourn.audit.entry import Entry
from sojourn.errors import ConfigurationError, EnvelopeRefused, IdentityError, StudyFailed
from sojourn.forms import Document, log_of, site_name
from sojourn.hub import held
from sojourn.hub.bell import Bell
from sojourn.hub.circles import exchange_of
from sojourn.hub.metrics import BEGINS, ENDS, HubMetrics
from sojourn.hub.presence import Presence
from sojourn.hub.store import HubStore, removed
from sojourn.hub.studies import ABORT_AFTER, Studies
from sojourn.hub.tables import metadata, sites
from sojourn.identity.envelope import MAX_LIFETIME, Envelope, Request
from sojourn.identity.keys import PublicKey
from sojourn.messages import (
    PROTOCOL,
    Acknowledgement,
    Delivery,
    Federation,
    Join,
    Joined,
    Poll,
    Publish,
    Recall,
    Recalled,
    SiteView,
    Standing,
    Submitted,
    Work,
)
from sojourn.operations.logs import SILENT, Log, error_fields
from sojourn.operations.readiness import Readiness
from sojourn.operations.watch import Watch
from sojourn.storage.witnessing import Heard, Peer, Witnessing
from sojourn.study.catalogue import Dataset, check
from sojourn.study.lifecycle import STUDY
from sojourn.study.plan import Plan
from sojourn.versions import advice, demand_near, demand_same
from sojourn.wire.seal import new_seal_key

ONLINE = 60.0  # seconds since the last poll
TICK = 0.5
TOKEN_LIFE = 7 * 86400.0


class Hub:
    """One federation's middle: it carries requests and combines releases, and sees no records."""

    def __init__(
        self,
        store: HubStore,
        clock: Callable[[], float] = time.time,
        abort_after: float = ABORT_AFTER,
        folder: Path | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.bell = Bell()
        self._notices = store.notices(self.bell.sound, self.bell.ring_all)
        self.studies = Studies(store, self.bell, clock, abort_after)
        self.witnessing = Witnessing(store, metadata, "hub", recovers=False)
        self._ahead: dict[str, float] = {}
        self._software: dict[str, str] = {}  # as each site last said it
        self.presence = Presence(store, clock, shared=self._notices is not None)
        self._closing = threading.Event()
        self.log: Log = SILENT
        self.ready = Readiness(store.prove, lambda: self.bell.closed or self._closing.is_set())
        self.metrics = HubMetrics(store, clock, folder or Path(), self.ready, self._online)
        self.watch = Watch("hub", self.metrics, self.metrics.entry, BEGINS, ENDS)
        store.watching = self.watch.committed
        self._ticker = threading.Thread(target=self._tick, name="hub-clock", daemon=True)

    def tell(self, log: Log) -> None:
        """Say from now on what happens in this log."""
        self.log = self.studies.log = self.watch.log = log

    def start(self) -> None:
        """Take up every study where it stood, and begin to watch deadlines."""
        if self._notices is not None:
            self.bell.relay = self._notices.publish
            self._notices.start()
        self.studies.resume()
        self._ticker.start()

    def close(self) -> None:
        """Stop watching and close the store; nothing in hand is lost."""
        self._closing.set()
        if self._ticker.is_alive():
            self._ticker.join(timeout=10)
        if self._notices is not None:
            self._notices.close()
        self.store.close()

    def _tick(self) -> None:
        while not self._closing.wait(TICK):
            try:
                self.keep_deadlines()
            except Exception as error:  # the next turn tries again
                self.log.error("deadlines.not_kept", **error_fields(error))

    def keep_deadlines(self) -> None:
        """Give up the sites that are late by their plans; the hub's clock does it at every tick."""
        self.presence.share()
        self.studies.keep_deadlines(self.presence.last)

    # ---- administration

    def add_project(self, name: str) -> None:
        """Open a project."""
        self.store.add_project(name, Entry("project.added", "administrator", facts={"project": name}))

    def add_member(self, project: str, key: str) -> None:
        """Let a researcher's key submit to a project."""
        member = PublicKey.from_hex(key)
        entry = Entry("project.member", "administrator", facts={"project": project, "key": member.id})
        self.store.add_member(project, member.hex, entry)

    def invite(self, site: str) -> str:
        """A one-time secret with which a site of this name may join within seven days."""
        site_name(site)
        secret = secrets.token_hex(24)
        entry = Entry("site.invited", "administrator", facts={"site": site})
        self.store.add_token(_digest(secret), site, self.clock() + TOKEN_LIFE, entry)
        return secret

    def accept_log(self, site: str, reason: str) -> dict[str, Any]:
        """Trust a suspected site's log again, in the state that it showed last."""
        done = self.witnessing.accept(self._peer(site), reason, "administrator")
        self.bell.ring(f"site:{site}")
        return done

    def remove(self, site: str) -> str:
        """Take a site's key no more: open polls end at once, and what it was asked is given up. The key's short name.

        Its name may be invited again, with a new key.
        """
        row = self.store.site(site)
        if row is None:
            raise ConfigurationError(f"There is no site {site}.", remedy="See `sojourn hub show`.")
        key = PublicKey.from_hex(row["key"])
        entry = Entry("site.removed", "administrator", facts={"site": site, "key": key.id})
        self.store.remove_site(site, self.clock(), entry)
        self.presence.forget(site)
        self.bell.ring(f"site:{site}")
        self.keep_deadlines()
        return key.id

    # ---- nodes

    def researcher_key(self, key: str) -> PublicKey | None:
        """The key of a researcher (its hex), if it belongs to any project; which one, each function asks."""
        return PublicKey.from_hex(key) if self.store.is_researcher(key) else None

    def node_key(self, site: str) -> PublicKey | None:
        """The key that a joined site must prove on every request."""
        key = self.store.site_key(site)
        return None if key is None else PublicKey.from_hex(key)

    def demand_site(self, site: str, key: PublicKey) -> None:
        """IdentityError unless this is still the key of the site: it may have been removed while it waited."""
        if self.node_key(site) != key:
            raise removed(site)

    def join(self, message: Join, key: PublicKey) -> Joined:
        """Admit a site that holds a valid token and has proved the key that it shows."""
        demand_same(message.protocol, PROTOCOL, "the node", message.software, "the hub")
        demand_near("the node", message.software, "the hub")
        if key.hex != message.key:
            raise IdentityError("The request is not signed with the key that it shows.", remedy="Join again.")
        row = {
            "name": message.site,
            "key": message.key,
            "log_key": message.log_key,
            "software": message.software,
            "published": json.dumps({"datasets": [], "rules": {}, "sandbox": ""}),
        }
        facts = {"site": message.site, "key": key.id, "software": message.software}
        entry = Entry("site.joined", f"node:{message.site}", facts=facts)
        # One of that name may have been removed: its log was another.
        forget = partial(self.witnessing.forget, log_of(message.site))
        self.store.join(_digest(message.token), row, self.clock(), entry, forget)
        return Joined(site=message.site, protocol=PROTOCOL, software=__version__)

    def publish(self, site: str, message: Publish) -> None:
        """Replace what a site tells of its datasets."""
        demand_near("the node", message.software, "the hub")
        for document in message.datasets:
            Dataset.from_dict(site, document)  # what cannot be read is not published
        document = message.model_dump()
        self._note_version(site, message.software)
        row = self.store.site(site)
        if row is not None and json.loads(row["published"]) == document:
            return  # told again, e.g. after each new connection
        names = sorted(str(dataset.get("table", "")) for dataset in message.datasets)
        entry = Entry("site.published", f"node:{site}", facts={"tables": names})
        self.store.publish(site, document, entry, message.software)

    def software_of(self, site: str) -> str:
        """The version that a site's node last told, when it joined or published; empty where there is none."""
        row = self.store.site(site)
        return "" if row is None else str(row["software"])

    def _note_version(self, site: str, software: str) -> None:
        """Say once that a node's version differs from the hub's."""
        if advice("the node", software, "the hub") and self._software.get(site) != software:
            self.log.warning("version.differs", site=site, software=software, own=__version__)
        self._software[site] = software

    def standing(self, site: str) -> Standing:
        """What is known here of a joined site."""
        row = self.store.site(site)
        assert row is not None  # its signature was verified by that row's key
        return Standing(
            site=site,
            key=row["key"],
            log_key=row["log_key"],
            protocol=PROTOCOL,
            software=__version__,
            time=self.clock(),
        )

    def note_clock(self, site: str, ahead: float) -> None:
        """By how many seconds a site's clock was ahead when its request was refused for that; 0 once it agrees."""
        if ahead:
            self._ahead[site] = ahead
        else:
            self._ahead.pop(site, None)

    def clocks(self) -> dict[str, float]:
        """The sites whose requests are refused because of their clocks, and by how many seconds they are ahead."""
        return dict(self._ahead)

    def hear(self, site: str, message: Poll) -> Heard:
        """Witness the log that a node shows with its poll, and hear what waits there for a checker; its polls are
        answered whatever this finds.
        """
        demand_same(message.protocol, PROTOCOL, "the node", message.software, "the hub")
        demand_near("the node", message.software, "the hub")
        self.metrics.count("sojourn_hub_polls_total")
        heard = self.witnessing.hear(self._peer(site), message.log)
        if message.reviews and not heard.refused:
            held.note(self.store, self.bell, self.clock, site, message.reviews)
        return heard

    def poll(self, site: str, message: Poll, heard: Heard | None = None) -> Work:
        """What a node has to do now; empty when there is nothing, or while one of both does not trust the other's log.

        heard: what `hear` found, where the same poll asks again.
        """
        if heard is None:
            heard = self.hear(site, message)
        self.presence.note(site)
        ended = self.studies.ended(site, message.running, message.known)
        if message.log is None:
            tasks = [] if heard.refused else self.studies.tasks_for(site, set(message.known))
            return Work(tasks=tasks, ended=ended, time=self.clock(), software=__version__)
        trusted = not heard.refused and message.log.refused is None
        tasks = self.studies.tasks_for(site, set(message.known)) if trusted else []
        log = self.witnessing.show(log_of(site), heard.since)
        return Work(tasks=tasks, ended=ended, time=self.clock(), log=log, software=__version__)

    def deliver(self, site: str, key: PublicKey, message: Delivery) -> Acknowledgement:
        """Take an answer or reason, and witness the log that holds it first: no receipt for what could be undone."""
        heard = self.witnessing.hear(self._peer(site), message.log)
        if heard.refused:
            log = self.witnessing.show(log_of(site), heard.since) if message.log is not None else None
            return Acknowledgement(receipt=None, log=log)
        return Acknowledgement(receipt=self.studies.deliver(site, key, message))

    def recall(self, site: str, message: Recall) -> Recalled:
        """What a site once said, for a node that was restored from a backup and has to know it again."""
        return Recalled(studies=self.studies.recall(site, message.after))

    def _peer(self, site: str) -> Peer:
        row = self.store.site(site)
        if row is None:
            raise StudyFailed("There is no such site.", remedy="See `sojourn hub show`.")
        return Peer(log_of(site), PublicKey.from_hex(row["log_key"]))

    # ---- researchers

    def prepare(self, project: str, key: PublicKey) -> Federation:
        """All that a researcher needs in order to sign a request, with a fresh key to seal the answers to."""
        self.demand_member(project, key)
        private, public = new_seal_key()
        entry = Entry("study.prepared", f"researcher:{key.id}", facts={"project": project})
        self.store.add_seal_key(public, private, self.clock(), entry)
        origin, log_key = self.log_identity()
        return Federation(
            protocol=PROTOCOL,
            software=__version__,
            sites=self.site_views(),
            seal_key=public,
            log_origin=origin,
            log_key=log_key,
        )

    def site_views(self) -> list[SiteView]:
        """Every joined site with what it published."""
        views = []
        suspended = self.witnessing.suspended()
        for row in self.store.rows(select(sites).order_by(sites.c.name)):
            published = json.loads(row["published"])
            online = self.clock() - self.presence.last(row["name"]) < ONLINE
            views.append(
                SiteView(
                    site=row["name"],
                    key=row["key"],
                    online=online,
                    datasets=published["datasets"],
                    rules=published["rules"],
                    suspended="log" if log_of(row["name"]) in suspended else None,
                )
            )
        return views

    def _online(self) -> dict[str, bool]:
        return {view.site: view.online for view in self.site_views()}

    def log_identity(self) -> tuple[str, str]:
        """The origin and public key of the hub's log."""
        return self.store.origin, self.store.public_key.hex

    def demand_member(self, project: str, key: PublicKey) -> None:
        """IdentityError unless the key belongs to the project."""
        if not self.store.is_member(project, key.hex):
            raise IdentityError(
                "This key does not belong to the project, or there is no such project.",
                remedy="Ask the hub's administrator for `sojourn project member PROJECT --key FILE`.",
            )

    def submit(self, document: Document, key: PublicKey) -> Submitted:
        """Take a signed request (its envelope's document) and ask all its sites at once."""
        envelope = Envelope.from_dict(document)
        if envelope.key != key.hex or not envelope.holds():
            raise IdentityError("The request is not signed by the key that sends it.", remedy="Sign it with your key.")
        request = Request.read(envelope)
        demand_near("the researcher's program", request.software, "the hub")
        self._demand_sound(request, key)
        plan = check(Plan.from_dict(request.plan), tuple(request.roster))
        now = self.clock()
        row = {
            "id": request.study,
            "project": request.project,
            "researcher": key.hex,
            "title": plan.title,
            "request": json.dumps(document),
            "plan": plan.hash,
            "state": STUDY.initial,
            "message": "",
            "submitted": now,
            "finished": None,
            "expires": float(request.expires),
            "exchange": exchange_of(self.store, request, self.log_identity()[0]),
        }
        facts: dict[str, Any] = {"project": request.project, "plan": plan.hash, "sites": sorted(request.roster)}
        facts |= {"rehearsal": True} if request.rehearsal else {}
        entry = Entry("study.submitted", f"researcher:{key.id}", study=request.study, facts=facts)
        index = self.store.submit(row, request.seal_key, {"state": STUDY.initial, "time": now}, entry)
        self.studies.advance(request.study)
        return Submitted(study=request.study, receipt=self.store.receipt(index).to_dict())

    def cancel(self, study: str, key: PublicKey) -> bool:
        """Stop a study: nodes end their workers at their next word from the hub. False where it had ended."""
        return self.studies.end(study, "cancel", "Cancelled by the researcher.", f"researcher:{key.id}")

    def _demand_sound(self, request: Request, key: PublicKey) -> None:
        self.demand_member(request.project, key)
        if not self.clock() - 60 < request.expires or request.issued > self.clock() + 60:
            raise IdentityError(
                "The request has expired, or a clock is wrong.", remedy="Check your clock, submit again."
            )
        if request.expires - request.issued > MAX_LIFETIME:
            raise EnvelopeRefused("lifetime")
        known = {row["name"]: row["key"] for row in self.store.rows(select(sites))}
        strangers = sorted(site for site, node in request.roster.items() if known.get(site) != node)
        if strangers:
            raise StudyFailed(f"Not sites of this federation: {', '.join(strangers)}.", remedy="Fetch the sites again.")
        if Plan.from_dict(request.plan).hash != request.plan_hash:
            raise IdentityError("The plan is not the one that was signed.", remedy="Submit the plan again.")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
