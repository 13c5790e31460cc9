"""As much of a Weights & Biases server as a run and ``wandb sync`` need: it notes what it is sent."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Received:
    """What was sent.

    Attributes:
        address: of the server.
        run: the variables of the run's last registration, its config and its tags among them.
        history: rows by step.
        summary: the last one.
        files: sizes by path.
        artifacts: what was said of each.
    """

    def __init__(self) -> None:
        self.address = ""
        self.run: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.files: dict[str, int] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.complete = False
        self.lock = threading.Lock()

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a query is answered with."""
        if operation == "UpsertBucket":
            self.run |= {name: value for name, value in given.items() if value is not None}
            project = {"name": "oponm", "entity": {"name": "stub"}}
            names = {"id": "1", "name": given["name"], "displayName": given.get("displayName") or "", "sweepName": ""}
            bucket = {**names, "description": None, "config": None, "project": project}
            bucket["historyLineCount"] = len(self.history)
            return {"upsertBucket": {"bucket": bucket, "inserted": not self.history}}
        if operation == "RunResumeStatus" and self.history:
            lines = {"historyLineCount": len(self.history), "eventsLineCount": 0, "logLineCount": 0}
            tails = {"historyTail": json.dumps([json.dumps(self.history[-1])]), "eventsTail": "[]"}
            bucket = {"id": "1", "name": given["name"], "displayName": "", "tags": [], **lines, **tails}
            bucket |= {"summaryMetrics": json.dumps(self.summary), "config": "{}", "wandbConfig": '{"t": 1}'}
            return {"model": {"id": "1", "name": "oponm", "entity": {"id": "1", "name": "stub"}, "bucket": bucket}}
        if operation == "CreateArtifact":
            self.artifacts.append(given["input"])
            made = {"id": str(len(self.artifacts)), "state": "COMMITTED", "artifactSequence": {"latestArtifact": None}}
            return {"createArtifact": {"artifact": made}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.address}/upload/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        return {}

    def stream(self, content: dict[str, Any]) -> None:
        """Rows and summaries as they come."""
        for name, part in content.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                self.history += lines
            elif name == "wandb-summary.json":
                self.summary = lines[-1]
        self.complete = self.complete or bool(content.get("complete"))


@contextmanager
def wandb_server() -> Iterator[Received]:
    """A server on this machine, while the block runs."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *parts: Any) -> None:
            pass

        def body(self) -> bytes:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

        def reply(self, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self.reply({})

        def do_POST(self) -> None:
            content = json.loads(self.body())
            with received.lock:
                if self.path == "/graphql":
                    answer = received.answer(content.get("operationName", ""), content.get("variables") or {})
                    self.reply({"data": answer})
                else:
                    received.stream(content)
                    self.reply({})

        def do_PUT(self) -> None:
            with received.lock:
                received.files[self.path.removeprefix("/upload/")] = len(self.body())
            self.reply({})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
