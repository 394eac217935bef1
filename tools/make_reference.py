"""Write the reference from the code: commands, settings, messages and reasons, the plan's words, its JSON Schema.

Run: .venv/bin/python tools/make_reference.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import typer.main

import sojourn as sj
from sojourn import messages
from sojourn.cli import app
from sojourn.disclosure.review import REVIEW
from sojourn.errors import REASONS
from sojourn.hub.config import HubHome
from sojourn.hub.metrics import DECLARED as OF_HUB
from sojourn.node.config import NodeHome
from sojourn.node.metrics import DECLARED as OF_NODE
from sojourn.operations.logs import FIELDS
from sojourn.operations.metrics import Declared
from sojourn.operations.settings import Setting, line, settings
from sojourn.study.lifecycle import SITE, STUDY
from sojourn.study.plan import Plan
from sojourn.study.schema import plan_schema

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
START, END = "<!-- made from the code: {} -->\n", "<!-- end -->\n"

COMMANDS = """# Commands

Every command explains itself with `--help`; those that answer with data speak JSON with `--json`. Exit code 0: done.
1: refused or failed, with the reason and the remedy on standard error. 2: not used as it is meant. No command prints a
value of a record. This page is made from the commands.

| command | what it does | example |
|---|---|---|
"""

CONFIGURATION = """# Configuration

Each program reads one file in its folder (`--home`), once, when it starts. Unknown words and bad values are refused,
with the setting's name and never its value. A setting that has a default may be left out. This page is made from the
code.
"""

METRICS = """# Metrics and log fields

What `sojourn hub metrics` and `sojourn node metrics` print, and what the lines of the programs' logs hold: see
[monitor a federation](../how-to/monitor.md). A label's values are words of fixed lists or configured names; no metric
and no log line holds anything of a record, nor a plan's title or columns. Both programs also show Prometheus' usual
`process_…` metrics, e.g. `process_resident_memory_bytes`. This page is made from the code.
"""

LOG_FIELDS = """
## Fields of the log

Every line has `time` (UTC), `level`, `event` and `program`, and of the following those that apply. An event that the
audit log holds has its name there, e.g. `study.completed`.

| field | is |
|---|---|
"""

MESSAGES = """# Messages

Everything that crosses between hub, node and client is defined in one file, `src/sojourn/messages.py`; nothing else
does. Messages are JSON over HTTPS, always opened by the client or the node. Every request carries its sender's Ed25519
signature (RFC 9421) over method, path, query, content digest (RFC 9530), time and nonce.

Versions of hub, node and client may differ by one minor version. Unknown words are refused in all that is signed or
hashed (requests, plans, asks, releases) and in what nodes send, unless the sender's version is one newer: then they are
left out, as they are in what a hub answers. This page is made from the code.

"""

REASONS_HEAD = """
## Reasons

A site that declines says one of these words. Sentence and remedy are fixed, so that no text from data can travel as an
explanation.

| word | sentence | remedy |
|---|---|---|
"""


def commands() -> str:
    """The page of commands."""
    return COMMANDS + "".join(_command(name, text) for name, text in leaves(typer.main.get_command(app), "sojourn"))


def leaves(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every command that does something, with its help, in the order in which `--help` shows them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command.help or ""
        return
    for word, child in inner.items():
        yield from leaves(child, f"{name} {word}")


def _command(name: str, text: str) -> str:
    said, _, example = text.partition("Example:")
    sentence = " ".join(said.split("\n\n")[0].split())
    shown = f"`{' '.join(example.split())}`" if example.strip() else ""
    return f"| `{name}` | {sentence} | {shown} |\n"


def configuration() -> str:
    """The page of settings, with an example of each file."""
    return CONFIGURATION + "".join(
        _settings(title, list(settings(kind)))
        for title, kind in (("The hub: `hub.yaml`", HubHome), ("A node: `node.yaml`", NodeHome))
    )


def _settings(title: str, found: list[Setting]) -> str:
    rows = "".join(_setting(each) for each in found)
    example = "\n".join(line(each.name, each.example) for each in found)
    return (
        f"\n## {title}\n\n| setting | is | default | meaning |\n|---|---|---|---|\n{rows}"
        f"\nEvery setting, each with an example:\n\n```yaml\n{example}\n```\n"
    )


def _setting(each: Setting) -> str:
    unit = f", in {each.unit}" if each.unit else ""
    default = "required" if each.required else "none" if each.default in (None, "") else f"`{each.default}`"
    return f"| `{each.name}` | {each.described}{unit} | {default} | {each.meaning} |\n"


def metrics_page() -> str:
    """The page of metrics and of the log's fields."""
    parts = (_metrics("A hub's metrics", OF_HUB), _metrics("A node's metrics", OF_NODE))
    fields = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in FIELDS.items())
    return METRICS + "".join(parts) + LOG_FIELDS + fields


def _metrics(title: str, declared: tuple[Declared, ...]) -> str:
    rows = "".join(_metric(metric) for metric in declared)
    return f"\n## {title}\n\n| metric | kind | meaning | label |\n|---|---|---|---|\n{rows}"


def _metric(metric: Declared) -> str:
    label = f"`{metric.label}`: {metric.values}" if metric.label else ""
    return f"| `{metric.name}` | {metric.kind} | {metric.meaning} | {label} |\n"


def message_page() -> str:
    """The page of messages and reasons."""
    source = Path(inspect.getfile(messages)).read_text(encoding="utf-8")
    found: list[tuple[int, str]] = [
        (number, f"\n## {match[1].capitalize()}\n\n| message | holds | words |\n|---|---|---|\n")
        for number, line in enumerate(source.splitlines())
        if (match := re.match(r"# -+ ([a-z ]+?) -+$", line))
    ]
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name != "Message":
            found.append((node.lineno, _message(getattr(messages, node.name))))
    reasons = "".join(f"| `{word}` | {reason.sentence} | {reason.remedy} |\n" for word, reason in REASONS.items())
    return MESSAGES.rstrip() + "\n" + "".join(text for _, text in sorted(found)) + REASONS_HEAD + reasons


def _message(kind: type) -> str:
    words = ", ".join(f"`{name}`" for name in getattr(kind, "model_fields", {}))
    return f"| `{kind.__name__}` | {' '.join((kind.__doc__ or '').split())} | {words} |\n"


def plan_words() -> str:
    """The table of a plan's words, from the class and its docstring."""
    text = " ".join((Plan.__doc__ or "").split())
    names = [entry.name for entry in dataclasses.fields(Plan)]
    parts = re.split(rf"\b({'|'.join(names)}): ", text)
    said = dict(zip(parts[1::2], parts[2::2], strict=True))
    rows = "".join(f"| `{name}` | {said[name].strip().rstrip('.')} |\n" for name in names)
    return f"| word | meaning |\n|---|---|\n{rows}"


def statistics() -> str:
    """Every statistic of the catalogue: how it is called, what it means, what leaves a site."""
    counted = (sj.count, sj.at_least, sj.describe, sj.crosstab, sj.histogram, sj.quantiles, sj.overlap)
    compared = (sj.t_test, sj.anova, sj.correlation, sj.trend, sj.mantel_haenszel, sj.balance)
    rates = (sj.prevalence, sj.incidence, sj.direct_standardisation, sj.indirect_standardisation)
    models = (sj.glm, sj.firth, sj.elastic_net, sj.lmm, sj.glmm, sj.meta, sj.profile_likelihood)
    filled = (sj.imputed, sj.indicated)
    return "\n".join(map(_statistic, (*counted, *compared, *rates, *models, *filled)))


def _statistic(make: Callable[..., Any]) -> str:
    signature = re.sub(r": '[^']*'| -> '[^']*'", "", str(inspect.signature(make)))
    first, _, rest = (make.__doc__ or "").partition("\n\n")
    return f"### `sj.{make.__name__}{signature}`\n\n{first.strip()}\n\n{dedent(rest).strip()}\n"


def plan_page() -> str:
    """The page of the plan: written by people but for its generated parts."""
    text = (REFERENCE / "plan.md").read_text(encoding="utf-8")
    for name, made in (("words", plan_words()), ("statistics", statistics())):
        start = START.format(name)
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(END)
        text = f"{before}{start}\n{made}\n{END}{after}"
    return text


def schema() -> str:
    """The JSON Schema of a plan."""
    return json.dumps(plan_schema(), indent=2, sort_keys=True) + "\n"


LIVES = """# The lives of things

Which state follows, and who may cause it. Each life is two dictionaries in the code, and its tests look for gaps; this
page is made from them.
"""


def lives() -> str:
    """The diagrams of every life."""
    parts = ((STUDY, "A study"), (SITE, "A site's part in it"), (REVIEW, "A review of a held output"))
    return LIVES + "".join(f"\n## {title}\n\n```mermaid\n{life.diagram()}```\n" for life, title in parts)


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "configuration.md": configuration,
    "lives.md": lives,
    "messages.md": message_page,
    "metrics.md": metrics_page,
    "plan.md": plan_page,
    "plan.schema.json": schema,
}


if __name__ == "__main__":
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), encoding="utf-8")
