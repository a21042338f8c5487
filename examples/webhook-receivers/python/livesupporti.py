"""The website's server: it is told that a chat has begun, looks the visitor up by email, and
sends back what the shop knows of them. LiveSupporti's format; no packages."""

import base64, hashlib, hmac, json, os, re, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import Request, urlopen

SECRET = os.environ["SECRET"].encode()
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


def is_signed(header, body):
    """Over the bytes as they came: JSON that was parsed and written again has others."""
    given = re.fullmatch(r"sha256=([0-9A-Fa-f]{64})", header or "")
    wanted = hmac.digest(SECRET, body, hashlib.sha256)
    return given is not None and hmac.compare_digest(bytes.fromhex(given[1]), wanted)


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
    def do_GET(self):
        echo = parse_qs(urlsplit(self.path).query).get("echo")
        self.answer(200, echo[0]) if echo else self.answer(404)

    def do_OPTIONS(self):
        self.answer(204)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_signed(self.headers["ms-signature"], body):
            return self.answer(401, "The signature does not fit.\n")
        try:
            event = json.loads(body)
            if event["Id"] not in DONE:
                for notification in event["Notifications"]:
                    if notification["Action"] == "chat.started":
                        chat_started(notification["Data"])
                DONE.add(event["Id"])
        except Exception as error:
            print(error, file=sys.stderr)
            return self.answer(500)  # what is not answered 2xx comes again
        self.answer(200)

    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
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
