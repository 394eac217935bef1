"""One run's computation at one node: a worker that holds the run's table, asked again and again until the run ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sojourn.analysis.partial import Partial, encode
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Statistic
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.errors import SandboxUnavailable, SiteRefused
from sojourn.node.evidence import contributions_from_dict, support_from_dict, working_from_dict
from sojourn.node.prepared import write_population
from sojourn.node.sandbox import Pool, end
from sojourn.node.session import Session

_TABLE = "population.npz"
WORDS = ("worker", "plan", "dictionary")  # all that a worker may say of a failure; fewer words are fewer bits


@dataclass(frozen=True)
class Patience:
    """Seconds that a worker may take to load the table, and to answer one request."""

    load: float = 600.0
    answer: float = 600.0


class Computation:
    """Asks one worker. After a death or a time-out the next request gets a fresh one: analyses fail separately."""

    def __init__(
        self, pool: Pool, population: Population, analyses: Mapping[str, Statistic], patience: Patience | None = None
    ) -> None:
        self._pool = pool
        self._analyses = {name: {value.name: value.arguments()} for name, value in analyses.items()}
        self._patience = patience or Patience()
        self._cancelled = threading.Event()
        self._taking = threading.Lock()
        self._session = pool.take()
        try:
            write_population(population, self._session.data / _TABLE)
            self._load(self._session)
        except BaseException:
            end(self._session)
            raise

    def support(self, analysis: str) -> Support:
        """The evidence behind an analysis; SiteRefused where it cannot be computed."""
        answer = self._ask({"support": analysis})
        try:
            return support_from_dict(answer["support"])
        except (KeyError, ValueError):
            raise SiteRefused("worker") from None

    def round(self, analysis: str, ask: Ask) -> tuple[Partial, Working | None]:
        """The site's part of one round, and the evidence that depends on its broadcast; SiteRefused without."""
        answer = self._ask({"round": _asked(analysis, ask)})
        try:
            partial, working = Partial.from_dict(answer["partial"]), working_from_dict(answer["working"])
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError):
            raise SiteRefused("worker") from None
        if partial.suppressed:  # which cells are hidden is the gate's word alone: a worker's own marks could carry bits
            raise SiteRefused("worker")
        return partial, working

    def leverage(self, analysis: str, ask: Ask, sums: Partial) -> float | None:
        """The largest leverage of a person beside all sites' sums of the masked round before; SiteRefused without."""
        answer = self._ask({"leverage": {**_asked(analysis, ask), "sums": sums.to_dict()}})
        try:
            return None if answer["leverage"] is None else float(answer["leverage"])
        except (KeyError, TypeError, ValueError):
            raise SiteRefused("worker") from None

    def squares(self, analysis: str, ask: Ask) -> tuple[Contributions, ...]:
        """What persons give to the squares about the means of an ask; SiteRefused where it cannot be computed."""
        answer = self._ask({"squares": _asked(analysis, ask)})
        try:
            return tuple(map(contributions_from_dict, answer["squares"]))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise SiteRefused("worker") from None

    def cancel(self) -> None:
        """End the worker at once, whatever it is doing, and remove the table."""
        self._cancelled.set()
        self._session.kill()
        with self._taking:  # a request in hand has seen its worker die, and left
            end(self._session)

    def finish(self) -> None:
        """As `cancel`, and see to a warm worker for the next run."""
        self.cancel()
        with contextlib.suppress(SandboxUnavailable, OSError):  # the next run finds out, and refuses
            self._pool.restock()

    def _ask(self, document: Mapping[str, Any]) -> dict[str, Any]:
        with self._taking:
            if self._cancelled.is_set():
                raise SiteRefused("cancelled")
            try:
                if not self._session.alive():
                    self._replace()
                return _answered(self._session.ask(document, self._patience.answer))
            except SiteRefused:
                if self._cancelled.is_set():
                    raise SiteRefused("cancelled") from None
                raise

    def _replace(self) -> None:
        fresh = self._pool.take()
        (self._session.data / _TABLE).rename(fresh.data / _TABLE)
        dead, self._session = self._session, fresh
        end(dead)
        if self._cancelled.is_set():
            raise SiteRefused("cancelled")
        self._load(fresh)

    def _load(self, session: Session) -> None:
        request = {"load": {"file": _TABLE, "analyses": self._analyses}}
        _answered(session.ask(request, self._patience.load))


def _asked(analysis: str, ask: Ask) -> dict[str, Any]:
    broadcast = {name: encode(array) for name, array in ask.broadcast.items()}
    return {"analysis": analysis, "step": ask.step, "broadcast": broadcast}


def _answered(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, or the refusal that it is: of what a worker says one of three words is passed on."""
    if "refused" in answer:
        word = answer["refused"]
        raise SiteRefused(word if word in WORDS else "worker")
    return answer
