"""Settings: what a file may hold, what is refused and in which words, and that old files load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from sojourn.errors import ConfigurationError
from sojourn.hub.config import HubHome
from sojourn.node.config import NodeHome
from sojourn.operations import settings

HUB = {"name": "heart.example.org", "host": "127.0.0.1", "port": 8443}
NODE = {"site": "Cleveland", "hub": "", "federation": "", "sandbox": "none", "least_sites": 2, "rules": {}}


def write(folder: Path, name: str, document: Any) -> Path:
    (folder / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


def refusal(folder: Path, kind: type[HubHome] | type[NodeHome]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        kind.load(folder)
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)
    return str(caught.value)


def test_files_of_the_first_version_load_and_are_written_alike(tmp_path: Path) -> None:
    hub = HubHome.load(write(tmp_path, "hub.yaml", HUB))
    node = NodeHome.load(write(tmp_path, "node.yaml", NODE))
    assert (hub.name, hub.host, hub.port) == tuple(HUB.values())
    assert (node.site, node.sandbox, node.least_sites) == ("Cleveland", "none", 2)
    hub.save()
    node.save()
    assert yaml.safe_load((tmp_path / "hub.yaml").read_text()) == HUB
    assert yaml.safe_load((tmp_path / "node.yaml").read_text()) == NODE


def test_settings_with_a_default_may_be_absent(tmp_path: Path) -> None:
    home = NodeHome.load(write(tmp_path, "node.yaml", {"site": "Cleveland"}))
    assert home == NodeHome(tmp_path.resolve(), "Cleveland")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"least_site": 3}, "no setting `least_site`. Remedy: Did you mean `least_sites`?"),
        ({"least_sites": 0}, "`least_sites` is not a whole number from 1. Remedy: Write e.g. `least_sites: 3`."),
        ({"least_sites": True}, "`least_sites` is not a whole number from 1."),
        ({"sandbox": "docker"}, "`sandbox` is not one of `bubblewrap`, `none`."),
        ({"rules": [1]}, "`rules` is not a mapping. Remedy: Write e.g. `rules: {threshold: 20}`."),
        ({"hub": None}, "`hub` is not a text."),
    ],
)
def test_bad_settings_of_a_node_are_refused_by_name(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    assert says in refusal(write(tmp_path, "node.yaml", NODE | change), NodeHome)


@pytest.mark.parametrize("port", [-1, 65536, "8443", 1.5, None, [8443]])
def test_a_bad_port_is_refused(tmp_path: Path, port: Any) -> None:
    said = refusal(write(tmp_path, "hub.yaml", HUB | {"port": port}), HubHome)
    assert "hub.yaml: `port` is not a whole number from 0 to 65535." in said


def test_what_must_be_there_is_named(tmp_path: Path) -> None:
    document = {name: value for name, value in HUB.items() if name != "host"}
    assert "hub.yaml: `host` is missing." in refusal(write(tmp_path, "hub.yaml", document), HubHome)


@pytest.mark.parametrize("text", ["", "- a", "name: [", "\tname: x", "name: \x00"])
def test_a_damaged_file_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "hub.yaml").write_text(text)
    assert "hub.yaml is damaged." in refusal(tmp_path, HubHome)


@bounds(deadline=None, max_examples=50)
@given(name=st.sampled_from([each.name for each in settings.settings(NodeHome)]), value=st.text(min_size=12))
def test_a_refusal_never_holds_the_value(tmp_path_factory: pytest.TempPathFactory, name: str, value: str) -> None:
    secret = {"secret": value}
    folder = write(tmp_path_factory.mktemp("home"), "node.yaml", NODE | {name: [secret]})
    assert value not in refusal(folder, NodeHome)


@pytest.mark.parametrize("kind", [HubHome, NodeHome])
def test_every_setting_says_what_it_is_and_its_example_is_one(kind: type[Any], tmp_path: Path) -> None:
    found = list(settings.settings(kind))
    document = {}
    for each in found:
        assert each.meaning.endswith(".") and each.described
        assert each.check(each.example, "test") == each.example or isinstance(each.example, str)
        document |= yaml.safe_load(settings.line(each.name, each.example))
    file = "hub.yaml" if kind is HubHome else "node.yaml"
    home = kind.load(write(tmp_path, file, document))
    home.save()
    assert kind.load(tmp_path) == home


def test_saving_keeps_what_was_chosen(tmp_path: Path) -> None:
    home = replace(NodeHome(tmp_path.resolve(), "Cleveland"), rules={"threshold": 20})
    home.save()
    assert NodeHome.load(tmp_path) == home
