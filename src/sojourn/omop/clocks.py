"""Times as clocks on the wall told them: an hour that autumn has twice, and one that spring skips.

The engine reads a time that was told twice as the second of the two. The macros say the rest: whether a clock told a
time at all, and which instant the first of two was.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.omop.identifiers import literal

# `timezone` reads a wall time as an instant and an instant as a wall time. A day before a time that was told twice
# the clock still had its earlier offset: read so, the time is another instant, or none that the clock told.
MACROS = (
    "CREATE TEMP MACRO on_clock(zone, told) AS CASE WHEN timezone(zone, timezone(zone, told)) = told THEN told END",
    "CREATE TEMP MACRO by_offset_before(zone, told) AS timezone(zone, told) - "
    "(timezone(zone, timezone(zone, told) - INTERVAL 24 HOUR) + INTERVAL 24 HOUR - told)",
    "CREATE TEMP MACRO first_instant(zone, told) AS CASE WHEN timezone(zone, by_offset_before(zone, told)) = told "
    "THEN by_offset_before(zone, told) ELSE timezone(zone, told) END",
)
_FIXED = ("UTC", "GMT", "UCT", "Zulu", "Universal", "Greenwich")


@dataclass(frozen=True)
class Moment:
    """SQL of one time of a row. value: by the clock of the plan. read: as the file has it, of this zone; an instant
    where the file tells offsets, and then zone is empty.
    """

    value: str
    read: str
    zone: str

    @property
    def first(self) -> str:
        """The earliest instant that it can be."""
        return f"first_instant({literal(self.zone)}, {self.read})" if self.zone else self.read

    @property
    def last(self) -> str:
        """The latest instant that it can be: what `value` is made of."""
        return f"timezone({literal(self.zone)}, {self.read})" if self.zone else self.read


def on_clock(zone: str, read: str) -> str:
    """SQL of a time by a zone's clock; empty where the clock skipped it."""
    return read if zone in _FIXED or zone.startswith("Etc/") else f"on_clock({literal(zone)}, {read})"


def in_order(start: Moment, end: Moment) -> str:
    """SQL that is false where no reading of both times puts the end at the start or after it."""
    judged = f"{end.last} >= {start.first}"
    if start.zone and start.zone == end.zone:  # by one clock it takes a time told twice to go backwards
        return f"CASE WHEN {end.read} >= {start.read} THEN TRUE ELSE {judged} END"
    return judged


def start_before(start: Moment, end: Moment, zone: str) -> str:
    """SQL of the start by the clock of `zone`: the first of two instants where the second is after the end."""
    if not start.zone or start.zone == zone:  # an instant, or the same on the clock whichever of the two it is
        return start.value
    first = f"timezone({literal(zone)}, {start.first})"
    return f"CASE WHEN {end.last} < {start.last} THEN {first} ELSE {start.value} END"
