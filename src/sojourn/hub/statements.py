"""The hub's statements of every round, made once: making one takes longer than SQLite takes to answer it."""

from __future__ import annotations

from sqlalchemy import BindParameter, bindparam, func, insert, select, update

from sojourn.hub.tables import asks, events, members, results, sites, studies, tasks
from sojourn.study.lifecycle import SITE as SITE_LIFE
from sojourn.study.lifecycle import STUDY as STUDY_LIFE

LIVE = tuple(state for state in STUDY_LIFE.states if state not in STUDY_LIFE.terminal)
CONTRIBUTED = SITE_LIFE.move("working", "contribute")
WITHHELD = SITE_LIFE.move("waiting", "withhold")
GIVEN_UP = SITE_LIFE.move("waiting", "give up")
SILENT = (WITHHELD, GIVEN_UP)

STUDY: BindParameter[str] = bindparam("of_study")
SITE: BindParameter[str] = bindparam("of_site")
ASK: BindParameter[str] = bindparam("of_ask")
STUDY_ROW = select(studies).where(studies.c.id == STUDY)
SITE_ROW = select(sites).where(sites.c.name == SITE)
SITE_KEY = select(sites.c.key).where(sites.c.name == SITE)
IS_MEMBER = select(members.c.key).where(members.c.project == bindparam("of_project"), members.c.key == bindparam("of"))
IS_RESEARCHER = select(members.c.key).where(members.c.key == bindparam("of")).limit(1)
STATES = select(studies.c.id, studies.c.state).where(
    studies.c.id.in_(bindparam("found", expanding=True))
    | studies.c.id.in_(
        select(tasks.c.study).where(tasks.c.site == SITE, tasks.c.ask.in_(bindparam("asked", expanding=True)))
    )
)
OF_ASK = (tasks.c.study == STUDY, tasks.c.analysis == bindparam("of_analysis"), tasks.c.ask == ASK)
OF_TASK = (*OF_ASK, tasks.c.site == SITE)
TASK_ROW = select(tasks).where(*OF_TASK)
TASK_ROWS = select(tasks).where(tasks.c.study == STUDY).order_by(tasks.c.round, tasks.c.site)
ASKED = select(asks.c.digest).where(
    asks.c.study == STUDY, asks.c.analysis == bindparam("of_analysis"), asks.c.digest == ASK
)
STATE = select(studies.c.state).where(studies.c.id == STUDY)
SILENT_SITES = select(tasks.c.site).where(
    tasks.c.study == STUDY, tasks.c.analysis == bindparam("of_analysis"), tasks.c.state.in_(SILENT)
)
TASK_SITES = select(tasks.c.site).where(*OF_ASK)
TASK_WAITS = select(tasks.c.site).where(*OF_ASK, tasks.c.state == SITE_LIFE.initial).limit(1)
ADD_TASK = insert(tasks)
SETTLE = update(tasks).where(
    *OF_TASK,
    tasks.c.state == SITE_LIFE.initial,
    select(studies.c.id).where(studies.c.id == STUDY, studies.c.state.in_(LIVE)).exists(),
)
NOTE_REVIEW = (
    update(tasks)
    .where(*OF_TASK, tasks.c.state == SITE_LIFE.initial, tasks.c.review.is_(None))
    .values(review=bindparam("since"))
)
UNTOLD = select(tasks).where(
    tasks.c.site == SITE,
    tasks.c.ask.in_(bindparam("asked", expanding=True)),
    tasks.c.state == SITE_LIFE.initial,
    tasks.c.review.is_(None),
)
WAITING_IN = select(tasks).where(tasks.c.study == STUDY, tasks.c.state == SITE_LIFE.initial)
WAITING_OF = (
    select(tasks.c.study, tasks.c.analysis, tasks.c.ask)
    .join(studies, studies.c.id == tasks.c.study)
    .where(tasks.c.site == SITE, tasks.c.state == SITE_LIFE.initial, studies.c.state.in_(LIVE))
    .order_by(tasks.c.dispatched)
)
LIVE_ROWS = select(studies).where(studies.c.state.in_(LIVE))
ASKS = select(asks).where(asks.c.study == STUDY)
ADD_ASK = insert(asks)
START = (
    update(studies)
    .where(studies.c.id == STUDY, studies.c.state == STUDY_LIFE.initial)
    .values(state=STUDY_LIFE.move(STUDY_LIFE.initial, "start"))
)
CONCLUDED = select(results.c.analysis).where(results.c.study == STUDY)
EVENTS = select(events.c.document).where(events.c.study == STUDY, events.c.number >= bindparam("since"))
EVENTS = EVENTS.order_by(events.c.number)
LAST_EVENT = select(func.max(events.c.number)).where(events.c.study == STUDY)
ADD_EVENT = insert(events)
