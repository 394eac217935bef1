"""Metrics: what is shown is what is declared, in Prometheus' conventions, with labels of fixed lists."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import sojourn as sj
from sojourn.errors import REASONS, ConfigurationError
from sojourn.hub.metrics import DECLARED as OF_HUB
from sojourn.node.metrics import DECLARED as OF_NODE
from sojourn.node.metrics import FAMILIES
from sojourn.operations.exposition import Exposition, TextFile
from sojourn.operations.metrics import Declared, Metrics
from sojourn.study.lifecycle import STUDY
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

ROOT = Path(__file__).parents[2]
SITES = ("Avon", "Brent")
TITLE = "Zebrafinch"
GROUP = "wingspan"


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """After one study that is answered and one that no site answers."""
    frame = pd.DataFrame({"age": np.arange(40.0, 80.0), GROUP: ["a", "b"] * 20})
    with Federation({site: {"people": frame} for site in SITES}) as federation:
        for where in ("", "age > 77"):
            analyses = {"count": sj.count(by=GROUP)}
            federation.run(Plan(table="people", title=TITLE, where=where, analyses=analyses, min_sites=2))
        yield federation


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, value of the only label) → value, of a whole exposition."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            assert len(labels) <= 1
            found[sample.name, next(iter(labels.values()), "")] = sample.value
    return found


def faults(text: str) -> list[str]:
    """What Prometheus' own linter would say, and more."""
    found = []
    for family in text_string_to_metric_families(text):
        names = {sample.name for sample in family.samples}
        if not family.documentation.endswith("."):
            found.append(f"{family.name}: no help")
        if family.type == "counter" and not all(name.endswith("_total") for name in names):
            found.append(f"{family.name}: a counter without _total")
        if family.type != "counter" and any(name.endswith("_total") for name in names):
            found.append(f"{family.name}: _total, and no counter")
        if family.type in ("unknown", "untyped"):
            found.append(f"{family.name}: no type")
        if re.search(r"(milli|micro|_ms|minutes|hours|kilo|mega|_kb|_mb|percent)", family.name):
            found.append(f"{family.name}: not a base unit")
        if re.search(r"_(count|sum|bucket|created)$", family.name) or not re.fullmatch(r"[a-z][a-z0-9_]*", family.name):
            found.append(f"{family.name}: not a good name")
        if family.type in str(family.name).split("_"):
            found.append(f"{family.name}: its type in its name")
        found += [f"{name}: made when?" for name in names if name.endswith("_created")]
    return found


@pytest.mark.parametrize("program", ["hub", "node"])
def test_expositions_follow_the_conventions(federation: Federation, program: str) -> None:
    metrics = federation.hub.metrics if program == "hub" else federation.nodes["Avon"].metrics
    text = metrics.text()
    assert faults(text) == []
    shown = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("sojourn")}
    declared = {metric.name.removesuffix("_total") for metric in (OF_HUB if program == "hub" else OF_NODE)}
    assert shown == declared


def test_bad_expositions_are_seen() -> None:
    bad = (
        "# HELP jobs Jobs.\n# TYPE jobs counter\njobs 1\n"
        "# HELP wait_ms Wait\n# TYPE wait_ms gauge\nwait_ms 1\n"
        "# HELP x_total X.\n# TYPE x_total gauge\nx_total 1\n"
        "lonely 1\n"
    )
    said = " ".join(faults(bad))
    assert all(words in said for words in ("not a base unit", "no help", "_total, and no counter", "no type"))


def test_the_hub_counts_what_happened(federation: Federation) -> None:
    found = samples(federation.hub.metrics.text())
    assert found["sojourn_hub_studies", "completed"] == found["sojourn_hub_studies", "failed"] == 1
    assert found["sojourn_hub_studies", "running"] == found["sojourn_hub_tasks_waiting", ""] == 0
    assert found["sojourn_hub_rounds_total", "answered"] == found["sojourn_hub_rounds_total", "refused"] == 2
    assert found["sojourn_hub_rounds_refused_total", "minimum frequency"] == 2
    assert found["sojourn_hub_release_bytes_total", ""] > 100
    assert found["sojourn_hub_polls_total", ""] >= 2
    assert found["sojourn_hub_request_seconds_count", "/v1/studies"] == 2
    assert found["sojourn_hub_sites_online", ""] == len(SITES)
    assert found["sojourn_hub_log_entries", ""] == federation.hub.store.tail()[0]
    assert found["sojourn_hub_commit_seconds_count", ""] <= found["sojourn_hub_commit_writes_sum", ""]
    assert 0 <= found["sojourn_hub_log_checkpoint_age_seconds", ""] < 60
    assert found["process_resident_memory_bytes", ""] > 1e6
    assert {found["sojourn_hub_not_ready", word] for word in ("store", "log", "closing")} == {0}


def test_a_node_counts_what_happened(federation: Federation) -> None:
    found = samples(federation.nodes["Avon"].metrics.text())
    assert found["sojourn_node_tasks_total", "released"] == found["sojourn_node_tasks_total", "minimum frequency"] == 1
    assert found["sojourn_node_disclosure_refusals_total", "minimum frequency"] == 1
    assert found["sojourn_node_connected", ""] == 1
    assert found["sojourn_node_computation_seconds_count", ""] == 2
    assert found["sojourn_node_worker_starts_total", ""] >= 2
    assert abs(found["sojourn_node_clock_difference_seconds", ""]) < 5


def test_labels_are_words_of_fixed_lists_or_configured_names(federation: Federation) -> None:
    node = federation.nodes["Avon"]
    text = federation.hub.metrics.text() + node.metrics.text()
    routes = {route.path for route in federation._app.routes} | {"none"}
    words = {
        "site": set(SITES),
        "reason": {*REASONS, "store", "log", "closing", "hub"},
        "outcome": {*REASONS, "released", "answered", "refused", "dropped", "late", "approved", "rejected", "closed"},
        "family": set(FAMILIES),
        "state": set(STUDY.states),
        "route": routes,
        "status": {str(status) for status in range(400, 600)},
        "version": {sj.__version__},
    }
    assert set(FAMILIES) < set(REASONS)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or value in words[label], (sample.name, label)
    studies = [row["study"] for row in node.released()]
    assert studies and not any(secret in text for secret in (TITLE, GROUP, "people", *studies))


def test_registries_are_apart(federation: Federation) -> None:
    one, other = (federation.nodes[site].metrics for site in SITES)
    before = samples(other.text())["sojourn_node_journal_entries_total", ""]
    one.count("sojourn_node_journal_entries_total")
    assert samples(other.text())["sojourn_node_journal_entries_total", ""] == before


def test_what_cannot_be_read_is_left_out_and_the_rest_is_shown() -> None:
    declared = (Declared("a_bytes", "gauge", "One."), Declared("b_bytes", "gauge", "Two."))
    text = Metrics(declared, {"a_bytes": lambda: 1 / 0, "b_bytes": lambda: 2.0}).text()
    assert "b_bytes 2.0" in text and "a_bytes" not in text


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"])
def test_metrics_are_not_shown_beyond_the_loopback_by_accident(address: str) -> None:
    with pytest.raises(ConfigurationError, match="metrics_beyond_loopback"):
        Exposition(CollectorRegistry(), address)


def test_metrics_over_http(federation: Federation) -> None:
    exposition = Exposition(federation.hub.metrics.registry, "127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{exposition.port}/metrics") as answer:
            assert 'sojourn_hub_studies{state="completed"} 1.0' in answer.read().decode()
        with pytest.raises(ConfigurationError, match="cannot be had"):
            Exposition(federation.hub.metrics.registry, f"127.0.0.1:{exposition.port}")
    finally:
        exposition.close()


def test_the_file_is_replaced_whole_and_goes_with_the_program(federation: Federation, tmp_path: Path) -> None:
    path = tmp_path / "sojourn.prom"
    file = TextFile(path, federation.nodes["Avon"].metrics.text, every=0.01)
    file.start()
    first = path.stat()
    assert first.st_mode & 0o777 == 0o640
    assert faults(path.read_text()) == []
    path.write_text("old")
    while path.read_text() == "old":
        pass
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == ["sojourn.prom"]
    file.close()
    assert not path.exists()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        TextFile(tmp_path / "nowhere" / "x.prom", str).start()


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((ROOT / "deploy" / "prometheus" / "sojourn.rules.yml").read_text())
    return [{**rule, "group": group["name"]} for group in document["groups"] for rule in group["rules"]]


def test_every_alert_asks_for_metrics_that_exist() -> None:
    declared = {metric.name: metric for metric in (*OF_HUB, *OF_NODE)}
    for rule in rules():
        named = re.findall(r"\bsojourn_[a-z_]+", rule["expr"])
        assert named or "up{" in rule["expr"], rule["alert"]
        for name in named:
            assert name in declared, (rule["alert"], name)
            assert name.startswith(rule["group"].replace("-", "_")), rule["alert"]
        for name, label, value in re.findall(r'(sojourn_\w+)\{(\w+)=~?"([^"]+)"', rule["expr"]):
            assert declared[name].label == label, rule["alert"]
            assert value in ("store", "log", "5..")
        assert rule["annotations"]["summary"].endswith((".", "`."))
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations", "group"}


@pytest.mark.parametrize(
    "wanted", ["up{", "site_online", "log", "disk", "unacknowledged", "witness_refusals", "node_connected"]
)
def test_there_is_an_alert_for(wanted: str) -> None:
    assert any(wanted in rule["expr"] for rule in rules())
