"""Simulated nodes: many in one process, light, but with the real protocol.

Each has its own key, polls with signed requests, and answers a task with a real release: made by the gate, signed,
sealed to the study's key, about 10 KB. It stores nothing, computes nothing and does not derive what it is asked.

    python light.py     joins by the invitations on standard input, one a line, until an empty line, and answers
"""

from __future__ import annotations

import json
import sys
import threading

import httpx
import numpy as np
from processes import PROJECT

from sojourn import __version__
from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.gate import Header, release
from sojourn.disclosure.output import Output
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.identity.envelope import Envelope, Request
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.messages import Answer, Delivery, Publish, Task
from sojourn.node.dictionary import Dictionary
from sojourn.node.hub_link import HubLink
from sojourn.statistics.histogram import Histogram
from sojourn.wire.address import Address
from sojourn.wire.requests import SignedAuth
from sojourn.wire.seal import release_info, seal
from sojourn.wire.transport import https_client

VARIABLES = {"x": Variable(Kind.NUMBER)}
HISTOGRAM = Histogram("x", tuple(np.linspace(0, 1, 901)))  # 902 counts: 9.6 KB in the answer's JSON
RULES = {"name": "default", "version": "1", "threshold": 10, "least_sites": 1, "watermark": ""}


class LightNode:
    """One simulated site on a client of its own."""

    def __init__(self, link: HubLink, key: PrivateKey, output: Output) -> None:
        self.link = link
        self._key = key
        self._output = output
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def join(self, token: str) -> None:
        """Join, and publish the one table."""
        log = PrivateKey.generate().public.hex
        self.link.join(token, self._key.public.hex, log)
        documents = [Dictionary("rows", None, True, VARIABLES).public()]
        self.link.publish(Publish(datasets=documents, rules=RULES, sandbox="none", software=__version__))

    def start(self) -> None:
        """Ask for work from now on."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._closing.set()

    def _run(self) -> None:
        running: dict[str, None] = {}
        while not self._closing.is_set():
            try:
                work = self.link.poll([], list(running), 20.0)
                for study in work.ended:
                    running.pop(study, None)
                for task in work.tasks:
                    self._answer(task)
                    running[task.study] = None
            except Exception:  # the hub is ending
                if not self._closing.wait(0.2):
                    continue

    def _answer(self, task: Task) -> None:
        request = Request.read(Envelope.from_dict(task.request))
        ask, site = task.key(), self.link.site
        policy = UnsafeReleaseAll()
        header = Header(
            study=task.study,
            plan=request.plan_hash,
            analysis=task.analysis,
            round=1,
            ask=ask,
            site=site,
            snapshot="0" * 16,
            policy=policy.name,
            policy_version=policy.version,
            hidden_max=policy.hidden_max(),
            software=__version__,
            watermark=policy.watermark,
        )
        document = Answer(release(self._output, policy, header), self._key).to_dict()
        info = release_info(study=task.study, analysis=task.analysis, round=ask, site=site)
        sealed = seal(request.seal_key, json.dumps(document, sort_keys=True).encode(), info)
        self.link.deliver(Delivery(study=task.study, analysis=task.analysis, ask=ask, sealed=sealed.hex()))


def output() -> Output:
    """What every site answers: the counts of a thousand rows."""
    variables = with_site(VARIABLES, ("site0",))
    draw = np.random.default_rng(0)
    table = Population("site0", variables, {"x": draw.random(1_000)}, np.arange(1_000, dtype=np.uint32), {})
    [step] = HISTOGRAM.steps(variables)
    partial, support = HISTOGRAM.local("count", table, {}), HISTOGRAM.support(table)
    return Output(HISTOGRAM.name, step, partial, support, variables, HISTOGRAM.rules)


def node(client: httpx.Client, site: str, federation: str, log_key: str, key: PrivateKey, answer: Output) -> LightNode:
    """One simulated site."""
    return LightNode(HubLink(client, site, federation, PublicKey.from_hex(log_key)), key, answer)


def main() -> None:
    """Join by the lines on standard input, say so, and answer until standard input ends."""
    answer, nodes = output(), []
    for number, line in enumerate(iter(sys.stdin.readline, "\n")):
        address, key = Address.decode(line), PrivateKey.generate()
        client = https_client(address.url, address.authority, SignedAuth(key, audience=address.federation), 60.0)
        made = node(client, f"site{number}", address.federation, address.log_key, key, answer)
        made.join(address.token)
        nodes.append(made)
    for made in nodes:
        made.start()
    print(f"{len(nodes)} in {PROJECT}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
