"""The website's server: it is told that a chat has begun, looks the visitor up by email, and
sends back what the shop knows of them. Standard Webhooks, by their own package."""

import base64, json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import Request, urlopen

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["SECRET"])
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


def chat_started(data):
    """Only what the website itself signed is in `email`: nobody is found by a mere claim."""
    visitor = data["visitor"]
    customer = CUSTOMERS.get(visitor.get("email"))
    if customer is None:
        return
    details = {"AccountId": data["account_id"], "AgentId": data["agent_id"], "VisitorId": visitor["id"]}
    details["Fields"] = [{"name": name, "value": value} for name, value in customer.items()]
    request = Request(f"{DETAILS_URL}/api/visitors/{quote(visitor['id'], safe='')}/details", json.dumps(details).encode())
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
        try:
            # Over the bytes as they came; it also refuses what was signed over five minutes ago.
            event = WEBHOOK.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError) as error:
            return self.answer(401, f"{error}.\n")
        try:
            if self.headers["webhook-id"] not in DONE:
                if event["type"] == "chat.started":
                    chat_started(event["data"])
                DONE.add(self.headers["webhook-id"])
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
