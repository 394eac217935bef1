"""Reading a plan's document: strict YAML, of which JSON is a part, and clean texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import PlanError

MOST_CHARACTERS = 1_000_000
MOST_DEPTH = 20
_EXAMPLE = "See `sojourn study check --help` for a plan to start from."


def read(path: Path) -> Any:
    """The document in a file of YAML or JSON; PlanError where a word is there twice or it is not plain data."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError("The plan's file cannot be read.", remedy="Check its path, and save it as UTF-8.") from error
    return parse(text)


def parse(text: str) -> Any:
    """The document in a text of YAML or JSON."""
    if len(text) > MOST_CHARACTERS:
        raise PlanError(f"The plan has more than {MOST_CHARACTERS} characters.", remedy="Write a shorter plan.")
    try:
        _check_shape(text)
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader: it makes plain data only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, character {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise PlanError(f"The plan cannot be read{place}: {problem}.", remedy=_EXAMPLE) from None
    except ValueError as error:  # e.g. a date that does not exist
        raise PlanError(
            "The plan holds a value that cannot be read.", remedy="Put texts in quotation marks."
        ) from error


def write(document: Mapping[str, Any]) -> str:
    """The document as readable YAML: a word a line, lists in brackets, whole numbers without a point."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def mapping(document: Any, known: Iterable[str], field: str) -> Mapping[str, Any]:
    """The document as a mapping of known words; PlanError naming the unknown one and the nearest known."""
    words = sorted(known)
    if not isinstance(document, Mapping):
        raise PlanError(
            "A mapping of words is expected.", remedy=f"Write `word: value` lines: {', '.join(words)}.", field=field
        )
    for word in document:
        if word not in words:
            name = f"`{str(word)[:40]}`"
            raise PlanError(f"Unknown word {name}.", remedy=did_you_mean(str(word), words) or _EXAMPLE, field=field)
    return document


def clean(text: object, field: str, most: int) -> str:
    """A text in Unicode's NFC form, on one line, without control or invisible characters."""
    if not isinstance(text, str):
        raise PlanError("A text is expected.", remedy="Put it in quotation marks.", field=field)
    text = unicodedata.normalize("NFC", text)
    if len(text) > most:
        raise PlanError(f"The text has more than {most} characters.", remedy="Shorten it.", field=field)
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for character in text):
        raise PlanError("The text holds an invisible character.", remedy="Type it again, on one line.", field=field)
    return text


def _check_shape(text: str) -> None:
    """Refuse what could grow or nest without bound, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None):
            raise PlanError("A plan cannot use YAML's anchors.", remedy="Write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise PlanError(f"The plan is nested more than {MOST_DEPTH} deep.", remedy=_EXAMPLE)


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe subset, refusing a word that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        words = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(words)) != len(words):
            raise yaml.constructor.ConstructorError(None, None, "a word stands twice in one mapping", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """YAML's safe subset."""


def _list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    return (
        dumper.represent_int(int(value)) if value.is_integer() and abs(value) < 1e15 else dumper.represent_float(value)
    )


_Dumper.add_representer(list, _list)
_Dumper.add_representer(float, _float)
