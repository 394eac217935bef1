"""Support between a worker and its node: evidence for the gate, which never leaves the site."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pyroaring import BitMap

from sojourn.analysis.partial import decode, encode
from sojourn.analysis.support import (
    Cells,
    Contributions,
    Design,
    Drawn,
    Effective,
    Pairs,
    Positions,
    Support,
    Thresholds,
    Working,
)
from sojourn.analysis.variable import is_of_indicator

_DESIGN_NUMBERS = ("persons", "rows", "parameters", "events", "leverage", "effective", "patterns", "clusters")


def support_to_dict(support: Support) -> dict[str, Any]:
    """The JSON form."""
    return {
        "population": _pack(support.population),
        "measures": list(support.measures),
        "constant": list(support.constant),
        "cells": [
            {
                "output": list(cells.output),
                "shape": list(cells.shape),
                "persons": [_pack(cell) for cell in cells.persons],
                "dimensions": list(cells.dimensions),
                "measures": list(cells.measures),
                "empty": list(cells.empty),
            }
            for cells in support.cells
        ],
        "contributions": list(map(contributions_to_dict, support.contributions)),
        "squares": list(map(contributions_to_dict, support.squares)),
        "design": None if support.design is None else _design_to_dict(support.design),
        "positions": [
            {"output": list(one.output), "fractions": list(one.fractions), "persons": encode(one.persons)}
            for one in support.positions
        ],
        "thresholds": [
            {
                "output": one.output,
                "shape": list(one.shape),
                "persons": [_pack(part) for part in one.persons],
                "measures": list(one.measures),
            }
            for one in support.thresholds
        ],
        "pairs": None if support.pairs is None else _pairs_to_dict(support.pairs),
        "effective": [{"output": list(one.output), "numbers": encode(one.numbers)} for one in support.effective],
    }


def support_from_dict(document: Mapping[str, Any]) -> Support:
    """Read `support_to_dict`'s form; ValueError on anything else: what a worker says is not trusted."""
    try:
        return Support(
            population=_unpack(document["population"]),
            measures=_names(document["measures"]),
            cells=tuple(_cells(cells) for cells in document["cells"]),
            contributions=tuple(map(contributions_from_dict, document["contributions"])),
            squares=tuple(map(contributions_from_dict, document.get("squares", ()))),
            design=None if document["design"] is None else _design(document["design"]),
            constant=_names(document["constant"]),
            positions=tuple(_positions(one) for one in document.get("positions", ())),
            thresholds=tuple(_thresholds(one) for one in document.get("thresholds", ())),
            pairs=None if document.get("pairs") is None else _pairs(document["pairs"]),
            effective=tuple(_effective(one) for one in document.get("effective", ())),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError("not a support") from error


def working_to_dict(working: Working | None) -> dict[str, float] | None:
    """The JSON form."""
    return None if working is None else {"effective": working.effective, "leverage": working.leverage}


def working_from_dict(document: Mapping[str, Any] | None) -> Working | None:
    """Read `working_to_dict`'s form; ValueError on anything else."""
    try:
        return None if document is None else Working(float(document["effective"]), float(document["leverage"]))
    except (KeyError, TypeError) as error:
        raise ValueError("no evidence of a round") from error


def _cells(document: Mapping[str, Any]) -> Cells:
    shape = tuple(_count(size) for size in document["shape"])
    cells = Cells(
        _names(document["output"]),
        shape,
        tuple(_unpack(cell) for cell in document["persons"]),
        _names(document["dimensions"]),
        _names(document["measures"]),
        tuple(_count(place) for place in document.get("empty", ())),
    )
    cells.counts()  # refuses a shape that is not that of the cells
    if any(place >= len(cells.persons) for place in cells.empty):
        raise ValueError("a place beyond the cells")
    return cells


def _positions(document: Mapping[str, Any]) -> Positions:
    fractions = tuple(float(fraction) for fraction in document["fractions"])
    return Positions(_names(document["output"]), fractions, decode(document["persons"]).astype(np.int64))


def _effective(document: Mapping[str, Any]) -> Effective:
    return Effective(_names(document["output"]), decode(document["numbers"]).astype(float))


def _thresholds(document: Mapping[str, Any]) -> Thresholds:
    shape, persons = tuple(map(_count, document["shape"])), tuple(map(_unpack, document["persons"]))
    if len(shape) < 1 or math.prod(shape) != len(persons):
        raise ValueError("the shape of a range is not that of its parts")
    return Thresholds(str(document["output"]), shape, persons, _names(document["measures"]))


def contributions_to_dict(sums: Contributions) -> dict[str, Any]:
    """The JSON form; without what the declarations say."""
    return {
        "output": list(sums.output),
        "largest": encode(sums.largest),
        "second": encode(sums.second),
        "total": encode(sums.total),
        "values": None if sums.values is None else encode(sums.values),
        "persons": [[_pack(cell) for cell in level] for level in sums.persons],
        "behind": [_pack(cell) for cell in sums.behind],
        "local": sums.local,
    }


def contributions_from_dict(document: Mapping[str, Any]) -> Contributions:
    """Read `contributions_to_dict`'s form; ValueError or KeyError on anything else."""
    largest, second, total = (decode(document[word]).astype(float) for word in ("largest", "second", "total"))
    if not largest.shape == second.shape == total.shape:
        raise ValueError("the shapes of contributions disagree")
    # What older programs held for review says nothing of these.
    values = None if document.get("values") is None else decode(document["values"]).astype(np.int64)
    if values is not None and values.shape != total.shape:
        raise ValueError("the shapes of contributions disagree")
    persons = tuple(tuple(_unpack(cell) for cell in level) for level in document.get("persons", []))
    if any(len(level) != total.size for level in persons):
        raise ValueError("the shapes of contributions disagree")
    behind = tuple(map(_unpack, document.get("behind", [])))
    if behind and total.shape[-1:] != (len(behind),):
        raise ValueError("the shapes of contributions disagree")
    local = bool(document.get("local", False))
    return Contributions(_names(document["output"]), largest, second, total, None, values, persons, behind, local)


def _design_to_dict(design: Design) -> dict[str, Any]:
    levels = {label: _pack(persons) for label, persons in design.levels.items()}
    numbers = {word: getattr(design, word) for word in _DESIGN_NUMBERS}
    drawn = None if design.drawn is None else dataclasses.asdict(design.drawn)
    return {"levels": levels, **numbers, "numbers": dict(design.numbers), "by_site": design.by_site, "drawn": drawn}


def _design(document: Mapping[str, Any]) -> Design:
    return Design(
        persons=_count(document["persons"]),
        rows=_count(document["rows"]),
        parameters=_count(document["parameters"]),
        levels={str(label): _unpack(persons) for label, persons in document["levels"].items()},
        events=None if document["events"] is None else _count(document["events"]),
        leverage=float(document["leverage"]),
        effective=None if document["effective"] is None else float(document["effective"]),
        patterns=None if document["patterns"] is None else _count(document["patterns"]),
        numbers={str(name): _count(hit) for name, hit in document.get("numbers", {}).items()},
        by_site=document.get("by_site") is True,
        clusters=None if document.get("clusters") is None else _count(document["clusters"]),
        drawn=_drawn_of(document),
    )


def _drawn_of(document: Mapping[str, Any]) -> Drawn | None:
    """What sets tell by differing; too much, where an older program held a model with such levels and does not say."""
    if "drawn" not in document and any(map(is_of_indicator, document["levels"])):
        return Drawn(None, None, 0, 0, share=1.0)
    return None if document.get("drawn") is None else _drawn(document["drawn"])


def _drawn(document: Mapping[str, Any]) -> Drawn:
    effective, lacking = (
        None if document[word] is None else float(document[word]) for word in ("effective", "lacking")
    )
    levels = None if document.get("levels") is None else _count(document["levels"])
    share = float(document.get("share", 1.0))  # what older programs held says nothing of it, which is too much
    return Drawn(effective, lacking, _count(document["persons"]), _count(document["parameters"]), share, levels)


def _pairs_to_dict(pairs: Pairs) -> dict[str, Any]:
    levels = {label: _pack(persons) for label, persons in pairs.levels.items()}
    numbers = {"columns": pairs.columns, "constructed": pairs.constructed}
    return {"persons": encode(pairs.persons), **numbers, "levels": levels}


def _pairs(document: Mapping[str, Any]) -> Pairs:
    return Pairs(
        decode(document["persons"]).astype(np.int64),
        _count(document["columns"]),
        _count(document["constructed"]),
        {str(label): _unpack(persons) for label, persons in document["levels"].items()},
    )


def _pack(persons: BitMap) -> str:
    return base64.b64encode(persons.serialize()).decode("ascii")


def _unpack(text: object) -> BitMap:
    if not isinstance(text, str):
        raise ValueError("not a set of persons")
    try:
        return BitMap.deserialize(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ValueError("not a set of persons") from error


def _names(words: object) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("not a list of names")
    return tuple(words)


def _count(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("not a count")
    return number
