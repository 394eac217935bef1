"""One field of one row as SQL: what it is made of, and what is at fault where it cannot be made."""

from __future__ import annotations

from itertools import combinations

from sojourn.errors import HarmonisationError
from sojourn.omop.clocks import Moment, on_clock
from sojourn.omop.codes import join_sql
from sojourn.omop.expression import compiled
from sojourn.omop.identifiers import key_text, literal, quoted
from sojourn.omop.plan import Constant, Filling, Plan, Rule
from sojourn.omop.tables import Column

QUARANTINE = "quarantine"


class Filler:
    """Gathers the fields, joins and checks of one query. `r` is the file's row, `m` its code, `p` its person."""

    def __init__(self, plan: Plan, name: str, rule: Rule) -> None:
        self.plan, self.name, self.rule = plan, name, rule
        self.made: dict[str, str] = {}
        self.joins: list[str] = []
        self.inputs: list[str] = [f"stage_{rule.file}"]
        self.checks: list[tuple[str, str, str]] = []
        self.read: dict[str, str] = {}  # dates and times read from the file's texts, each once
        self.told: dict[str, str] = {}  # times by the clock of the plan, of those read
        self.moments: dict[str, Moment] = {}  # of columns that a time of day fills
        self._flags: dict[str, str] = {}

    def join(self, sql: str, source: str) -> None:
        """One more input of the query."""
        if sql not in self.joins:
            self.joins.append(sql)
            self.inputs.append(source)

    def check(self, condition: str, reason: str, columns: str) -> None:
        """A row is at fault where this holds; of the file's row, before fields are made."""
        if condition not in self._flags:
            self._flags[condition] = f"_fault_{len(self._flags) + 1}"
            self.made[self._flags[condition]] = condition
            self.later(self._flags[condition], reason, columns)

    def later(self, condition: str, reason: str, columns: str) -> None:
        """A row is at fault where this holds; of the fields as made."""
        self.checks.append((condition, reason, columns))

    def fill(self, field: str, filling: Filling, column: Column) -> None:
        """Make one column; HarmonisationError where the filling cannot give its type."""
        maker = getattr(self, f"_by_{'moment' if filling.moment else filling.kind}")
        self.made[column.name] = maker(field, filling, column)

    def _by_column(self, field: str, filling: Filling, column: Column) -> str:
        assert filling.column is not None
        return self._typed(f"r.{quoted(filling.column)}", field, column, filling.column)

    def _by_expression(self, field: str, filling: Filling, column: Column) -> str:
        assert filling.expression is not None
        sql = f"CAST({compiled(filling.expression, 'r')} AS VARCHAR)"
        return self._typed(sql, field, column, column.name)

    def _typed(self, text: str, field: str, column: Column, place: str) -> str:
        """A text as the column's type; what cannot be read is a fault, never empty in silence."""
        if column.type == "VARCHAR":
            return text
        if column.type in ("DATE", "TIMESTAMP"):
            raise HarmonisationError(
                f"Rule `{self.name}`: `{field}` is a date, and says no form.",
                remedy="Write `{date: COLUMN, form: FORM}`, with the form that the data's owner told you.",
            )
        number = f"TRY_CAST({text} AS DOUBLE)"
        sound = f"isfinite({number})"
        if column.type == "BIGINT":
            sound += f" AND {number} = floor({number}) AND abs({number}) < 9e18"
        made = f"CASE WHEN {sound} THEN TRY_CAST({text} AS {column.type}) END"
        self.check(f"{text} IS NOT NULL AND ({made}) IS NULL", "unreadable number", place)
        return made

    def _by_constant(self, field: str, filling: Filling, column: Column) -> str:
        return self._constant(field, filling.constant, column)

    def _constant(self, field: str, value: Constant | None, column: Column) -> str:
        if column.type in ("BIGINT", "DOUBLE") and isinstance(value, int | float):
            if column.type == "DOUBLE" or float(value).is_integer():
                return f"CAST({value} AS {column.type})"
        elif column.type == "VARCHAR":
            return literal(str(value))
        raise HarmonisationError(
            f"Rule `{self.name}`: the constant of `{field}` is no {column.type}.", remedy="Give a value of that type."
        )

    def _by_values(self, field: str, filling: Filling, column: Column) -> str:
        assert filling.values is not None
        text = key_text(filling.of, "r")
        cases = " ".join(
            f"WHEN {literal(key)} THEN {self._constant(field, value, column)}" for key, value in filling.values.items()
        )
        otherwise = filling.otherwise
        if otherwise is None:
            otherwise = 0 if column.is_concept else QUARANTINE
        if otherwise == QUARANTINE:
            listed = ", ".join(literal(key) for key in filling.values)
            self.check(f"coalesce({text} NOT IN ({listed}), TRUE)", "unlisted value", ", ".join(filling.of))
            return f"CASE {text} {cases} END"
        return f"CASE {text} {cases} ELSE {self._constant(field, otherwise, column)} END"

    def _by_concept(self, field: str, filling: Filling, column: Column) -> str:
        assert filling.concept is not None
        if not column.is_concept:
            raise HarmonisationError(
                f"Rule `{self.name}`: `{field}` holds no concept.", remedy="Use `concept` for columns `…_concept_id`."
            )
        name, alias = f"codes_{self.name}_{field.replace('.', '_')}", f"c_{field.replace('.', '_')}"
        same = join_sql(filling.concept, alias)
        self.join(f"LEFT JOIN {name} AS {alias} ON {same} AND {alias}.ordinal = 0", name)
        return f"coalesce({alias}.concept_id, 0)"

    def _by_id(self, field: str, filling: Filling, column: Column) -> str:
        alias = f"k_{field.replace('.', '_')}"
        table = f"keys_{filling.id}"
        self.join(f"LEFT JOIN {table} AS {alias} ON {alias}.key = {key_text(filling.of, 'r')}", table)
        if column.type != "BIGINT":
            raise HarmonisationError(
                f"Rule `{self.name}`: `{field}` holds no number of a row.", remedy="Use `id` for columns `…_id`."
            )
        return f"{alias}.id"

    def _by_pseudonym(self, field: str, filling: Filling, column: Column) -> str:
        if column.type != "VARCHAR":
            raise HarmonisationError(
                f"Rule `{self.name}`: `{field}` cannot hold a pseudonym.", remedy="Use it for columns of text."
            )
        assert filling.pseudonym is not None
        said = f"{literal(f'{self.plan.source}|pseudonym|')} || r.{quoted(filling.pseudonym)}"
        return f"left(keyed({said}), 32)"

    def _by_moment(self, field: str, filling: Filling, column: Column) -> str:
        text, moment = self._moment(filling)
        day, span, place = f"CAST({moment.value} AS DATE)", self.plan.span, ", ".join(filling.moment)
        if len(filling.forms) > 1:
            self.check(f"r.{self._differ(filling)}", "ambiguous date", place)
        self.check(f"{text} IS NOT NULL AND {moment.value} IS NULL", "unreadable date", place)
        self.check(f"{day} NOT BETWEEN DATE '{span.earliest}' AND DATE '{span.latest}'", "implausible date", place)
        kind = filling.kind
        if kind == "date" and column.type in ("DATE", "TIMESTAMP"):
            if self.plan.forms_of(filling)[0].timed:
                self.moments[column.name] = moment
            return day if column.type == "DATE" else moment.value
        if kind != "date" and column.type == "BIGINT":
            return f"{kind}({moment.value})"
        raise HarmonisationError(
            f"Rule `{self.name}`: `{field}` cannot hold a {kind}.", remedy="Use it for a column of that kind."
        )

    def _moment(self, filling: Filling) -> tuple[str, Moment]:
        """The text of a moment, and what it is by the clock of the plan; empty where it cannot be read."""
        form, plan = self.plan.forms_of(filling)[0], self.plan  # all of a list tell their times alike
        columns = [quoted(name) for name in filling.moment]
        readings = self._readings(filling)
        read = _once(self.read, readings[0] if len(readings) == 1 else f"coalesce({', '.join(readings)})", "_read")
        zone = "" if form.offset or not form.timed else form.zone
        value = f"r.{read}"
        if form.timed:
            told = on_clock(zone, read) if zone else read
            if form.offset:
                told = f"timezone({literal(plan.time_zone)}, {told})"
            elif zone != plan.time_zone:
                told = f"timezone({literal(plan.time_zone)}, timezone({literal(zone)}, {told}))"
            value = f"r.{_once(self.told, told, '_moment')}"
        named = [f"r.{column}" for column in columns]
        return (named[0] if len(named) == 1 else f"coalesce({', '.join(named)})"), Moment(value, f"r.{read}", zone)

    def _readings(self, filling: Filling) -> list[str]:
        """SQL of what each form of a filling reads in the file's text."""
        columns = [quoted(name) for name in filling.moment]
        text = columns[0] if len(columns) == 1 else f"coalesce({', '.join(columns)})"
        return [f"try_strptime({text}, {literal(form.form)})" for form in self.plan.forms_of(filling)]

    def _differ(self, filling: Filling) -> str:
        """The name of what says whether two forms read two moments: no order of forms may decide between them."""
        pairs = combinations(self._readings(filling), 2)
        return _once(self.read, " OR ".join(f"coalesce({one} <> {other}, FALSE)" for one, other in pairs), "_read")


def _once(found: dict[str, str], sql: str, word: str) -> str:
    """The name of what this SQL gives, the same each time."""
    return found.setdefault(sql, f"{word}_{len(found) + 1}")
