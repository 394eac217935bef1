"""Expressions of a plan: a small part of SQL, read by sqlglot and written anew; anything else is refused.

Allowed: columns, texts, numbers; + - * /, comparisons, AND OR NOT, IN, BETWEEN, IS NULL, LIKE, CASE, and the functions
coalesce, nullif, concat (||), lower, upper, trim, substring, left, right, length, replace, round, abs, CAST to BIGINT,
DOUBLE or VARCHAR. A cast or sum that cannot be made is empty and never ends a run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlglot
from sqlglot import exp

from sojourn.errors import HarmonisationError

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div)
_ALLOWED = (
    *(exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Neg, exp.Not, exp.And, exp.Or),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Is, exp.Like, exp.Case, exp.If),
    *(exp.Coalesce, exp.Nullif, exp.Concat, exp.DPipe, exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Left),
    *(exp.Right, exp.Length, exp.Replace, exp.Round, exp.Abs, exp.Cast, exp.TryCast, exp.DataType, *_ARITHMETIC),
)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Nullif)
_TYPES = {exp.DataType.Type.BIGINT, exp.DataType.Type.DOUBLE, exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT}
LONGEST = 2_000
MOST_NODES = 300


def columns_of(text: str) -> tuple[str, ...]:
    """The columns that an expression names, in order."""
    return tuple(dict.fromkeys(column.name for column in _parsed(text).find_all(exp.Column)))


def compiled(text: str, prefix: str, known: Collection[str] | None = None) -> str:
    """The expression as DuckDB SQL in which each column stands under the alias `prefix`; HarmonisationError else.

    known: the columns that there are, where they are known.
    """
    tree = _parsed(text)
    missing = [name for name in columns_of(text) if known is not None and name not in known]
    if missing:
        raise HarmonisationError(f"An expression names a missing column `{missing[0]}`.", remedy="Check its capitals.")

    root = exp.Paren(this=tree)
    for node in reversed(list(tree.walk())):  # the innermost first
        if isinstance(node, exp.Column):
            column = exp.to_identifier(node.name, quoted=True)
            node.replace(exp.Column(this=column, table=exp.to_identifier(prefix)))
        elif isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
            node.replace(exp.TryCast(this=node.this, to=node.to))
        elif isinstance(node, (*_ARITHMETIC, exp.Neg, exp.Abs, exp.Round)):
            _cast(
                node, [part for word in ("this", "expression") if (part := node.args.get(word)) is not None], "DOUBLE"
            )
        elif isinstance(node, (*_COMPARISONS, exp.Coalesce, exp.Case)):
            _of_one_kind(node)
    return str(root.this.sql(dialect="duckdb"))


def _of_one_kind(node: exp.Expr) -> None:
    """Compared with a number is what can be read as one; of numbers and texts in one column all are texts."""
    if isinstance(node, _COMPARISONS):
        sides = [side for word in ("this", "expression", "low", "high") if (side := node.args.get(word)) is not None]
        sides += node.args.get("expressions") or []
        if any(map(_is_number, sides)) and not all(map(_is_number, sides)):
            _cast(node, sides, "DOUBLE")
        return
    arms = [node.this, *node.expressions]
    if isinstance(node, exp.Case):
        arms = [one.args["true"] for one in node.args["ifs"]] + [node.args.get("default")]
        asked = [node.this, *(one.this for one in node.args["ifs"])] if node.this is not None else []
        if any(map(_is_number, asked)) and not all(map(_is_number, asked)):
            _cast(node, asked, "DOUBLE")
    arms = [arm for arm in arms if arm is not None and not isinstance(arm, exp.Null)]
    if any(map(_is_number, arms)) and not all(map(_is_number, arms)):
        _cast(node, arms, "VARCHAR")


def _is_number(node: exp.Expr) -> bool:
    if isinstance(node, exp.Paren):
        return _is_number(node.this)
    if isinstance(node, exp.Literal):
        return not node.is_string
    if isinstance(node, exp.Cast):
        return node.to.this in (exp.DataType.Type.BIGINT, exp.DataType.Type.DOUBLE)
    if isinstance(node, (exp.Coalesce, exp.Case)):
        arms = [one.args["true"] for one in node.args["ifs"]] if isinstance(node, exp.Case) else [node.this]
        return all(map(_is_number, arms))
    return isinstance(node, (exp.Neg, exp.Round, exp.Abs, exp.Length, *_ARITHMETIC))


def _cast(node: exp.Expr, parts: Sequence[exp.Expr], kind: str) -> None:
    for part in parts:
        part.replace(exp.TryCast(this=part.copy(), to=exp.DataType.build(kind)))


def _parsed(text: str) -> exp.Expr:
    if len(text) > LONGEST:
        raise _refused("is too long")
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        raise _refused("cannot be read") from None
    nodes = list(tree.walk())
    if len(nodes) > MOST_NODES:
        raise _refused("is too long")
    for node in nodes:
        if not isinstance(node, _ALLOWED) or type(node) is exp.Expression:
            raise _refused(f"uses {type(node).__name__.upper()}, which is not allowed")
        if isinstance(node, exp.Column) and len(node.parts) != 1:
            raise _refused("names a table")
        if isinstance(node, exp.DataType) and (node.this not in _TYPES or node.expressions):
            raise _refused("casts to a type other than BIGINT, DOUBLE and VARCHAR")
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            raise _refused("holds a query")
    return tree


def _refused(what: str) -> HarmonisationError:
    return HarmonisationError(
        f"An expression {what}.", remedy="See docs/reference/harmonisation.md for what it may hold."
    )
