"""The way out of an overlap: lists of points, each sealed to one site, and numbers of pairs that passed the joint test.

Of a snapshot and a partner there is one list, compared with one list of the partner, for ever: in whatever study and
project it is asked again, the same bytes are made, from which the same number comes. So a partner that sends in turn
what it likes gets one number of each snapshot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray
from pyroaring import BitMap
from sqlalchemy import Connection

from sojourn.analysis.statistic import Ask
from sojourn.disclosure.masked_gate import MaskedRelease, matched, shares
from sojourn.errors import DisclosureRefused, SiteRefused, SojournError
from sojourn.node.dataset import load_snapshot
from sojourn.node.decisions import Place, sealed
from sojourn.node.joint_part import JointPart, demands_of
from sojourn.node.linkage import LINKAGE, linked
from sojourn.node.masked_airlock import Evidence, MaskedAirlock
from sojourn.node.overlap_store import Listed, OverlapStore, keep, receive
from sojourn.secrecy.exchange import open_with, seal_to
from sojourn.secrecy.intersection import MADE_UP, blinded, doubled, made_up, matches, pseudonyms
from sojourn.secrecy.joint import MOST
from sojourn.study.circle import Circle
from sojourn.study.joint_rounds import masked_of
from sojourn.study.masked import MaskedReplay, history
from sojourn.study.overlapping import BLIND, DOUBLE, TELL, TERMS, Overlapping, OverlapReplay, Pair, Terms
from sojourn.study.transcript import Round


@dataclass(frozen=True)
class Persons:
    """Who is put in: their numbers, and the hashes of their identifiers."""

    numbers: BitMap
    hashes: set[bytes]


@dataclass(frozen=True)
class Said:
    """What is said in a round. withheld: why this site put in nobody at all; notes: why not for one partner.

    charged: the partners for whom persons were put in for the first time.
    """

    told: dict[str, Any] = field(default_factory=dict)
    sealed: dict[str, bytes] = field(default_factory=dict)
    withheld: str = ""
    notes: tuple[str, ...] = ()
    charged: tuple[str, ...] = ()
    also: Callable[[Connection], None] | None = None


class OverlapAirlock(MaskedAirlock):
    """The way of overlaps, beside that of sums, whose manners it has."""

    def answer(self, place: Place, told: OverlapReplay, rounds: list[Round], evidence: Evidence, now: float) -> None:
        """Store this site's sealed answer to what is asked now. SiteRefused("joint test") where another site's list
        is none, or not the one that it sent before under the same name.
        """
        with self.airlock.ledgers.lock(place.run.dataset):
            self._found(place, told.matching, rounds, evidence, now)()

    def answered(
        self, place: Place, told: OverlapReplay, rounds: list[Round], evidence: Evidence, now: float
    ) -> Callable[[float], None]:
        """The same for an answer that leaves later: what this gives stores it. Where a list, or an agreement, came or
        went meanwhile, it is found once more.
        """
        with self.airlock.ledgers.lock(place.run.dataset):
            known, store = self._known_lists(place), self._found(place, told.matching, rounds, evidence, now)

        def leave(now: float) -> None:
            with self.airlock.ledgers.lock(place.run.dataset):
                if known == self._known_lists(place):
                    store()
                else:
                    self._found(place, told.matching, rounds, evidence, now)()

        return leave

    @staticmethod
    def opens(told: OverlapReplay) -> bool:
        """Whether the answer to what is asked now rests on records: a list of persons, or how many these are."""
        return told.matching.ask.step in (BLIND, told.matching.share)

    def _known_lists(self, place: Place) -> object:
        """All that an answer knows of other studies."""
        store, dataset = self._store, place.run.dataset
        return store.restored(dataset), [(site, store.lists(dataset, site)) for site in self._partners(place)]

    def _found(
        self, place: Place, matching: Overlapping, rounds: list[Round], evidence: Evidence, now: float
    ) -> Callable[[], object]:
        assert place.run.circle is not None
        ask, circle, before = matching.ask, place.run.circle, history(rounds)
        said = self._said(place, matching, ask, rounds, evidence, now)
        release = self._release(place, matching, ask, said, circle, before)
        row = self.airlock.decision(place, now) | sealed(place, release, self.airlock.key, self.airlock.site)
        row |= {"note": "; ".join(said.notes), "withheld": said.withheld}
        row |= {"numbers": len(release.told.get("added", {}))}
        facts = {
            **{"analysis": place.analysis, "round": place.round, "ask": place.ask, "release": release.digest()},
            **{"roster": circle.hash, "transcript": before},
        }
        entries = [self._entry("release.sealed", place, facts)]
        if said.charged:
            counted = {"analysis": place.analysis, "sets": len(said.charged), "partners": list(said.charged)}
            entries.insert(0, self._entry("ledger.charged", place, counted))
        return lambda: self.airlock.store.seal(row, entries, (), place.run.dataset, also=said.also)

    def _release(
        self, place: Place, matching: Overlapping, ask: Ask, said: Said, circle: Circle, before: str
    ) -> MaskedRelease:
        header, policy = self._header(place, circle, before), self._policy(place)
        if ask.step == TELL:
            return matched(policy, header, [str(number) for number in matching.told_pairs()], said.told)
        return shares(policy, header, said.told, said.sealed)

    def _said(
        self, place: Place, matching: Overlapping, ask: Ask, rounds: list[Round], evidence: Evidence, now: float
    ) -> Said:
        match ask.step:
            case step if step == TERMS:
                return Said(self._terms(place).to_dict())
            case step if step == BLIND:
                return self._blinded(place, matching, evidence, now)
            case step if step == DOUBLE:
                return self._doubled(place, matching, rounds)
            case step if step == TELL:
                return Said(self._told(place, matching, rounds))

        def numbers() -> NDArray[np.int64]:
            return self._put_in(place, matching, rounds, evidence)

        told, bundles = JointPart(self.masking, place, matching, rounds, [], numbers).of(ask)
        return Said(told, bundles)

    def _terms(self, place: Place) -> Terms:
        """What is said openly: settings, whatever this site has or may give."""
        table, run = place.run.plan.table, place.run
        demands = demands_of(self.masking.policy, table)
        row = self.airlock.store.dataset(table)
        linkage = "" if row is None else str(json.loads(row["dictionary"]).get("linkage", ""))
        snapshot = run.snapshot or ("" if row is None else str(row["snapshot"]))
        if run.snapshot and not run.request.rehearsal:
            linkage = load_snapshot(self.masking.home.folder, run.dataset, run.snapshot).dictionary.linkage
        words = ["sojourn-overlap-list-v1", self._site, self.masking.exchange.public, snapshot]
        named, partners = hashlib.sha256(rfc8785.dumps(words)).hexdigest(), self._partners(place)
        known = {site: self._store.lists(run.dataset, site) for site in partners}
        met = {site: one.theirs for site, lists in known.items() for one in lists if one.own == named}
        return Terms(demands, linkage, partners, named, met)

    @property
    def _site(self) -> str:
        return self.airlock.site

    def _partners(self, place: Place) -> tuple[str, ...]:
        """The sites of this study that the custodian agreed on."""
        agreed = self.masking.home.overlaps.get(place.run.plan.table, ())
        return tuple(sorted(set(agreed) & set(place.run.request.roster) - {self._site}))

    # ---- lists

    def _blinded(self, place: Place, matching: Overlapping, evidence: Evidence, now: float) -> Said:
        """A list for each partner: of this site's persons, or of nobody, which looks the same."""
        persons, why = self._persons(place, matching, evidence)
        bundles: dict[str, bytes] = {}
        notes: list[str] = [f"takes part with nobody: {why}"] if why else []
        lists: list[Listed] = []
        charged: list[str] = []
        for _, pair in matching.pairs_with(self._site):
            partner = pair.other(self._site)
            reason = why or self._objection(place, matching, partner, persons.numbers)
            if reason and not why:
                notes.append(f"nobody for {partner}: {reason}")
            put_in = persons if not reason else Persons(BitMap(), set())
            bundles[partner] = self._sealed(place, partner, self._list(place, pair, put_in.hashes, matching.size))
            known = self._known(place, matching, partner)
            if known is None or (put_in.numbers and not known.persons):
                lists.append(self._listed(place, matching, partner, put_in.numbers))
                charged += [partner] if put_in.numbers else []
        also = keep(lists, place.run.request.study, now) if lists and not place.run.request.rehearsal else None
        return Said({}, bundles, why, tuple(notes), tuple(charged), also)

    def _persons(self, place: Place, matching: Overlapping, evidence: Evidence) -> tuple[Persons, str]:
        """Whom this site puts in; nobody, and why, where it may not, or cannot."""
        why = self._withheld(place)
        if not why and self.exhausted():
            why = "attempts"
        found = None
        if not why:
            found, why = self._tried(lambda: self._own_persons(place, matching, evidence))
        return found or Persons(BitMap(), set()), why

    def _own_persons(self, place: Place, matching: Overlapping, evidence: Evidence) -> Persons:
        run = place.run
        if run.request.rehearsal:
            raise SiteRefused("no stand-in")  # a stand-in's persons are nobody's
        numbers = evidence.support(place.analysis).population
        if len(numbers) > matching.size - MADE_UP:
            raise DisclosureRefused("capacity")
        home = self.masking.home.folder
        path = load_snapshot(home, run.dataset, run.snapshot).path.with_suffix(LINKAGE)
        return Persons(numbers, linked(path, home, numbers))

    def _list(self, place: Place, pair: Pair, hashes: set[bytes], size: int) -> bytes:
        assert place.run.circle is not None
        own, public = self.masking.exchange, place.run.circle.exchange(pair.other(self._site))
        persons = pseudonyms(hashes, own, public, pair.place) | made_up(own, public, pair.place)
        return blinded(persons, own, pair.place, size)

    def _objection(self, place: Place, matching: Overlapping, partner: str, persons: BitMap) -> str:
        """Why nobody is put in for a partner: no agreement any more, or another list or set of persons too near."""
        if partner not in self._partners(place):
            return "no agreement"
        if self._store.restored(place.run.dataset):
            return "differencing"
        own, theirs = matching.terms[self._site].list, matching.terms[partner].list
        for before in self._store.lists(place.run.dataset, partner):
            if not before.persons:
                continue
            if before.own == own and (before.theirs, before.persons) != (theirs, persons):
                return "differencing"
            if before.own != own and not _apart(before.persons, persons, matching.threshold):
                return "differencing"
        return ""

    def _doubled(self, place: Place, matching: Overlapping, rounds: list[Round]) -> Said:
        """The partners' lists, sent on to those who compare."""
        bundles: dict[str, bytes] = {}
        came: list[Listed] = []
        for third in sorted({pair.third for _, pair in matching.pairs_with(self._site)}):
            bundle = b""
            for _, pair in matching.doubled_at(self._site, third):
                partner = pair.other(self._site)
                received = self._opened(place, rounds[-1], partner)
                try:
                    bundle += doubled(received, self.masking.exchange, pair.place, matching.size)
                except ValueError as error:
                    raise SiteRefused("joint test") from error
                came.append(self._received(place, matching, partner, received))
            bundles[third] = self._sealed(place, third, bundle)
        return Said({}, bundles, also=receive(came))

    def _received(self, place: Place, matching: Overlapping, partner: str, points: bytes) -> Listed:
        """SiteRefused where it is another list than the one that came before under the same name."""
        name, known = hashlib.sha256(points).hexdigest(), self._known(place, matching, partner)
        if known is not None and known.received not in ("", name):
            raise SiteRefused("joint test")
        return replace(known or self._listed(place, matching, partner, BitMap()), received=name)

    def _known(self, place: Place, matching: Overlapping, partner: str) -> Listed | None:
        """The list of these two names, where one was put in before."""
        named = (matching.terms[self._site].list, matching.terms[partner].list)
        lists = self._store.lists(place.run.dataset, partner)
        return next((one for one in lists if (one.own, one.theirs) == named), None)

    def _listed(self, place: Place, matching: Overlapping, partner: str, persons: BitMap) -> Listed:
        own, theirs = matching.terms[self._site].list, matching.terms[partner].list
        return Listed(place.run.dataset, partner, own, theirs, persons)

    @property
    def _store(self) -> OverlapStore:
        return OverlapStore(self.airlock.store)

    # ---- numbers

    def _put_in(
        self, place: Place, matching: Overlapping, rounds: list[Round], evidence: Evidence
    ) -> NDArray[np.int64]:
        """What this site puts into the joint test; see `overlapping.counting`."""
        numbers = np.zeros(len(matching.pairs) + 1, dtype=np.int64)
        for number, pair in enumerate(matching.pairs):
            if pair.third == self._site:
                numbers[number] = self._matches(place, matching, rounds, number)
            elif self._site in pair.sites:
                numbers[number] = self._added(place, pair)
        persons, _ = self._persons(place, matching, evidence) if matching.pairs_with(self._site) else (None, "")
        numbers[-1] = 0 if persons is None else min(len(persons.numbers), MOST)
        return numbers

    def _told(self, place: Place, matching: Overlapping, rounds: list[Round]) -> dict[str, dict[str, int]]:
        """Of the pairs that passed what this site knows: its matches where it compared, its made-up persons."""
        told = [(number, matching.pairs[number]) for number in matching.told_pairs()]
        compared = [number for number, pair in told if pair.third == self._site]
        found = {str(number): self._matches(place, matching, rounds, number) for number in compared}
        added = {str(number): self._added(place, pair) for number, pair in told if self._site in pair.sites}
        return {"matches": found, "added": added}

    def _added(self, place: Place, pair: Pair) -> int:
        assert place.run.circle is not None
        public = place.run.circle.exchange(pair.other(self._site))
        return len(made_up(self.masking.exchange, public, pair.place))

    def _matches(self, place: Place, matching: Overlapping, rounds: list[Round], number: int) -> int:
        """What two lists, each sent on by the other site, have in common."""
        pair = matching.pairs[number]
        [sent] = [past for past in rounds if past.ask.step == DOUBLE]
        try:
            lists = [matching.part(self._opened(place, sent, site), site, self._site, number) for site in pair.sites]
            return matches(lists[0], lists[1], matching.size)
        except ValueError as error:
            raise SiteRefused("joint test") from error

    # ---- sealing

    def _sealed(self, place: Place, to: str, points: bytes) -> bytes:
        assert place.run.circle is not None
        return seal_to(place.run.circle.exchange(to), points, self._info(place, place.ask, self._site, to))

    def _opened(self, place: Place, past: Round, sender: str) -> bytes:
        """What a site sealed to this one in a round; SiteRefused("joint test") where there is nothing, or not so."""
        release = masked_of(past)[sender]
        try:
            info = self._info(place, past.digest, sender, self._site)
            return open_with(self.masking.exchange, release.sealed[self._site], info)
        except (KeyError, SojournError) as error:
            raise SiteRefused("joint test") from error

    def _info(self, place: Place, ask: str, sender: str, receiver: str) -> bytes:
        words: list[Any] = ["sojourn overlap list", 1, place.run.request.study, place.analysis, ask, sender, receiver]
        return rfc8785.dumps(words)


def _apart(before: BitMap, now: BitMap, threshold: int) -> bool:
    """Whether those who left and those who came are many, or none; and there are any."""
    left, came = before.difference_cardinality(now), now.difference_cardinality(before)
    return left + came > 0 and all(number == 0 or number >= threshold for number in (left, came))


def leaving(
    way: MaskedAirlock,
    paced: bool,
    place: Place,
    told: MaskedReplay | OverlapReplay,
    rounds: list[Round],
    evidence: Evidence,
    now: float,
) -> Callable[[float], None] | None:
    """Store an answer of a masked plan at once; of one that rests on records, where they leave at a pace, what stores
    it at its time.
    """
    if isinstance(told, OverlapReplay):
        lists = OverlapAirlock(way.airlock, way.masking, way.journal, way.stopping, way.exhausted)
        if paced and lists.opens(told):
            return lists.answered(place, told, rounds, evidence, now)
        lists.answer(place, told, rounds, evidence, now)
    elif paced and way.reads(told):
        return way.judged(place, told, rounds, evidence, now)
    else:
        way.pass_out(place, told, rounds, evidence, now)
    return None
