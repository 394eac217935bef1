"""The command line: reasons and remedies on stderr, exit 1; usage errors exit 2; help and JSON everywhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
import typer
from small_frames import frame, silent

from sojourn.cli import app, main
from sojourn.hub.config import HubHome
from sojourn.hub.program import HubProgram
from sojourn.node.program import NodeProgram
from sojourn.study.document import parse
from sojourn.study.plan import Plan


@pytest.fixture
def say(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own: its exit code, what it printed and what it complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOJOURN_LOGIN", str(tmp_path / "login"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line))
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def commands() -> dict[str, click.Command]:
    """Every command of the program by its words."""
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, words: tuple[str, ...]) -> None:
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, (*words, name))
        else:
            found[" ".join(words)] = command

    walk(typer.main.get_command(app), ())
    return found


@pytest.mark.parametrize("words", sorted(commands()))
def test_every_command_has_help_with_an_example(say, words):
    code, out, err = say(f"{words} --help")
    assert (code, err) == (0, "")
    assert re.search(rf"Example: sojourn {words}\b", out)


@pytest.mark.parametrize(("words", "unwanted"), [("version", "sqlalchemy"), ("hub start --help", "sojourn.node")])
def test_a_command_loads_its_own_program_alone(words, unwanted):
    """What a hub does not need would be in its memory for weeks."""
    loaded = f"print({unwanted!r} in sys.modules)"
    code = f"import sys; from sojourn.cli import main\ntry: main({words.split()})\nfinally: {loaded}"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    assert said.splitlines()[-1] == "False"


def test_commands_take_json_but_for_those_that_do_not_answer():
    without = {words for words, command in commands().items() if not any("--json" in p.opts for p in command.params)}
    assert without <= {"version", "harmonise sql"}  # which answers in SQL


@pytest.mark.parametrize(
    "line",
    ["study chek", "study check", "study check a b", "study submit plan.yaml", "dataset add", "node init", "--x"],
)
def test_usage_errors(say, line):
    code, out, err = say(line)
    assert (code, out) == (2, "")
    assert "Usage" in err


@pytest.mark.parametrize(
    ("text", "words", "remedy"),
    [
        ("tabel: patients\nanalyses: {n: {count: {}}}", "Unknown word `tabel`.", "Did you mean `table`?"),
        ("table: [", "The plan cannot be read at line 1", "sojourn study check --help"),
        ("table: patients\nanalyses: {m: {glm: {formula: 'y ~ x['}}}", "analyses.m.glm.formula", "outcome ~ age"),
        ("table: patients\nmissing: by analysis\nanalyses: {n: {count: {}}}", "missing: `missing", "complete"),
        ("table: patients\nwhere: sex = F\nanalyses: {n: {count: {}}}", "where: At character 7", "quotation marks"),
    ],
)
@pytest.mark.parametrize("as_json", ["", " --json"])
def test_a_bad_plan(say, tmp_path, text, words, remedy, as_json):
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    code, out, err = say(f"study check bad.yaml{as_json}")
    assert (code, out) == (1, "")
    reason, advice = err.strip().split("\nRemedy: ")
    assert words in reason and remedy in advice
    assert "Traceback" not in err


def test_files_that_are_not_there(say):
    for line in ("study check none.yaml", "dataset add none.csv --row-is-person", "node approve x --key none.pub"):
        code, out, err = say(line)
        assert (code, out) == (1, "") and "\nRemedy: " in err, line


def test_without_a_login_a_hub_or_a_node(say, tmp_path):
    (tmp_path / "plan.yaml").write_text("table: patients\nanalyses: {n: {count: {}}}", encoding="utf-8")
    for line in (
        "whoami",
        "study submit plan.yaml --project heart",
        "study check plan.yaml --project heart",
        "study show abc",
        "study watch abc",
        "study cancel abc",
        "login nonsense",
        "hub show",
        "hub start",
        "hub invite x",
        "project add x",
        "node show",
        "node join nonsense",
        "dataset list",
        "dataset show patients",
        "audit verify --home .",
    ):
        code, out, err = say(line)
        assert (code, out) == (1, ""), line
        assert re.fullmatch(r"[^\n]+\nRemedy: [^\n]+\n", err), line


def test_the_plan_in_the_help_is_a_plan(say, tmp_path):
    _, out, _ = say("study check --help")
    lines = [line.rstrip() for line in out.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("title:"))
    end = next(i for i, line in enumerate(lines[start:], start) if not line.strip() or line[0] in "╭-")
    text = textwrap.dedent("\n".join(lines[start:end]))
    Plan.from_dict(parse(text)).check_supported()
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    code, out, err = say("study check plan.yaml")
    assert (code, err) == (0, "") and "The plan is valid" in out


@pytest.fixture
def hub(say):
    """A hub that runs in the folder `hub`."""
    assert json.loads(say("hub init --name heart --port 0 --json")[1])["name"] == "heart"
    running = HubProgram(HubHome.load(Path("hub")))
    running.start()
    yield running
    running.stop()


def test_json_everywhere(say, hub, tmp_path):
    """A custodian's and an administrator's morning, each answer one JSON document on stdout."""
    (tmp_path / "plan.yaml").write_text("table: patients\nanalyses: {n: {count: {by: sex}}}", encoding="utf-8")
    frame("amber", 60).drop(columns="note").to_csv(tmp_path / "patients.csv", index=False)
    answers: dict[str, object] = {}
    for line in (
        "hub show",
        "hub invite amber",
        "project add heart",
        "login ADDRESS",
        "whoami",
        "project member heart --key login/researcher.key.pub",
        "node init --site amber --sandbox none",
        "node join LINE",
        "dataset add patients.csv --person person_id",
        "dataset add patients.csv --dictionary patients.dictionary.yaml",
        "dataset list",
        "dataset show patients",
        "node approve heart --key login/researcher.key.pub",
        "node revoke heart --key login/researcher.key.pub",
        "node show",
        "node released",
        "audit verify --home node",
        "audit verify --home hub",
        "study check plan.yaml",
        "logout",
    ):
        address = answers.get("hub show", {}).get("address", "")
        invitation = answers.get("hub invite amber", {}).get("invitation", "")
        code, out, err = say(line.replace("ADDRESS", address).replace("LINE", invitation) + " --json")
        assert (code, err) == (0, ""), (line, err)
        answers[line] = json.loads(out)
        silent(out)
    assert answers["dataset add patients.csv --dictionary patients.dictionary.yaml"]["persons"] == 60
    assert answers["study check plan.yaml"]["valid"] is True


def test_a_hub_that_has_not_what_is_asked(say, hub):
    say("project add heart --json")
    _, out, _ = say("hub show --json")
    assert say(f"login {json.loads(out)['address']}")[0] == 0
    Path("plan.yaml").write_text("table: patients\npurpose: HMB\nanalyses: {n: {count: {}}}", encoding="utf-8")
    for line in (
        "project add heart",
        "project member lung --key login/researcher.key.pub",
        "study submit plan.yaml --project heart",
        "study submit plan.yaml --project lung",
        f"study show {'0' * 32}",
        f"study cancel {'0' * 32}",
        "study watch 3f2a",
    ):
        code, out, err = say(line)
        assert (code, out) == (1, ""), line
        assert re.fullmatch(r"[^\n]+\nRemedy: [^\n]+\n", err), line
    assert say("project member heart --key login/researcher.key.pub")[0] == 0
    code, out, err = say("study submit plan.yaml --project heart --json")
    assert (code, out) == (1, "") and "No site publishes a table `patients`." in err


def test_a_study_without_an_answer_ends_with_exit_1(say, hub):
    """Its results are printed all the same; the reason and the remedy are on stderr."""
    frame("amber", 60).drop(columns="note").to_csv("patients.csv", index=False)
    address = json.loads(say("hub show --json")[1])["address"]
    invitation = json.loads(say("hub invite amber --json")[1])["invitation"]
    key = "--key login/researcher.key.pub"
    for line in (
        "project add heart",
        f"login {address}",
        f"project member heart {key}",
        "node init --site amber --sandbox none --least-sites 1",
        f"node join {invitation}",
        "dataset add patients.csv --person person_id",
        "dataset add patients.csv --dictionary patients.dictionary.yaml",
        f"node approve heart {key}",
    ):
        assert say(line)[0] == 0, line
    node = NodeProgram(Path("node").resolve())
    node.start()
    try:
        assert node.node.connected(30)
        head = "table: patients\npurpose: HMB\nmin_sites: 1\nanalyses: {n: {count: {by: sex}}}\n"
        Path("good.yaml").write_text(head, encoding="utf-8")
        Path("few.yaml").write_text(f"{head}where: age > 200\n", encoding="utf-8")
        code, out, err = say("study submit good.yaml --project heart --json")
        assert (code, err) == (0, "") and json.loads(out)["analyses"]["n"]["estimate"]
        code, out, err = say("study submit few.yaml --project heart --json")
        assert code == 1 and json.loads(out)["analyses"]["n"]["refused"]
        assert err.startswith("n: No site released this. Too few persons") and "\nRemedy: Merge" in err
        code, out, err = say("study submit few.yaml --project heart")
        assert code == 1 and "Submitted as" in out and "minimum frequency" in out
        silent(out, err)
    finally:
        node.stop()


def test_a_damaged_file_says_nothing_of_its_records(say, tmp_path):
    text = frame("amber", 60).to_csv(index=False)
    (tmp_path / "cut.csv").write_text(text + "zqcanary,1\n", encoding="utf-8")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1zqcanary")
    for name in ("cut.csv", "cut.parquet"):
        code, out, err = say(f"dataset add {name} --person person_id")
        assert (code, out) == (1, "") and "\nRemedy: " in err
        silent(err)
    assert not list(tmp_path.glob("*.yaml"))
