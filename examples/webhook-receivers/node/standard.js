// The website's server: it is told that a chat has begun, looks the visitor up by email, and
// sends back what the shop knows of them. Standard Webhooks, by their own package.
"use strict";

const { createServer } = require("node:http");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const { LISTEN = "8090", SECRET, DETAILS_URL, DETAILS_USER, DETAILS_PASSWORD } = process.env;
const { ORIGIN = "https://livesupporti.com" } = process.env;
const webhook = new Webhook(SECRET);

/** In the place of a database. */
const customers = new Map([
  ["ana@acme.example", { Name: "Ana Torres", Plan: "Gold", "Open orders": "2" }],
  ["ben@acme.example", { Name: "Ben Okafor", Plan: "Free", "Open orders": "0" }],
]);
/** Ids of what was done: the same event may come twice. Yours are a unique column. */
const done = new Set();

/** Only what the website itself signed is in `email`: nobody is found by a mere claim. */
async function chatStarted({ account_id, agent_id, visitor }) {
  const customer = customers.get(visitor.email);
  if (!customer) return;
  const Fields = Object.entries(customer).map(([name, value]) => ({ name, value }));
  const basic = Buffer.from(`${DETAILS_USER}:${DETAILS_PASSWORD}`).toString("base64");
  const answer = await fetch(`${DETAILS_URL}/api/visitors/${encodeURIComponent(visitor.id)}/details`, {
    method: "POST",
    headers: { "Content-Type": "application/json; charset=utf-8", Authorization: `Basic ${basic}` },
    body: JSON.stringify({ AccountId: account_id, AgentId: agent_id, VisitorId: visitor.id, Fields }),
  });
  if (!answer.ok) throw new Error(`details: ${answer.status} ${await answer.text()}`);
}

async function answered(request) {
  const echo = new URL(request.url, "http://localhost").searchParams.get("echo");
  if (request.method === "GET" && echo) return [200, echo];
  if (request.method === "OPTIONS") return [204];
  if (request.method !== "POST") return [405];
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let event;
  try {
    // Over the bytes as they came; it also refuses what was signed over five minutes ago.
    event = webhook.verify(Buffer.concat(chunks).toString(), request.headers);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return [401, `${error.message}.\n`];
    throw error;
  }
  const id = request.headers["webhook-id"];
  if (done.has(id)) return [200];
  if (event.type === "chat.started") await chatStarted(event.data);
  done.add(id);
  return [200];
}

createServer(async (request, response) => {
  // What is not answered 2xx comes again.
  const [status, text = ""] = await answered(request).catch((error) => {
    console.error(error.message);
    return [500];
  });
  response.writeHead(status, {
    "Content-Type": "text/plain", "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": ORIGIN, "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Content-Type",
  });
  response.end(text);
}).listen(Number(LISTEN), "127.0.0.1", function () {
  console.log(`listening on ${this.address().port}`);
});
