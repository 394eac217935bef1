"""The program inside the sandbox: `python -m sojourn.node.worker FOLDER DESCRIPTOR`.

It reads requests on standard input and answers on the descriptor. It holds one run's analysis table and nothing else:
no key, no network, no database. An error leaves as one word of `errors.REASONS`; its text, which may quote a value,
goes to standard error, which the node keeps for the custodian.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sojourn.analysis.partial import Partial, decode
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Squared, Statistic
from sojourn.errors import REASONS, DisclosureRefused, PlanError, SiteRefused
from sojourn.node.evidence import contributions_to_dict, support_to_dict, working_to_dict
from sojourn.node.frames import pack, read
from sojourn.node.prepared import read_population
from sojourn.statistics.catalogue import make


class Worker:
    """Answers one run's requests from the files of `folder`; `log` takes the text of errors."""

    def __init__(self, folder: Path, log: Callable[[str], object]) -> None:
        self._folder = folder
        self._log = log
        self._population: Population | None = None
        self._statistics: dict[str, Statistic] = {}
        self._answers: dict[str, Callable[[Any], dict[str, Any]]] = {
            "hello": self._hello,
            "load": self._load,
            "support": self._support,
            "round": self._round,
            "leverage": self._leverage,
            "squares": self._squares,
        }

    def answer(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request; `{"refused": word}` where there is none."""
        try:
            [(word, argument)] = document.items()
            return self._answers[word](argument)
        except Exception as error:
            self._log(traceback.format_exc())
            return {"refused": _word(error)}

    def _hello(self, _: object) -> dict[str, Any]:
        return {"ready": True}

    def _load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`{"file": name, "analyses": {name: {kind: arguments}}}`"""
        if not re.fullmatch(r"[a-z]+\.npz", request["file"]):
            raise ValueError("not a file's name")
        self._population = read_population(self._folder / request["file"])
        for name, document in request["analyses"].items():
            [(kind, arguments)] = document.items()
            self._statistics[name] = make(kind, arguments, f"analyses.{name}")
        return {"loaded": True}

    def _support(self, analysis: str) -> dict[str, Any]:
        return {"support": support_to_dict(self._statistics[analysis].support(self._table()))}

    def _round(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`{"analysis": name, "step": name, "broadcast": {name: array}}`: the part, and the evidence of this ask."""
        step, broadcast = request["step"], {name: decode(array) for name, array in request["broadcast"].items()}
        statistic, table = self._statistics[request["analysis"]], self._table()
        working = statistic.working(step, table, broadcast)
        return {"partial": statistic.local(step, table, broadcast).to_dict(), "working": working_to_dict(working)}

    def _leverage(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """As of a round, with the sums of the masked round before: the largest leverage beside all sites, if any."""
        statistic, table = self._statistics[request["analysis"]], self._table()
        judge = getattr(statistic, "joint_leverage", None)
        broadcast = {name: decode(array) for name, array in request["broadcast"].items()}
        sums = Partial.from_dict(request["sums"])
        found = None if judge is None else judge(request["step"], table, broadcast, sums)
        return {"leverage": None if found is None else min(float(found), 1e300)}

    def _squares(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """As of a round: what persons give to the squares about the means that are broadcast."""
        statistic, broadcast = self._statistics[request["analysis"]], request["broadcast"]
        if not isinstance(statistic, Squared):
            raise TypeError("a statistic without squares")
        found = statistic.distances(self._table(), {name: decode(array) for name, array in broadcast.items()})
        return {"squares": list(map(contributions_to_dict, found))}

    def _table(self) -> Population:
        if self._population is None:
            raise ValueError("nothing is loaded")
        return self._population


def _word(error: Exception) -> str:
    match error:
        case SiteRefused(reason=word) | DisclosureRefused(family=word):
            return word if word in REASONS else "worker"
        case PlanError():
            return "plan"
    return "worker"


def main(folder: str, descriptor: str) -> None:
    """Answer until the node closes standard input."""
    import scipy.special  # noqa: F401 (in stock: loaded before a run begins)

    worker = Worker(Path(folder), sys.stderr.write)
    requests = sys.stdin.buffer
    with os.fdopen(int(descriptor), "wb") as answers:
        while (document := read(requests)) is not None:
            answer = worker.answer(document)
            try:
                frame = pack(answer)
            except ValueError:
                traceback.print_exc()
                frame = pack({"refused": "worker"})
            answers.write(frame)
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
