"""The node as a program: makes its home, joins, runs. It listens on a local socket and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sojourn import __version__
from sojourn.disclosure.budget import Budget
from sojourn.disclosure.gate import Policy
from sojourn.disclosure.layers import composed, layers_of
from sojourn.disclosure.mechanisms import demand
from sojourn.disclosure.parameters import Parameters, layer
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import ConfigurationError, DatasetError
from sojourn.forms import log_of
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.node.backup import party
from sojourn.node.config import SETTINGS, NodeHome
from sojourn.node.dictionary import Dictionary
from sojourn.node.hub_link import HubLink
from sojourn.node.opening import Openings
from sojourn.node.review_view import listed, shown
from sojourn.node.service import Node
from sojourn.node.store import NodeStore
from sojourn.node.tables import metadata
from sojourn.operations.exposition import TextFile
from sojourn.operations.logs import SILENT, Log
from sojourn.operations.readiness import NOT_RUNNING, REASONS
from sojourn.secrecy.exchange import ExchangeKey
from sojourn.storage.engine import open_engine
from sojourn.storage.lock import HomeLock
from sojourn.storage.migrate import migrate_as_owner, open_migrated
from sojourn.storage.safekeeping import hands
from sojourn.storage.verifier import Verifier
from sojourn.storage.witnessing import Peer
from sojourn.wire.address import Address
from sojourn.wire.administration import administer, administration, listens
from sojourn.wire.requests import SignedAuth
from sojourn.wire.serving import Server, serve_locally, settle_process
from sojourn.wire.transport import https_client

MIGRATIONS = "sojourn.node.migrations"
GRACE = 1  # seconds that the custodian's own commands in hand may take when the node ends
STARTING = 20.0  # seconds that a node may take to start, or a command to end, before another one gives up
PATIENCE = 60.0  # seconds that one request may take; longer than the longest poll


def create(
    folder: Path,
    site: str,
    sandbox: str = "bubblewrap",
    least_sites: int = 3,
    database: str = "",
    password_file: Path | None = None,
) -> NodeHome:
    """A new node: its keys and its empty store. ConfigurationError where there is one.

    database: the URL of a PostgreSQL database that can be reached now; empty: an SQLite file in the folder.
    """
    if (folder / SETTINGS).exists():
        raise ConfigurationError("There is a node here already.", remedy="Use it, or choose another --home.")
    secret = str(password_file.resolve()) if password_file else ""
    if database:
        open_engine(database, password_file).dispose()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    chosen: Any = sandbox  # the settings judge it
    words = {"sandbox": chosen, "least_sites": least_sites}
    home = NodeHome(folder.resolve(), site, database=database, database_password_file=secret, **words)
    PrivateKey.generate().save(home.key)
    PrivateKey.generate().save(home.log_key)
    ExchangeKey.generate().save(home.exchange_key)
    home.save()
    return home


def join(home: NodeHome, line: str) -> NodeHome:
    """Join the federation whose invitation this line is, and pin its authority and its log's key."""
    address = Address.decode(line)
    if not address.token:
        raise ConfigurationError("The address holds no token.", remedy="Ask for `sojourn hub invite SITE`.")
    key, log_key = PrivateKey.load(home.key), PrivateKey.load(home.log_key)
    auth = SignedAuth(key, audience=address.federation)
    with https_client(address.url, address.authority, auth, PATIENCE) as client:
        link = HubLink(client, home.site, address.federation, PublicKey.from_hex(address.log_key))
        link.join(address.token, key.public.hex, log_key.public.hex)
    home.authority.write_text(address.authority, encoding="ascii")
    (home.folder / "hub-log.pub").write_text(address.log_key + "\n", encoding="ascii")
    joined = home.joined(address.url, address.federation)
    joined.save()
    return joined


def link_of(home: NodeHome) -> HubLink:
    """The way out to the hub that this node joined."""
    if not home.hub:
        raise ConfigurationError("The node has not joined a federation.", remedy="Run `sojourn node join LINE` first.")
    auth = SignedAuth(PrivateKey.load(home.key), audience=home.federation)
    client = https_client(home.hub, home.authority.read_text(encoding="ascii"), auth, PATIENCE)
    return HubLink(client, home.site, home.federation, hub_log_key(home))


def hub_log_key(home: NodeHome) -> PublicKey:
    """The key of the hub's log, pinned when the node joined."""
    return PublicKey.from_hex((home.folder / "hub-log.pub").read_text(encoding="ascii"))


def open_node(
    home: NodeHome,
    clock: Callable[[], float] = time.time,
    policy: Policy | None = None,
    openings: Openings | None = None,
) -> Node:
    """The node of this home, its store brought up to date; not connected.

    policy: only the testbed gives one as an object; a node's own rules are data in its settings.
    """
    policy = policy or _policy(home)
    budgets = {table: Budget.from_dict(document) for table, document in home.privacy.items()}
    if budgets:
        demand()
    engine = open_migrated(home.database or home.database_file, home.password_file, MIGRATIONS)
    key = PrivateKey.load(home.log_key)
    store = NodeStore(engine, metadata, key, log_of(home.site), lambda: datetime.fromtimestamp(clock(), UTC))
    node = Node(home, store, PrivateKey.load(home.key), policy, openings or Openings(home), clock, budgets=budgets)
    if home.hub:
        node.hub = Peer(home.federation, hub_log_key(home))
    return node


def _policy(home: NodeHome) -> StandardPolicy:
    """The custodian's rules; those of jurisdictions and of a dataset come on top and never loosen."""
    site = composed(layers_of(home.jurisdictions), Parameters.from_dict(dict(home.rules)))
    for name, words in home.dataset_rules.items():
        if not isinstance(words, Mapping):
            raise ConfigurationError(
                f"{SETTINGS}: `dataset_rules` of `{str(name)[:60]}` is not a mapping.",
                remedy="Write e.g. `dataset_rules: {registry: {threshold: 20}}`.",
            )
    return StandardPolicy(site, {str(name): layer(words, site) for name, words in home.dataset_rules.items()})


def migrate(folder: Path, owner: str, password_file: Path | None = None) -> str:
    """Bring the PostgreSQL database of a node that is stopped up to date as the owner of its tables; the revision."""
    home = NodeHome.load(folder)
    with HomeLock(home.folder):
        return migrate_as_owner(owner, password_file, MIGRATIONS, home.database)


class NodeProgram:
    """A running node: asks its hub for work, and obeys its custodian on a local socket."""

    def __init__(self, folder: Path, log: Log = SILENT) -> None:
        self.home = NodeHome.load(folder)
        self.log = log
        self._lock = HomeLock(folder, 0.0 if listens(self.home.socket) else STARTING)
        self.link = link_of(self.home)
        self.node = open_node(self.home)
        self.verifier = Verifier(self.node.store, lambda words: self.node.journal.write("", words))
        self.node.tell(log)
        file = self.home.metrics_file
        self._metrics = TextFile(Path(file), self.node.metrics.text) if file else None
        self.local: Server = serve_locally(administration(functions(self.node)), self.home.socket, grace=GRACE)

    def start(self) -> None:
        """Begin; AuditError where the log does not verify, SandboxUnavailable where the sandbox cannot be had."""
        settle_process()
        self.verifier.start()
        self.node.warm()
        self.local.start()
        self.node.connect(self.link)
        if self._metrics is not None:
            self._metrics.start()
        self.log.info("program.started", own=__version__, site=self.home.site)

    def stop(self) -> None:
        """End within bounded time; nothing sealed is lost.

        At once: not ready, no more work is asked for. Then: a delivery in hand may end, for 2 s at most; workers are
        ended; what was sealed is committed, and is handed over after the next start where the hub has not confirmed it.
        """
        began = time.monotonic()
        self.node.leave()
        self.log.info("program.ending", site=self.home.site)
        if self._metrics is not None:
            self._metrics.close()
        self.local.stop()
        self.verifier.close()
        self.node.close()
        self._lock.release()
        self.log.info("program.ended", site=self.home.site, seconds=round(time.monotonic() - began, 3))


def functions(node: Node) -> dict[str, Callable[..., Any]]:
    """What a custodian may do on the machine of the node."""

    def add_dataset(source: str, dictionary: str) -> dict[str, Any]:
        return node.add_dataset(Path(source), Dictionary.load(Path(dictionary)))

    def add_harmonised(source: str, table: str, dictionary: str, name: str) -> dict[str, Any]:
        approved = Dictionary.load(Path(dictionary))
        if approved.table != name:
            raise DatasetError("The dictionary is of another table.", remedy=f"Its word `table` must be `{name}`.")
        return node.add_harmonised(source, table, approved)

    def verify() -> dict[str, Any]:
        report = node.store.verify()
        return {"ok": report.ok, "problems": [str(problem) for problem in report.problems]}

    return {
        "show": node.show,
        "approve": node.approve,
        "revoke": node.revoke,
        "pin": node.pin,
        "pins": node.masking.shown,
        "add_dataset": add_dataset,
        "add_harmonised": add_harmonised,
        "add_stand_in": lambda source, table: node.add_stand_in(Path(source), table),
        "datasets": node.datasets,
        "released": node.released,
        "accept_log": node.accept_log,
        "add_checker": node.desk.enrol,
        "remove_checker": node.desk.dismiss,
        "reviews": lambda everything=False: listed(node.desk, everything),
        "review": lambda name: shown(node.desk, name),
        "vote": node.desk.vote,
        "close_review": node.desk.close,
        "alarms": node.histories.shown,
        "clear": lambda key, reason: node.histories.clear(key, reason, node.clock()),
        "scanned": node.scanned,
        "harmonised": node.harmonised,
        "recover": node.recover,
        "verify": verify,
        "checkpoint": node.store.checkpoint,
        "ready": node.ready.reasons,
        "metrics": node.metrics.text,
        **hands(party(node.home), lambda entry: node.store.write(entry, lambda connection: None)),
    }


def not_ready(folder: Path) -> list[str]:
    """What keeps the node of this home from being ready, in words for people; empty: it is ready."""
    home = NodeHome.load(folder)
    if not listens(home.socket):
        return [NOT_RUNNING]
    return [REASONS[word] for word in administer(home.socket, "ready")]


def metrics(folder: Path) -> str:
    """The metrics of the running node of this home, in Prometheus' text form; ConfigurationError without one."""
    home = NodeHome.load(folder)
    if not listens(home.socket):
        raise ConfigurationError("The node is not running.", remedy="Start it with `sojourn node start`.")
    return str(administer(home.socket, "metrics"))


def ask(folder: Path, name: str, /, **arguments: Any) -> Any:
    """Call one of `functions`: of the running node, else of its home opened for just this."""
    home = NodeHome.load(folder)
    lock = _turn(home)
    if lock is None:
        return administer(home.socket, name, **arguments)
    with lock:
        node = open_node(home)
        try:
            return functions(node)[name](**arguments)
        finally:
            node.close()


def _turn(home: NodeHome) -> HomeLock | None:
    """The home for ourselves, or None where a node runs there; one that is just starting is waited for."""
    until = time.monotonic() + STARTING
    while not listens(home.socket):
        try:
            return HomeLock(home.folder)
        except ConfigurationError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)
    return None
