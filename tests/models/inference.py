"""A stand-in for TensorFlow Serving, KServe's servers and a custom model: answers their paths, logs what it did.

Environment: MODEL_NAME, STAMPS the log's file, START_SECONDS before it listens, WORK_SECONDS of each prediction, and
for a transformer PREDICTOR_HOST (host:port), which its predictions are sent on to. The log is that of `obedient.py`.

    GET  /                       alive, for a custom model
    GET  /v1/models/NAME         TensorFlow Serving's state of a model, and KServe's readiness
    GET  /v2/health/ready, /v2/models/NAME/ready
    POST /v1/models/NAME:predict, :explain, /v2/models/NAME/infer, and / for a custom model
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, REPLICA = os.environ["MODEL_NAME"], os.environ["REPLICA"]
LOG = os.open(os.environ["STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
PREDICTOR = os.environ.get("PREDICTOR_HOST", "")
READY = {"/", f"/v1/models/{NAME}", "/v2/health/ready", f"/v2/models/{NAME}/ready"}
PREDICTING = {"/", f"/v1/models/{NAME}:predict", f"/v1/models/{NAME}:explain", f"/v2/models/{NAME}/infer"}
lock, running = threading.Lock(), 0


def stamp(event: str, request: str = "-", count: int = 0) -> None:
    os.write(LOG, f"{event} {os.getpid()} {REPLICA} {request} {time.time_ns()} {count}\n".encode())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path not in READY:
            self.answer(404, {"error": f"unknown path {self.path}"})
            return
        state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        self.answer(200, {"name": NAME, "ready": True, "model_version_status": [state]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path not in PREDICTING:
            self.answer(404, {"error": f"unknown path {self.path}"})
            return
        global running  # noqa: PLW0603 - one process is one model
        with lock:
            running += 1
            stamp("request", count=running)
        try:
            time.sleep(float(os.environ.get("WORK_SECONDS", "0")))
            self.answer(*(self.passed_on(body) if PREDICTOR else (200, self.predicted(body))))
        finally:
            with lock:
                running -= 1

    def predicted(self, body: bytes) -> dict[str, object]:
        asked = json.loads(body)
        told = [f"{NAME} saw {each}" for each in asked.get("instances", [])]
        return {"outputs": told} if "/v2/" in self.path else {"predictions": told, "replica": REPLICA}

    def passed_on(self, body: bytes) -> tuple[int, dict[str, object]]:
        """Ask the predictor by its host name, at the edge."""
        host, _, port = PREDICTOR.rpartition(":")
        connection = HTTPConnection("127.0.0.1", int(port))
        try:
            connection.request("POST", self.path, body, {"Host": host, "Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, {**json.loads(answer.read()), "through": REPLICA}
        finally:
            connection.close()

    def answer(self, status: int, data: dict[str, object]) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


stamp("start")
time.sleep(float(os.environ.get("START_SECONDS", "0")))
with Server((os.environ["HOST"], int(os.environ["PORT"])), Handler) as server:
    stamp("listening")
    server.serve_forever()
