// The website's server: it is told that a chat has begun, looks the visitor up by email, and
// sends back what the shop knows of them. LiveSupporti's format; Node alone, no packages.
"use strict";

const { createHmac, timingSafeEqual } = require("node:crypto");
const { createServer } = require("node:http");

const { LISTEN = "8090", SECRET, DETAILS_URL, DETAILS_USER, DETAILS_PASSWORD } = process.env;
const { ORIGIN = "https://livesupporti.com" } = process.env;

/** In the place of a database. */
const customers = new Map([
  ["ana@acme.example", { Name: "Ana Torres", Plan: "Gold", "Open orders": "2" }],
  ["ben@acme.example", { Name: "Ben Okafor", Plan: "Free", "Open orders": "0" }],
]);
/** Ids of what was done: the same event may come twice. Yours are a unique column. */
const done = new Set();

/** Over the bytes as they came: JSON that was parsed and written again has others. */
function isSigned(header, body) {
  const given = /^sha256=([0-9A-Fa-f]{64})$/.exec(header ?? "");
  const wanted = createHmac("sha256", SECRET).update(body).digest();
  return given !== null && timingSafeEqual(Buffer.from(given[1], "hex"), wanted);
}

/** Only what the website itself signed is in `Email`: nobody is found by a mere claim. */
async function chatStarted({ AccountId, AgentId, Visitor }) {
  const customer = customers.get(Visitor.Email);
  if (!customer) return;
  const Fields = Object.entries(customer).map(([name, value]) => ({ name, value }));
  const basic = Buffer.from(`${DETAILS_USER}:${DETAILS_PASSWORD}`).toString("base64");
  const answer = await fetch(`${DETAILS_URL}/api/visitors/${encodeURIComponent(Visitor.Id)}/details`, {
    method: "POST",
    headers: { "Content-Type": "application/json; charset=utf-8", Authorization: `Basic ${basic}` },
    body: JSON.stringify({ AccountId, AgentId, VisitorId: Visitor.Id, Fields }),
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
  const body = Buffer.concat(chunks);
  if (!isSigned(request.headers["ms-signature"], body)) return [401, "The signature does not fit.\n"];
  const event = JSON.parse(body);
  if (done.has(event.Id)) return [200];
  for (const { Action, Data } of event.Notifications) {
    if (Action === "chat.started") await chatStarted(Data);
  }
  done.add(event.Id);
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
