"""Tables for readers: one set of rules for pages and terminals. A suppressed cell is always shown as such."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.report.ratios import exponentiated, ratio_name
from sojourn.report.record import AnalysisRecord

NOT_AVAILABLE = "–"
SUPPRESSED_NOTE = (
    "suppressed: this cell may not be shown, because too few persons stand behind it, one or two of them would be "
    "most of it, or a hidden cell could be worked out from it. It is never shown as zero, and may be zero. The numbers "
    "beside it are the bounds that follow from what was released."
)
_HEADS = {
    "term": "Term",
    "variable": "Variable",
    "missing": "Missing, before completeness",
    "estimate": "Estimate",
    "std_error": "Standard error",
    "statistic": "Statistic",
    "p_value": "p",
    "n": "n",
    "mean": "Mean",
    "sd": "SD",
    "ci": "95 % CI",
    "at_risk": "At risk",
}
_INTERVAL = ("ci_low", "ci_high")
_COUNTS = ("n", "missing", "at_risk", "events")


@dataclass(frozen=True)
class Shown:
    """One cell as text. note: smaller words beside it (bounds of a suppressed cell, a percentage)."""

    text: str
    note: str = ""
    suppressed: bool = False
    numeric: bool = True

    def __str__(self) -> str:
        return f"{self.text} {self.note}".strip()


@dataclass(frozen=True)
class Table:
    """A table as text: `stub` leading columns are row headers; `group` spans the value columns where not empty."""

    caption: str
    heads: tuple[str, ...]
    stub: int
    rows: tuple[tuple[Shown, ...], ...]
    notes: tuple[str, ...] = ()
    group: str = ""


def plain(text: object) -> str:
    """Text without control characters or marks that turn the direction of writing: safe on any terminal."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_unsafe(sign) else sign for sign in str(text))


def plain_lines(text: str) -> str:
    """As `plain`, line by line."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _is_unsafe(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cs") or "\u202a" <= sign <= "\u202e" or "\u2066" <= sign <= "\u2069"


def number(value: float, digits: int = 3) -> str:
    """Whole numbers in full with thousands separated; others to `digits` significant digits."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 14:
        return f"{value:.{digits - 1}e}"
    return fixed(value, max(digits - 1 - size, 0))


def fixed(value: float, decimals: int) -> str:
    """A number to fixed decimals, without a negative zero."""
    if not math.isfinite(value):
        return number(value)
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def p_value(value: float) -> str:
    """Three decimals; below that `< 0.001`; never a plain 1 or 0."""
    return "< 0.001" if value < 0.001 else "> 0.999" if value > 0.999 else f"{value:.3f}"


def interval(low: float, high: float, decimals: int) -> str:
    """`a to b`: a dash could be read as a minus."""
    return f"{fixed(low, decimals)} to {fixed(high, decimals)}"


def size_in_bytes(count: int) -> str:
    """Bytes in full below 10 000, else in kB or MB (powers of ten)."""
    for unit, scale in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= 10 * scale:
            return f"{number(count / scale)} {unit}"
    return f"{count:,} B"


def bounds(cell: Suppressed) -> str:
    """The bounds of a suppressed cell in words; empty where none follow."""
    if cell.low is not None and cell.high is not None:
        return f"{number(cell.low)} to {number(cell.high)}"
    if cell.low:  # that a count is at least 0 says nothing
        return f"at least {number(cell.low)}"
    return f"at most {number(cell.high)}" if cell.high is not None else ""


def shown(cell: Cell, column: str = "", decimals: int | None = None) -> Shown:
    """One cell by the rule of its column."""
    if isinstance(cell, Suppressed):
        between = bounds(cell)
        return Shown("suppressed", f"[{between}]" if between else "", suppressed=True)
    if cell is None:
        return Shown(NOT_AVAILABLE)
    if isinstance(cell, bool):
        return Shown("yes" if cell else "no", numeric=False)
    if isinstance(cell, str):
        return Shown(plain(cell), numeric=False)
    if column == "p_value":
        return Shown(p_value(cell))
    return Shown(number(cell) if decimals is None else fixed(cell, decimals))


def present(name: str, analysis: AnalysisRecord) -> tuple[Table, ...]:
    """The tables of one answered analysis, as a reader wants them; none where it was refused."""
    from sojourn.report.completeness import counted, lacking  # as the next
    from sojourn.report.table_one import balance_table, is_table_one, path_table, table_one  # made of these tables

    estimate = analysis.estimate
    if estimate is None:
        return ()
    if "combine" in estimate.facts and {"estimate", "meta_estimate"} & set(estimate.columns):
        from sojourn.report.between import meta_tables  # it is made of these tables

        return meta_tables(name, analysis, estimate)
    if estimate.index == ("lambda", "term"):
        return (path_table(name, estimate),)
    if "estimate" in estimate.columns:
        ratio = ratio_name(analysis.kind, analysis.arguments)
        first = model_table(name, estimate)
        return (ratio_table(name, estimate, ratio), first) if ratio else (first,)
    if analysis.kind == "histogram":
        return (histogram_table(name, binned(estimate, str(analysis.arguments.get("column", "")))),)
    if len(estimate.index) == 2 and estimate.columns == ("n",) and estimate.rows:
        return (two_way(name, estimate),)
    table = long_table(name, estimate)
    if "smd" in estimate.columns:
        return (balance_table(analysis, table, estimate),)
    of_n = counted(analysis, estimate)
    table = replace(table, notes=(*of_n, *lacking(analysis, estimate), *table.notes))
    if not is_table_one(analysis, estimate):
        return (table,)
    first = table_one(name, estimate)
    return replace(first, notes=(*of_n, *first.notes)), table


def long_table(name: str, estimate: Estimate) -> Table:
    """A row a row, as in `Result.table`; the two ends of an interval share a column."""
    places = _decimals_by_column(estimate)
    stub = len(estimate.index)
    paired = all(end in estimate.columns for end in _INTERVAL)
    columns = [column for column in estimate.columns if column != "ci_high"] if paired else list(estimate.columns)
    rows = []
    for row in estimate.rows:
        value = dict(zip(estimate.columns, row[stub:], strict=True))
        if "sd" in value:  # every variable has its own scale: its spread tells the decimals
            places = {c: None if c in _COUNTS else spread_decimals(estimate, row[0]) for c in estimate.columns}
        cells = [
            _pair(value, places["ci_low"]) if paired and c == "ci_low" else shown(value[c], c, places[c])
            for c in columns
        ]
        rows.append((*(_label(cell) for cell in row[:stub]), *cells))
    heads = (*estimate.index, *("ci" if paired and column == "ci_low" else column for column in columns))
    return titled(name, heads, stub, rows)


def model_table(name: str, estimate: Estimate) -> Table:
    """Coefficients; estimate, standard error and interval share decimals: three digits of the standard error."""
    rows = []
    for row in estimate.rows:
        value = dict(zip((*estimate.index, *estimate.columns), row, strict=True))
        places = _decimals(value.get("std_error"))
        cells = [
            shown(value[column], column, places if column in ("estimate", "std_error") else None)
            for column in estimate.columns
            if column not in (*_INTERVAL, "statistic", "p_value")
        ]
        tail = [_test(value.get("statistic")), shown(value.get("p_value"), "p_value")]
        rows.append((*(_label(value[column]) for column in estimate.index), *cells, _pair(value, places), *tail))
    kept = tuple(column for column in estimate.columns if column not in (*_INTERVAL, "statistic", "p_value"))
    return titled(
        f"{name}: coefficients", (*estimate.index, *kept, "ci", "statistic", "p_value"), len(estimate.index), rows
    )


def ratio_table(name: str, estimate: Estimate, ratio: str) -> Table:
    """Ratios with their intervals, without the intercept, whose exponential is not a ratio."""
    rows = []
    for row in exponentiated(estimate).rows:
        value = dict(zip((*estimate.index, *estimate.columns), row, strict=True))
        if is_intercept(row[0]):
            continue
        places = _ratio_decimals(value.get("estimate"))
        cells = (
            shown(value["estimate"], decimals=places),
            _pair(value, places),
            shown(value.get("p_value"), "p_value"),
        )
        rows.append((*(_label(value[column]) for column in estimate.index), *cells))
    heads = (*estimate.index, ratio.capitalize(), "ci", "p_value")
    return titled(f"{name}: {ratio}s", heads, len(estimate.index), rows)


def histogram_table(name: str, estimate: Estimate) -> Table:
    """A row a bin, with what its edges mean."""
    table = long_table(name, estimate)
    note = "A bin holds its lower edge; the last one between edges also its upper."
    return replace(table, notes=(note, *table.notes))


def binned(estimate: Estimate, column: str) -> Estimate:
    """A histogram with one label a bin; an end that is None is open."""
    if estimate.index != ("low", "high"):
        return estimate
    return replace(estimate, index=(column,), rows=tuple((_bin(row[0], row[1]), *row[2:]) for row in estimate.rows))


def _bin(low: Cell, high: Cell) -> str:
    if low is None:
        return f"below {shown(high)}"
    return f"above {shown(low)}" if high is None else f"{shown(low)} to {shown(high)}"


def two_way(name: str, estimate: Estimate) -> Table:
    """Two variables crossed, with the percentage of each row; no percentage where a cell of the row is suppressed."""
    down = list(dict.fromkeys(row[0] for row in estimate.rows))
    across = list(dict.fromkeys(row[1] for row in estimate.rows))
    value = {(row[0], row[1]): row[2] for row in estimate.rows}
    lines = {first: [value.get((first, second)) for second in across] for first in down}
    rows, totals = [], _totals(estimate)
    for first, cells in lines.items():
        rows.append((_label(first), *map(_with_share, cells, shares(cells)), *totals.get((0, str(first)), ())))
    if totals:
        sums = [cell for level in across for cell in totals.get((1, str(level)), (Shown(NOT_AVAILABLE),))]
        rows.append((Shown("Total", numeric=False), *sums, shown(estimate.facts.get("n"), "n")))
    known = [None not in shares(cells) for cells in lines.values()]
    notes = ["Row percentages in brackets."] if any(known) else []
    if not all(known):
        notes.append("No percentages where a row's total is not known or is zero.")
    heads = (estimate.index[0], *(str(_label(level)) for level in across), *(("Total",) if totals else ()))
    table = titled(name, heads, 1, rows)
    return replace(table, notes=(*notes, *table.notes), group=plain(estimate.index[1]))


def _totals(estimate: Estimate) -> dict[tuple[int, str], tuple[Shown]]:
    """The margins of a crosstab by axis and level; empty where it has none."""
    margins = estimate.facts.get("margins", {})
    if not all(name in margins for name in estimate.index):
        return {}
    return {
        (axis, level): (shown(n, "n"),)
        for axis, name in enumerate(estimate.index)
        for level, n in margins[name].items()
    }


def shares(cells: Sequence[Cell]) -> list[float | None]:
    """Each cell as a share of their total; all None where any is suppressed or absent, or the total is zero."""
    counts = [cell for cell in cells if isinstance(cell, (int, float)) and not isinstance(cell, bool)]
    if len(counts) < len(cells) or not sum(counts):
        return [None] * len(cells)
    return [count / sum(counts) for count in counts]


def is_intercept(term: Cell) -> bool:
    """Whether a term is the model's constant."""
    return str(term).strip("()").lower() in ("intercept", "constant")


def facts(estimate: Estimate) -> tuple[tuple[str, Shown], ...]:
    """What stands beside a table, e.g. n or a test; mappings of mappings are left to `to_dict`."""
    flat: dict[str, Shown] = {}
    for name, value in estimate.facts.items():
        if isinstance(value, Mapping):
            if not any(isinstance(item, (Mapping, list, tuple)) for item in value.values()):
                parts = [f"{_words(key)} {_fact(key, item)}" for key, item in value.items()]
                flat[_words(name)] = Shown(", ".join(parts), suppressed=any(map(_is_hidden, value.values())))
        elif not isinstance(value, (list, tuple)):
            flat[_words(name)] = _fact(name, value)
    return tuple(flat.items())


def _words(name: str) -> str:
    return plain(name).replace("_", " ")


def _is_hidden(cell: object) -> bool:
    return isinstance(cell, Suppressed)


def _fact(name: str, value: Cell) -> Shown:
    column = "p_value" if name == "p" or name.endswith("p_value") else name
    if isinstance(value, float) and column != "p_value":
        return Shown(_without_zeros(number(value, 6)))
    return shown(value, column)


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def titled(name: str, heads: Sequence[str], stub: int, rows: Sequence[tuple[Shown, ...]]) -> Table:
    """A table whose heads are in words, with the note on suppression where it has a suppressed cell."""
    hidden = any(cell.suppressed for row in rows for cell in row)
    titles = tuple(_HEADS.get(head, plain(head).replace("_", " ")) for head in heads)
    return Table(plain(name), titles, stub, tuple(rows), (SUPPRESSED_NOTE,) if hidden else ())


def _label(cell: Cell) -> Shown:
    return Shown("all", numeric=False) if cell is None else shown(cell)


def _pair(value: dict[str, Any], decimals: int | None) -> Shown:
    low, high = value.get("ci_low"), value.get("ci_high")
    for end in (low, high):
        if end is None or isinstance(end, (Suppressed, str)):
            return shown(end)
    return Shown(interval(float(low), float(high), 3 if decimals is None else decimals))  # type: ignore[arg-type]


def _test(cell: Cell) -> Shown:
    return shown(cell, decimals=2) if isinstance(cell, float) else shown(cell)


def _with_share(cell: Cell, share: float | None) -> Shown:
    text = shown(cell, "n")
    return text if share is None else Shown(text.text, f"({100 * share:.1f} %)")


def _decimals(standard_error: Cell) -> int | None:
    """Decimals that give the standard error three significant digits."""
    if isinstance(standard_error, (Suppressed, str)) or not standard_error or not math.isfinite(standard_error):
        return None
    return min(max(2 - math.floor(math.log10(abs(standard_error))), 0), 12)


def spread_decimals(estimate: Estimate, variable: Cell) -> int | None:
    """Decimals for one variable: three digits of the first standard deviation that is shown."""
    place = len(estimate.index) + estimate.columns.index("sd")
    spreads = (row[place] for row in estimate.rows if row[0] == variable)
    return next((places for places in map(_decimals, spreads) if places is not None), None)


def _ratio_decimals(ratio: Cell) -> int:
    """Two decimals for most ratios, three for those close to zero, one for the large."""
    size = ratio if isinstance(ratio, float) else 1.0
    return 3 if size < 0.1 else 2 if size < 100 else 1


def _decimals_by_column(estimate: Estimate) -> dict[str, int | None]:
    """Decimals that a whole column shares: three digits of its median size, so that figures stand below each other."""
    places: dict[str, int | None] = {}
    for i, column in enumerate(estimate.columns, start=len(estimate.index)):
        values = [row[i] for row in estimate.rows]
        sizes = sorted(abs(v) for v in values if isinstance(v, float) and math.isfinite(v) and v != 0)
        whole = all(
            isinstance(v, (int, Suppressed)) or v is None or float(v).is_integer()
            for v in values
            if not isinstance(v, str)
        )
        scale = sizes[len(sizes) // 2] if sizes else 0.0
        places[column] = None if whole or not scale else min(max(2 - math.floor(math.log10(scale)), 1), 6)
    return places
