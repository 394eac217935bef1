"""Attacks on sums under masks, each beside the naive scheme that it works on: colluders, reuse, the drop-out trick.

These are the functions alone; that a node answers a place once, whatever the hub says, is tested with hub and nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from recorded import Figures

from sojourn.secrecy.exchange import ExchangeKey, roster_hash
from sojourn.secrecy.masks import Place, mask_key, masked
from sojourn.secrecy.ring import Ring, add, decode, encode, from_bytes, minus, plus, to_bytes
from sojourn.secrecy.uniformity import plausible

SITES = 7
KEYS = {f"site {number}": ExchangeKey.generate() for number in range(SITES)}
TABLES = np.random.default_rng(5).integers(0, 4, size=(SITES, 200))  # two or three patients at each
ROSTER = roster_hash({site: (key.public, key.public) for site, key in KEYS.items()})
PLACE = Place("5" * 32, "table", "a" * 64, ROSTER)


def share(site: str, numbers: np.ndarray, place: Place = PLACE, among: Mapping[str, ExchangeKey] = KEYS) -> Ring:
    """What an honest site sends."""
    peers = {peer: key.public for peer, key in among.items() if peer != site}
    return masked(encode(numbers, SITES), KEYS[site], site, peers, place)


def stream(key: bytes, numbers: int) -> Ring:
    """Random numbers of one key, for the naive schemes."""
    draw = np.random.Generator(np.random.Philox(int.from_bytes(key[:16], "big")))
    return draw.integers(0, 2**64, size=(numbers, 2), dtype=np.uint64)


def stripped(ring: Ring, site: str, colluders: list[str]) -> Ring:
    """A share without the masks that colluders know, since each made them too."""
    rest = ring.copy()
    for peer in colluders:
        shared = to_bytes(masked_zeros(KEYS[peer], peer, site))
        plus(rest, from_bytes(shared))
    return rest


def masked_zeros(own: ExchangeKey, peer: str, site: str) -> Ring:
    """A colluder's side of its mask with a site: what it would send in a roster of the two."""
    return masked(encode(np.zeros(200, dtype=int), 2), own, peer, {site: KEYS[site].public}, PLACE, least=2)


def told(ring: Ring, truth: np.ndarray) -> int:
    """How many numbers of a site somebody reads off."""
    return int((ring == encode(truth, SITES)).all(axis=1).sum())


def test_a20_hub_and_colluders_learn_only_the_sum_of_the_two_others(figures: Figures) -> None:
    colluders, (one, other) = list(KEYS)[2:], list(KEYS)[:2]
    shares = {site: share(site, row) for site, row in zip(KEYS, TABLES, strict=True)}

    # Naive: each site's masks from a key that the whole federation shares, one of whom tells the hub.
    group = hashlib.sha256(b"the federation's key").digest()
    naive = encode(TABLES[0], SITES)
    plus(naive, stream(group, 200))
    minus(naive, stream(group, 200))  # by a colluder
    assert told(naive, TABLES[0]) == 200

    views = {site: stripped(shares[site], site, colluders) for site in (one, other)}
    assert told(views[one], TABLES[0]) == told(views[other], TABLES[1]) == 0
    assert all(plausible(to_bytes(view)) for view in views.values())
    assert decode(add(views.values()), np.int64).tolist() == (TABLES[0] + TABLES[1]).tolist()
    # Any other tables with this sum explain what they see as well: the mask between the two is unknown to them.
    mask = views[one].copy()
    minus(mask, encode(TABLES[0] + 1, SITES))
    again = encode(TABLES[1] - 1, SITES)
    minus(again, mask)
    assert (again == views[other]).all()

    total = decode(add(shares.values()), np.int64)
    assert total.tolist() == TABLES.sum(axis=0).tolist()
    figures(
        "A20",
        "hub and five of seven sites against the two others' tables of 200 cells",
        without="200 of 200 cells exact, under masks of a key that all share",
        with_defence="0 of 200; the sum of the two is known, as it must be, and rosters below three are refused",
        mark="only the sum of two",
        benign="the sum over all seven is exact",
    )


def test_a22_masks_are_never_used_twice(figures: Figures) -> None:
    first, second = TABLES[0], TABLES[0] + (np.arange(200) == 17)  # one patient more in one cell

    def difference(one: Ring, other: Ring) -> Ring:
        rest = other.copy()
        minus(rest, one)
        return rest

    # Naive: a key for two sites and a study, not for an ask. Each share by itself is random.
    kept = difference(share("site 0", first), share("site 0", second))
    assert all(plausible(to_bytes(share("site 0", table))) for table in (first, second))
    assert told(kept, second - first) == 200 and not plausible(to_bytes(kept))

    # Naive: seeds of 32 bits. Of 200,000 places two have the same mask, and their difference is that of the data.
    seen: dict[bytes, int] = {}
    twice = None
    for number in range(200_000):
        seed = hashlib.sha256(b"pair and place %d" % number).digest()[:4]
        if twice is None and seed in seen:
            twice = seen[seed], number
        seen[seed] = number
    assert twice is not None and twice[0] != twice[1]
    masks = [stream(hashlib.sha256(b"pair and place %d" % number).digest()[:4] * 4, 200) for number in twice]
    sent = [encode(first, SITES), encode(second, SITES)]
    for ring, mask in zip(sent, masks, strict=True):
        plus(ring, mask)
    assert all(plausible(to_bytes(ring)) for ring in sent)
    assert told(difference(*sent), second - first) == 200

    # Here: another ask, study, analysis or roster has other masks, of 256 bits.
    for place in (
        replace(PLACE, ask="c" * 64),
        replace(PLACE, study="6" * 32),
        replace(PLACE, analysis="other"),
        replace(PLACE, roster="d" * 64),
    ):
        kept = difference(share("site 0", first), share("site 0", second, place))
        assert told(kept, second - first) == 0 and plausible(to_bytes(kept))
    peer = KEYS["site 1"].public
    keys = {mask_key(KEYS["site 0"], "site 0", "site 1", peer, replace(PLACE, ask=f"{n:064x}")) for n in range(2000)}
    assert len(keys) == 2000 and {len(key) for key in keys} == {32}
    assert (share("site 0", first) == share("site 0", first)).all()
    figures(
        "A22",
        "one site's tables of two rounds, one patient apart, subtracted under their masks",
        without="the patient's cell exact, where a mask serves a study, or comes of a seed of 32 bits (after 200,000)",
        with_defence="0 of 200 cells, for another ask, study, analysis and roster: random bytes",
        mark="no difference",
        benign="the same ask again is the same bytes",
    )


def test_a23_a_drop_out_that_the_hub_invents(figures: Figures) -> None:
    shares = {site: share(site, row) for site, row in zip(KEYS, TABLES, strict=True)}
    victim, *rest = KEYS

    # Naive: survivors hand out their keys with whoever the hub says is gone, so that a sum comes out without it.
    handed = {
        peer: masked(encode(np.zeros(200, dtype=int), 2), KEYS[peer], peer, {victim: KEYS[victim].public}, PLACE, 2)
        for peer in rest
    }
    assert told(add([shares[victim], *handed.values()]), TABLES[0]) == 200

    # Here: nothing is handed out. Without the victim there is no sum; the smaller roster is another place, whose
    # shares fit with none of the first.
    gone = add(shares[site] for site in rest)
    assert told(gone, TABLES[1:].sum(axis=0)) == 0 and plausible(to_bytes(gone))
    fewer = {site: KEYS[site] for site in rest}
    place = replace(PLACE, roster=roster_hash({site: (key.public, key.public) for site, key in fewer.items()}))
    again = {site: share(site, TABLES[n + 1], place, fewer) for n, site in enumerate(rest)}
    for mixed in (
        add([shares[victim], *again.values()]),
        add([shares[rest[0]], *(again[site] for site in rest[1:])]),
    ):
        assert told(mixed, TABLES.sum(axis=0)) == told(mixed, TABLES[1:].sum(axis=0)) == 0
        assert plausible(to_bytes(mixed))
    assert decode(add(shares.values()), np.int64).tolist() == TABLES.sum(axis=0).tolist()
    figures(
        "A23",
        "the hub has a site's share and claims that it dropped out",
        without="the site's 200 cells exact, where the others hand out their masks with it",
        with_defence="0 of 200: no message takes masks away, and shares of two rosters do not mix",
        mark="no sum without the whole roster",
        benign="with all shares the sum is exact",
    )
