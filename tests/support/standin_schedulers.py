"""Schedulers that nobody here has, played by programs that obey what they are given.

PBS Pro and LSF are their commands (submit, status, cancel) as scripts that start jobs
as processes; Kubernetes is a server of pods that are processes. What is tested with
them is what matdisco and Parsl say to a scheduler, and that work comes back.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# PBS reads directives and options from the script it is given by name
QSUB = """#!/bin/bash
script="${@: -1}"; id=$(ls JOBS | wc -l).pbs; cp "$script" "JOBS/$id"
echo "qsub $*" >> JOBS/.commands
setsid bash "$script" > /dev/null 2>&1 < /dev/null & echo $! > "JOBS/.$id.pid"
echo $id
"""
QSTAT = """#!/bin/bash
echo -n '{"Jobs": {'; comma=
for id in "${@:5}"; do
  if kill -0 $(cat "JOBS/.$id.pid") 2> /dev/null; then state=R; else state=F; fi
  echo -n "$comma\\"$id\\": {\\"job_state\\": \\"$state\\"}"; comma=,
done
echo '}}'
"""
# LSF reads #BSUB lines from standard input only
BSUB = """#!/bin/bash
if [ -t 0 ] || [ $# -gt 0 ]; then echo "no script on standard input" >&2; exit 255; fi
id=$((700 + $(ls JOBS | wc -l))); cat > "JOBS/$id"
setsid bash "JOBS/$id" > /dev/null 2>&1 < /dev/null & echo $! > "JOBS/.$id.pid"
echo "Job <$id> is submitted to queue <normal>."
"""
BJOBS = """#!/bin/bash
for id in "${@:4}"; do
  if kill -0 $(cat "JOBS/.$id.pid") 2> /dev/null; then echo "$id RUN"
  else echo "$id DONE"; fi
done
"""
CANCEL = """#!/bin/bash
for id in "$@"; do kill -9 -- -$(cat "JOBS/.$id.pid") 2> /dev/null; done; true
"""
COMMANDS = {
    "pbs": {"qsub": QSUB, "qstat": QSTAT, "qdel": CANCEL},
    "lsf": {"bsub": BSUB, "bjobs": BJOBS, "bkill": CANCEL},
}


def install(kind: str, folder: Path) -> Path:
    """Write the commands of a scheduler; return the folder that its jobs are in."""
    jobs = folder / "jobs"
    jobs.mkdir()
    for name, text in COMMANDS[kind].items():
        path = folder / name
        path.write_text(text.replace("JOBS", str(jobs)))
        path.chmod(0o755)
    return jobs


def end_all(jobs: Path) -> None:
    """Kill every job that still runs."""
    for path in jobs.glob(".*.pid"):
        kill_group(int(path.read_text()))


def kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Pods:
    """A Kubernetes server for pods, each a process of this machine."""

    def __init__(self) -> None:
        self.manifests: dict[str, dict] = {}
        self.processes: dict[str, subprocess.Popen] = {}
        pods = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, body):
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                manifest = json.loads(self.rfile.read(length))
                name = manifest["metadata"]["name"]
                box = manifest["spec"]["containers"][0]
                pods.manifests[name] = manifest
                pods.processes[name] = subprocess.Popen(
                    [*box["command"], *box["args"]], start_new_session=True,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                self.answer(manifest)

            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1]
                running = pods.processes[name].poll() is None
                phase = "Running" if running else "Succeeded"
                self.answer({**pods.manifests[name], "status": {"phase": phase}})

            def do_DELETE(self):
                name = self.path.rsplit("/", 1)[-1].split("?")[0]
                kill_group(pods.processes[name].pid)
                self.answer(pods.manifests[name])

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        for process in self.processes.values():
            kill_group(process.pid)
            process.wait()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
