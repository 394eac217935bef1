"""A plan compiled to SQL that can be read: for each rule and table one query of rows and one of what is kept aside.

Queries name their inputs by what they are (`stage_FILE`, `codes_RULE`, `keys_TABLE`, `twins_FILE`): the text holds
no path and no key, and the same plan gives the same text. Whoever runs them provides those names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sojourn.errors import HarmonisationError
from sojourn.omop import medicines_sql
from sojourn.omop.codes import codes_sql
from sojourn.omop.expression import columns_of
from sojourn.omop.identifiers import demand_apart, key_text, row_number_base
from sojourn.omop.plan import Code, Plan, Rule
from sojourn.omop.results import wanted_sql
from sojourn.omop.rows import Part, part_of

_TWINS = """\
SELECT {key} AS key, min(r._record) AS first FROM stage_{file} AS r WHERE {key} IS NOT NULL
GROUP BY ALL HAVING count(*) > 1"""

# Columns that stand beside a file's own while its rows are read.
_OWN = re.compile(r"_(record|file|read|moment|result)", re.IGNORECASE)


@dataclass(frozen=True)
class Compiled:
    """What a plan asks for, in order of need.

    columns: of each file, what must be read. twins: of each file with a key, the keys that stand twice. codes: the
    tables of codes, by name. medicines: of rules with a medicine the distinct names, and what becomes of
    them. units: what is asked of the units of rules with a result, by name. parts: by rule and table, persons first.
    bearers: the rule whose rows `keys_TABLE` names.
    """

    columns: Mapping[str, tuple[str, ...]]
    twins: Mapping[str, str]
    codes: Mapping[str, tuple[str, str]]  # name: file, SQL
    medicines: Mapping[str, tuple[str, str, str]]  # rule: file, SQL of the distinct names, SQL of their table
    units: Mapping[str, tuple[str, str]]  # name: file, SQL of the distinct units
    parts: tuple[Part, ...]
    bearers: Mapping[str, str]

    def text(self) -> str:
        """The whole as one document of SQL, for people."""
        said = [f"-- keys of `{file}` that stand twice: twins_{file}\n{sql};" for file, sql in self.twins.items()]
        said += [f"-- what each code becomes: {name}\n{sql};" for name, (_, sql) in self.codes.items()]
        for rule, (_, wanted, sql) in self.medicines.items():
            said.append(f"-- names of medicines, each once, which are then read: names_{rule}\n{wanted};")
            said.append(f"-- what each name becomes: codes_{rule}\n{sql};")
        said += [f"-- units to be read, each once: {name}\n{sql};" for name, (_, sql) in self.units.items()]
        for part in self.parts:
            said.append(f"-- rule `{part.rule}`: rows of {part.table or 'no table'}\n{part.rows};")
            said.append(f"-- rule `{part.rule}`: rows kept aside from {part.table or 'no table'}\n{part.aside};")
        return "\n\n".join(said) + "\n"


def compile_plan(plan: Plan) -> Compiled:
    """Compile; HarmonisationError where rules do not fit together, or leave required fields empty."""
    _demand_expressions(plan)
    bearers = _bearers(plan)
    ordered = _ordered(plan, bearers)
    parts = tuple(part for name in ordered for part in _parts(plan, name, bearers))
    demand_apart([row_number_base(plan.source, part.rule, part.table) for part in parts])
    twins = {
        name: _TWINS.format(key=key_text(file.key, "r"), file=name) for name, file in plan.files.items() if file.key
    }
    units = {f"units_{name}": (rule.file, wanted_sql(rule)) for name, rule in plan.rules.items() if rule.result}
    medicines = {
        name: (rule.file, medicines_sql.wanted(rule), medicines_sql.codes(plan, name))
        for name, rule in plan.rules.items()
        if rule.medicine
    }
    return Compiled(_columns(plan), twins, _codes(plan), medicines, units, parts, bearers)


def _parts(plan: Plan, name: str, bearers: Mapping[str, str]) -> list[Part]:
    rule = plan.rules[name]
    tables = list(rule.targets)
    if rule.to == "by domain":
        tables.append("")  # of rows whose domain has no table
    return [part_of(plan, name, table, bearers) for table in tables]


def _codes(plan: Plan) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}

    def add(name: str, rule: Rule, code: Code, routed: bool) -> None:
        if name in found:  # rule `a_b`, and field `b` of rule `a`
            raise HarmonisationError(
                f"Two tables of codes would be called `{name}`.", remedy="Rename one of the rules."
            )
        found[name] = (rule.file, codes_sql(plan, rule, code, routed))

    for name, rule in plan.rules.items():
        if rule.concept:
            add(f"codes_{name}", rule, rule.concept, True)
        for field, filling in rule.fields.items():
            if filling.concept:
                add(f"codes_{name}_{field.replace('.', '_')}", rule, filling.concept, False)
    return found


def _bearers(plan: Plan) -> dict[str, str]:
    """Of each table that rows of others name, the one rule that fills it by its file's key."""
    named = {"person"} if any(file.person for file in plan.files.values()) else set()
    named |= {filling.id for rule in plan.rules.values() for filling in rule.fields.values() if filling.id}
    found: dict[str, str] = {}
    for table in sorted(named):
        rules = [name for name, rule in plan.rules.items() if rule.to == table]
        if len(rules) != 1 or plan.rules[rules[0]].coded or not plan.files[plan.rules[rules[0]].file].key:
            raise HarmonisationError(
                f"Rows are to name rows of `{table}`, which needs exactly one rule with `to: {table}`, without "
                "`concept` or `medicine`, from a file with a `key`.",
                remedy=f"Add that rule and the file's key, or leave out what names `{table}`.",
            )
        found[table] = rules[0]
    return found


def _ordered(plan: Plan, bearers: Mapping[str, str]) -> list[str]:
    """Rules so that each comes after those whose rows it names."""
    done: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise HarmonisationError(
                f"Rules name each other's rows in a circle: {', '.join(above)}.", remedy="Leave one of the links out."
            )
        if name in done:
            return
        for table in _names(plan, plan.rules[name]):
            if bearers[table] != name:
                visit(bearers[table], (*above, name))
        done.append(name)

    for name in plan.rules:
        visit(name, ())
    return done


def _names(plan: Plan, rule: Rule) -> list[str]:
    own = ["person"] if plan.files[rule.file].person and rule.to != "person" else []
    return own + [filling.id for filling in rule.fields.values() if filling.id]


def _demand_expressions(plan: Plan) -> None:
    """HarmonisationError with its place where an expression holds what none may."""
    for name, rule in plan.rules.items():
        texts = {"where": rule.where, **{field: filling.expression for field, filling in rule.fields.items()}}
        for field, text in texts.items():
            try:
                columns_of(text) if text else ()
            except HarmonisationError as error:
                raise HarmonisationError(
                    f"Rule `{name}`, `{field}`: {str(error.args[0]).replace('An', 'an', 1)}", remedy=error.remedy
                ) from None


def _columns(plan: Plan) -> dict[str, tuple[str, ...]]:
    """What must be read of each file: every column that key, person, a rule or an expression names."""
    found: dict[str, list[str]] = {
        name: [*file.key, *([file.person] if file.person else [])] for name, file in plan.files.items()
    }
    for rule in plan.rules.values():
        read = found[rule.file]
        read += columns_of(rule.where) if rule.where else ()
        read += rule.concept.columns if rule.concept else ()
        read += rule.medicine.columns if rule.medicine else ()
        read += [name for name in (rule.result.value, rule.result.unit) if name] if rule.result else ()
        for filling in rule.fields.values():
            read += [*filling.of, *filling.moment]
            read += [name for name in (filling.column, filling.pseudonym) if name]
            read += filling.concept.columns if filling.concept else ()
            read += columns_of(filling.expression) if filling.expression else ()
    for name, columns in found.items():
        if taken := next((column for column in columns if _OWN.match(column)), None):
            raise HarmonisationError(
                f"The file `{name}` has a column `{taken}`, a name that a run itself gives to what it reads.",
                remedy="Have the column exported under another name, without the `_` before it.",
            )
    return {name: tuple(dict.fromkeys(columns)) for name, columns in found.items()}
