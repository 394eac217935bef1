"""Sites against one another: a federation of two, sites that are nobody's, old requests, a node out of a backup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile import Hospital, HostileHub, Study
from recorded import Figures
from restorable import Restorable, until

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Suppressed
from sojourn.disclosure.gate import Policy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import SiteRefused
from sojourn.identity.envelope import Envelope, admit
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Task
from sojourn.node import polling
from sojourn.node.dictionary import Dictionary
from sojourn.study.plan import Plan
from sojourn.testbed import NAME, Federation, derive

PERSONS, RARE = 120, 4


def ward(seed: int, rare: int = RARE) -> pd.DataFrame:
    """One row a person; `rare` persons have the rare disease."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"age": random.integers(30, 80, PERSONS).astype(float)})
    table["disease"] = np.where(np.arange(PERSONS) < rare, "rare", np.where(random.random(PERSONS) < 0.5, "a", "b"))
    table["sex"] = np.where(random.random(PERSONS) < 0.5, "f", "m")
    return table


def asked(by: str) -> Plan:
    return Plan(table="ward", analyses={"n": sj.count(by=by)}, min_sites=1)


class TestFederationOfTwo:
    """Each of two sites knows its own part and subtracts it from the sum."""

    @staticmethod
    def rest(rules: Policy | None, by: str, level: str) -> int | None:
        """The other site's cell as the sum less one's own; None where the sum is not shown."""
        mine, theirs = ward(1, rare=30), ward(2)
        with Federation({"mine": {"ward": mine}, "theirs": {"ward": theirs}}, rules=rules) as two:
            total = two.run(asked(by))["n"].table["n"][level]
        return None if isinstance(total, Suppressed) else int(total) - int((mine[by] == level).sum())

    def test_the_sum_less_ones_own(self, figures: Figures) -> None:
        assert self.rest(UnsafeReleaseAll(), "disease", "rare") == RARE
        assert self.rest(None, "disease", "rare") is None
        assert self.rest(None, "sex", "f") == int((ward(2)["sex"] == "f").sum()) >= 10
        figures(
            "D13",
            "a site of two subtracts itself from the sum of a rare level",
            without=f"{RARE} persons, exact",
            with_defence="hidden: every rule holds at each site, not for the sum",
            mark="no count below T",
            benign="a common level's sum is released (and with it, as the page on clear plans says, the other's count)",
        )


class TestSitesThatAreNobody:
    """The hub fills the roster with sites of its own, so that a single hospital's numbers are the federation's."""

    STRANGERS = 3

    @pytest.fixture
    def table(self, tmp_path: Path) -> tuple[Path, Dictionary]:
        path = tmp_path / "ward.parquet"
        ward(3).to_parquet(path, index=False)
        return path, derive(path, "ward", "person_id")

    def answer(self, folder: Path, table: tuple[Path, Dictionary], by: str, policy: Policy | None = None) -> Partial:
        strangers = {f"Nobody-{number}": PrivateKey.generate() for number in range(self.STRANGERS)}
        with HostileHub(folder, {"Cleveland": table}, policy=policy) as hub:
            study = hub.study(Plan(table="ward", analyses={"n": sj.count(by=by)}, min_sites=1), strangers)
            _, replies = hub.round(study, "n", Ask("count"))
        assert replies["Cleveland"].partial is not None
        return replies["Cleveland"].partial

    def test_one_hospital_among_sites_of_the_hub(
        self, tmp_path: Path, table: tuple[Path, Dictionary], figures: Figures
    ) -> None:
        bare = self.answer(tmp_path / "bare", table, "disease", UnsafeReleaseAll())
        assert RARE in bare["count"].tolist()
        shown = self.answer(tmp_path / "shown", table, "disease")
        assert shown.hidden("count").sum() >= 2 and not shown["count"][shown.hidden("count")].any()
        twin = self.answer(tmp_path / "twin", table, "sex")
        assert not twin.hidden("count").any()
        figures(
            "D17",
            f"a roster of one hospital and {self.STRANGERS} sites of the hub's own",
            without=f"{RARE} persons, exact",
            with_defence="hidden, with a second level: the hospital counts its own persons, whoever else is there",
            mark="no count below T",
            benign="a table of common levels is released",
        )


class TestReplay:
    """An old request again, whole or in part."""

    @pytest.fixture
    def hub(self, tmp_path: Path) -> Iterator[HostileHub]:
        path = tmp_path / "ward.parquet"
        ward(4).to_parquet(path, index=False)
        with HostileHub(tmp_path / "hub", {"Cleveland": (path, derive(path, "ward", "person_id"))}) as hub:
            yield hub

    @staticmethod
    def forgetful(hospital: Hospital, study: Study) -> bool:
        """Whether a node without a memory of nonces would admit the request."""
        node = hospital.node
        request = admit(
            Envelope.from_dict(study.envelope),
            approved=node.store.approved(),
            site=hospital.site,
            own_key=node.key.public,
            now=study.request.issued,
            seen=lambda nonce: False,
            policy_version=node.policy.version,
            least_sites=1,
            plan_hash=lambda document: Plan.from_dict(document).hash,
        )
        return request.study == study.request.study

    def test_requests_that_were_used(self, hub: HostileHub, figures: Figures) -> None:
        hospital = hub.sites["Cleveland"]
        first = hub.study(asked("sex"))
        assert not hub.ask(first, "Cleveland", hub.task(first, "n", Ask("count"))).reason
        hospital.runner.end(first.request.study, "done")
        assert self.forgetful(hospital, first)
        again = hub.ask(first, "Cleveland", hub.task(first, "n", Ask("count", {"x": np.zeros(1)})))
        assert again.reason == "cancelled"
        twice = hub.study(asked("sex"), nonce=first.request.nonce)
        assert hub.ask(twice, "Cleveland", hub.task(twice, "n", Ask("count"))).reason == "replayed"
        past = hub.study(asked("sex"), issued=first.request.issued - 7200, expires=first.request.issued - 3600)
        assert hub.ask(past, "Cleveland", hub.task(past, "n", Ask("count"))).reason == "expired"
        fresh = hub.study(asked("sex"))
        assert not hub.ask(fresh, "Cleveland", hub.task(fresh, "n", Ask("count"))).reason
        figures(
            "A24",
            "a used request, a used nonce in a new request, an expired request",
            without="admitted: its signature holds for ever",
            with_defence="3 of 3 refused: cancelled, replayed, expired",
            mark="100 % refused",
            benign="the same question in a fresh request is answered",
        )


class TestNodeOutOfABackup:
    """An older copy of a node has forgotten what it released; the hub's log has not."""

    def test_a_restored_node_and_a_used_request(self, monkeypatch: pytest.MonkeyPatch, figures: Figures) -> None:
        monkeypatch.setattr(polling, "LONGEST_POLL", 0.3)
        with Restorable({"Cleveland": {"ward": ward(5)}}) as one:
            node = one.nodes["Cleveland"]
            one.run(asked("sex"))
            old = one.backup(node)
            run = one.project().submit(asked("sex").replace(purpose="HMB"))
            run.wait(30)
            [(analysis, digest)] = one.hub.store.asks_of(run.study)
            task = one.hub.studies._task_of(run.study, analysis, digest)
            until("acknowledged", lambda: not node.store.unacknowledged())
            node = one.restore_node("Cleveland", old)
            assert node.store.run(run.study) is None  # its own store would admit the request once more
            until("it knows", lambda: node.witnessing.behind(NAME))
            until("the hub suspects", lambda: [view.suspended for view in one.hub.site_views()] == ["log"])
            one.hub.accept_log("Cleveland", "restored")
            node.recover()
            assert self.refused(node, task) == "cancelled"
            assert one.run(asked("sex"))["n"].table["n"].notna().all()
        figures(
            "A24",
            "a node restored from a backup is sent a request that it had answered since",
            without="its store alone does not know the request",
            with_defence="runs nothing until it recalled its releases from the hub's log; then refused: cancelled",
            mark="old nonces refused",
            benign="a new study is answered after the recovery",
        )

    @staticmethod
    def refused(node, task: Task) -> str:
        with pytest.raises(SiteRefused) as refusal:
            node.runner.admission.run(task, node.clock())
        return refusal.value.reason
