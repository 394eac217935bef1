"""A signed HTTP request: what any change, delay or second use does to it."""

from __future__ import annotations

import base64
import hashlib
import re
import threading

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sojourn.errors import IdentityError
from sojourn.identity.keys import PrivateKey
from sojourn.wire.requests import Nonces, RequestRefused, SignedAuth, target, verify

NOW = 1_800_000_000
NODE, STRANGER = PrivateKey.generate(), PrivateKey.generate()
KNOWN = {NODE.public.hex: NODE.public}
BODY = b'{"known": []}'
PATH = "/nodes/poll?wait=30&from=2"


def signed(method="POST", path=PATH, body=BODY, key=NODE, at=NOW, audience="federation"):
    """Method, target, headers and body as they come out of an httpx client."""
    request = httpx.Request(method, f"https://hub.example.org{path}", content=body)
    request = next(SignedAuth(key, audience=audience, clock=lambda: at).auth_flow(request))
    return request.method, request.url.raw_path.decode(), dict(request.headers), request.content


def check(message, *, now=NOW, seen=lambda nonce: False, audience="federation", known=KNOWN):
    return verify(*message, key_of=known.get, now=now, seen=seen, audience=audience)


def refusal(message, **settings):
    with pytest.raises(RequestRefused) as caught:
        check(message, **settings)
    assert isinstance(caught.value, IdentityError)
    return caught.value.reason


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", PATH, BODY), ("GET", "/studies", b""), ("GET", "/a%20b/c?x=%2F", b""), ("DELETE", "/x/", b"\0\xff")],
)
def test_signed_request_names_its_key(method, path, body):
    assert check(signed(method, path, body)) == NODE.public


def test_signature_base_is_as_rfc_9421_writes_it():
    """Built here by hand from sections 2 and 2.5 of the RFC, without the library."""
    _, _, headers, body = signed()
    label, _, parameters = headers["signature-input"].partition("=")
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    base = "\n".join(
        [
            '"@method": POST',
            '"@path": /nodes/poll',
            '"@query": ?wait=30&from=2',
            f'"content-digest": sha-256=:{digest}:',
            f'"@signature-params": {parameters}',
        ]
    )
    match = re.fullmatch(rf"{label}=:([A-Za-z0-9+/=]+):", headers["signature"])
    assert NODE.public.verify(base64.b64decode(match[1]), base.encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda method, path, headers, body: ("PUT", path, headers, body),
        lambda method, path, headers, body: ("post", path, headers, body),
        lambda method, path, headers, body: (method, path.replace("poll", "join"), headers, body),
        lambda method, path, headers, body: (method, path.replace("poll", "p%6Fll"), headers, body),
        lambda method, path, headers, body: (method, path.replace("/nodes", "//nodes"), headers, body),
        lambda method, path, headers, body: (method, path.replace("30", "31"), headers, body),
        lambda method, path, headers, body: (method, path.replace("wait=30&from=2", "from=2&wait=30"), headers, body),
        lambda method, path, headers, body: (method, path.partition("?")[0], headers, body),
        lambda method, path, headers, body: (method, path + "#x", headers, body),
        lambda method, path, headers, body: (method, path + " HTTP/1.1", headers, body),
        lambda method, path, headers, body: (method, path[1:], headers, body),
        lambda method, path, headers, body: (method, "@evil.example" + path, headers, body),
        lambda method, path, headers, body: (method, path, headers, body + b" "),
        lambda method, path, headers, body: (method, path, headers, b""),
    ],
)
def test_changed_method_path_query_or_body_is_refused(change):
    assert refusal(change(*signed())) == "signature"


@pytest.mark.parametrize("header", ["content-digest", "signature-input", "signature"])
@given(data=st.data())
def test_any_changed_character_of_a_signature_header_is_refused(header, data):
    method, path, headers, body = signed()
    text = headers[header]
    index = data.draw(st.integers(0, len(text) - 1))
    changed = text[:index] + data.draw(st.characters(min_codepoint=32, max_codepoint=126)) + text[index + 1 :]
    assume(changed != text)
    assert refusal((method, path, {**headers, header: changed}, body)) in {"signature", "unknown key"}


def test_second_way_to_write_the_same_signature_is_refused():
    method, path, headers, body = signed()
    last = headers["signature"][-4]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = headers["signature"][:-4] + digits[digits.index(last) + 1] + headers["signature"][-3:]
    assert base64.b64decode(other.split(":")[1]) == base64.b64decode(headers["signature"].split(":")[1])
    assert refusal((method, path, {**headers, "signature": other}, body)) == "signature"


@pytest.mark.parametrize("header", ["content-digest", "signature-input", "signature"])
def test_missing_signature_header_is_refused(header):
    method, path, headers, body = signed()
    del headers[header]
    assert refusal((method, path, headers, body)) == "signature"


def test_digest_replaced_together_with_the_body_is_refused():
    method, path, headers, _ = signed()
    _, _, others, body = signed(body=b"{}")
    assert refusal((method, path, {**headers, "content-digest": others["content-digest"]}, body)) == "signature"


def test_second_signature_beside_the_first_is_refused():
    method, path, headers, body = signed()
    headers["signature"] += ", " + headers["signature"].replace("sojourn=", "other=")
    headers["signature-input"] += ", " + headers["signature-input"].replace("sojourn=", "other=")
    assert refusal((method, path, headers, body)) == "signature"


@pytest.mark.parametrize("component", ['"@method" ', '"@path" ', '"@query" ', ' "content-digest"'])
def test_well_signed_request_that_covers_less_is_refused(component):
    """Signed by the right key itself: what is covered is ours to say, not the sender's."""
    assert refusal(by_hand(covered='"@method" "@path" "@query" "content-digest"'.replace(component, ""))) == "signature"


def test_well_signed_request_in_another_order_is_refused():
    assert refusal(by_hand(covered='"@path" "@method" "@query" "content-digest"')) == "signature"


@pytest.mark.parametrize("parameter", ["created", "keyid", "alg", "nonce", "tag"])
def test_well_signed_request_without_a_parameter_is_refused(parameter):
    assert refusal(by_hand(without=parameter)) == "signature"


@pytest.mark.parametrize("nonce", ["", "1", "0" * 33, "é"])
def test_well_signed_request_with_another_form_of_nonce_is_refused(nonce):
    assert refusal(by_hand(nonce=nonce)) == "signature"


def test_request_made_by_hand_is_accepted_when_it_is_right():
    assert check(by_hand()) == NODE.public


def by_hand(covered='"@method" "@path" "@query" "content-digest"', without="", nonce="0" * 32):
    """A request signed without our code, so that its profile can be wrong."""
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
    values = {
        '"@method"': "POST",
        '"@path"': "/nodes/poll",
        '"@query"': "?wait=30&from=2",
        '"content-digest"': digest,
    }
    parameters = {
        "created": f"{NOW}",
        "keyid": f'"{NODE.public.hex}"',
        "alg": '"ed25519"',
        "nonce": f'"{nonce}"',
        "tag": '"sojourn/federation"',
    }
    signature_input = f"({covered})" + "".join(f";{k}={v}" for k, v in parameters.items() if k != without)
    lines = [f"{name}: {values[name]}" for name in covered.split()] + [f'"@signature-params": {signature_input}']
    signature = base64.b64encode(NODE.sign("\n".join(lines).encode())).decode()
    headers = {
        "content-digest": digest,
        "signature-input": f"sojourn={signature_input}",
        "signature": f"sojourn=:{signature}:",
    }
    return "POST", PATH, headers, BODY


@pytest.mark.parametrize(("age", "accepted"), [(0, True), (60, True), (-60, True), (61, False), (-61, False)])
def test_clocks_may_differ_by_a_minute(age, accepted):
    if accepted:
        assert check(signed(at=NOW - age)) == NODE.public
    else:
        assert refusal(signed(at=NOW - age)) == "clock"


def test_replay_is_refused():
    nonces = Nonces()
    message = signed()
    assert check(message, seen=nonces) == NODE.public
    assert refusal(message, seen=nonces) == "replayed"
    assert check(signed(), seen=nonces) == NODE.public


def test_refused_request_uses_no_nonce():
    asked = []
    method, path, headers, _ = signed()
    refusal((method, path, headers, b"changed"), seen=asked.append)
    refusal(signed(at=NOW - 3600), seen=asked.append)
    refusal(signed(key=STRANGER), seen=asked.append)
    assert asked == []


def test_key_that_is_not_registered_is_refused():
    assert refusal(signed(key=STRANGER)) == "unknown key"


def test_signature_under_another_registered_key_is_refused():
    known = {NODE.public.hex: STRANGER.public}
    assert refusal(signed(), known=known) == "signature"


def test_request_for_one_federation_is_not_good_for_another():
    assert refusal(signed(audience="other")) == "signature"


def test_header_names_in_any_case():
    method, path, headers, body = signed()
    assert check((method, path, {name.title(): value for name, value in headers.items()}, body)) == NODE.public


def test_signing_again_replaces_the_signature():
    request = httpx.Request("GET", "https://hub.example.org/studies")
    for _ in range(2):
        request = next(SignedAuth(NODE, clock=lambda: NOW).auth_flow(request))
    message = request.method, request.url.raw_path.decode(), dict(request.headers), request.content
    assert check(message, audience="") == NODE.public


def test_target_is_what_came_over_the_wire():
    assert target({"raw_path": b"/a%2Fb", "query_string": b"x=%20"}) == "/a%2Fb?x=%20"
    assert target({"raw_path": b"/a", "query_string": b""}) == "/a"


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_nonces_are_kept_for_as_long_as_their_requests_could_be_accepted():
    clock = Clock()
    nonces = Nonces(clock=clock)
    assert not nonces("a")
    clock.now = 120.0
    assert nonces("a")
    clock.now = 120.5
    assert not nonces("a")


def test_full_memory_refuses_and_forgets_nothing():
    clock = Clock()
    nonces = Nonces(capacity=2, clock=clock)
    assert not nonces("a")
    assert not nonces("b")
    with pytest.raises(RequestRefused) as caught:
        nonces("c")
    assert caught.value.reason == "busy"
    assert nonces("a")
    assert nonces("b")
    clock.now = 121.0
    assert not nonces("c")


def test_one_nonce_is_new_for_one_thread_only():
    nonces = Nonces()
    barrier = threading.Barrier(8)
    answers = []

    def use():
        barrier.wait()
        answers.extend(nonces(f"{number}") for number in range(500))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers.count(False) == 500
    assert answers.count(True) == 7 * 500


def test_threads_enter_one_after_another():
    meeting = threading.Barrier(2)
    met = []

    def clock():
        try:
            meeting.wait(0.2)
            met.append(True)
        except threading.BrokenBarrierError:
            pass
        return 0.0

    nonces = Nonces(clock=clock)
    threads = [threading.Thread(target=nonces, args=("a",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == []
