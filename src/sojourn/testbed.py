"""A hub and its nodes in one process over an in-memory transport: for tests, tutorials and rehearsal.

It is the same hub and node code, the same signatures, gates, stores and logs; only the network and the sandbox are not
there. Dictionaries are derived from the data, which no real node does: `Federation.notes` says so.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.analysis.variable import Kind, Variable
from sojourn.client.results import Results
from sojourn.client.studies import Federation as Connection
from sojourn.client.studies import Project
from sojourn.client.verification import LogIdentity
from sojourn.disclosure.gate import Policy
from sojourn.errors import ConfigurationError, StudyFailed
from sojourn.hub import program as hub_program
from sojourn.hub.api import application
from sojourn.hub.config import HubHome
from sojourn.hub.service import Hub
from sojourn.identity.keys import PrivateKey
from sojourn.node import program as node_program
from sojourn.node.config import NodeHome
from sojourn.node.dictionary import Dictionary
from sojourn.node.hub_link import HubLink
from sojourn.node.opening import Openings
from sojourn.node.sandbox import InProcess, Sandbox
from sojourn.node.service import Node
from sojourn.storage.migrate import open_migrated
from sojourn.study.plan import Plan
from sojourn.wire.requests import SignedAuth
from sojourn.wire.transport import Loop, in_memory_client

if TYPE_CHECKING:
    import pandas

PROJECT = "testbed"
NAME = "testbed"
MOST_LEVELS = 500
PATIENCE = 60.0
NO_PRIVACY: Mapping[str, Mapping[str, Any]] = {}
NO_DECLARATIONS: Mapping[str, Variable] = {}
NO_OVERLAPS: Mapping[str, Mapping[str, list[str]]] = {}

Tables = Mapping[str, "pandas.DataFrame | Path | str"]
Rules = Policy | Mapping[str, Policy] | None
Clock = Callable[[], float]


class Federation:
    """Site → table name → pandas DataFrame, or path of a CSV or Parquet file.

    rules: a disclosure policy for every site, or by site; default: the product's own. person: the column that names a
    person; where a table lacks it each row is one person. sandbox: where nodes compute; default: in this process.
    clock: UTC seconds; of everyone, or by site and "hub", while those not named have this machine's.
    databases: the URL of a PostgreSQL database for each site and "hub"; default: SQLite files. privacy: site → table →
    its budget of formal privacy, as under `privacy` in node.yaml. review: what custodians make of the derived
    dictionaries, e.g. bounds that they declare. most_refusals, usual_asks: as the settings of a node; default: no
    bound and no look at histories, since a tester's asks of her own data tell her nothing. repeats: as that setting.
    overlaps: site → table → sites, as that setting. declared: what custodians declare of a column, by its name, in the
    place of what is derived, e.g. `{"sbp": Variable(kind="number", low=50, high=300)}`; quantiles need a range.
    """

    def __init__(
        self,
        sites: Mapping[str, Tables],
        *,
        rules: Rules = None,
        person: str = "person_id",
        sandbox: Callable[[], Sandbox] = InProcess,
        clock: Clock | Mapping[str, Clock] = time.time,
        databases: Callable[[str], str] = lambda party: "",
        privacy: Mapping[str, Mapping[str, Any]] = NO_PRIVACY,
        review: Callable[[Dictionary], Dictionary] = lambda dictionary: dictionary,
        most_refusals: int = 0,
        repeats: bool = True,
        usual_asks: int = 0,
        overlaps: Mapping[str, Mapping[str, list[str]]] = NO_OVERLAPS,
        declared: Mapping[str, Variable] = NO_DECLARATIONS,
    ) -> None:
        _demand_tables(sites)
        self._overlaps, self._declared = overlaps, declared
        self._most_refusals, self._repeats, self._usual_asks = most_refusals, repeats, usual_asks
        self.notes = ["Dictionaries were derived from the data, and every site approved this process's key."]
        self.folder = Path(tempfile.mkdtemp(prefix="sojourn-testbed-"))
        self._key = PrivateKey.generate()
        self._loop = Loop().start()
        self.nodes: dict[str, Node] = {}
        try:
            clocks = clock if isinstance(clock, Mapping) else dict.fromkeys(("hub", *sites), clock)
            self._clock = clocks.get("hub", time.time)
            self._databases = databases
            self._privacy, self._review = privacy, review
            self.hub = self._open_hub()
            for site, tables in sites.items():
                policy = rules.get(site) if isinstance(rules, Mapping) else rules
                own = clocks.get(site, time.time)
                self.nodes[site] = self._open_node(site, tables, policy, person, sandbox, own)
            self._pin()
            late = [site for site, node in self.nodes.items() if not node.connected(PATIENCE)]
            if late:
                raise ConfigurationError(f"Not connected: {', '.join(late)}.", remedy="See the nodes' journals.")
        except BaseException:
            self.close()
            raise

    def _open_hub(self) -> Hub:
        folder = self.folder / "hub"
        folder.mkdir(mode=0o700)
        home = HubHome(folder, NAME, "localhost", 0, self._databases("hub"))
        _begin(home, hub_program.MIGRATIONS)
        PrivateKey.generate().save(home.log_key)
        hub = hub_program.open_hub(home, self._clock)
        hub.start()
        hub.add_project(PROJECT)
        hub.add_member(PROJECT, self._key.public.hex)
        self._app = application(hub)
        return hub

    def _open_node(
        self,
        site: str,
        tables: Tables,
        policy: Policy | None,
        person: str,
        sandbox: Callable[[], Sandbox],
        clock: Clock,
    ) -> Node:
        folder = self.folder / "nodes" / site
        home = node_program.create(folder, site, least_sites=1, database=self._databases(site))
        home = replace(home, most_refusals=self._most_refusals, repeats=self._repeats, usual_asks=self._usual_asks)
        # Who waits for a test learns nothing from a site's haste.
        home = replace(home, overlaps=self._overlaps.get(site, {}), masked_pace=0.0)
        if site in self._privacy:
            home = replace(home, privacy=self._privacy[site])
            home.save()
        _begin(home, node_program.MIGRATIONS)
        node = node_program.open_node(home, clock, policy=policy, openings=Openings(home, sandbox()))
        for table, source in tables.items():
            path = _file(source, home.folder / f"{table}.parquet")
            made = derive(path, table, person)
            own = {name: self._declared.get(name, variable) for name, variable in made.columns.items()}
            node.add_dataset(path, self._review(replace(made, columns=own)))
        node.approve(PROJECT, self._key.public.hex)
        auth = SignedAuth(node.key, audience=NAME, clock=clock)
        link = HubLink(in_memory_client(self._app, auth, self._loop), site, NAME, self.hub.store.public_key)
        link.join(self.hub.invite(site), node.key.public.hex, node.store.public_key.hex)
        node.connect(link)
        return node

    def _pin(self) -> None:
        """Each custodian trusts the others to be sites, as real ones do after they have compared keys."""
        keys = {site: node.key.public.hex for site, node in self.nodes.items()}
        for site, node in self.nodes.items():
            for other in sorted(set(keys) - {site}):
                node.pin(other, keys[other])

    def connection(self, key: PrivateKey | None = None, clock: Clock | None = None) -> Connection:
        """The analyst's library on this federation; another key than the approved one, or clock than the hub's, for
        attack tests."""
        key, clock = key or self._key, clock or self._clock
        client = in_memory_client(self._app, SignedAuth(key, audience=NAME, clock=clock), self._loop)
        log = LogIdentity(NAME, self.hub.store.public_key.hex)
        return Connection(client, key, log, least_sites=1, clock=clock)

    def project(self, name: str = PROJECT) -> Project:
        """The one project of a testbed."""
        return self.connection().project(name)

    def run(self, plan: Plan, timeout: float = PATIENCE) -> Results:
        """Submit a plan to all sites and wait for its results. The purpose is filled in where it is missing."""
        if not plan.purpose:
            plan = plan.replace(purpose="NRES")
        run = self.project().submit(plan)
        try:
            return run.wait(timeout)
        except StudyFailed:
            run.cancel()
            raise

    def close(self) -> None:
        """End everything that was started and remove its files."""
        for node in self.nodes.values():
            node.leave()
        if hasattr(self, "hub"):
            self.hub.bell.close()
        for node in self.nodes.values():
            node.close()
        if hasattr(self, "hub"):
            self.hub.close()
        self._loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _demand_tables(sites: object) -> None:
    """ConfigurationError unless each site has tables by name."""
    tables = sites.values() if isinstance(sites, Mapping) else [sites]
    if not all(isinstance(of_site, Mapping) for of_site in tables):
        raise ConfigurationError(
            "A site has tables by name, and here is something else.",
            remedy='Write `Federation({"site": {"table": frame}})`.',
        )


def _begin(home: HubHome | NodeHome, package: str) -> None:
    """Give a new party with an SQLite file the database that all of them begin with."""
    if not home.database:
        home.database_file.touch(mode=0o600)
        home.database_file.write_bytes(_empty(package))


@cache
def _empty(package: str) -> bytes:
    """An SQLite database at the newest revision and without a row: migrations run once in a process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        open_migrated(path, None, package).dispose()
        return path.read_bytes()


def derive(path: Path, table: str, person: str) -> Dictionary:
    """A dictionary that declares whatever the file holds: for synthetic and public data only."""
    import pandas

    frame = pandas.read_parquet(path)
    columns: dict[str, Variable] = {}
    excluded: list[str] = []
    for name in map(str, frame.columns):
        if name in (person, "site"):
            continue
        variable = _declaration(frame[name])
        if variable is None:
            excluded.append(name)
        else:
            columns[name] = variable
    named = person if person in frame.columns else None
    return Dictionary(table, named, named is None, columns, tuple(excluded))


def _declaration(column: pandas.Series) -> Variable | None:
    import pandas

    values = column.dropna()
    if pandas.api.types.is_bool_dtype(values) or (len(values) and all(isinstance(value, bool) for value in values)):
        return Variable(Kind.BOOLEAN)
    if pandas.api.types.is_numeric_dtype(values):
        return Variable(Kind.NUMBER)
    levels = sorted(map(str, values.unique()))
    return Variable(Kind.CATEGORY, levels=tuple(levels)) if 0 < len(levels) <= MOST_LEVELS else None


def _file(source: pandas.DataFrame | Path | str, path: Path) -> Path:
    """The source as a Parquet file without the reserved column `site`."""
    import pandas

    if not isinstance(source, pandas.DataFrame):
        read = pandas.read_parquet if str(source).endswith(".parquet") else pandas.read_csv
        source = read(source)
    frame = source.drop(columns=["site"], errors="ignore")
    frame.to_parquet(path, index=False)
    return path
