"""Confidential figures of the rules (p, the seed of cell keys) are in nothing that a node sends or shows."""

from __future__ import annotations

import struct

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select
from test_what_leaves import Tap

import sojourn as sj
from sojourn import testbed
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.hub.api import application
from sojourn.node.tables import releases
from sojourn.testbed import Federation

P, SEED = 13.577531, 8_135_775_319


def traces() -> list[bytes]:
    """The figures as text, and as the bytes of numbers."""
    numbers = [struct.pack(order + kind, value) for order in "<>" for kind, value in (("d", P), ("q", SEED))]
    return [b"13.57753", str(SEED).encode(), f"{SEED:x}".encode(), *numbers, *(n.hex().encode() for n in numbers)]


def test_confidential_figures_stay_inside() -> None:
    """Two studies: one released and one refused by the very rules, at sites with p and with a seed of their own."""
    draw = np.random.default_rng(5)
    frame = pd.DataFrame({"income": np.append(draw.normal(40, 5, 119), 9_000.0), "sex": ["f", "m"] * 60})
    policies = {
        "p": StandardPolicy(Parameters(p_percent=P)),
        "seed": StandardPolicy(Parameters(cell_key=SEED)),
        "plain": StandardPolicy(),
    }
    taps: list[Tap] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testbed, "application", lambda hub: taps.append(Tap(application(hub))) or taps[-1])
        federation = Federation({site: {"patients": frame} for site in policies}, rules=policies)
    with federation:
        analyses = {"sex": sj.count(by="sex"), "income": sj.describe("income")}
        results = federation.run(sj.Plan(table="patients", analyses=analyses, min_sites=1))
        inside = [
            row["answer"].encode()
            for node in federation.nodes.values()
            for row in node.store.rows(select(releases))
            if row["answer"]
        ]
        shown = [repr((node.show(), node.publication())).encode() for node in federation.nodes.values()]
        told = repr({name: result.sites for name, result in results.items()}).encode()
    sent = [sent.body + repr(sent.headers).encode() for sent in taps[0].from_nodes()]
    assert inside and sent
    assert "contributed" in told.decode()
    everything = [*inside, *shown, *sent, told]
    assert not [trace for trace in traces() for text in everything if trace in text]
    # planted: the search finds a figure that is there
    assert any(trace in repr(Parameters(threshold=SEED % 10**6)).encode() + str(P).encode() for trace in traces())
