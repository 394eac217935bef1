"""What a model does about missing values, as it stands in a plan: `missing` among its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import SITE
from sojourn.errors import PlanError
from sojourn.statistics.argument import names
from sojourn.statistics.imputed import SETS, Imputed
from sojourn.statistics.indicated import Indicated
from sojourn.statistics.meta import Model

IMPUTE, INDICATORS = "impute", "indicators"
MOST_COLUMNS = 20
LEAST_SETS, MOST_SETS = 2, 50
WORDS: dict[str, Any] = {
    "missing": {
        "type": "object",
        "properties": {
            "method": {"enum": [IMPUTE, INDICATORS]},
            "columns": names(1, MOST_COLUMNS),
            "m": {"type": "number"},
            "using": names(1, MOST_COLUMNS),
        },
        "required": ["method", "columns"],
        "additionalProperties": False,
    }
}


def read(model: Model, arguments: Mapping[str, Any], place: str) -> Statistic:
    """The model that fills values in, or the model itself; PlanError where the words do not go together."""
    said = arguments.get("missing")
    if said is None:
        return model
    place = f"{place}.missing"
    columns = tuple(sorted(said["columns"]))
    _check_columns(model, columns, f"{place}.columns")
    if said["method"] == INDICATORS:
        for word in ("m", "using"):
            if word in said:
                remedy = "Leave it out, or use `method: impute`."
                raise PlanError("Indicators have no sets, and draw nothing.", remedy=remedy, field=f"{place}.{word}")
        return Indicated.of(model, columns, f"{place}.columns")
    using = tuple(sorted(said.get("using", ())))
    for name in using:
        if name == SITE or name in model.variables():
            remedy = "Name columns that the model does not have; those that it has help to draw anyway."
            raise PlanError(f"`{name}` is no auxiliary column.", remedy=remedy, field=f"{place}.using")
    return Imputed(model, columns, _sets(said.get("m", SETS), f"{place}.m"), using)


def _check_columns(model: Model, columns: tuple[str, ...], place: str) -> None:
    formula = getattr(model, "formula", None)
    used = set(formula.names) - {formula.offset} if formula else set()
    used -= {getattr(model, word, None) for word in ("weights", "cluster")}
    for name in columns:
        if name not in used:
            remedy = "Name columns of the formula; weights, offsets and clusters must be complete."
            raise PlanError(f"`{name}` is no outcome or term of this model.", remedy=remedy, field=place)


def _sets(value: float, place: str) -> int:
    if value != int(value) or not LEAST_SETS <= value <= MOST_SETS:
        remedy = f"Write a whole number from {LEAST_SETS} to {MOST_SETS}."
        raise PlanError("This is no number of imputed sets.", remedy=remedy, field=place)
    return int(value)
