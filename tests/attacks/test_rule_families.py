"""Attacks on single rules (A13, A14, A15): extremes, margins that solve a hidden cell, one giant value.

Statistics that give quantiles come later; here their outputs are built by hand and go through the real gate.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pyroaring import BitMap
from scipy.optimize import linprog

from sojourn.analysis.partial import Partial
from sojourn.analysis.support import Positions, RiskSets, Steps, Support
from sojourn.disclosure.complement import complement
from sojourn.disclosure.families.survival_steps import merged
from sojourn.disclosure.gate import release
from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.perturbation import BASE_5, rounded
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.disclosure.suppression import small, suppress
from sojourn.errors import DisclosureRefused

T = 10
TABLES = 40


@pytest.fixture(scope="module")
def outputs() -> ModuleType:
    path = Path(__file__).parents[1] / "disclosure" / "outputs.py"
    place = importlib.util.spec_from_file_location("attack_outputs", path)
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def safe(output: Output, outputs: ModuleType) -> Partial | None:
    """What leaves under the default rules; None where nothing does."""
    try:
        return release(output, StandardPolicy(), outputs.HEADER).partial
    except DisclosureRefused:
        return None


def quantiles(values: np.ndarray, fractions: tuple[float, ...], outputs: ModuleType) -> Output:
    positions = Positions(("quantile",), fractions, np.array(len(values)))
    support = Support(BitMap(range(len(values))), ("cholesterol",), positions=(positions,))
    return outputs.output({"quantile": np.quantile(values, fractions)}, support, ("positions",))


def test_a_planted_outlier_never_appears(outputs: ModuleType, figures: Callable[..., None]) -> None:
    """Minimum, maximum, the 0.999 quantile, and quartiles of groups so small that they are a person's value (A13)."""
    draw = np.random.default_rng(13)
    asks = [((0.0,), 300), ((1.0,), 300), ((0.999,), 300), ((0.5, 1.0), 300), ((0.25, 0.75), 9), ((0.75,), 30)]
    seen = {"without": 0, "with": 0}
    for fractions, n in asks:
        values = np.append(draw.normal(240, 40, n - 1), 8_675_309.25)
        if fractions == (0.0,):
            values = -values
        raw = release(quantiles(values, fractions, outputs), UnsafeReleaseAll(), outputs.HEADER).partial["quantile"]
        sent = safe(quantiles(values, fractions, outputs), outputs)
        seen["without"] += int((np.abs(raw) > 1_000).any() or n <= 30)
        seen["with"] += int(sent is not None and bool((~sent.hidden("quantile")).any()))
    assert seen == {"without": len(asks), "with": 0}
    benign = safe(quantiles(draw.normal(240, 40, 300), (0.25, 0.5, 0.75), outputs), outputs)
    assert benign is not None and not benign.suppressed
    for id in ("A13", "D06"):
        figures(
            id,
            "extremes and quantiles of few persons",
            without=f"{seen['without']} of {len(asks)} asks give a person's value",
            with_defence=f"{seen['with']} of {len(asks)}",
            mark="the planted outlier never appears",
            benign="median and quartiles of 300 persons are released",
        )


class FirstLineOnly:
    """A policy with a defect: two hidden cells in every line, and no audit of what they may hold."""

    name, version, watermark = "first line only", "0", "planted"

    def hidden_max(self) -> int:
        return T - 1

    def judge(self, output: Output) -> Finding:
        from sojourn.disclosure.complement import _first

        (cells,) = output.support.cells
        counts = cells.counts()
        hidden = _first(counts, small(cells, T, False), T, lambda mask: int(counts[mask].sum()))
        return suppress("minimum frequency", {"count": hidden})


def widths(numbers: np.ndarray, hidden: np.ndarray, outputs: ModuleType) -> list[float]:
    """How uncertain each hidden cell is for who also asks for the counts of rows and columns, as they are released."""
    rows, to = [np.ones(numbers.size)], [numbers.sum()]
    places = np.arange(numbers.size).reshape(numbers.shape)
    for axis in (0, 1):
        sums = numbers.sum(axis=1 - axis)
        margin = safe(outputs.table(sums), outputs)
        for level in range(len(sums)):
            if margin is not None and not margin.hidden("count")[level]:
                rows.append(np.isin(places.ravel(), places.take(level, axis=axis)).astype(float))
                to.append(sums[level])
    bounds = [(0, None) if gone else (n, n) for n, gone in zip(numbers.ravel(), hidden.ravel(), strict=True)]
    found = []
    for place in np.flatnonzero(hidden):
        cell = np.eye(numbers.size)[place]
        ends = [sign * linprog(sign * cell, A_eq=rows, b_eq=to, bounds=bounds).fun for sign in (1, -1)]
        found.append(ends[1] - ends[0])
    return found


def test_margins_do_not_solve_a_hidden_cell(outputs: ModuleType, figures: Callable[..., None]) -> None:
    """A14 and attack 8: a crosstab, the counts of its rows and columns beside it, and a linear programme."""
    draw = np.random.default_rng(14)
    narrow: dict[str, int] = {"without": 0, "with": 0}
    cells = 0
    for _ in range(TABLES):
        numbers = draw.poisson(draw.lognormal(2.6, 1.0, (3, 4)))
        if numbers.sum() < T:
            continue
        output = outputs.table(numbers)
        defect = release(output, FirstLineOnly(), outputs.HEADER).partial.hidden("count")
        hidden = safe(output, outputs).hidden("count")
        narrow["without"] += sum(width < T - 1e-6 for width in widths(numbers, defect, outputs))
        if not hidden.all():
            cells += int(hidden.sum())
            narrow["with"] += sum(width < T - 1e-6 for width in widths(numbers, hidden, outputs))
    assert narrow["without"] > 20
    assert narrow["with"] == 0
    benign = np.full((3, 4), 25)
    assert not safe(outputs.table(benign), outputs).suppressed
    for id in ("A14", "D08"):
        figures(
            id,
            f"{TABLES} crosstabs beside the counts of their rows and columns, solved by linear programme",
            without=f"{narrow['without']} hidden cells known more closely than T, with two hidden cells in each line",
            with_defence=f"0 of {cells}",
            mark="every hidden cell is uncertain by at least T",
            benign="a crosstab of common cells is released whole",
        )


def test_rounding_before_suppression_lifts_no_small_cell(outputs: ModuleType, figures: Callable[..., None]) -> None:
    """Attack 8: 8 rounds to 10, so who suppresses after rounding shows it. Here the true count decides."""
    policy = StandardPolicy(Parameters(rounding=BASE_5))
    small_cells = [n for n in range(1, T) if int(rounded(np.array([n]), BASE_5)[0]) >= T]
    assert small_cells == [8, 9]
    shown = 0
    for n in small_cells:
        partial = release(outputs.table([40, 30, 25, n]), policy, outputs.HEADER).partial
        shown += int(not partial.hidden("count")[3])
    assert shown == 0
    benign = release(outputs.table([40, 30, 25, 12]), policy, outputs.HEADER).partial
    assert benign["count"].tolist() == [40, 30, 25, 10]
    figures(
        "D08",
        "cells of 8 and 9 that rounding lifts to 10",
        without="2 of 2 shown where rounding comes first",
        with_defence="0 of 2",
        mark="what is small is hidden by its true count",
        benign="a cell of 12 is shown as 10",
    )


def test_bins_and_counts_beside_withheld_means(outputs: ModuleType, figures: Callable[..., None]) -> None:
    """D07: bins drawn around one value, and the count of a group whose mean is withheld."""
    bins = outputs.table([60, 55, 1, 40], rules=("minimum frequency", "histogram"))
    group = outputs.sums([[5.0] * 40, [5.0] * 4, [5.0] * 30, [5.0] * 20], rules=("dominance", "p percent"))
    raw = [release(output, UnsafeReleaseAll(), outputs.HEADER).partial for output in (bins, group)]
    assert raw[0]["count"][2] == 1 and raw[1]["n"][1] == 4
    sent = [safe(output, outputs) for output in (bins, group)]
    assert sent[0] is not None and sent[0].hidden("count")[2]
    assert sent[1] is not None and sent[1].hidden("n")[1] and sent[1].hidden("sum")[1]
    assert not safe(outputs.table([60, 55, 15, 40], rules=("minimum frequency", "histogram")), outputs).suppressed
    figures(
        "D07",
        "a bin of one; the number of a group of four whose mean is withheld",
        without="2 of 2",
        with_defence="0 of 2",
        mark="bin, number and sum are hidden under one mark",
        benign="bins of 15 and more are released",
    )


def test_single_events_of_curves_and_risk_sets(outputs: ModuleType, figures: Callable[..., None]) -> None:
    """D09: a raw survival curve, and a Cox model's sums at the persons' own times; by hand until they exist."""
    draw = np.random.default_rng(9)
    times = np.sort(draw.exponential(3.0, 120))
    ones, at_risk = np.ones(120, dtype=np.int64), np.arange(120, 0, -1)

    def curve(left: np.ndarray, before: np.ndarray, when: tuple[float, ...], grid: tuple[float, ...]) -> list[Output]:
        people = BitMap(range(120))
        steps = Support(people, ("time",), steps=(Steps(("curve",), left, before),))
        sets = Support(people, ("time",), risk_sets=RiskSets(when, grid, left, before))
        values = {"curve": np.zeros(len(left))}
        return [outputs.output(values, steps, ("survival steps",)), outputs.output(values, sets, ("risk sets",))]

    raw = curve(ones, at_risk, tuple(times), tuple(times))
    assert all(release(one, UnsafeReleaseAll(), outputs.HEADER).partial.numbers() == 120 for one in raw)
    assert [safe(one, outputs) for one in raw] == [None, None]
    kept = list(merged(ones, at_risk, T))
    coarse = curve(np.diff([-1, *kept]), at_risk[kept], tuple(map(float, kept)), tuple(map(float, range(120))))
    assert all(safe(one, outputs) is not None for one in coarse)
    figures(
        "D09",
        "a raw survival curve, and risk sets at 120 persons' own times",
        without="240 of 240 steps are of one person",
        with_defence="0 of 240",
        mark="no step or risk set of fewer than T",
        benign=f"{len(kept)} merged steps are released",
    )


def test_a_giant_value_dominates_no_sum(outputs: ModuleType, figures: Callable[..., None]) -> None:
    """A15: one or two giants in a group of 40; the sum is theirs."""
    ordinary: list[Any] = [1.0] * 40
    gives = 0
    for giants in ([1e6], [1e6, 1e6], [1e6, 5e4], [400.0], [250.0, 250.0]):
        output = outputs.sums([ordinary + giants, ordinary, ordinary, ordinary], rules=("dominance", "p percent"))
        raw = release(output, UnsafeReleaseAll(), outputs.HEADER).partial["sum"][0]
        assert abs(raw - sum(giants)) / sum(giants) <= 0.2
        sent = safe(output, outputs)
        gives += int(sent is not None and not sent.hidden("sum")[0])
    assert gives == 0
    assert not safe(outputs.sums([ordinary] * 4, rules=("dominance", "p percent")), outputs).suppressed
    figures(
        "A15",
        "one or two giant values in a group of some forty",
        without="5 of 5 sums are the giants' own to within a fifth",
        with_defence="0 of 5 sums leave",
        mark="a sum of one giant value is refused",
        benign="sums of ordinary values are released",
    )


def test_the_planted_policy_differs_by_the_audit_alone(outputs: ModuleType) -> None:
    numbers = np.array([[90, 3, 4], [30, 25, 31], [35, 45, 50]])
    output = outputs.table(numbers)
    (cells,) = output.support.cells
    without = FirstLineOnly().judge(output).cells["count"]
    assert (complement(cells, small(cells, T, False), T) & without == without).all()
