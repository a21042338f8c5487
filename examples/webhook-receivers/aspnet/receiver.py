"""The rules of Microsoft's ASP.NET WebHooks `CustomWebHookReceiver`, from its source
(aspnet/AspNetWebHooks d2ae8af8), for those who have no .NET at hand: what this accepts, a
website with that package accepts. WebHookHandler.cs shows what such a website writes itself.

The website's server: it is told that a chat has begun, looks the visitor up by email, and sends
back what the shop knows of them."""

import base64, hashlib, hmac, json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import Request, urlopen

# MS_WebHookReceiverSecret_Custom
SECRET = os.environ["SECRET"].encode()
assert 32 <= len(SECRET.decode()) <= 64, "the receiver takes secrets of 32 to 64 characters"
DETAILS_URL = os.environ["DETAILS_URL"]
BASIC = f"{os.environ['DETAILS_USER']}:{os.environ['DETAILS_PASSWORD']}".encode()
ORIGIN = os.environ.get("ORIGIN", "https://livesupporti.com")

# In the place of a database.
CUSTOMERS = {
    "ana@acme.example": {"Name": "Ana Torres", "Plan": "Gold", "Open orders": "2"},
    "ben@acme.example": {"Name": "Ben Okafor", "Plan": "Free", "Open orders": "0"},
}
# Ids of what was done: the same event may come twice. Yours are a unique column.
DONE = set()


class Refused(Exception):
    """A status, and why."""


def verify_signature(headers, body):
    """VerifySignature."""
    values = headers.get_all("ms-signature") or []
    if len(values) != 1:
        raise Refused(400, f"Expecting exactly one 'ms-signature' header field, but found {len(values)}.")
    parts = [part.strip() for part in values[0].split("=")]
    parts = [part for part in parts if part]
    if len(parts) != 2 or parts[0].lower() != "sha256":
        raise Refused(400, "Invalid 'ms-signature' header value. Expecting a value of 'sha256=<value>'.")
    try:
        expected = bytes.fromhex(parts[1]) if " " not in parts[1] else None
    except ValueError:
        expected = None
    if expected is None:
        raise Refused(400, "The 'ms-signature' header value is invalid. It must be a valid hex-encoded string.")
    if not hmac.compare_digest(expected, hmac.digest(SECRET, body, hashlib.sha256)):
        raise Refused(400, "The WebHook signature provided by the 'ms-signature' header field does not match.")


def read_as_json(headers, body):
    """ReadAsJsonAsync: an object, and said to be one."""
    if headers.get_content_type() not in ("application/json", "text/json"):
        raise Refused(415, "The WebHook request must contain an entity body formatted as JSON.")
    try:
        data = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"The WebHook request contained invalid JSON: '{error}'.") from error
    if not isinstance(data, dict):
        raise Refused(400, "The WebHook request contained invalid JSON: an object is needed.")
    return data


def execute(data):
    """What the website's own handler does; see WebHookHandler.cs."""
    if data["Id"] in DONE:
        return
    for notification in data["Notifications"]:
        if notification["Action"] == "chat.started":
            chat_started(notification["Data"])
    DONE.add(data["Id"])


def chat_started(data):
    """Only what the website itself signed is in `Email`: nobody is found by a mere claim."""
    visitor = data["Visitor"]
    customer = CUSTOMERS.get(visitor.get("Email"))
    if customer is None:
        return
    details = {"AccountId": data["AccountId"], "AgentId": data["AgentId"], "VisitorId": visitor["Id"]}
    details["Fields"] = [{"name": name, "value": value} for name, value in customer.items()]
    request = Request(f"{DETAILS_URL}/api/visitors/{quote(visitor['Id'], safe='')}/details", json.dumps(details).encode())
    request.add_header("Content-Type", "application/json; charset=utf-8")
    request.add_header("Authorization", "Basic " + base64.b64encode(BASIC).decode())
    urlopen(request, timeout=5).close()  # raises, unless it is answered 200


class Receiver(BaseHTTPRequestHandler):
    """ReceiveAsync."""

    def do_GET(self):
        echo = parse_qs(urlsplit(self.path).query).get("echo")
        self.answer(200, echo[0]) if echo else self.answer(400, "There must be an 'echo' query parameter.\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            verify_signature(self.headers, body)
            execute(read_as_json(self.headers, body))
        except Refused as refused:
            status, why = refused.args
            return self.answer(status, why + "\n")
        except Exception as error:
            print(error, file=sys.stderr)
            return self.answer(500)
        self.answer(200)

    def do_OPTIONS(self):
        self.answer(204)  # by Microsoft.AspNet.WebApi.Cors

    def do_PUT(self):
        self.answer(405)

    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text.encode())))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Access-Control-Allow-Origin", ORIGIN)
        self.send_header("Access-Control-Allow-Methods", "GET, POST")
        self.send_header("Access-Control-Allow-Headers", "Content-Type")
        self.end_headers()
        self.wfile.write(text.encode())


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("LISTEN", "8090"))), Receiver)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
