"""What a pilot asks about dates and times: day and month that could be swapped, hours that a clock skipped."""

from __future__ import annotations

from typing import Any

from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.making import Made
from sojourn.omop.clocks import on_clock
from sojourn.omop.identifiers import literal, quoted


def date_doubts(made: Made, engine: Engine) -> list[str]:
    """Where day and month could be swapped, and the file itself does not say which it is."""
    found = []
    seen: set[tuple[str, str, str, tuple[str, ...]]] = set()
    for rule in made.plan.rules.values():
        for filling in rule.fields.values():
            forms = tuple(form.form for form in made.plan.forms_of(filling))
            asked = {(rule.file, column, form, forms) for column in filling.moment for form in forms if _swaps(form)}
            for each in sorted(asked - seen):
                found += _swap_doubt(engine, *each)
            seen |= asked
    return found


def _swaps(form: str) -> bool:
    return "%d" in form and "%m" in form and not form.startswith("%Y")


def _swap_doubt(engine: Engine, file: str, column: str, form: str, forms: tuple[str, ...]) -> list[str]:
    """form: the one that is judged, of all forms that the column's dates may have."""
    swapped = form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
    if swapped in forms:  # a value that both read is kept aside
        return []
    as_said, other = (f"try_strptime({quoted(column)}, {literal(each)})" for each in (form, swapped))
    by_any = ", ".join(f"try_strptime({quoted(column)}, {literal(each)})" for each in forms)
    read, alike, only = engine.rows(
        f"SELECT count({as_said}), count(*) FILTER ({as_said} IS NOT NULL AND {other} IS NOT NULL), "
        f"count(*) FILTER (coalesce({by_any}) IS NULL AND {other} IS NOT NULL) FROM stage_{file}"
    )[0]
    dates, place = "dates" if len(forms) == 1 else f"dates written as {form}", f"`{column}` of `{file}`"
    if only:
        return [f"{only} {dates} in {place} can be read with day and month swapped only: orders are mixed."]
    if read and read == alike:
        every = "date" if len(forms) == 1 else f"date written as {form}"
        return [f"Every {every} in {place} could be read with day and month swapped: the owner alone knows."]
    return []


def clock_doubts(made: Made, engine: Engine, aside: list[dict[str, Any]]) -> list[str]:
    """Where times stand in an hour that the zone's clock skipped: it may be another clock than the plan says."""
    found = []
    unread = {(each["file"], each["columns"]) for each in aside if each["reason"] == "unreadable date"}
    asked = {
        (rule.file, column, name)
        for rule in made.plan.rules.values()
        for filling in rule.fields.values()
        for name in filling.forms
        if made.plan.dates[name].timed and not made.plan.dates[name].offset
        for column in filling.moment
        if (rule.file, ", ".join(filling.moment)) in unread
    }
    for file, column, name in sorted(asked):
        form = made.plan.dates[name]
        read = f"try_strptime({quoted(column)}, {literal(form.form)})"
        skipped = engine.rows(
            f"SELECT count(*) FROM (SELECT {read} AS told FROM stage_{file}) "
            f"WHERE told IS NOT NULL AND ({on_clock(form.zone, 'told')}) IS NULL"
        )[0][0]
        if skipped:
            found.append(
                f"{skipped} time{'s' * (skipped > 1)} in `{column}` of `{file}` stand{'s' * (skipped == 1)} in an hour "
                f"that clocks of {form.zone} skip in spring: does this system change its clock?"
            )
    return found
