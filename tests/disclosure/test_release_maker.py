"""Only the gate makes a Release and nothing but tests asks for UnsafeReleaseAll: read from the source, and by the type
checker.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mypy import api

SOURCE = Path(__file__).parents[2] / "src"
GATE = SOURCE / "sojourn" / "disclosure" / "gate.py"
MASKED_GATE = GATE.with_name("masked_gate.py")
UNSAFE = {SOURCE / "sojourn" / "disclosure" / "rules.py", SOURCE / "sojourn" / "testbed.py"}


MINTED = ("Release", "Looked", "MaskedRelease")
OF_THE_MASKED_GATE = ("MaskedRelease", "_Key")  # its own key opens nothing of the other gate


def makes_a_release(source: str, own: tuple[str, ...] = ()) -> list[int]:
    """Lines that call a release's class, or Looked on which it rests, make one by `__new__`, or get past its guard.

    own: names that this module may call.
    """
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        arguments = [ast.unparse(argument) for argument in node.args]
        if called in own:
            continue
        named = called.split(".")[-1] in (*MINTED, "_KEY", "_Key")
        around = called.endswith("__new__") and any(argument.split(".")[-1] in MINTED for argument in arguments)
        if named or around or called.endswith(tuple(f"{name}.__init__" for name in MINTED)):
            lines.append(node.lineno)
    return lines


def takes_the_key(source: str) -> list[int]:
    """Lines that import or name the gate's private key."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr == "_KEY")
        or (isinstance(node, ast.ImportFrom) and any(alias.name in ("_KEY", "_Key") for alias in node.names))
    ]


def asks_for_unsafe(source: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Name) and node.id == "UnsafeReleaseAll")
        or (isinstance(node, ast.Attribute) and node.attr == "UnsafeReleaseAll")
        or (
            isinstance(node, ast.ImportFrom | ast.Import)
            and any("UnsafeReleaseAll" in alias.name for alias in node.names)
        )
        or (isinstance(node, ast.Call) and any(getattr(a, "value", None) == "UnsafeReleaseAll" for a in node.args))
    ]


MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if path != GATE]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_other_module_makes_a_release_or_asks_for_the_unsafe_policy(path):
    source = path.read_text(encoding="utf-8")
    assert not makes_a_release(source, OF_THE_MASKED_GATE if path == MASKED_GATE else ())
    assert not takes_the_key(source)
    assert path in UNSAFE or not asks_for_unsafe(source)


@pytest.mark.parametrize(
    "planted",
    [
        "Release(header, partial, 'low', key)",
        "gate.Release(header, partial, 'low', key)",
        "object.__new__(Release)",
        "Release.__new__(gate.Release)",
        "Release.__init__(forged, header, partial, 'low', key)",
        "Looked(output, policy, output, mild, key)",
        "object.__new__(Looked)",
        "Looked.__init__(forged, output, policy, output, mild, key)",
        "MaskedRelease(header, ring, told, sealed, key)",
        "masked_gate.MaskedRelease(header, ring, told, sealed, key)",
        "object.__new__(masked_gate.MaskedRelease)",
    ],
)
def test_the_scan_sees_a_planted_maker(planted):
    assert makes_a_release(f"forged = {planted}") == [1]


def test_the_scan_passes_what_is_not_one():
    assert not makes_a_release("ReceivedRelease(header, partial, 'low')\nrelease(output, policy, header)")


@pytest.mark.parametrize(
    "planted", ["from sojourn.disclosure.gate import _KEY", "key = gate._KEY", "key = masked_gate._KEY"]
)
def test_the_scan_sees_a_planted_key(planted):
    assert takes_the_key(planted) == [1]


@pytest.mark.parametrize(
    "planted",
    [
        "from sojourn.disclosure.rules import UnsafeReleaseAll",
        "policy = rules.UnsafeReleaseAll()",
        "policy = getattr(rules, 'UnsafeReleaseAll')()",
    ],
)
def test_the_scan_sees_a_planted_unsafe_policy(planted):
    assert asks_for_unsafe(planted) == [1]


@pytest.mark.long
@pytest.mark.oracle
def test_the_type_checker_sees_a_forged_release(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text(
        "from sojourn.analysis.partial import Partial\n"
        "from sojourn.disclosure.gate import Header, ReceivedRelease, Release\n"
        "def send(answer: Release) -> None: ...\n"
        "def forge(header: Header, partial: Partial, received: ReceivedRelease) -> None:\n"
        "    send(Release(header, partial, 'low'))\n"
        "    send(received)\n"
        "    Release(header, partial, 'low', object())\n"
        "    received.tier = 'low'\n"
    )
    options = [
        "--config-file",
        str(SOURCE.parent / "pyproject.toml"),
        "--cache-dir",
        str(SOURCE.parent / ".mypy_cache"),
    ]
    report, _, status = api.run([*options, "--no-error-summary", str(planted)])
    lines = {int(line.split(":")[1]) for line in report.splitlines() if "planted.py" in line and ": error:" in line}
    assert status == 1
    assert lines == {5, 6, 7, 8}
