"""A study over processes and its oracle on the pooled rows take turns in one run; each side's median counts.

A study's time goes from submitting it to holding the checked results. Between two the machine rests, as the nodes make
their next workers ready.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from machine import processor_seconds
from processes import Processes

import sojourn as sj
from sojourn.client.results import Results

REST = 3.0


def turns(running: Processes, plan: sj.Plan, oracle: Callable[[], Any], times: int) -> tuple[dict[str, Any], Results]:
    """Figures, and the last results. The plan's title changes, so that no answer is a repeated one."""
    federated, pooled, processor = [], [], []
    for turn in range(times):
        time.sleep(REST)
        before = sum(processor_seconds(process.pid) for process in running.running.values())
        started = time.perf_counter()
        results = running.project.submit(plan.replace(title=f"{plan.title} {turn}")).wait(600)
        federated.append(time.perf_counter() - started)
        processor.append(sum(processor_seconds(process.pid) for process in running.running.values()) - before)
        started = time.perf_counter()
        oracle()
        pooled.append(time.perf_counter() - started)
    figures = {
        "federated_s": federated,
        "oracle_s": pooled,
        "ratio_of_medians": statistics.median(federated) / statistics.median(pooled),
        "ratio_of_first": federated[0] / pooled[0],
        "hub_and_nodes_processor_s": statistics.median(processor),
    }
    return figures, results
