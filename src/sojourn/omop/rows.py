"""The two queries of one rule and one table: the rows that it makes, and those that it keeps aside with a reason.

Both stand on the same inner query, which makes every field and says what is at fault, so that a row is in exactly one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sojourn.errors import HarmonisationError
from sojourn.omop import clocks, medicines_sql, results
from sojourn.omop.codes import join_sql
from sojourn.omop.expression import compiled
from sojourn.omop.filling import Filler
from sojourn.omop.identifiers import key_text, literal, quoted, record_place, row_number_base
from sojourn.omop.plan import Filling, Plan, Rule
from sojourn.omop.tables import EVENTS, TABLES, Column, Table

NOT_BELOW_ZERO = ("days_supply", "refills", "quantity")
_BIRTH = ("year_of_birth", "month_of_birth", "day_of_birth")
_BORN = (  # the earliest day that the parts of a birth can be
    "TRY_CAST(format('{:04d}-{:02d}-{:02d}', year_of_birth, coalesce(month_of_birth, 1), coalesce(day_of_birth, 1)) "
    "AS DATE)"
)
_WAYS = "start, end, type, visit, provider, value_concept, …"


@dataclass(frozen=True)
class Part:
    """What one rule gives to one table (empty: rows whose domain has no table).

    rows: the model's columns, and `_record`, the row's place in its file. aside: record, reason, columns at fault.
    keys: of a table that others name: key, id, and a person's earliest day of birth; else empty. inputs: what all read.
    filled: for each column its filling, None where the concept, the person or the row's number fill it.
    """

    rule: str
    file: str
    table: str
    rows: str
    aside: str
    keys: str
    inputs: tuple[str, ...]
    filled: Mapping[str, Filling | None]


def part_of(plan: Plan, name: str, table: str, bearers: Mapping[str, str]) -> Part:
    """The queries of rule `name` for a table; HarmonisationError where they cannot be written."""
    rule = plan.rules[name]
    if not table:
        return _homeless(name, rule)
    target = TABLES[table]
    filler = Filler(plan, name, rule)
    _own_key(filler, plan, rule)
    if target.has("person_id") and table != "person":
        _person(filler, plan, rule, target)
    if rule.coded:
        same = join_sql(rule.concept, "m") if rule.concept else medicines_sql.join(rule, "m")
        filler.join(f"JOIN codes_{name} AS m ON {same}", f"codes_{name}")
    filled = _fields(filler, rule, target)
    measured = results.fields(rule, target)
    if measured:
        filler.join(results.join_sql(name, rule), f"units_{name}")
        filler.made = {**measured, **filler.made}
    _rest(filler, plan, name, rule, target)
    _clock(filler, plan, target)
    _whole_row(filler, target)
    inner = _inner(filler, rule, table)
    columns = ", ".join(quoted(column.name) for column in target.columns)
    rows = f"SELECT {columns}, _record FROM (\n{inner}\n) WHERE fault IS NULL"
    aside = (
        "SELECT _record AS record, split_part(fault, '|', 1) AS reason, split_part(fault, '|', 2) AS columns\n"
        f"FROM (\n{_inner(filler, rule, table, _unjudged(filler, measured))}\n) WHERE fault IS NOT NULL"
    )
    keys = ""
    if bearers.get(table) == name:
        birth = ", " + _birth() if table == "person" else ""
        keys = f"SELECT _key AS key, {quoted(target.key)} AS id{birth} FROM (\n{inner}\n) WHERE fault IS NULL"
    return Part(name, rule.file, table, rows, aside, keys, tuple(dict.fromkeys(filler.inputs)), filled)


def _homeless(name: str, rule: Rule) -> Part:
    """Rows whose concept's domain has no table that the rule may fill."""
    assert rule.concept is not None  # `by domain` demands one
    where = f" AND ({compiled(rule.where, 'r')})" if rule.where else ""
    aside = (
        f"SELECT r._record AS record, 'no table' AS reason, {literal(rule.concept.code)} AS columns\n"
        f"FROM stage_{rule.file} AS r JOIN codes_{name} AS m ON {join_sql(rule.concept, 'm')}\n"
        f"WHERE m.target = ''{where}"
    )
    return Part(name, rule.file, "", aside + " AND FALSE", aside, "", (f"stage_{rule.file}", f"codes_{name}"), {})


def _own_key(filler: Filler, plan: Plan, rule: Rule) -> None:
    file = plan.files[rule.file]
    if not file.key:
        return
    key, columns = key_text(file.key, "r"), ", ".join(file.key)
    filler.join(f"LEFT JOIN twins_{rule.file} AS twin ON twin.key = {key}", f"twins_{rule.file}")
    filler.made["_key"] = key
    filler.check(f"{key} IS NULL", "no key", columns)
    filler.check("twin.first <> r._record", "duplicate key", columns)


def _person(filler: Filler, plan: Plan, rule: Rule, target: Table) -> None:
    person = plan.files[rule.file].person
    if not person:
        raise HarmonisationError(
            f"Rule `{filler.name}` fills `{target.name}`, whose rows are of persons, from a file that names none.",
            remedy=f"Write `person: COLUMN` under `files.{rule.file}`.",
        )
    filler.join(f"LEFT JOIN keys_person AS p ON p.key = r.{quoted(person)}", "keys_person")
    filler.made["person_id"] = "p.id"
    filler.made["_birth"] = "p.birth"
    filler.check(f"r.{quoted(person)} IS NULL", "no person", person)
    filler.check("p.id IS NULL", "unknown person", person)


def _fields(filler: Filler, rule: Rule, target: Table) -> dict[str, Filling | None]:
    """Fill what the rule names; which filling each column has."""
    filled: dict[str, Filling | None] = {}
    roles = EVENTS[target.name].roles if target.name in EVENTS else {}
    for field, filling in rule.fields.items():
        table, dot, word = field.rpartition(".")
        if dot and table != target.name:
            if table not in rule.targets:
                raise _no_field(filler.name, field, target)
            continue
        column = target.column(roles.get(word, word))
        if column is None:
            if dot or not any(_known(each, word) for each in rule.targets):
                raise _no_field(filler.name, field, target)
            continue
        if column.name in ("person_id", target.key):
            raise HarmonisationError(
                f"Rule `{filler.name}` fills `{column.name}`, which is numbered by itself.", remedy="Leave it out."
            )
        filler.fill(field, filling, column)
        filled[column.name] = filling
        timed = target.column(roles.get(f"{word}_time", ""))
        if word in roles and filling.date and timed and filler.plan.forms_of(filling)[0].timed:
            filler.fill(field, filling, timed)
            filled.setdefault(timed.name, filling)
    return filled


def _known(table: str, word: str) -> bool:
    return TABLES[table].has(word) or (table in EVENTS and word in EVENTS[table].roles)


def _rest(filler: Filler, plan: Plan, name: str, rule: Rule, target: Table) -> None:
    """The row's number, what the concept fills, and what nothing does."""
    roles = EVENTS[target.name].roles if target.name in EVENTS else {}
    if rule.coded:
        written = f"r.{quoted(rule.concept.code)}" if rule.concept else medicines_sql.text(rule)
        for role, sql in (
            ("concept", "m.concept_id"),
            ("source_concept", "m.source_concept_id"),
            ("source_value", written),
            ("value_concept", "m.value_concept_id"),
        ):
            if role in roles:
                filler.made.setdefault(roles[role], sql)
    file = plan.files[rule.file]
    if target.key:
        if file.key:
            several = " || '|' || m.concept_id" if rule.coded else ""
            said = f"{literal(f'{plan.source}|{target.name}|')} || {key_text(file.key, 'r')}{several}"
            filler.made[target.key] = f"keyed_id({said})"
        elif file.several:
            ordinal = " || '|' || m.ordinal" if rule.coded else ""
            said = f"{literal(f'{plan.source}|{target.name}|{name}|')} || r._file || chr(31) || "
            filler.made[target.key] = f"keyed_id({said}{record_place('r._record')}{ordinal})"
        else:
            ordinal = " + m.ordinal" if rule.coded else ""
            filler.made[target.key] = f"{row_number_base(plan.source, name, target.name)} + r._record * 128{ordinal}"
    for column in target.columns:
        if column.name in filler.made:
            continue
        if column.required and not column.is_concept:
            raise HarmonisationError(
                f"Rule `{name}` fills `{target.name}` without `{column.name}`, which the model requires.",
                remedy=f"Add the field to `rules.{name}.fields`, or name under `tables` what the domain may pick.",
            )
        filler.made[column.name] = "0" if column.required else f"CAST(NULL AS {column.type})"


def _clock(filler: Filler, plan: Plan, target: Table) -> None:
    """Of a start and an end with a time of day: the reading of hours told twice that keeps them in order."""
    first, last = _ends(target, "TIMESTAMP", "_datetime")
    if first is None or last is None or not {first, last} <= filler.moments.keys():
        return
    start, end = filler.moments[first], filler.moments[last]
    filler.made["_in_order"] = clocks.in_order(start, end)
    moved = clocks.start_before(start, end, plan.time_zone)
    filler.made[first] = moved
    day, _ = _ends(target, "DATE", "_date")
    if day is not None and filler.moments.get(day) == start:
        filler.made[day] = f"CAST({moved} AS DATE)"


def _ends(target: Table, kind: str, word: str) -> tuple[str | None, str | None]:
    """The columns of a table's start and end, of that type; None where it has no end."""
    dated = [column.name for column in target.columns if column.type == kind]
    end = next((name for name in dated if name.endswith(f"end{word}")), None)
    return (dated[0], end) if end is not None and end != dated[0] else (None, None)


def _whole_row(filler: Filler, target: Table) -> None:
    """What can be judged only when the fields are made."""
    for column in target.columns:
        if column.required and not column.is_concept and column.name != target.key:
            filler.later(f"{quoted(column.name)} IS NULL", "missing value", column.name)
        if column.name in NOT_BELOW_ZERO and column.type != "VARCHAR":
            filler.later(f"{quoted(column.name)} < 0", "negative number", column.name)
    for kind, word in (("DATE", "_date"), ("TIMESTAMP", "_datetime")):
        start, stop = _ends(target, kind, word)
        if start is not None and stop is not None:
            told = kind == "TIMESTAMP" and "_in_order" in filler.made
            wrong = "NOT _in_order" if told else f"{quoted(stop)} < {quoted(start)}"
            filler.later(wrong, "end before start", f"{start}, {stop}")
    if target.name == "person":
        _birth_checks(filler)
    first = next((column for column in target.columns if column.type == "DATE"), None)
    if first is not None and "_birth" in filler.made:
        filler.later(f"{quoted(first.name)} < _birth", "before birth", first.name)


def _birth_checks(filler: Filler) -> None:
    """A birth told in parts is a day, month or year of the calendar that can lie in the plan's span."""
    columns = ", ".join(name for name in _BIRTH if not filler.made[name].startswith("CAST(NULL"))
    year, span = "CAST(year_of_birth AS DOUBLE) * 10000", filler.plan.span
    filler.later(f"year_of_birth IS NOT NULL AND {_BORN} IS NULL", "unreadable date", columns)
    filler.later(f"{year} + {_part_of_year(1, 1)} > {span.latest:%Y%m%d}", "implausible date", columns)
    filler.later(f"{year} + {_part_of_year(12, 31)} < {span.earliest:%Y%m%d}", "implausible date", columns)


def _part_of_year(month: int, day: int) -> str:
    """Month and day of birth as one number. month, day: what stands for them where they are not known."""
    return f"coalesce(month_of_birth, {month}) * 100.0 + coalesce(day_of_birth, {day})"


def _unjudged(filler: Filler, measured: Mapping[str, str]) -> Mapping[str, str]:
    """What is read of results, where no check asks for any of it: rows that are kept aside need not be read for it."""
    asked = any(quoted(column) in condition for column in measured for condition, _, _ in filler.checks)
    return {} if asked else measured


def _inner(filler: Filler, rule: Rule, table: str, without: Mapping[str, str] = MappingProxyType({})) -> str:
    """without: columns of results that are left out, with the join that they need."""
    conditions = ([f"m.target = {literal(table)}"] if rule.coded else []) + (
        [f"({compiled(rule.where, 'r')})"] if rule.where else []
    )
    where = f"\n    WHERE {' AND '.join(conditions)}" if conditions else ""
    made = ",\n      ".join(
        f"{sql} AS {quoted(alias)}"
        for alias, sql in {"_record": "r._record", **filler.made}.items()
        if without.get(alias) != sql
    )
    units = results.join_sql(filler.name, rule) if without else ""
    joins = "".join(f"\n    {join}" for join in filler.joins if join != units)
    cases = "\n    ".join(
        f"WHEN {condition} THEN {literal(f'{reason}|{place}')}" for condition, reason, place in filler.checks
    )
    fault = f"CASE\n    {cases}\n  END" if cases else "NULL::VARCHAR"
    read = f"stage_{rule.file}"
    for found in (filler.read, filler.told):
        if found:
            moments = ",\n      ".join(f"{sql} AS {alias}" for sql, alias in found.items())
            read = f"(SELECT *, {moments} FROM {read})"
    if results.fields(rule, TABLES[table]) and not without:
        read = results.read_sql(rule, read)
    return f"  SELECT *, {fault} AS fault\n  FROM (\n    SELECT {made}\n    FROM {read} AS r{joins}{where}\n  )"


def _birth() -> str:
    """The earliest day on which a person can have been born, from what is known of it."""
    return f"coalesce(CAST(birth_datetime AS DATE), {_BORN}) AS birth"


def _no_field(name: str, field: str, target: Table) -> HarmonisationError:
    return HarmonisationError(
        f"Rule `{name}` fills `{field}`, which `{target.name}` does not have.",
        remedy=f"Use a column of the table, or a word that events share: {_WAYS}.",
    )


def columns_filled(target: Table) -> tuple[Column, ...]:
    """The columns of a table that a rule may fill."""
    return tuple(column for column in target.columns if column.name not in ("person_id", target.key))
