"""What a pilot says of measured values: how many have no number, and whether the sign before decimals is the right one.

A rare text may tell of a person: one is written down only if `LEAST_ROWS` rows hold it.
"""

from __future__ import annotations

from typing import Any

from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.making import Made
from sojourn.node.harmonise.reporting_medicines import LEAST_ROWS
from sojourn.omop import values
from sojourn.omop.expression import compiled
from sojourn.omop.identifiers import literal, quoted
from sojourn.omop.plan import Rule

MOST_TEXTS = 500  # of each rule, the most frequent first; totals are of all
_COUNTED = ("values", "numbers", "ranges", "texts", "other_sign", "grouped")


def results(made: Made, engine: Engine) -> dict[str, Any]:
    """By rule with a result, in rows: values, those with a number, ranges, texts, and the frequent texts.

    other_sign: of the texts, numbers by the other sign before decimals. grouped: of the numbers, those in which that
    other sign was read as one between thousands.
    """
    found = {}
    for name, rule in made.plan.rules.items():
        if rule.result is None:
            continue
        read = _read_sql(rule, rule.result.value, rule.result.decimal)
        counts = engine.rows(
            "SELECT sum(rows), sum(rows) FILTER (n_number IS NOT NULL), sum(rows) FILTER (n_low IS NOT NULL), "
            "sum(rows) FILTER (n_text IS NOT NULL), "
            "sum(rows) FILTER (n_text IS NOT NULL AND coalesce(o_number, o_low) IS NOT NULL), "
            f"sum(rows) FILTER (n_number IS NOT NULL AND contains(said, {literal(_other(rule.result.decimal))})) "
            f"FROM ({read})"
        )[0]
        listed = engine.rows(
            f"SELECT n_text, CAST(sum(rows) AS BIGINT) AS n FROM ({read}) WHERE n_text IS NOT NULL "
            f"GROUP BY 1 HAVING n >= {LEAST_ROWS} ORDER BY n DESC, n_text LIMIT {MOST_TEXTS}"
        )
        found[name] = {
            "decimal": rule.result.decimal,
            "other": _other(rule.result.decimal),
            **{word: int(count or 0) for word, count in zip(_COUNTED, counts, strict=True)},
            "listed": [{"text": text, "rows": int(rows)} for text, rows in listed],
        }
    return found


def result_doubts(found: dict[str, Any]) -> list[str]:
    """Where values say that the sign before decimals may be another one than the plan says."""
    doubts = []
    for name, each in found.items():
        decimal, other = each["decimal"], each["other"]
        if each["other_sign"]:
            doubts.append(
                f"{each['other_sign']} values of rule `{name}` are numbers only if `{other}` is the sign before "
                f"decimals; the plan says `{decimal}`. Which sign does each system write? They are kept as texts, "
                "without a number."
            )
        if each["grouped"]:
            doubts.append(
                f"In {each['grouped']} values of rule `{name}` `{other}` was read as a sign between thousands: is it "
                "none before decimals?"
            )
    return doubts


def _read_sql(rule: Rule, column: str, decimal: values.Decimal) -> str:
    """Each distinct value of a rule's rows (`said`) with how many have it, read with either sign before decimals."""
    where = f" AND ({compiled(rule.where, 'r')})" if rule.where else ""
    distinct = (
        f"(SELECT r.{quoted(column)} AS said, count(*) AS rows FROM stage_{rule.file} AS r "
        f"WHERE trim(r.{quoted(column)}) <> ''{where} GROUP BY 1)"
    )
    return values.sql(f"({values.sql(distinct, 'r.said', decimal, 'n_')})", "r.said", _other(decimal), "o_")


def _other(decimal: str) -> values.Decimal:
    return "," if decimal == "." else "."
