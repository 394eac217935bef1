"""Which files of an export's folder a plan's source is, and whether several of them are one table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.staging import columns_there
from sojourn.omop.plan_files import File, is_pattern

_GZIPPED = ".gz"


@dataclass(frozen=True)
class Found:
    """One file. said: its name in the export's folder, without `.gz`."""

    said: str
    path: Path


def find(folder: Path, name: str, file: File) -> list[Found]:
    """The files of a source, in order of their names; HarmonisationError where one is not there, or lies elsewhere."""
    found: dict[str, Path] = {}
    for path in file.path:
        for each in _matching(folder, name, path) if is_pattern(path) else [_one(folder, name, path)]:
            if found.setdefault(each.said, each.path) != each.path:
                raise HarmonisationError(
                    f"File `{each.said}` of `{name}` is there twice, with and without `.gz`.",
                    remedy="Take one of them out of the folder.",
                )
    outside = [path for path in found.values() if not path.resolve().is_relative_to(folder.resolve())]
    if outside:
        raise HarmonisationError(f"File `{name}` lies outside the export.", remedy="Put it into the folder.")
    return [Found(said, found[said]) for said in sorted(found)]


def demand_alike(engine: Engine, found: list[Found], name: str, file: File) -> None:
    """HarmonisationError that names the first file whose columns are not those of the first one."""
    wanted = columns_there(engine, found[0].path, name, file)
    for each in found[1:]:
        there = columns_there(engine, each.path, name, file)
        if there == wanted:
            continue
        # Only names of the first file's header are told: the first line of a file without one is a record.
        lacking = [f"`{column}`" for column in wanted if column not in there]
        what = f"it lacks {', '.join(lacking[:5])}" if lacking else "it has more columns, or another order"
        raise HarmonisationError(
            f"File `{each.said}` of `{name}` has another first line than `{found[0].said}`: {what}.",
            remedy="Export it again like the others, or give it a source of its own under `files`.",
        )


def _one(folder: Path, name: str, path: str) -> Found:
    for each in (folder / path, folder / f"{path}{_GZIPPED}"):
        if each.is_file():
            return Found(path, each)
    raise HarmonisationError(
        f"The export has no file `{path}` for `{name}`.",
        remedy=f"Check `files.{name}.path` in the plan, and the folder.",
    )


def _matching(folder: Path, name: str, pattern: str) -> Iterator[Found]:
    shape = re.compile(re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))
    some = False
    for path in sorted(folder.rglob("*")):
        whole = path.relative_to(folder).as_posix()
        said = whole.removesuffix(_GZIPPED)
        if (shape.fullmatch(said) or shape.fullmatch(whole)) and path.is_file():
            some = True
            yield Found(said, path)
    if not some:
        raise HarmonisationError(
            f"The export has no file like `{pattern}` for `{name}`.",
            remedy=f"Check `files.{name}.path` in the plan, and the folder; `*` is any part of one name.",
        )
