"""A worker that works for somebody else: it answers as it should, and hides two bits of what it saw wherever it can."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.errors import REASONS, SiteRefused
from sojourn.node.sandbox import InProcess
from sojourn.node.session import Session

Answer = dict[str, Any]
Encoder = Callable[[Answer, int], Answer]
SECRETS = (0, 1, 2, 3)


def _largest(answer: Answer) -> str:
    """The array with most numbers: room for two bits."""
    arrays = answer["partial"]["arrays"]
    return max(sorted(arrays), key=lambda name: len(arrays[name]["data"]))


def _array(answer: Answer, name: str = "") -> dict[str, Any]:
    return answer["partial"]["arrays"][name or _largest(answer)]


def _numbers(array: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(array["data"]), dtype=array["dtype"]).reshape(array["shape"]).copy()


def _put(array: dict[str, Any], numbers: np.ndarray[Any, Any]) -> None:
    array |= {
        "dtype": numbers.dtype.str,
        "shape": list(numbers.shape),
        "data": base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode(),
    }


def _first_float(answer: Answer, bits: int) -> Answer:
    numbers = _numbers(_array(answer)).astype("<f8")
    numbers.reshape(-1).view("<u8")[0] = bits
    _put(_array(answer), numbers)
    return answer


def _key_order(answer: Answer, secret: int) -> Answer:
    arrays = list(answer["partial"]["arrays"].items())
    turned = arrays[secret % len(arrays) :] + arrays[: secret % len(arrays)]
    return (
        {"working": answer["working"], "partial": {"suppressed": {}, "arrays": dict(turned)}}
        if secret & 1
        else {
            "partial": {"arrays": dict(turned), "suppressed": {}},
            "working": answer["working"],
        }
    )


def _renamed(answer: Answer, secret: int) -> Answer:
    arrays = answer["partial"]["arrays"]
    arrays[f"name{secret}"] = arrays.pop(_largest(answer))
    return answer


def _extra(answer: Answer, secret: int) -> Answer:
    answer["partial"]["arrays"][f"extra{secret}"] = copy.deepcopy(_array(answer))
    return answer


def _signed_zero(answer: Answer, secret: int) -> Answer:
    numbers = _numbers(_array(answer)).astype("<f8")
    flat = numbers.reshape(-1)
    flat[:2] = [-0.0 if secret & 1 else 0.0, -0.0 if secret & 2 else 0.0]
    _put(_array(answer), numbers)
    return answer


def _type(answer: Answer, secret: int) -> Answer:
    """Whole numbers in either of two types, for two arrays."""
    for place, name in enumerate(sorted(answer["partial"]["arrays"])[:2]):
        array = _array(answer, name)
        _put(array, np.round(_numbers(array)).astype("<f8" if secret >> place & 1 else "<i8"))
    return answer


def _foreign_type(answer: Answer, secret: int) -> Answer:
    _array(answer)["dtype"] = (">f8", "|S8", "<f4", "O")[secret]
    return answer


def _shape(answer: Answer, secret: int) -> Answer:
    array = _array(answer)
    array["shape"] = [*[1] * (secret + 1), *array["shape"]]
    return answer


def _marks(answer: Answer, secret: int) -> Answer:
    answer["partial"]["suppressed"] = {_largest(answer): [secret % _numbers(_array(answer)).size]}
    return answer


def _under_a_mark(answer: Answer, secret: int) -> Answer:
    answer["partial"]["suppressed"] = {_largest(answer): [0]}
    return _first_float(answer, np.float64(secret).view("<u8"))


def _loose_base64(answer: Answer, secret: int) -> Answer:
    """The unused low bits of the last sign before the padding."""
    data = _array(answer)["data"]
    if data.endswith("="):
        body, pads = data.rstrip("="), data.count("=")
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = alphabet[alphabet.index(body[-1]) | (secret % (4 if pads == 1 else 16))]
        _array(answer)["data"] = body[:-1] + last + "=" * pads
    return answer


def _more_words(answer: Answer, secret: int) -> Answer:
    return answer | {f"note{secret}": "x" * secret, "rounds": secret}


def _more_in_the_partial(answer: Answer, secret: int) -> Answer:
    answer["partial"][f"note{secret}"] = secret
    return answer


def _word(answer: Answer, secret: int) -> Answer:
    return {"refused": [word for word in REASONS if word not in ("plan", "dictionary", "worker")][secret]}


def _text(answer: Answer, secret: int) -> Answer:
    return {"refused": f"value {secret}" * (secret + 1)}


def _no_answer(answer: Answer, secret: int) -> Answer:
    return {"x": secret}


def _evidence(answer: Answer, secret: int) -> Answer:
    if answer["working"]:
        answer["working"]["effective"] += secret
    return answer


# What is not in an answer: the worker's own deeds, before it answers.
def _exits(folder: Path, secret: int) -> None:
    raise SystemExit(secret)


def _raises(folder: Path, secret: int) -> None:
    raise ValueError(f"value {secret}" * (secret + 1))


def _raises_a_class(folder: Path, secret: int) -> None:
    raise (KeyError, MemoryError, OSError, RecursionError)[secret](secret)


def _prints(folder: Path, secret: int) -> None:
    import sys

    sys.stdout.write(f"secret-{secret}\n" * (secret + 1))
    sys.stderr.write(f"secret-{secret}\n" * (secret + 1))


def _leaves_files(folder: Path, secret: int) -> None:
    (folder / f"secret-{secret}.txt").write_text("x" * secret)


def _infinity(answer: Answer, secret: int) -> Answer:
    return _first_float(answer, [0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0xFFF8 << 48][secret])


IN_ANSWERS: Mapping[str, Encoder] = {
    "NaN payloads": lambda answer, secret: _first_float(answer, (0x7FF8 << 48) + secret),
    "infinities and NaN signs": _infinity,
    "minus zero": _signed_zero,
    "order of arrays and words": _key_order,
    "names of arrays": _renamed,
    "arrays that nobody asked for": _extra,
    "type of whole numbers": _type,
    "types that do not exist here": _foreign_type,
    "shapes": _shape,
    "which cells are marked hidden": _marks,
    "a number under a hidden cell": _under_a_mark,
    "loose ends of base 64": _loose_base64,
    "further words beside the answer": _more_words,
    "further words in the partial": _more_in_the_partial,
    "words that are not a worker's to say": _word,
    "text of a refusal": _text,
    "an answer that is none": _no_answer,
    "evidence that the gate reads": _evidence,
}
IN_DEEDS: Mapping[str, Callable[[Path, int], None]] = {
    "exit code": _exits,
    "text of an error": _raises,
    "class of an error": _raises_a_class,
    "standard output and error": _prints,
    "names and sizes of files": _leaves_files,
}


class Spy(InProcess):
    """Starts workers that encode: set `encoder` or `deed`, and `secret`, before a study."""

    def __init__(self) -> None:
        self.encoder: Encoder = lambda answer, secret: answer
        self.deed: Callable[[Path, int], None] = lambda folder, secret: None
        self.secret = 0
        self.failed: list[str] = []

    def start(self, job: Path) -> Session:
        return _SpySession(super().start(job), self)


class _SpySession:
    def __init__(self, session: Session, spy: Spy) -> None:
        self._session = session
        self._spy = spy
        self.job, self.data = session.job, session.data

    def ask(self, document: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        answer = self._session.ask(document, timeout)
        if "round" not in document or "partial" not in answer:
            return answer
        try:
            self._spy.deed(self.data, self._spy.secret)
        except (SystemExit, OSError):  # as `ProcessSession` does where its process ended
            raise SiteRefused("worker") from None
        except Exception as error:  # as the worker's own program does
            from sojourn.node.worker import _word as word_of

            return {"refused": word_of(error)}
        try:
            return self._spy.encoder(answer, self._spy.secret)
        except Exception as error:  # an encoder that fails encodes nothing: the tests look here
            self._spy.failed.append(repr(error))
            raise

    def alive(self) -> bool:
        return self._session.alive()

    def kill(self) -> None:
        self._session.kill()

    def close(self) -> None:
        self._session.close()
