"""A hub that sends what it likes: real nodes without a network, driven by hand, and a site that forges its answers."""

from __future__ import annotations

import json
import queue
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Estimate
from sojourn.analysis.variable import with_site
from sojourn.disclosure.gate import Policy
from sojourn.forms import Document
from sojourn.identity.envelope import REQUEST_TYPE, Request, sign
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.messages import AskDocument, ReceivedAnswer, RoundDocument, Task
from sojourn.node import program
from sojourn.node.admission import Admission
from sojourn.node.airlock import Airlock
from sojourn.node.dictionary import Dictionary
from sojourn.node.ledgers import Ledgers
from sojourn.node.opening import Openings
from sojourn.node.runner import Runner
from sojourn.node.sandbox import InProcess
from sojourn.study.catalogue import Dataset, complete
from sojourn.study.plan import Plan
from sojourn.study.transcript import Round, replay
from sojourn.wire.seal import new_seal_key, open_sealed, release_info

DATA = Path(str(resources.files("sojourn") / "data" / "heart"))
HEART = {
    "Budapest": DATA / "budapest.csv",
    "Cleveland": DATA / "cleveland.csv",
    "Long-Beach": DATA / "long_beach.csv",
    "Zurich-Basel": DATA / "zurich_basel.csv",
}
PROJECT = "heart"
PATIENCE = 60.0  # seconds; a loaded machine is slow, and no test waits so long on purpose


def heart_dictionary() -> Dictionary:
    return Dictionary.load(DATA / "heart.dictionary.yaml")


class Hospital:
    """One node as it is installed, but for the way to its hub: what it would send is put into a queue."""

    def __init__(self, folder: Path, site: str, source: Path, dictionary: Dictionary, policy: Policy | None) -> None:
        home = program.create(folder, site, least_sites=1)
        self.site = site
        self.node = program.open_node(home, policy=policy, openings=Openings(home, InProcess()))
        self.key = self.node.key
        self.node.add_dataset(source, dictionary)
        self._openings = Openings(home, InProcess())
        self._sent: queue.Queue[tuple[str, str, str]] = queue.Queue()
        store, policy = self.node.store, self.node.policy
        self.runner = Runner(
            store,
            Admission(store, site, self.key.public, policy.version, home.least_sites),
            Airlock(store, policy, site, self.key, Ledgers(store, home.folder), repeats=False),
            self._openings.open,
            lambda *place: self._sent.put(place),
            time.time,
            self.node.journal.write,
        )

    def decide(self, task: Task) -> Any:
        """The row that the node stores for a task: what it would send."""
        until = time.monotonic() + PATIENCE
        while task.key() in self.runner.known():  # the same ask again: the node lets go of it just after sending
            assert time.monotonic() < until
            time.sleep(0.001)
        self.runner.take(task)
        place = self._sent.get(timeout=PATIENCE)
        assert place == (task.study, task.analysis, task.key())
        return self.node.store.release(*place)

    def close(self) -> None:
        self.runner.close()
        self._openings.close()
        self.node.close()


@dataclass(frozen=True)
class Reply:
    """What a node made of an ask: a reason, or an answer as the hub reads it."""

    reason: str
    document: Document | None
    partial: Partial | None


@dataclass(frozen=True)
class Study:
    """A study that a researcher signed in good faith."""

    request: Request
    envelope: Document
    plan: Plan
    seal_key: bytes


class HostileHub:
    """It holds the sealing keys, carries the messages, and may hold keys of sites that it put into the roster."""

    def __init__(
        self, folder: Path, tables: Mapping[str, tuple[Path, Dictionary]], *, policy: Policy | None = None
    ) -> None:
        self.researcher = PrivateKey.generate()
        self.sites: dict[str, Hospital] = {}
        for site, (source, dictionary) in tables.items():
            self.sites[site] = Hospital(folder / site, site, source, dictionary, policy)
            self.sites[site].node.approve(PROJECT, self.researcher.public.hex)

    def __enter__(self) -> HostileHub:
        return self

    def __exit__(self, *error: object) -> None:
        for hospital in self.sites.values():
            hospital.close()

    # ---- what the researcher does

    def study(self, plan: Plan, strangers: Mapping[str, PrivateKey] | None = None, **changes: Any) -> Study:
        """A signed study over all sites and `strangers`, which the hub told the researcher of."""
        datasets = [
            Dataset.from_dict(site, document)
            for site, hospital in self.sites.items()
            for document in hospital.node.publication().datasets
        ]
        plan = complete(plan.replace(purpose="HMB"), datasets)
        roster = {site: hospital.key.public.hex for site, hospital in self.sites.items()}
        roster |= {site: key.public.hex for site, key in (strangers or {}).items()}
        private, public = new_seal_key()
        now = int(time.time())
        words: dict[str, Any] = {
            "study": secrets.token_hex(16),
            "project": PROJECT,
            "plan": plan.to_dict(),
            "plan_hash": plan.hash,
            "roster": roster,
            "min_sites": plan.least_sites,
            "seal_key": public,
            "software": "test",
            "policy_version": next(iter(self.sites.values())).node.policy.version,
            "issued": now,
            "expires": now + 3600,
            "nonce": secrets.token_hex(16),
        }
        request = Request(**(words | changes))
        return Study(request, sign(REQUEST_TYPE, request.encode(), self.researcher).to_dict(), plan, private)

    # ---- what the hub does

    def task(self, study: Study, analysis: str, ask: Ask, transcript: Sequence[RoundDocument] = ()) -> Task:
        """A task as it comes over the wire."""
        task = Task(
            study=study.request.study,
            analysis=analysis,
            ask=AskDocument.of(ask),
            transcript=list(transcript),
            request=study.envelope,
        )
        return Task.model_validate_json(task.model_dump_json())

    def ask(self, study: Study, site: str, task: Task) -> Reply:
        """Send one task to one node."""
        row = self.sites[site].decide(task)
        if row["sealed"] is None:
            return Reply(row["reason"], None, None)
        info = release_info(study=task.study, analysis=task.analysis, round=task.key(), site=site)
        document = json.loads(open_sealed(study.seal_key, bytes(row["sealed"]), info))
        answer = ReceivedAnswer.read(document, self.sites[site].key.public)
        return Reply("", document, answer.release.partial)

    def round(
        self,
        study: Study,
        analysis: str,
        ask: Ask,
        transcript: Sequence[RoundDocument] = (),
        sites: Sequence[str] | None = None,
    ) -> tuple[RoundDocument, dict[str, Reply]]:
        """One round over several nodes, and its document for the next transcript."""
        task = self.task(study, analysis, ask, transcript)
        replies = {site: self.ask(study, site, task) for site in sites or self.sites}
        answers = {site: reply.document for site, reply in replies.items() if reply.document is not None}
        return RoundDocument(ask=task.ask, answers=answers), replies

    def next(self, study: Study, analysis: str, transcript: Sequence[RoundDocument]) -> Ask | Estimate:
        """What an honest hub would ask after these rounds."""
        variables = with_site(study.plan.variables, tuple(study.request.roster))
        rounds = [
            Round(
                past.ask.ask(),
                past.ask.digest(study.request.study, analysis),
                {
                    site: ReceivedAnswer.read(document, self._key(study, site)).release
                    for site, document in past.answers.items()
                },
            )
            for past in transcript
        ]
        return replay(study.plan.analyses[analysis], variables, rounds)

    def honestly(
        self, study: Study, analysis: str, sites: Sequence[str] | None = None, rounds: int = 99
    ) -> tuple[list[RoundDocument], Ask | Estimate]:
        """Follow the protocol for at most so many rounds; the transcript and what comes next."""
        transcript: list[RoundDocument] = []
        step = self.next(study, analysis, transcript)
        while isinstance(step, Ask) and len(transcript) < rounds:
            document, replies = self.round(study, analysis, step, transcript, sites)
            assert not [reply.reason for reply in replies.values() if reply.reason]
            transcript.append(document)
            step = self.next(study, analysis, transcript)
        return transcript, step

    def _key(self, study: Study, site: str) -> PublicKey:
        return PublicKey.from_hex(study.request.roster[site])


def forged(
    study: Study, analysis: str, ask: Ask, number: int, site: str, key: PrivateKey, partial: Partial
) -> Document:
    """An answer with any numbers, under the key of a site that the forger owns."""
    release = {
        "header": {
            "study": study.request.study,
            "plan": study.request.plan_hash,
            "analysis": analysis,
            "round": number,
            "ask": AskDocument.of(ask).digest(study.request.study, analysis),
            "site": site,
            "snapshot": "0" * 16,
            "policy": "default",
            "policy_version": study.request.policy_version,
            "hidden_max": 9,
            "software": "test",
            "watermark": "",
        },
        "tier": "low",
        "partial": partial.to_dict(),
    }
    return signed(release, key)


def signed(release: Document, key: PrivateKey) -> Document:
    """The document of an answer under this key."""
    return {"release": release, "signature": key.sign(b"sojourn-release-v1\n" + rfc8785.dumps(release)).hex()}


def close_to(ask: Ask, name: str, factor: float) -> Ask:
    """The same ask with one array scaled."""
    arrays = {word: np.array(array) for word, array in ask.broadcast.items()}
    arrays[name] = arrays[name] * factor
    return Ask(ask.step, arrays)
