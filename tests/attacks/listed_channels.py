"""Every way out of a site that is not a declared number: closed, or open with its bits. as on the page of channels."""

from __future__ import annotations

CLOSED = (
    "NaN payloads",
    "infinities and NaN signs",
    "minus zero",
    "order of arrays and words",
    "names of arrays",
    "arrays that nobody asked for",
    "type of whole numbers",
    "types that do not exist here",
    "shapes",
    "which cells are marked hidden",
    "a number under a hidden cell",
    "loose ends of base 64",
    "further words beside the answer",
    "further words in the partial",
    "words that are not a worker's to say",
    "text of a refusal",
    "an answer that is none",
    "evidence that the gate reads",
    "exit code",
    "text of an error",
    "class of an error",
    "standard output and error",
    "names and sizes of files",
    "length of a sealed answer",
    "durations in messages",
    "pixels, metadata and comments of images",
    "order, spaces and ways of writing in a table or document",
    "digits beyond the sixth of an analyst's own code",
)
OPEN = {
    "numbers of a certified statistic": "64 bits a number",
    "numbers of an analyst's own code": "19.9 bits a number",
    "which cells the gate hides": "1 bit a cell",
    "refusal of one ask": "at most 6 bits an ask",
    "number of rounds": "3.6 bits an analysis",
    "moment of an answer": "9.2 bits a round at one second",
    "moment of a masked answer": "6.9 bits a round at a pace of 5 s",
    "size of the site's log": "counted with the asks",
}
