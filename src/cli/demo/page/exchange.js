// One request through the gateway, and both panes and the verdict that show it.

import { compare, rowsHeard, rowsOf } from "./compare.js";
import { el, heard, mark } from "./dom.js";
import { payload } from "./systems.js";

/** Sends a request; what comes back is the backend's word, or the gateway's refusal. */
export async function exchange(url, request) {
  const query = new URLSearchParams(request.query).toString();
  const headers = new Headers(request.headers);
  const body = request.body === null ? undefined : JSON.stringify(request.body);
  if (body) headers.set("Content-Type", "application/json");
  const answer = await fetch(`${url}${request.path}${query && `?${query}`}`, {
    method: request.method,
    headers,
    body,
    cache: "no-store",
  });
  const told = await answer.json();
  return answer.ok ? { ...told, status: answer.status } : { problem: told, status: answer.status };
}

/** Where an exchange is shown. */
export class View {
  constructor(sent, verdict, received) {
    Object.assign(this, { sent, verdict, received });
  }

  /** Nothing has come back yet. */
  waiting(request) {
    this.sent.replaceChildren(line(request), list(rowsOf(request)));
    this.verdict.className = "verdict";
    this.verdict.replaceChildren(el("p", { class: "quiet" }, "Checking …"));
    this.received.replaceChildren();
  }

  /** `words` are this attempt's own; they may depend on the outcome. */
  show(request, outcome, words) {
    const { problem, received, conversation } = outcome;
    const sent = rowsOf(request);
    if (problem) {
      this.sent.replaceChildren(line(request), list(sent));
      this.received.replaceChildren(nothing());
      this.verdict.className = "verdict refused";
      this.verdict.replaceChildren(...refusal(outcome, words));
      return;
    }
    const { left, right } = compare(sent, rowsHeard(received));
    this.sent.replaceChildren(line(request), list(left));
    this.received.replaceChildren(
      el("p", { class: "request-line" }, `${received.method} ${received.target.split("?")[0]}`),
      list(right.filter(({ fate }) => fate === "kept" || fate === "added").sort(ourFirst), UNPROVEN),
      rest(right),
    );
    const { visitor } = conversation;
    this.verdict.className = `verdict ${visitor.verified ? "verified" : "guest"}`;
    this.verdict.replaceChildren(...admission(visitor, words));
  }

  /** The request did not come through at all. */
  failed(error) {
    this.verdict.className = "verdict refused";
    this.verdict.replaceChildren(
      el("p", { class: "big" }, "No answer"),
      el("p", {}, `${error.message}. Is the demo still running? Safari finds no *.localhost by itself: ` +
        "another browser does."),
    );
  }
}

const FIRST = ["status", "reason", "id", "name", "email", "attributes", "claimed", "details", "key", "expires"]
  .map((name) => `countersign-${name}`);

/** What matters most first: Countersign's own headers, in the order in which they are read. */
const ourFirst = (one, other) => place(one) - place(other);
const place = ({ name, fate }) => {
  const known = FIRST.indexOf(name.toLowerCase());
  return fate === "added" ? (known < 0 ? FIRST.length : known) : FIRST.length + 1;
};

const line = ({ method, path }) => el("p", { class: "request-line" }, `${method} ${path}`);

function admission({ verified, id, name, reason }, words) {
  if (verified) {
    return [
      seal("✓"),
      el("p", { class: "big" }, name ? `Verified: ${name}` : id ? `Verified: ${id}` : "Verified"),
      el("p", {}, words),
    ];
  }
  return [
    seal("○"),
    el("p", { class: "big" }, "Let in as a guest"),
    el("p", { class: "code" }, reason),
    el("p", {}, words),
  ];
}

function refusal({ problem, status }, words) {
  return [
    seal("✕"),
    el("p", { class: "big" }, "Refused"),
    el("p", { class: "code" }, `${status} ${problem.code ?? problem.title}`),
    el("p", {}, words),
    problem.detail ? el("p", { class: "quiet" }, `Countersign says: “${problem.detail}”`) : null,
  ].filter(Boolean);
}

const seal = (symbol) => el("p", { class: "stamp", "aria-hidden": "true" }, symbol);

const nothing = () =>
  el("div", { class: "nothing" },
    el("p", { class: "big" }, "Nothing."),
    el("p", { class: "quiet" }, "The chat backend never heard of this request."));

const FATES = {
  kept: ["", ""],
  removed: ["−", "removed: "],
  added: ["+", "added: "],
};

/** Beside what reaches the backend in a body. */
const UNPROVEN = "unproven: as the browser said it";

function list(rows, beside) {
  if (!rows.length) return el("p", { class: "quiet" }, "No parameters, no headers of its own.");
  return el("ul", { class: "rows" }, rows.map(({ kind, name, value, fate }) => {
    const [symbol, words] = FATES[fate] ?? FATES.kept;
    return el("li", { class: `row ${fate}` },
      el("span", { class: "fate" }, mark(symbol, words)),
      el("span", { class: "name" }, el("span", { class: "kind" }, kind), " ", name),
      el("span", { class: "value" }, heard(": "), value),
      reading(value),
      kind === "body" && beside ? el("span", { class: "reading" }, beside) : null,
    );
  }));
}

/** What a token says, for people: anybody can read it, nobody can change it. */
function reading(value) {
  const claims = payload(value.replace(/^Bearer /, ""));
  if (!claims) return null;
  const who = { ...claims, ...claims.attributes };
  const shown = [
    who.screenname ?? who.name,
    who.external_id ?? who.uuid ?? who.memberID,
    claims.exp && `good until ${new Date(claims.exp * 1000).toLocaleTimeString()}`,
  ];
  return el("span", { class: "reading" }, `says: ${shown.filter(Boolean).join(" · ")}`);
}

/** What came through as from anybody, out of the way. */
function rest(rows) {
  const ordinary = rows.filter(({ fate }) => fate === "browser" || fate === "network");
  if (!ordinary.length) return "";
  return el("details", { class: "rest" },
    el("summary", {}, `and ${ordinary.length} ordinary headers`),
    el("ul", { class: "rows" }, ordinary.map(({ name, value, fate }) =>
      el("li", { class: "row" },
        el("span", { class: "name" }, name),
        el("span", { class: "value" }, heard(": "), value),
        fate === "network" ? el("span", { class: "reading" }, "set afresh by Countersign") : null))));
}
