"""The forms of dates that a draft names: what a profile is sure of is written, all else is asked; nobody is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sojourn.omop.open_places import OPEN


class Forms:
    """Forms by name, as columns ask for them."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, str]] = {}  # name → form, or nothing; remark

    def of(self, file: str, column: Mapping[str, Any]) -> str:
        """The name of a column's form. One that is not sure is a form of its own: each may have another answer."""
        dates = column["dates"]
        form, asked = dates["form"], dates.get("question", "")
        if form and "%y" not in form:
            return self._named(form, f"every value can be read so, first in {file}.{column['name']}")
        tried = ", ".join(f"{form} ({count:,})" for form, count in dates["read by form"].items())
        return self._open(f"{file}.{column['name']}: {asked or 'How are these dates written?'} Read by: {tried}")

    def written(self) -> Iterator[tuple[str, dict[str, str], str]]:
        """Name, words and remark of each."""
        for name, (form, remark) in self.known.items():
            timed = "%H" in form
            zone = {"zone": "UTC" if form.endswith("Z") else OPEN} if timed and "%z" not in form else {}
            asked = " Whose clock is it?" if zone.get("zone") == OPEN else ""
            yield name, {"form": form or OPEN, **zone, "answered": OPEN}, f"{remark}.{asked} Who of its owner says so?"

    def _named(self, form: str, remark: str) -> str:
        same = next((name for name, (known, _) in self.known.items() if known == form), "")
        return same or self._add("moment" if "%H" in form else "day", form, remark)

    def _open(self, remark: str) -> str:
        return self._add("asked", "", remark)

    def _add(self, name: str, form: str, remark: str) -> str:
        place, found = 2, name
        while found in self.known:
            found, place = f"{name}_{place}", place + 1
        self.known[found] = (form, remark)
        return found
