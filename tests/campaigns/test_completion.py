"""The tab key, in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from select import select

import pytest

from campaigns.cli.completion import rejoined

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

PROMPT, SEEN = b"<ready>", 120.0  # s; a busy machine may take long to start Python


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the command as a program."""
    program = tmp_path / "matdisco"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = {sys.path!r}\n"
        "from campaigns.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TERM": "dumb", "PS1": PROMPT.decode()}


WANTED = {
    "matdisco surrogate ass": {"assess"},
    "matdisco surrogate assess sev": {"sevennet"},
    "matdisco surrogate assess chgnet ship": {
        "shipped:al-ni-ti", "shipped:intermetallics"
    },
    "matdisco init --property energy_above": {"energy_above_hull"},
}  # fmt: skip
"""What is typed, and what the tab key offers."""


@needs_bash
def test_tab_offers_what_there_is(place: Path) -> None:
    """The script that ``matdisco --show-completion bash`` prints."""
    lines = ['eval "$(_MATDISCO_COMPLETE=source_bash matdisco)"']
    for typed in WANTED:
        lines += [
            f"COMP_WORDS=({typed})", "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))",
            "_matdisco_completion matdisco", 'echo "${COMPREPLY[@]}"',
        ]  # fmt: skip
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)],
        capture_output=True, text=True, check=True, cwd=place,
        env=environment(place),
    )  # fmt: skip
    offered = [set(line.split()) for line in done.stdout.splitlines()]
    for (typed, wanted), found in zip(WANTED.items(), offered, strict=True):
        assert wanted <= found, f"{typed}: {found}"


@needs_bash
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("assess chgnet shipped:al", "assess chgnet shipped:al-ni-ti"),
        ("assess models:/mine@newest ship", "assess models:/mine@newest shipped:"),
        ("assess a.csv --trained-on=shipped:i", "assess a.csv --trained-on="
         "shipped:intermetallics"),
    ],
)  # fmt: skip
def test_tab_goes_on_after_a_colon(place: Path, typed: str, meant: str) -> None:
    """Typed on a terminal, where readline cuts words and puts them in the line."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs,
        stderr=theirs, cwd=place, start_new_session=True, env=environment(place),
    )  # fmt: skip
    os.close(theirs)
    try:
        until(ours, PROMPT)
        os.write(ours, b'eval "$(_MATDISCO_COMPLETE=source_bash matdisco)"\n')
        until(ours, PROMPT)
        # home, and the line becomes the argument of echo; the bell or the completed
        # word has come by then, as readline reads one key at a time
        os.write(ours, f"matdisco surrogate {typed}\t\x01echo '[\x05]'\n".encode())
        shown = until(ours, b"]\r\n")
        assert f"[matdisco surrogate {meant}" in shown.decode(), shown
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def until(terminal: int, mark: bytes) -> bytes:
    """Read from a terminal until a text has come."""
    shown = b""
    while mark not in shown:
        ready, _, _ = select([terminal], [], [], SEEN)
        assert ready, shown
        shown += os.read(terminal, 4096)
    return shown


@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [
        (["m", "a", "shipped", ":"], 3, (["m", "a", "shipped:"], 2, "shipped:")),
        (["m", "a", ""], 2, (["m", "a", ""], 2, "")),
        (["m", "a", "shipped:al"], 2, (["m", "a", "shipped:al"], 2, "")),
        (
            ["m", "models", ":", "/x", "@", "new"], 5,
            (["m", "models:/x@new"], 1, "models:/x@"),
        ),
        (["m", "shipped", ":", "x", "sh"], 4, (["m", "shipped:x", "sh"], 2, "")),
        (["m", "--to", "="], 2, (["m", "--to", ""], 2, "")),
        (["m", "--to", "=", "d", "e"], 3, (["m", "--to", "d"], 2, "")),
        (["m", "--on", "=", "s", ":", "a"], 5, (["m", "--on", "s:a"], 2, "s:")),
    ],
)  # fmt: skip
def test_what_bash_cut_is_put_together(
    words: list[str], at: int, expected: tuple[list[str], int, str]
) -> None:
    assert rejoined(words, at) == expected
