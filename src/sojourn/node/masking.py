"""This site's part in masked plans: its exchange key, its pins, and its numbers under masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.disclosure.policy import Policy, for_dataset
from sojourn.errors import ConfigurationError, IdentityError, SiteRefused
from sojourn.forms import site_name
from sojourn.identity.envelope import Request
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.messages import Stated
from sojourn.node.config import NodeHome
from sojourn.node.pin_store import PinStore
from sojourn.node.shown import time_shown
from sojourn.node.store import NodeStore
from sojourn.secrecy import exchange as exchange_keys
from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.masks import Place as MaskPlace
from sojourn.secrecy.masks import masked
from sojourn.secrecy.ring import Ring
from sojourn.study.circle import Circle


@dataclass(frozen=True)
class Masking:
    """The custodian's settings, the node's two keys, and whom it trusts to be a site."""

    home: NodeHome
    key: PrivateKey
    exchange: ExchangeKey
    pins: PinStore
    policy: Policy

    @classmethod
    def of(cls, home: NodeHome, key: PrivateKey, store: NodeStore, policy: Policy) -> Masking:
        """With the exchange key of the home, which is made where it is missing."""
        if not home.exchange_key.exists():
            ExchangeKey.generate().save(home.exchange_key)
        return cls(home, key, ExchangeKey.load(home.exchange_key), PinStore(store), policy)

    def setting(self, table: str) -> str:
        """Whether this site takes part. Where it rounds or perturbs what it shows of a dataset it cannot, as sums of
        masked parts are exact.
        """
        perturbs = getattr(for_dataset(self.policy, table), "perturbations", ())
        return "refused" if perturbs else self.home.masking

    def public(self, federation: str) -> dict[str, Any]:
        """What is published: settings, and the exchange key under this node's signature."""
        stated = exchange_keys.state(federation, self.home.site, self.exchange.public, self.key.sign)
        return {
            "masking": self.setting(""),
            "least_masked": self.home.least_masked,
            "exchange": {"key": stated.key, "signature": stated.signature.hex()},
        }

    def pin(self, site: str, key: str, now: float) -> dict[str, Any]:
        """Trust that this is the key of that site, as two custodians compared it."""
        if site_name(site) == self.home.site:
            raise ConfigurationError("This is this site itself.", remedy="Pin the keys of the other sites.")
        pinned = PublicKey.from_hex(key)
        facts = {"site": site, "key": pinned.id}
        self.pins.pin(site, pinned.hex, now, Entry("site.pinned", "custodian", facts=facts))
        return facts

    def shown(self) -> list[dict[str, str]]:
        """Whom this site adds with under masks, by the short names of their keys; and its own key for the others."""
        own = {"site": self.home.site, "key": self.key.public.id, "whole_key": self.key.public.hex, "pinned": "itself"}
        return [own, *({**_pin(row), "pinned": time_shown(row["pinned"])} for row in self.pins.all())]

    def circle(self, request: Request, stated: Mapping[str, Stated] | None, federation: str) -> Circle:
        """The sites of a masked request, each pinned here with the key that the researcher signed.

        SiteRefused with "minimum sites", "not pinned" or, where the hub's exchange keys do not hold, "roster".
        """
        if len(request.roster) < self.home.least_masked:
            raise SiteRefused("minimum sites")
        pinned = self.pins.keys() | {self.home.site: self.key.public.hex}
        if any(pinned.get(site) != key for site, key in request.roster.items()):
            raise SiteRefused("not pinned")
        circle = circle_of(request.roster, stated or {}, federation)
        if circle.exchange(self.home.site) != self.exchange.public:
            raise SiteRefused("roster")
        return circle

    def commitment(self, study: str, snapshot: str) -> str:
        """What a masked release says of its snapshot: the same in all rounds, and nothing to anybody else."""
        words = f"sojourn-snapshot-v1\n{study}\n{snapshot}"
        return hashlib.sha256(self.key.sign(words.encode())).hexdigest()

    def mask(self, vector: Ring, circle: Circle, place: Sequence[str], history: str) -> Ring:
        """A vector under this site's masks. place: study, analysis, ask. history: of the rounds before it."""
        study, analysis, ask = place
        bound = hashlib.sha256(f"{ask}\n{history}".encode()).hexdigest()
        where = MaskPlace(study, analysis, bound, circle.hash)
        site = self.home.site
        return masked(vector, self.exchange, site, circle.peers(site), where)


def _pin(row: RowMapping) -> dict[str, str]:
    return {"site": row["site"], "key": PublicKey.from_hex(row["key"]).id, "whole_key": row["key"]}


def circle_of(roster: Mapping[str, str], stated: Mapping[str, Stated], federation: str) -> Circle:
    """The circle of a roster and of what its sites stated; SiteRefused("roster") where that does not hold."""
    try:
        words = {
            site: exchange_keys.Stated(site, word.key, bytes.fromhex(word.signature)) for site, word in stated.items()
        }
        circle = Circle.of(roster, words, federation)
        _ = circle.hash
    except (IdentityError, ValueError) as error:
        raise SiteRefused("roster") from error
    return circle
