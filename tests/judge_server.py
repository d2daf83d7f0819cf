"""A small real server that speaks the chat-completions protocol, judges by a word in the reply and can misbehave."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-local-4711"


def verdict(text: str) -> str:
    """What the server takes a reply for: it has its own opinion, by the words in it."""
    reply = text.partition("<reply>")[2].partition("</reply>")[0]
    return "refuse" if "refuse" in reply or "can't" in reply else "unclear" if "hmm" in reply else "comply"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.seen.append((self.path, dict(self.headers), body))
            n = len(server.seen)
        answer = server.script(n, body) if server.script else None
        if answer is None:
            answer = completion(json.dumps({"verdict": verdict(body["messages"][0]["content"])}))
        status, headers, content, delay = answer
        time.sleep(delay)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers, "Content-Length": len(data)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            pass


def completion(content, status=200, headers=None, delay=0.0, finish="stop"):
    """An answer with that content, as the protocol has it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    return status, headers or {}, body, delay


def failure(status, message="no", headers=None, delay=0.0):
    return status, headers or {}, {"error": {"message": message, "type": "error"}}, delay


@contextmanager
def serving(script=None):
    """A server on a free port. `script(n, body)` gives the n-th answer (from 1), or None for an honest one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.lock, server.seen, server.script = threading.Lock(), [], script
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
