"""The operators' log: lines that parse, fixed fields, and nothing else, whatever it is given."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sojourn as sj
from sojourn.errors import AuditError
from sojourn.operations.logs import FIELDS, FIXED, SILENT, error_fields, open_log
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

NUMBER, LEVEL, TITLE, COLUMN, WORDS = 8_675_309.25, "Kestrelheim", "Wagtail and Wren", "plumage", "Heron spoke"
CANARIES = (str(NUMBER), "8675309", LEVEL, "Wagtail", COLUMN, "Heron")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Every line, after the checks that hold for each."""
    found = [json.loads(line, parse_constant=pytest.fail) for line in stream.getvalue().splitlines()]
    for line in found:
        assert list(line)[: len(FIXED)] == list(FIXED)
        assert set(line) <= {*FIXED, *FIELDS}
    return found


@given(
    fields=st.dictionaries(
        st.sampled_from(sorted(FIELDS)) | st.text(max_size=8).filter(lambda name: name not in ("event", "self")),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()) | st.binary(),
    )
)
def test_a_line_is_one_line_of_known_plain_fields(fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    open_log("hub", stream=stream).info("study.completed", **fields)
    [line] = lines(stream)
    assert (line["level"], line["event"], line["program"]) == ("info", "study.completed", "hub")
    for name in set(line) - set(FIXED):
        assert not isinstance(line[name], str) or len(line[name]) <= 120


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_has_no_field_is_left_out(form: Any) -> None:
    stream = io.StringIO()
    open_log("node", form, stream=stream).warning(
        "x", title=TITLE, value=NUMBER, site="Avon", reason=f"because\n{LEVEL}"
    )
    said = stream.getvalue()
    assert "Avon" in said and "program" in said and said.count("\n") == 1
    assert not any(canary in said for canary in CANARIES)


def test_levels_leave_out_what_is_less_important() -> None:
    stream = io.StringIO()
    log = open_log("hub", level="warning", stream=stream)
    log.info("a")
    log.warning("b")
    SILENT.error("c")
    assert [line["event"] for line in lines(stream)] == ["b"]


def test_a_stream_that_is_gone_harms_nobody() -> None:
    stream = io.StringIO()
    log = open_log("hub", stream=stream)
    stream.close()
    log.error("x")


def test_of_an_error_its_class_and_place_are_said() -> None:
    try:
        try:
            Plan(table=f"{LEVEL} {NUMBER}" * 50, analyses={})
        except Exception as error:
            raise AuditError(LEVEL, remedy=TITLE) from error
    except AuditError as error:
        said = error_fields(error)
    assert said["error"] == "AuditError" and said["cause"] == "PlanError"
    assert not any(canary in str(said) for canary in CANARIES)


def table() -> pd.DataFrame:
    frame = pd.DataFrame({"age": np.arange(40.0, 100.0), COLUMN: ["down", "flight"] * 30, "weight": 3.0})
    frame.loc[5, "weight"], frame.loc[5, COLUMN] = NUMBER, LEVEL
    return frame


def test_nothing_of_data_and_plans_is_in_any_line() -> None:
    stream = io.StringIO()
    with Federation({site: {"birds": table()} for site in ("Avon", "Brent")}) as federation:
        federation.hub.tell(open_log("hub", stream=stream, level="debug"))
        for node in federation.nodes.values():
            node.tell(open_log("node", stream=stream, level="debug"))
        plans = {
            "good": {"ages": sj.describe("age")},
            "refused": {"count": sj.count(by=COLUMN), "weight": sj.describe("weight", by=COLUMN)},
            "failing": {"model": sj.glm(f"weight ~ log(age) + {COLUMN}", family="binomial")},
        }
        for analyses in plans.values():
            where = f"{COLUMN} in ('down', 'flight', '{LEVEL}') and weight < {NUMBER + 1}"
            federation.run(Plan(table="birds", title=TITLE, where=where, analyses=analyses, min_sites=2))
        with pytest.MonkeyPatch.context() as patch, federation.connection().client as client:
            plant(patch, federation)
            assert client.post("/v1/studies", content=json.dumps({"title": TITLE})).status_code == 500
            assert client.get(f"/v1/studies/{LEVEL}").status_code == 403
            assert client.get(f"/{LEVEL}").status_code == 404
            federation.run(Plan(table="birds", title=TITLE, analyses={"count": sj.count()}, min_sites=2))
    found = lines(stream)
    said = {line["event"] for line in found}
    assert {"study.submitted", "study.completed", "round.refused", "release.sealed", "journal.written"} <= said
    assert {"request.failed", "request.refused", "analysis.not_combined"} <= said
    text = stream.getvalue()
    assert [canary for canary in CANARIES if canary in text] == []
    [planted] = [line for line in found if line["event"] == "request.failed"]
    assert (planted["error"], planted["route"]) == ("ValueError", "/v1/studies")
    ends = [line for line in found if line["event"] == "study.completed"]
    assert ends and all(line["seconds"] > 0 and line["study"] for line in ends)


def plant(patch: pytest.MonkeyPatch, federation: Federation) -> None:
    """Errors whose texts hold what they must not: once in a request, then while an analysis is combined."""
    honest = federation.hub.submit

    def failing(document: Any, key: Any) -> Any:
        if "title" in document:
            raise ValueError(f"{document} {LEVEL} {NUMBER}")
        return honest(document, key)

    def uncombined(*_: Any) -> Any:
        raise KeyError(WORDS)

    patch.setattr(federation.hub, "submit", failing)
    patch.setattr("sojourn.hub.studies.drive", uncombined)


TAKEN_OVER = f"""
import logging, threading, warnings, sys
from sojourn.operations.logs import open_log, take_over
take_over(open_log("hub"))
def die():
    raise ValueError("{LEVEL}")
thread = threading.Thread(target=die)
thread.start()
thread.join()
logging.getLogger("uvicorn.error").error("{LEVEL} %s", "{TITLE}")
try:
    die()
except ValueError:
    logging.getLogger("asyncio").exception("{LEVEL}")
warnings.warn("{LEVEL}")
class Lost:
    def __del__(self):
        raise KeyError("{LEVEL}")
Lost()
"""


def test_what_libraries_and_dying_threads_say_goes_through_the_log() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", TAKEN_OVER], capture_output=True, text=True, check=True
    )
    found = lines(io.StringIO(done.stderr))
    assert [line["event"] for line in found] == ["thread.died", *["library.said"] * 3, "error.ignored"]
    assert [line.get("error", "") for line in found] == ["ValueError", "", "ValueError", "", "KeyError"]
    assert LEVEL not in done.stderr and "Wagtail" not in done.stderr
    assert found[1]["logger"] == "uvicorn.error" and done.stdout == ""
