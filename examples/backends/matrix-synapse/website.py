"""The website: a page with a chat, and the token that says who looks at it.

It signs as it always did for Zendesk Chat (RFC 7519, HS256), and knows nothing of Matrix.
With a library instead: examples/websites/zendesk-chat.
"""

import base64
import hashlib
import hmac
import http.server
import json
import time
from pathlib import Path

HERE = Path(__file__).parent
PAGES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript")}


def sign(visitor: dict, secret: bytes) -> str:
    """The token for `visitor`, who is known from the website's session, not from the request."""
    now = int(time.time())
    parts = {"alg": "HS256", "typ": "JWT"}, {**visitor, "iat": now, "exp": now + 300}
    message = b".".join(encoded(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(secret, message, hashlib.sha256).digest()
    return (message + b"." + encoded(signature)).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def server(port: int, visitor: dict, secret: bytes, chat: str) -> http.server.HTTPServer:
    """Serves the page on loopback, to `visitor`; `chat` is the chat's address."""

    class Website(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/chat-token":
                answer = json.dumps({"chat": chat, "token": sign(visitor, secret)}).encode()
                media_type = "application/json"
            elif self.path in PAGES:
                name, media_type = PAGES[self.path]
                answer = (HERE / name).read_bytes()
            else:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", port), Website)
