"""The night on which clocks go back, and the one on which they go forward: starts, ends, and hours that never were."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from sojourn.node.harmonise import running
from sojourn.omop.clocks import MACROS, Moment, in_order, on_clock, start_before

ROME = "Europe/Rome"
AUTUMN, SPRING = "31/10/2021", "28/03/2021"
# What the clock in Rome said at the start and end of a stay, and why it is kept aside, if it is.
STAYS = [
    ("a", f"{AUTUMN} 01:50", f"{AUTUMN} 02:10", None),
    ("b", f"{AUTUMN} 02:50", f"{AUTUMN} 02:10", None),  # twenty minutes, over the change
    ("c", f"{AUTUMN} 02:50", f"{AUTUMN} 01:10", "end before start"),
    ("d", f"{AUTUMN} 03:10", f"{AUTUMN} 02:50", "end before start"),
    ("e", f"{SPRING} 01:50", f"{SPRING} 02:10", "unreadable date"),  # the clock skipped it
    ("f", f"{SPRING} 01:50", f"{SPRING} 03:10", None),
    ("g", "31/07/2021 02:50", "31/07/2021 02:10", "end before start"),  # a night like others
    ("h", f"{AUTUMN} 02:10", f"{AUTUMN} 02:50", None),
]
OFFSETS = [
    ("a", "2021-10-31T02:50:00+0200", "2021-10-31T02:10:00+0100", None),
    ("b", "2021-10-31T02:10:00+0100", "2021-10-31T02:50:00+0200", "end before start"),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocabulary"))


def _clinic(
    folder: Path, warehouse: Path, stays: list[tuple[str, str, str, str | None]], zone: str, form: str
) -> Clinic:
    plan = PLAN.replace("time_zone: Europe/Rome", f"time_zone: {zone}")
    plan = plan.replace("dates:\n", f"dates:\n  time: {{{form}, answered: 'Dr Rossi, 2026-01-12'}}\n")
    plan = plan.replace("start: {date: from, form: day}\n      end: {date: [until, from], form: day}",
                        "start: {date: from, form: time}\n      end: {date: until, form: time}")  # fmt: skip
    clinic = Clinic(folder, warehouse, plan)
    rows = "".join(f"1,{stay},ward,{start},{end}\n" for stay, start, end, _ in stays)
    clinic.write({**FILES, "stays": "mrn,stay,kind,from,until\n" + rows})
    clinic.made()
    return clinic


def _aside(clinic: Clinic) -> dict[int, str]:
    return {
        record: reason for rule, record, reason in clinic.rows("quarantine", "rule, record, reason") if rule == "stays"
    }


@pytest.mark.parametrize("zone", [ROME, "UTC", "America/New_York"])
def test_a_stay_over_the_autumn_change_is_kept_by_whichever_clock_the_tables_are(
    tmp_path: Path, warehouse: Path, zone: str
) -> None:
    clinic = _clinic(tmp_path, warehouse, STAYS, zone, f'form: "%d/%m/%Y %H:%M", zone: {ROME}')
    assert _aside(clinic) == {place: reason for place, (*_, reason) in enumerate(STAYS, 1) if reason}
    found = clinic.rows("visit_occurrence", "visit_start_datetime, visit_end_datetime, visit_start_date")
    lasting = [end - start for start, end, _ in found]
    assert all(start.date() == day for start, _, day in found)
    if zone == ROME:  # the wall's own words stay
        assert (datetime(2021, 10, 31, 2, 50), datetime(2021, 10, 31, 2, 10)) in {each[:2] for each in found}
    else:
        minutes = sorted(span // timedelta(minutes=1) for span in lasting)
        assert minutes == [20, 20, 40, 80]  # b; f; h; a, whose end is read as the second 02:10


@pytest.mark.parametrize("zone", [ROME, "UTC"])
def test_offsets_that_a_file_tells_decide(tmp_path: Path, warehouse: Path, zone: str) -> None:
    clinic = _clinic(tmp_path, warehouse, OFFSETS, zone, 'form: "%Y-%m-%dT%H:%M:%S%z"')
    assert _aside(clinic) == {place: reason for place, (*_, reason) in enumerate(OFFSETS, 1) if reason}


def test_times_in_the_hour_that_was_skipped_are_asked(tmp_path: Path, warehouse: Path) -> None:
    clinic = _clinic(tmp_path, warehouse, STAYS, ROME, f'form: "%d/%m/%Y %H:%M", zone: {ROME}')
    (doubt,) = [each for each in running.pilot(clinic.work, 1.0)["doubts"] if "skip" in each]
    assert doubt.startswith("1 time in `until` of `stays` stands in an hour") and ROME in doubt and "02:10" not in doubt


ZONES = (ROME, "America/New_York", "Australia/Lord_Howe", "America/Havana", "America/Asuncion", "Pacific/Apia", "UTC")


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for macro in MACROS:
        connection.execute(macro)
    return connection


def _instants(told: datetime, zone: ZoneInfo) -> list[datetime]:
    """Every instant at which the zone's clock told this time, by Python's own zones."""
    read = {told.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(each for each in read if each.astimezone(zone).replace(tzinfo=None) == told)


def _changes(zone: ZoneInfo) -> list[datetime]:
    """Instants at which the zone's offset changes, to the hour, over a few years."""
    hours = [datetime(2009, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(4 * 366 * 24)]
    return [b for a, b in itertools.pairwise(hours) if a.astimezone(zone).utcoffset() != b.astimezone(zone).utcoffset()]


CHANGES = {zone: _changes(ZoneInfo(zone)) or [datetime(2010, 3, 28, 1, tzinfo=UTC)] for zone in ZONES}
NEAR = st.integers(-180, 180)


@given(
    st.sampled_from(ZONES).flatmap(lambda zone: st.tuples(st.just(zone), st.sampled_from(CHANGES[zone]))), NEAR, NEAR
)
def test_the_engine_reads_clocks_as_python_does(
    engine: duckdb.DuckDBPyConnection, change: tuple[str, datetime], before: int, after: int
) -> None:
    name, instant = change
    zone = ZoneInfo(name)
    wall = instant.astimezone(zone).replace(tzinfo=None)
    told = [wall + timedelta(minutes=minutes) for minutes in (before, after)]
    start, end = (Moment(f"timezone('UTC', timezone('{name}', {side}))", side, name) for side in ("s", "e"))
    found = engine.execute(
        f"SELECT {on_clock(name, 's')}, timezone('UTC', {start.first}), timezone('UTC', {start.last}), "
        f"{in_order(start, end)}, {start_before(start, end, 'UTC')}, {end.value} "
        "FROM (SELECT $1::TIMESTAMP AS s, $2::TIMESTAMP AS e)", told
    ).fetchone()  # fmt: skip
    assert found is not None
    starts, ends = (_instants(each, zone) for each in told)
    assert (found[0] is not None) == bool(starts)
    if not starts or not ends:
        return  # kept aside as unreadable
    assert [each.replace(tzinfo=UTC) for each in found[1:3]] == [starts[0], starts[-1]]
    assert found[3] == any(a <= b for a in starts for b in ends)
    if found[3]:
        begun, ended = (each.replace(tzinfo=UTC) for each in found[4:6])
        assert begun in starts and ended in ends and begun <= ended
