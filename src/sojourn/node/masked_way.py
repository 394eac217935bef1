"""What the ways out of masked plans share: whose words stand on an answer, and what fails in silence."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.analysis.support import Support
from sojourn.audit.entry import Entry
from sojourn.disclosure.header import Header
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import Policy
from sojourn.disclosure.rehearsal import Rehearsed
from sojourn.errors import AuditError, SiteRefused, SojournError
from sojourn.node.admission import reason_of
from sojourn.node.airlock import Airlock
from sojourn.node.decisions import Place
from sojourn.node.masked_store import MaskedStore
from sojourn.node.masking import Masking
from sojourn.study.circle import Circle

Found = TypeVar("Found")
STOPPED = ("cancelled", "revoked")  # said openly: they are decisions about the study, not about records


@dataclass(frozen=True)
class Evidence:
    """What a run's computation can say: of an analysis its support; of an ask the site's numbers, and how much of the
    sums over all sites one person here decides.
    """

    support: Callable[[str], Support]
    measure: Callable[[Ask], Output]
    leverage: Callable[[Ask, Partial], float | None]


@dataclass(frozen=True)
class MaskedWay:
    """One answer at a time of one site.

    journal: keeps for the custodian why a site gave nothing. stopping: the node ends, so that a failure says nothing.
    exhausted: the researcher has asked too much in vain, so that this site takes part with nothing.
    """

    airlock: Airlock
    masking: Masking
    journal: Callable[[str], None]
    stopping: Callable[[], bool] = lambda: False
    exhausted: Callable[[], bool] = lambda: False

    @property
    def masked(self) -> MaskedStore:
        """What is remembered of masked sums."""
        return MaskedStore(self.airlock.store)

    def entry(self, kind: str, place: Place, facts: dict[str, object]) -> Entry:
        """A log entry of this site about a place."""
        actor = f"node:{self.airlock.site}"
        return Entry(kind, actor, study=place.run.request.study, dataset=place.run.dataset, facts=facts)

    def withheld(self, place: Place) -> str:
        """Why this site takes part with nothing, as it was decided when it first put something in."""
        return place.run.withheld or self.airlock.store.withheld(place.run.request.study, place.analysis)

    def policy(self, place: Place) -> Policy:
        """The rules that hold here."""
        policy = self.airlock.policy_of(place)
        return Rehearsed(policy) if place.run.request.rehearsal else policy

    def tried(self, find: Callable[[], Found]) -> tuple[Found | None, str]:
        """What is found; or None and why, which the site's custodian alone sees."""
        try:
            return find(), ""
        except AuditError:
            raise  # what cannot be logged now is asked for again
        except SojournError as error:
            if self.stopping() or reason_of(error) in STOPPED:
                raise
            self.journal(traceback.format_exc())
            return None, reason_of(error)
        except Exception as error:
            if self.stopping():
                raise SiteRefused("cancelled") from error
            self.journal(traceback.format_exc())
            return None, "internal"

    def header(self, place: Place, circle: Circle, before: str) -> Header:
        """What stands over an answer; the snapshot is a commitment."""
        commitment = self.masking.commitment(place.run.request.study, place.run.snapshot)
        return replace(self.airlock.header(place), snapshot=commitment, roster=circle.hash, transcript=before)
