"""The tab key in bash, whose words end at a colon.

Bash cuts a line at the characters of COMP_WORDBREAKS: ``shipped:al`` reaches the
program as three words, and what it offers replaces the last of them alone. Here the
words are put together again before they are looked at, and what was typed up to the cut
is taken off what is offered. Where a user has taken the colon out of COMP_WORDBREAKS
nothing is cut, and nothing is done.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence

VARIABLE = "_MATDISCO_COMPLETE"
JOINTS = frozenset(":@")
"""What cuts a word that is one here: ``shipped:NAME``, ``models:/NAME@ALIAS``."""


@contextlib.contextmanager
def whole_words() -> Iterator[None]:
    """Answer bash's completion with whole words; do nothing on any other call."""
    if os.environ.get(VARIABLE) != "complete_bash":
        yield
        return
    words, at, typed = rejoined(
        os.environ.get("COMP_WORDS", "").split("\n"),
        int(os.environ.get("COMP_CWORD", "0")),
    )
    os.environ |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(at)}
    offered = io.StringIO()
    try:
        with contextlib.redirect_stdout(offered):
            yield
    finally:
        for line in offered.getvalue().splitlines():
            print(line.removeprefix(typed))


def rejoined(words: Sequence[str], at: int) -> tuple[list[str], int, str]:
    """Put together what bash cut.

    An equals sign between an option and its value is dropped, as in ``--to DIR``.

    Args:
        words: as bash gives them.
        at: which of them is completed.

    Returns:
        The words up to the completed one, its number, and what of it stands before the
        cut.

    >>> rejoined(["matdisco", "assess", "shipped", ":", "al"], 4)
    (['matdisco', 'assess', 'shipped:al'], 2, 'shipped:')
    """
    whole: list[str] = []
    before, open_end = "", False
    for i, word in enumerate(words[: at + 1]):
        joint = bool(word) and set(word) <= JOINTS
        if word == "=" and whole and whole[-1].startswith("--"):
            before, open_end = "", False
            if i == at:  # the value is still empty
                whole.append("")
            continue
        if whole and i > 1 and (joint or open_end):
            before = whole[-1] + (word if joint else "")
            whole[-1] += word
        else:
            whole.append(word)
            before = ""
        open_end = joint
    return whole, len(whole) - 1, before
