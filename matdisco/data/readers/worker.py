"""The guarded process: reads files on request, so that a crash or hang is only its own.

Started as ``python -m matdisco.data.readers.worker`` by
:mod:`matdisco.data.readers.guard`. Requests come as JSON lines on standard input,
records go out as JSON lines; nothing else can reach that pipe, because standard
output and standard error are turned away from it first.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any


def main() -> None:
    """Answer requests until standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)

    import pymatgen.io.cif  # noqa: F401 - imported before the clock runs

    from matdisco.data.readers import formats, transport

    _ = formats.FORMATS
    _send(out, {"ready": True})
    limited = False
    for text in sys.stdin:
        request = json.loads(text)
        options = transport.load_options(request["options"])
        if not limited:
            _limit_memory(options.limits.memory_bytes)
            limited = True
        _answer(request, options, out)


def _answer(request: dict[str, Any], options: Any, out: IO[bytes]) -> None:
    from matdisco.data.readers import parsing, sources, transport

    found = sources.blobs(
        Path(request["path"]), request["name"], options.limits, given=request["given"]
    )
    for i, blob in enumerate(found):
        if i < request["skip"]:
            continue
        _send(
            out,
            {
                "begin": i,
                "name": blob.name,
                "member": blob.member,
                "hash": blob.byte_hash,
                "size": len(blob.data),
            },
        )
        for record in parsing.parse(blob, options):
            _send(out, {"record": transport.dump_record(record)})
        _send(out, {"done": i})
    _send(out, {"end": True})


def _send(out: IO[bytes], message: dict[str, Any]) -> None:
    from matdisco.data.readers import transport

    out.write(transport.line(message))
    out.flush()


def _limit_memory(extra: int) -> None:
    """Bound the address space, where the system can."""
    try:
        import resource

        with Path("/proc/self/statm").open() as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        want = used + extra
        if hard == resource.RLIM_INFINITY or want < hard:
            resource.setrlimit(resource.RLIMIT_AS, (want, hard))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    main()
