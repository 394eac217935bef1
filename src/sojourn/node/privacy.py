"""Formal privacy at a node: charge, draw once, remember, answer. The only place that draws noise.

Laws. An answer is charged in a transaction of its own before anything is drawn, and what is drawn is stored before it
is used: after a crash between the two the same question finds its charge and draws; after that it finds its numbers.
Noise that was drawn twice, by two threads or around a crash, is seen once: what is stored first stands.

Equal questions get the same numbers and cost once: the same snapshot, the same rows for every dataset that the
dictionary allows, the same measure, mechanism and scale. Equality is decided without the data. If it were decided by
the rows that a question happens to select, two answers that agree would prove that nobody lies between them, and no
budget bounds that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785

from sojourn.analysis.noise import Noise
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.analysis.variable import SITE
from sojourn.audit.entry import Entry
from sojourn.cohort.equivalence import canonical
from sojourn.disclosure.budget import CLOSE, Account, Budget, Loss, spent
from sojourn.disclosure.formal_ground import Ground
from sojourn.disclosure.formal_privacy import (
    MOST_ROWS,
    NOT_CERTIFIED,
    Form,
    Noised,
    form_of,
    noise_of,
    scales,
)
from sojourn.disclosure.mechanisms import account_of, draw
from sojourn.errors import DisclosureRefused
from sojourn.node.admission import Run
from sojourn.node.config import STAND_INS
from sojourn.node.dataset import Snapshot, load_snapshot
from sojourn.node.store import NodeStore

_REHEARSED = 256  # noisy answers of rehearsals that are remembered
Measure = Callable[[Ask], Partial]  # asks the run's sealed computation


@dataclass(frozen=True)
class FormalPrivacy:
    """The budgets of one node, by dataset. A dataset without one is judged by rules alone."""

    store: NodeStore
    folder: Path
    site: str
    budgets: Mapping[str, Budget]
    _drawn: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)  # for rehearsals

    def answer(self, run: Run, analysis: str, ask: Ask, measure: Measure, attended: bool, now: float) -> Noised | None:
        """The noisy answer to one round's ask; None where the dataset has no budget.

        attended: whether what is not of low risk can leave at this site. DisclosureRefused, and nothing charged, where
        the statistic has no form here, or a budget does not hold it.
        """
        budget = self.budgets.get(run.plan.table)
        if budget is None:
            return None
        if run.dataset != run.plan.table:  # a rehearsal's own ledger
            return self._rehearsed(run, analysis, ask, measure, budget)
        snapshot = load_snapshot(self.folder, run.dataset, run.snapshot)
        form = form_of(run.plan.analyses[analysis], _ground(run, snapshot, self.site))
        account = account_of(budget, run.request.project)
        noise = noise_of(form.vectors(_nothing(form, run, analysis)), account, budget.release, budget.delta)
        key = _key(run, snapshot, form, noise)
        loss = Loss(key, run.request.project, account.cost, account.unit)
        facts = {
            "analysis": analysis,
            "answer": key[:16],
            "project": loss.project,
            "cost": loss.cost,
            "unit": loss.unit,
        }
        most = Fraction(1) if attended else CLOSE
        entry = self._entry("privacy.charged", run, facts)
        share = self.store.charge(run.dataset, account, loss, most, now, entry)
        numbers = self.store.noisy_numbers(key)
        if numbers is None:
            drawn = self._draw(form, account, measure)
            entry = self._entry("privacy.drawn", run, {"analysis": analysis, "answer": key[:16]})
            numbers = self.store.keep_noisy(key, drawn, now, entry)
        noisy = {name: np.array(values, dtype=np.int64) for name, values in json.loads(numbers).items()}
        return Noised(form.answer(ask, noisy), noise, share, float(CLOSE))

    def _rehearsed(self, run: Run, analysis: str, ask: Ask, measure: Measure, budget: Budget) -> Noised:
        """Noise of the same scale on the stand-in's numbers. Nothing is charged, and nothing said of what is left.

        What is drawn is remembered while the study runs, so that its rounds agree.
        """
        snapshot = load_snapshot(self.folder / STAND_INS, run.plan.table, run.snapshot)
        form = form_of(run.plan.analyses[analysis], _ground(run, snapshot, self.site))
        account = account_of(budget, run.request.project)
        noise = noise_of(form.vectors(_nothing(form, run, analysis)), account, budget.release, budget.delta)
        key = _key(run, snapshot, form, noise)
        if key not in self._drawn:
            while len(self._drawn) >= _REHEARSED:
                self._drawn.pop(next(iter(self._drawn)))
            self._drawn[key] = self._draw(form, account, measure)
        noisy = {name: np.array(values, dtype=np.int64) for name, values in json.loads(self._drawn[key]).items()}
        return Noised(form.answer(ask, noisy), noise, 0.0, float(CLOSE))

    def _draw(self, form: Form, account: Account, measure: Measure) -> str:
        """Noise for numbers that are charged; JSON of whole numbers."""
        vectors = form.vectors({ask.step: measure(ask) for ask in form.asks()})
        wide = scales(vectors, account)
        drawn = {one.name: draw(account.unit, one.values, wide[one.name]).tolist() for one in vectors}
        return json.dumps(drawn, sort_keys=True)

    def restored(self, run: str, dataset: str, project: str, analyses: list[str]) -> list[Loss]:
        """What recalled answers cost: their noisy numbers are gone, so that equal questions will cost again."""
        budget = self.budgets.get(dataset)
        if budget is None:
            return []
        account = account_of(budget, project)
        return [Loss(f"restored:{run}:{name}"[:80], project, account.cost, account.unit, 1.0) for name in analyses]

    def trouble(self) -> str:
        """What a custodian should mend: a budget of no dataset, a slip of the pen say, protects nothing."""
        lost = sorted(name for name in self.budgets if self.store.dataset(name) is None)
        return f"`privacy` in node.yaml names a dataset that is not here: {', '.join(lost)}." if lost else ""

    def left(self) -> list[dict[str, Any]]:
        """For the custodian: of each budget the share that is spent, of the dataset and by project."""
        found = []
        for name, budget in sorted(self.budgets.items()):
            losses = self.store.losses(name)
            total = account_of(budget, "").total
            projects = {loss.project: account_of(budget, loss.project).project for loss in losses}
            by_project = {one: _share(losses, budget.unit, limit, one) for one, limit in sorted(projects.items())}
            found.append(
                {
                    "table": name,
                    "epsilon": budget.epsilon,
                    "delta": budget.delta,
                    "release": budget.release,
                    "answers": len({loss.key for loss in losses}),
                    "spent": _share(losses, budget.unit, total),
                    "projects": by_project,
                }
            )
        return found

    def _entry(self, kind: str, run: Run, facts: dict[str, Any]) -> Entry:
        return Entry(kind, f"node:{self.site}", study=run.request.study, dataset=run.dataset, facts=facts)


def _share(losses: list[Loss], unit: str, limit: float, project: str | None = None) -> float:
    """The part of a limit that is spent, to three digits; 1 where the loss has no bound in this unit."""
    loss = spent(losses, unit, project)
    return 1.0 if loss is None else round(float(loss) / limit, 3)


def _ground(run: Run, snapshot: Snapshot, site: str) -> Ground:
    dictionary = snapshot.dictionary
    rows = 1 if dictionary.row_is_person else dictionary.rows_per_person
    if rows is None or snapshot.rows > MOST_ROWS:
        raise DisclosureRefused(NOT_CERTIFIED)
    return Ground(site, run.variables, dictionary.columns, rows)


def _nothing(form: Form, run: Run, analysis: str) -> dict[str, Partial]:
    """The parts that nobody's data would give: enough to know the vectors' sizes and bounds."""
    steps = {step.name: step for step in run.plan.analyses[analysis].steps(run.variables)}
    asked = [steps[ask.step] for ask in form.asks()]
    return {step.name: Partial({name: np.zeros(shape) for name, shape in step.partial.items()}) for step in asked}


def _key(run: Run, snapshot: Snapshot, form: Form, noise: Noise) -> str:
    """What is asked, as SHA-256 (hex) of its canonical form; equal questions have equal keys."""
    plan, declared = run.plan, snapshot.dictionary.columns
    names = {name for one in plan.analyses.values() for name in one.variables()} - {SITE}
    document: dict[str, Any] = {
        "dataset": run.dataset,
        "snapshot": run.snapshot,
        "rows": canonical(plan.condition, names, declared),
        "measured": form.measured(),
        "noise": noise.text(),
    }
    if form.counts_missing:
        document["selected"] = canonical(plan.condition, (), declared)
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()
