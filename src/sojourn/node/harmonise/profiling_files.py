"""A profile as files: the page, the document, and drafts that people edit and that are never written over."""

from __future__ import annotations

from pathlib import Path

import yaml

from sojourn.errors import DatasetError
from sojourn.node.harmonise.profiling import Profile
from sojourn.report.profile import render

_HEAD = "# {}\n"


def write(profile: Profile, out: Path) -> list[str]:
    """Write all files, for their owner alone; which ones. A draft that is there already stays as it is."""
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        document = yaml.safe_dump(profile.document, sort_keys=False, allow_unicode=True, width=100)
        texts = {
            "profile.html": render(profile.document),
            "profile.yaml": _HEAD.format(profile.document["stays inside"]) + document,
        }
        for name, text in texts.items():
            _put(out / name, text)
        written = list(texts)
        for table, dictionary in profile.dictionaries.items():
            path = out / f"{_plain(table)}.dictionary.yaml"
            if not path.exists():
                dictionary.save(path)
                path.chmod(0o600)
                written.append(path.name)
    except OSError:
        raise DatasetError(
            "The profile cannot be written.", remedy="Give a folder that can be: --out FOLDER."
        ) from None
    return written


def _put(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _plain(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name).lstrip(".") or "table"
