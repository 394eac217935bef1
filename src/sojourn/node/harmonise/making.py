"""From the files of an export to finished tables, step by step; readers see nothing of it before it is published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sojourn import __version__
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import pieces, staging
from sojourn.node.harmonise.databases import Database, tables_read
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.medicines import write_codes
from sojourn.node.harmonise.steps import Step, Steps
from sojourn.node.warehouse import quote
from sojourn.omop import eras
from sojourn.omop.compilation import Compiled, compile_plan
from sojourn.omop.identifiers import literal, twice_sql
from sojourn.omop.plan import Plan
from sojourn.omop.results import CONFLICT, UNIT_COLUMNS, UNITS_SQL, differ
from sojourn.omop.rows import Part
from sojourn.omop.tables import TABLES
from sojourn.omop.units_table import lookup

ROWS, ASIDE, KEYS, CODES, TWINS = "rows.parquet", "aside.parquet", "keys.parquet", "codes.parquet", "twins.parquet"
WANTED, UNITS = "wanted.parquet", "units.parquet"


@dataclass(frozen=True)
class TablePart:
    """What one step gave to a table: the rule (or `derived`), its file, and the step's folder."""

    rule: str
    file: str
    step: Step


@dataclass
class Made:
    """All that a plan's steps made. files, codes: by name. parts: by table. aside: what each rule kept aside."""

    plan: Plan
    compiled: Compiled
    vocabulary: tuple[str, str]
    files: dict[str, tuple[pieces.Piece, ...]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    codes: dict[str, Step] = field(default_factory=dict)
    units: dict[str, Step] = field(default_factory=dict)
    parts: dict[str, list[TablePart]] = field(default_factory=dict)
    aside: list[tuple[Part, Step]] = field(default_factory=list)

    def put(self, table: str, part: TablePart) -> None:
        """One more part of a table."""
        self.parts.setdefault(table, []).append(part)


class Maker:
    """Runs the steps of one plan over one export. share: the part of persons that a pilot takes; 1 is all.

    databases: whose tables the plan may name; what is read of them passes through `work`.
    """

    def __init__(
        self,
        engine: Engine,
        steps: Steps,
        plan: Plan,
        export: Path,
        work: Path,
        key_mark: str,
        share: float = 1.0,
        day: str = "",
        databases: Mapping[str, Database] = MappingProxyType({}),
    ) -> None:
        self.engine, self.steps, self.plan, self.export, self.share = engine, steps, plan, export, share
        self.work, self.databases = work, databases
        self._key_mark, self._day = key_mark, day or plan.about.released.isoformat()
        self._names: dict[str, str] = {}  # of inputs, with the key of the step that they are of
        vocabulary = engine.vocabulary
        if plan.vocabulary not in ("", vocabulary.version):
            raise HarmonisationError(
                f"The plan expects vocabulary {plan.vocabulary}; {vocabulary.version} is in use.",
                remedy="Use that version (`sojourn harmonise vocabulary use`), or change `vocabulary` in the plan.",
            )
        self.made = Made(plan, compile_plan(plan), (vocabulary.version, vocabulary.digest))

    def make(self) -> Made:
        """Every step, in order of need."""
        compiled = self.made.compiled
        with tables_read(self.plan.files, compiled.columns, self.databases, self.work) as tables:
            stager = pieces.Stager(self.engine, self.steps, self.export, self.share, tables)
            for name, columns in compiled.columns.items():
                self._stage(stager, name, columns)
        for name, sql in compiled.twins.items():
            self._query(f"twins_{name}", sql, (f"stage_{name}",), TWINS)
        for name, (file, sql) in compiled.codes.items():
            self.made.codes[name] = self._query(name, sql, (f"stage_{file}",), CODES, self.engine.vocabulary.digest)
        for rule, (file, wanted, sql) in compiled.medicines.items():
            self._medicines(rule, f"stage_{file}", wanted, sql)
        for name, (file, sql) in compiled.units.items():
            self._units(name, sql, f"stage_{file}")
        for part in compiled.parts:
            if self._wanted(part):
                self._part(part)
        self._derive()
        self._demand_single_numbers()
        return self.made

    def _stage(self, stager: pieces.Stager, name: str, columns: tuple[str, ...]) -> None:
        file, stage = self.plan.files[name], f"stage_{name}"
        found = stager.pieces(name, file, columns)
        self.made.files[name], self.made.digests[name] = found, pieces.digest(file, found)
        if file.several:
            self.engine.show_several(stage, [(each.said, each.step.folder / staging.ROWS) for each in found])
            self._names[stage] = json.dumps([[each.said, each.step.key] for each in found])
        else:
            self._name(stage, found[0].step, staging.ROWS, numbered=True)

    def _query(self, name: str, sql: str, inputs: tuple[str, ...], file: str, also: str = "") -> Step:
        """A step of one query, known by `name` from then on."""
        follows = [sql, [self._names[each] for each in inputs], also]

        def build(folder: Path) -> dict[str, Any]:
            return {"rows": self.engine.write(sql, folder / file), "content": self._content(folder / file)}

        step = self.steps.make("query", follows, build)
        self._name(name, step, file)
        return step

    def _medicines(self, rule: str, stage: str, wanted: str, sql: str) -> None:
        """What each distinct name of a medicine becomes: a table of codes like any other from then on."""

        def build(folder: Path) -> dict[str, Any]:
            rows = write_codes(self.engine, rule, wanted, sql, folder, folder / CODES)
            return {"rows": rows, "content": self._content(folder / CODES)}

        follows = [wanted, sql, self._names[stage], self.engine.vocabulary.digest, __version__]
        step = self.made.codes[f"codes_{rule}"] = self.steps.make("medicines", follows, build)
        self._name(f"codes_{rule}", step, CODES)

    def _units(self, name: str, sql: str, stage: str) -> None:
        """What each distinct unit means and how it converts, found once for all rows."""

        def build(folder: Path) -> dict[str, Any]:
            self.engine.write(sql, folder / WANTED)
            place = literal(str(folder / WANTED))
            asked = self.engine.rows(f"SELECT own, unit, loinc, target, rows FROM read_parquet({place})")
            known = {(row.unit, row.loinc, row.target): astuple(row) for row in lookup(row[1:4] for row in asked)}
            found = []
            for own, unit, loinc, target, rows in sorted(asked):
                cells = known[unit, loinc, target]
                if differ(own, unit):
                    cells = (unit, loinc, target, None, None, None, None, CONFLICT)
                found.append((own, *cells, rows))
            self.engine.keep("units_read", UNIT_COLUMNS, found)
            rows = self.engine.write(UNITS_SQL.format(table="units_read"), folder / UNITS)
            return {"rows": rows, "content": self._content(folder / UNITS)}

        follows = [sql, self._names[stage], self.engine.vocabulary.digest, __version__]
        step = self.made.units[name] = self.steps.make("units", follows, build)
        self._name(name, step, UNITS)

    def _name(self, name: str, step: Step, file: str, numbered: bool = False) -> None:
        """What follows from a small step follows from its content: made anew alike, it changes nothing after it."""
        self.engine.show(name, (step.folder / file,), numbered)
        self._names[name] = step.facts.get("content", step.key)

    def _content(self, path: Path) -> str:
        """A digest of a small file's rows in any order."""
        place = str(path).replace("'", "''")
        row = self.engine.rows(
            f"SELECT count(*), bit_xor(hash(t)), sum(hash(t)::HUGEINT) FROM read_parquet('{place}') AS t"
        )
        return hashlib.sha256("|".join(map(str, row[0])).encode()).hexdigest()

    def _wanted(self, part: Part) -> bool:
        """Whether any code of the rule goes to that table: most domains have none in a given file."""
        if f"codes_{part.rule}" not in part.inputs:
            return True
        found = self.engine.rows(f"SELECT count(*) FROM {quote(f'codes_{part.rule}')} WHERE target = '{part.table}'")
        return bool(found[0][0])

    def _part(self, part: Part) -> None:
        follows = [part.rows, part.aside, part.keys, [self._names[name] for name in part.inputs], self._key_mark]

        def build(folder: Path) -> dict[str, Any]:
            rows = self.engine.write(part.rows, folder / ROWS) if part.table else 0
            aside = self.engine.write(part.aside, folder / ASIDE)
            found: dict[str, Any] = {"rows": rows, "aside": aside}
            if part.keys:
                self.engine.write(part.keys, folder / KEYS)
                found["content"] = self._content(folder / KEYS)
            return {**found, **(self._known(part.table, folder / ROWS) if part.table else {})}

        step = self.steps.make("part", follows, build)
        self.made.aside.append((part, step))
        if part.table:
            self.made.put(part.table, TablePart(part.rule, part.file, step))
            if part.keys:
                self._name(f"keys_{part.table}", step, KEYS)

    def _known(self, table: str, path: Path) -> dict[str, Any]:
        """What is kept of a part: a digest of its content in any order, and how often each column is empty or 0."""
        columns = TABLES[table].columns
        listed = ", ".join(quote(column.name) for column in columns)
        empty = [f"count(*) - count({quote(column.name)})" for column in columns]
        zero = [f"count(*) FILTER ({quote(column.name)} = 0)" for column in columns if column.is_concept]
        place = str(path).replace("'", "''")
        row = self.engine.rows(
            f"SELECT coalesce(bit_xor(hash({listed})), 0), coalesce(sum(hash({listed})::HUGEINT), 0), "
            f"{', '.join(empty + zero)} FROM read_parquet('{place}')"
        )[0]
        counts = list(row[2:])
        names = [column.name for column in columns], [column.name for column in columns if column.is_concept]
        digest = hashlib.sha256(f"{row[0]}|{row[1]}".encode()).hexdigest()
        cut = len(names[0])
        return {
            "digest": digest,
            "empty": dict(zip(names[0], counts[:cut], strict=True)),
            "zero": dict(zip(names[1], counts[cut:], strict=True)),
        }

    def _derive(self) -> None:
        """What other tables give: periods, eras, and what says what all this is."""
        plan = self.plan
        facts = (plan, self._day, self.engine.vocabulary.version, __version__)
        derived: Mapping[str, Callable[[], str]] = {
            "condition_era": lambda: eras.condition_eras(plan),
            "drug_era": lambda: eras.drug_eras(plan),
            "dose_era": lambda: eras.dose_eras(plan),
            "cdm_source": lambda: eras.cdm_source(*facts),
            "metadata": lambda: eras.metadata(*facts),
            **({"observation_period": lambda: eras.observation_periods(plan)} if plan.observation_period else {}),
        }
        periods = (plan.observation_period or _NOTHING).tables
        reads = {
            "condition_era": ("condition_occurrence",),
            "drug_era": ("drug_exposure",),
            "dose_era": ("drug_exposure",),
            "observation_period": periods,
        }
        for table in {name for names in reads.values() for name in names}:
            self.show_table(table)
        for table, sql_of in derived.items():
            sql = sql_of()
            parts = [part.step.key for name in reads.get(table, ()) for part in self.made.parts.get(name, [])]
            needed = [parts, self.engine.vocabulary.digest if table in ("drug_era", "dose_era") else ""]

            def build(folder: Path, table: str = table, sql: str = sql) -> dict[str, Any]:
                rows = self.engine.write(f"SELECT {_listed(table)} FROM ({sql})", folder / ROWS)
                return {"rows": rows, "aside": 0, **self._known(table, folder / ROWS)}

            self.made.put(table, TablePart("derived", "", self.steps.make("derived", [sql, needed], build)))

    def show_table(self, table: str) -> None:
        """Give a table's parts the model's name; an empty table where it has none."""
        parts = self.made.parts.get(table, [])
        if parts:
            self.engine.show(table, tuple(part.step.folder / ROWS for part in parts))
            return
        columns = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in TABLES[table].columns)
        self.engine.connection.execute(f"CREATE OR REPLACE TEMP VIEW {quote(table)} AS SELECT {columns} WHERE FALSE")

    def _demand_single_numbers(self) -> None:
        """HarmonisationError where two rows of a table have one number: a collision of hashes, or of rules."""
        for table, parts in self.made.parts.items():
            key = TABLES[table].key
            if not key or table == "metadata":
                continue

            by_place = all(part.file and self.plan.files[part.file].by_place for part in parts)

            def build(folder: Path, table: str = table, key: str = key, by_place: bool = by_place) -> dict[str, Any]:
                self.show_table(table)
                if self.engine.rows(twice_sql(table, key, by_place)):
                    raise HarmonisationError(
                        f"Two rows of `{table}` got one number.",
                        remedy="If two rules fill the table from the same keys, leave one out; else rename the source.",
                    )
                return {}

            self.steps.make("single", [table, [part.step.key for part in parts]], build)


class _Nothing:
    tables: tuple[str, ...] = ()


_NOTHING = _Nothing()


def _listed(table: str) -> str:
    return ", ".join(
        f"CAST({quote(column.name)} AS {column.type}) AS {quote(column.name)}" for column in TABLES[table].columns
    )
