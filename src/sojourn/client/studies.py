"""The analyst's way in: connect to a federation, submit a plan, wait for its results."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sojourn import __version__
from sojourn.analysis.suggestion import did_you_mean
from sojourn.client.aggregation import aggregation_of
from sojourn.client.archive import Evidence
from sojourn.client.login import Login, load_login
from sojourn.client.results import Results
from sojourn.client.verification import LogIdentity, record_of
from sojourn.disclosure.change import Offer, Restrict
from sojourn.errors import PlanError, SojournError, StudyFailed, TransportError
from sojourn.identity.envelope import REQUEST_TYPE, Request, sign
from sojourn.identity.keys import PrivateKey
from sojourn.messages import PROTOCOL, ResultsView, SiteView, StudyView, Submitted
from sojourn.messages import Federation as FederationView
from sojourn.report.record import StudyRecord
from sojourn.study.catalogue import Dataset, complete
from sojourn.study.mitigated import mitigated
from sojourn.study.plan import Plan
from sojourn.versions import demand_near, demand_same
from sojourn.wire.requests import SignedAuth
from sojourn.wire.transport import ServerRefused, call, https_client

if TYPE_CHECKING:
    import httpx

LIFETIME = 24 * 3600
PATIENCE = 30.0
AWAY = 120.0  # seconds that a hub may be away in the middle of a study, e.g. for an upgrade
ENDED = ("completed", "failed", "cancelled")
T = TypeVar("T")
Progress = Callable[[Mapping[str, Any]], None]


class Federation:
    """A hub as one researcher sees it."""

    def __init__(
        self,
        client: httpx.Client,
        key: PrivateKey,
        log: LogIdentity,
        least_sites: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.key = key
        self.log = log
        self.least_sites = least_sites
        self.clock = clock

    def project(self, name: str) -> Project:
        """A project in which the researcher may submit plans."""
        return Project(self, name)

    def study(self, study: str) -> Run:
        """A study that was submitted before."""
        return Run(self, study)

    def close(self) -> None:
        """End the connection; studies go on."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Project:
    """One project of a federation."""

    def __init__(self, federation: Federation, name: str) -> None:
        self.federation = federation
        self.name = name

    def prepare(self) -> FederationView:
        """The federation's sites with what they publish, and a fresh key to seal the answers to."""
        document = _call(self.federation.client, "POST", f"/v1/projects/{self.name}/preparations", {})
        view = FederationView.model_validate(document)
        demand_same(view.protocol, PROTOCOL, "the hub", view.software, "this program")
        demand_near("the hub", view.software, "this program")
        return view

    def sites(self) -> list[SiteView]:
        """The sites and their published dictionaries."""
        return self.prepare().sites

    def complete(self, plan: Plan, sites: str | Sequence[str] = "all") -> Plan:
        """The plan with every variable's declaration, as it would be signed; PlanError names what does not fit."""
        return complete(plan, datasets_of(_chosen(self.prepare(), plan, sites)))

    def submit(self, plan: Plan, sites: str | Sequence[str] = "all") -> Run:
        """Complete, sign and submit a plan to these sites (all that publish its table, or names).

        PlanError where the plan does not fit; IdentityError where the key has no right; returns at once.
        """
        return self.send(self.request(plan, sites))

    def rehearse(self, plan: Plan, sites: str | Sequence[str] = "all") -> Run:
        """Run a plan through the same airlocks on the sites' synthetic stand-ins; returns at once.

        Its results are watermarked and mean nothing; `Results.rehearsal` says what a study's sites would have let
        out of such data. Raises as `submit`; StudyFailed where a site does not rehearse.
        """
        return self.send(self.request(plan, sites, rehearsal=True))

    def request(self, plan: Plan, sites: str | Sequence[str] = "all", rehearsal: bool = False) -> Request:
        """The request for a plan, complete and ready to be signed; PlanError where the plan does not fit."""
        view = self.prepare()
        chosen = _chosen(view, plan, sites)
        if rehearsal:
            demand_stand_ins(chosen, plan.table)
        if plan.min_sites is None and self.federation.least_sites is not None:
            plan = plan.replace(min_sites=self.federation.least_sites)
        plan = complete(plan, datasets_of(chosen))
        plan = plan.replace(aggregation=aggregation_of(plan, chosen))
        plan.check_for_submit()
        _check_enough(plan, chosen)
        now = int(self.federation.clock())
        return Request(
            study=secrets.token_hex(16),
            project=self.name,
            plan=plan.to_dict(),
            plan_hash=plan.hash,
            roster={site.site: site.key for site in chosen},
            min_sites=plan.least_sites,
            seal_key=view.seal_key,
            software=__version__,
            policy_version=_policy_version(chosen),
            issued=now,
            expires=now + LIFETIME,
            nonce=secrets.token_hex(16),
            rehearsal=rehearsal,
        )

    def send(self, request: Request) -> Run:
        """Sign a request and hand it to the hub, whose receipt is verified."""
        federation = self.federation
        envelope = sign(REQUEST_TYPE, request.encode(), federation.key)
        answer = Submitted.model_validate(_call(federation.client, "POST", "/v1/studies", envelope.to_dict()))
        federation.log.verify(answer.receipt)
        return Run(federation, answer.study, met=True)


class Run:
    """A submitted study. met: the hub has answered about it, so that a silence now is an interruption."""

    def __init__(self, federation: Federation, study: str, met: bool = False) -> None:
        self.federation = federation
        self.study = study
        self._met = met

    def view(self, since: int = 0, wait: float = 0.0) -> StudyView:
        """Where it stands, with its events from number `since` on."""
        path = f"/v1/studies/{self.study}?since={since}&wait={wait}"
        return StudyView.model_validate(_call(self.federation.client, "GET", path))

    def events(self, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Progress as it comes, until the study ends; StudyFailed after `timeout` seconds without an end.

        A hub that restarts meanwhile is waited for, up to `AWAY` seconds each time.
        """
        until = None if timeout is None else time.monotonic() + timeout
        since = 0
        while True:
            wait = 20.0 if until is None else min(20.0, max(0.0, until - time.monotonic()))
            seen = self._patiently(partial(self.view, since, wait), until)
            yield from seen.events
            since += len(seen.events)
            if seen.state in ENDED and not seen.events:
                return
            if until is not None and time.monotonic() > until:
                raise StudyFailed("The study has not ended yet.", remedy="Wait longer, or `sojourn study watch` it.")

    def wait(
        self, timeout: float | None = None, progress: Callable[[Mapping[str, Any]], None] | None = None
    ) -> Results:
        """Wait for the end, then fetch and check the results. Ctrl-C leaves the study running."""
        for event in self.events(timeout):
            if progress is not None:
                progress(event)
        return self.results()

    def results(self) -> Results:
        """The results of an ended study, checked here: signatures, transcript, estimates, log proofs."""
        view = self._ended()
        if view.study.state == "cancelled":
            raise StudyFailed("The study was cancelled.", remedy="Submit the plan again if it is still needed.")
        record = record_of(view, self.federation.log, self.federation.key.public)
        evidence = Evidence(view, self.federation.log, self.federation.key)
        return Results(record, partial(self._changed, view.study.project, record), evidence)

    def restart(self) -> Run:
        """The plan of a masked study that a site dropped out of, to the sites that stayed; returns at once.

        StudyFailed where nobody dropped out. Each site decides anew, and refuses a smaller roster (`roster differs`)
        where it has given masked numbers before.
        """
        view = self._ended()
        record = record_of(view, self.federation.log, self.federation.key.public)
        outcomes = [pair for seen in view.analyses.values() for pair in seen.outcomes.items()]
        gone = {site for site, outcome in outcomes if outcome.status in ("not released", "no answer")}
        if record.aggregation != "masked" or not gone:
            raise StudyFailed("No site dropped out of a masked plan.", remedy="Submit the plan again.")
        stayed = sorted(set(record.sites) - gone)
        return self.federation.project(view.study.project).submit(Plan.from_dict(dict(record.plan)), stayed)

    def accept(self, offer: Offer) -> Run:
        """Submit the study's plan with an offer of its results in it, to the same sites; returns at once."""
        return self.results()[offer.analysis].accept(offer)

    def _ended(self) -> ResultsView:
        path = f"/v1/studies/{self.study}/results"
        view = ResultsView.model_validate(self._patiently(lambda: _call(self.federation.client, "GET", path)))
        if view.study.state not in ENDED:
            raise StudyFailed("The study has not ended yet.", remedy="Wait for it: `sojourn study watch STUDY`.")
        return view

    def _changed(self, project: str, record: StudyRecord, offer: Offer) -> Run:
        plan = mitigated(Plan.from_dict(dict(record.plan)), offer.analysis, offer.change)
        sites = offer.change.sites if isinstance(offer.change, Restrict) else tuple(record.sites)
        again = self.federation.project(project)
        return again.rehearse(plan, sites) if record.rehearsal else again.submit(plan, sites)

    def _patiently(self, look: Callable[[], T], until: float | None = None) -> T:
        """Look, which changes nothing, again and again while a hub that was met before is away."""
        end = time.monotonic() + AWAY
        if until is not None:
            end = min(end, until)
        pause = 0.1
        while True:
            try:
                seen = look()
            except TransportError as error:
                refused = isinstance(error, ServerRefused) and error.status != 503
                if refused or not self._met or time.monotonic() + pause > end:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
            else:
                self._met = True
                return seen

    def cancel(self) -> bool:
        """Stop the study at the hub and at every node; False where it had ended."""
        answer = _call(self.federation.client, "POST", f"/v1/studies/{self.study}/cancellation", {})
        return bool(answer["cancelled"])


def connect(url: str | None = None, *, login: Login | None = None, folder: Path | None = None) -> Federation:
    """The federation at `url`, with the key and pins of `sojourn login`.

    IdentityError where nobody logged in; ConfigurationError where the login is for another hub.
    """
    login = login or load_login(folder)
    if url is not None and url.rstrip("/") != login.address.url.rstrip("/"):
        raise SojournError(
            "You are logged in to another hub.", remedy="Run `sojourn login ADDRESS` with this hub's address."
        )
    address, key = login.address, login.key()
    auth = SignedAuth(key, audience=address.federation)
    client = https_client(address.url, address.authority, auth, PATIENCE)
    return Federation(client, key, LogIdentity(address.federation, address.log_key))


def _call(client: httpx.Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """`wire.transport.call`, where the hub's refusals of a plan or study are raised as the errors that they are."""
    try:
        return call(client, method, path, body)
    except ServerRefused as error:
        words = str(error.args[0])
        if error.reason in ("PlanError", "FormulaError", "WhereError"):
            raise PlanError(words, remedy=error.remedy) from error
        if error.reason == "StudyFailed":
            raise StudyFailed(words, remedy=error.remedy) from error
        raise


def _check_enough(plan: Plan, chosen: Sequence[SiteView]) -> None:
    """PlanError where the plan can never have the sites that it demands."""
    if len(chosen) < plan.least_sites:
        names = ", ".join(site.site for site in chosen)
        raise PlanError(
            f"The plan demands {plan.least_sites} sites and is for {len(chosen)}: {names}.",
            remedy="Ask more sites, or lower `min_sites` as far as the sites allow.",
            field="min_sites",
        )


def _chosen(view: FederationView, plan: Plan, sites: str | Sequence[str]) -> list[SiteView]:
    known = {site.site: site for site in view.sites}
    if isinstance(sites, str):
        if sites != "all":
            raise PlanError(
                '`sites` is "all" or a list of names.', remedy='Write e.g. sites=["Cleveland"].', field="sites"
            )
        chosen = [site for site in view.sites if any(data["table"] == plan.table for data in site.datasets)]
    else:
        strangers = sorted(set(sites) - set(known))
        if strangers:
            remedy = f"The federation has: {', '.join(sorted(known)) or 'no sites yet'}."
            raise PlanError(f"Unknown site {strangers[0]}.", remedy=remedy, field="sites")
        if not sites:
            raise PlanError("No site is named.", remedy='Write sites="all", or a list of names.', field="sites")
        chosen = [known[name] for name in sorted(set(sites))]
    if not chosen:
        tables = {str(data["table"]) for site in view.sites for data in site.datasets}
        remedy = did_you_mean(plan.table, tables) or "Ask the custodians to add it, or to start their nodes."
        raise PlanError(f"No site publishes a table `{plan.table}`.", remedy=remedy, field="table")
    return chosen


def datasets_of(sites: Sequence[SiteView]) -> list[Dataset]:
    """What the sites publish, as `study.catalogue` reads it."""
    return [Dataset.from_dict(site.site, document) for site in sites for document in site.datasets]


def demand_stand_ins(sites: Sequence[SiteView], table: str) -> None:
    """StudyFailed where a site says nothing of a stand-in of this table: its software is older, say."""
    lacking = sorted(site.site for site in sites if not site.rules.get("stand_ins", {}).get(table))
    if lacking:
        raise StudyFailed(
            f"{', '.join(lacking)} cannot rehearse on `{table}`.",
            remedy="Rehearse at the other sites, or ask the custodian to upgrade the node.",
        )


def _policy_version(sites: Sequence[SiteView]) -> str:
    versions = {str(site.rules.get("version", "")) for site in sites}
    if len(versions) != 1:
        raise StudyFailed(
            "The sites run different versions of the disclosure rules.",
            remedy="Choose sites of one version, or ask the custodians to upgrade.",
        )
    return versions.pop()
