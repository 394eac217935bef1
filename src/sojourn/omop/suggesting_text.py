"""The draft of a plan as YAML that people read, answer and accept; `open_places` refuses it until they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sojourn.omop.open_places import OPEN, QUESTIONS, SUGGESTION
from sojourn.omop.suggesting_dates import Forms
from sojourn.omop.suggesting_likely import Likely
from sojourn.omop.suggesting_names import slug
from sojourn.omop.suggesting_rules import Rule, rules_of
from sojourn.omop.suggesting_several import plain
from sojourn.omop.suggestion import Suggestion

_HEAD = """\
# A draft, made from a profile: nothing of it is used until people have looked at it. It stays inside the institution.
# Where `{open}` stands, write what the data's owner says, and remove the question. Look at every rule: remove its
# `{suggestion}`, mend what is wrong, and write `decided: {{by: NAME, day: YYYY-MM-DD}}`. Confidences are scores from 0
# to 1 that rank; they are no probabilities. Every word: docs/reference/harmonisation.md.
"""
_PROBLEM = "missing values?"
_DATABASES = ("SQLite", "DuckDB")
_TYPE = "  # where such records are from: a type concept, e.g. 32817 (EHR)"


def text(name: str, likely: Sequence[Likely]) -> str:
    """The whole draft of a source."""
    forms = Forms()
    used = used_of(likely)
    rules = [rule for each in used for rule in rules_of(each, used, forms)]
    parts = [_HEAD.format(open=OPEN, suggestion=SUGGESTION)]
    left = [each for each in likely if each not in used]
    parts += [_remark(f"No rule was drafted for {each.name}: {why_not(each)}").strip() + "\n" for each in left]
    parts.append(_block({"source": slug(name) or "source"}))
    if asked := _questions(used):
        parts.append(_block({QUESTIONS: asked}))
    about = dict.fromkeys(("name", "abbreviation", "holder", "released"), OPEN)
    parts += [f"about: {flow(about)}\n", f"time_zone: {OPEN}  # whose clock the tables' times are told by\n"]
    parts.append(f"span: {flow({'earliest': OPEN, 'latest': OPEN})}  # a date outside is implausible\n")
    parts.append("dates:\n" if forms.known else "dates: {}\n")
    parts += [f"  {form}: {flow(words)}{_remark(remark)}\n" for form, words, remark in forms.written()]
    parts += ["files:\n", *(f"  {slug(each.name)}: {flow(_file(each))}{_settings(each)}\n" for each in used)]
    parts += ["rules:\n", *(_rule(rule, name) for rule, name in zip(rules, _apart(rules), strict=True))]
    return "".join(parts)


def used_of(likely: Sequence[Likely]) -> list[Likely]:
    """Those for which rules are drafted."""
    names = [slug(each.name) for each in likely]
    files = {(where["database"], each.profile["source"]) for each in likely if "database" in (where := _where(each))}
    databases = [database for database, _ in files]

    def alone(each: Likely) -> bool:
        return names.count(slug(each.name)) == 1 and databases.count(_where(each).get("database", "")) <= 1

    return [each for each in likely if each.drafted and _named(each) and alone(each)]


def why_not(each: Likely) -> str:
    """Why no rule is drafted for one of the others."""
    if not _named(each):
        return "its name, or its database's, has no letter, or a point; give it another."
    if not each.table.role:
        return "nothing tells which table it fills."
    if each.drafted:
        return "another file, table or database has the same name."
    likely = f"it is likely `{each.table.role}` ({each.table.confidence}: {each.table.reason})"
    return f"{likely}; write one where it is needed."


def flow(document: Any) -> str:
    """A document in one line."""
    said = yaml.dump(
        document, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return said.strip().removesuffix("\n...")


class _Dumper(yaml.SafeDumper):
    """YAML's safe subset; a text that is not of printable signs alone is written with escapes, in one line."""


def _plain(dumper: _Dumper, given: str) -> yaml.ScalarNode:
    style = None if given.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", given, style=style)


_Dumper.add_representer(str, _plain)


def _block(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _file(each: Likely) -> dict[str, Any]:
    role, row = each.table.role, each.column("row")
    person = row if role == "person" else each.column("person")
    found: dict[str, Any] = {**_where(each), **({"key": row} if row else {}), "person": person}
    if (delimiter := each.profile.get("delimiter", ",")) != ",":
        found["delimiter"] = delimiter
    if each.profile.get("encoding", "utf-8") != "utf-8":
        found["encoding"] = OPEN
    return found


def _apart(rules: Sequence[Rule]) -> list[str]:
    names: list[str] = []
    for rule in rules:
        name = slug(rule.name)
        names.append(f"{name[:36]}_{names.count(name) + 1}" if name in (*names, "derived") else name)
    return names


def _where(each: Likely) -> dict[str, Any]:
    """A file by its path; a table by the name under which the node's settings are to have its database."""
    source = each.profile["source"]
    if each.profile["kind"] not in _DATABASES:
        return {"path": source if isinstance(source, list) else plain(source)}
    schema = each.profile.get("schema", "")
    return {"database": slug(source.split(".")[0]), "table": f"{schema}.{each.name}" if schema else each.name}


def _named(each: Likely) -> bool:
    """Whether a plan can name it."""
    where = _where(each)
    table = [each.name, each.profile.get("schema", "")] if "table" in where else []
    return bool(slug(each.name)) and where.get("database") != "" and not any("." in word for word in table)


def _settings(each: Likely) -> str:
    database = _where(each).get("database")
    if not database:
        return ""
    return _remark(f"name it in the node's settings: sources: {{{database}: {{file: {each.profile['source']}}}}}")


def _rule(rule: Rule, name: str) -> str:
    columns = {name: _said(each, each.role or "not used") for name, each in rule.columns.items()}
    lines = [f"  {name}:\n", f"    {SUGGESTION}:\n"]
    lines.append(f"      table: {flow(_said(rule.table, rule.table.role))}\n      columns:\n")
    lines += [f"        {flow(name)}: {flow(words)}\n" for name, words in columns.items()]
    lines += [f"    {word}: {flow(words)}\n" for word, words in rule.words.items()]
    lines.append("    fields:\n")
    for field, words in rule.fields.items():
        hint = _TYPE if (field, words) == ("type", OPEN) else _rare(rule, words)
        lines.append(f"      {field}: {flow(words)}{hint}\n")
    return "".join(lines)


def _rare(rule: Rule, words: Any) -> str:
    if not isinstance(words, Mapping) or "values" not in words:
        return ""
    others = rule.others.get(words["of"], 0)
    return _remark(f"{others} more values, each of few rows, are not shown: 0 unless listed") if others else ""


def _remark(said: str) -> str:
    """What names hold must not begin a line of the document, nor be a sign that YAML has not."""
    return "  # " + "".join(sign for sign in " ".join(said.split()) if sign.isprintable())


def _said(each: Suggestion, role: str) -> dict[str, Any]:
    if not each.role:
        return {"is": role, "reason": each.reason}
    return {"is": role, "confidence": each.confidence, "reason": each.reason}


def _questions(used: Sequence[Likely]) -> list[str]:
    """Those of the profile that no open place stands for."""
    found = []
    for each in used:
        found += [f"{each.name}: {asked}" for asked in each.profile["questions"] if asked.endswith(_PROBLEM)]
        found += [f"{each.name}: {problem}" for problem in each.profile["problems"]]
        row = each.column("row")
        if row and (nearly := each.of(row).get("nearly a key")):
            found.append(f"{each.name}: {row} is nearly a key: {nearly}. Which of them holds?")
    return found
