// The website's server: each webhook as it came, who that is, and what went back.

import { el, mark } from "./dom.js";

const AGAIN_AFTER = 2000;
/** What is worth seeing of a webhook's headers. */
const HEADERS = ["content-type", "ms-signature"];

/** Shows what the website's server does, the latest first: `most` of them, of one system or of
    all. */
export class Crm {
  constructor(root, most) {
    this.most = most;
    this.entries = new Map();
    this.status = el("p", { class: "quiet", role: "status" });
    this.list = el("div", { class: "events" });
    root.replaceChildren(this.status, this.list);
  }

  connect(url) {
    const socket = new WebSocket(url);
    socket.addEventListener("message", ({ data }) => {
      for (const entry of JSON.parse(data).entries) this.entries.set(entry.number, entry);
      this.show();
    });
    socket.addEventListener("close", () => setTimeout(() => this.connect(url), AGAIN_AFTER));
  }

  /** From now on shows this system's alone. */
  choose(system) {
    this.system = system;
    this.show();
  }

  show() {
    const latest = [...this.entries.values()]
      .filter(({ system }) => !this.system || system === this.system)
      .slice(-this.most).reverse();
    this.status.textContent = latest.length
      ? words(latest[0])
      : "No chat has begun yet. Once one does, this server is told.";
    this.list.replaceChildren(...latest.map(event));
  }
}

const words = ({ signed, repeated, unknown, found, answered }) => {
  if (!signed) return "A webhook came that nobody has signed: refused.";
  if (repeated) return "The same event again: it is done already.";
  if (unknown) return "A chat has begun with somebody who is no customer.";
  if (!answered) return "A chat has begun.";
  return answered.status === 200
    ? `A chat has begun with ${found.id}: the agent now sees what this server knows of them.`
    : `A chat has begun with ${found.id}, and the details were not taken: it comes again.`;
};

function event({ system, received, signed, found, unknown, repeated, sent, answered }) {
  return el("div", { class: "event" },
    el("article", { class: "pane", "aria-label": "The webhook" },
      title("1", "The webhook, as it arrived"),
      el("div", { class: "pane-body" },
        el("p", { class: "request-line" }, `${received.method} ${received.target}`),
        el("ul", { class: "rows" }, received.headers
          .filter(([name]) => HEADERS.includes(name.toLowerCase()))
          .map(([name, value]) => el("li", { class: "row" },
            el("span", { class: "name" }, name), el("span", { class: "value" }, value)))),
        code("The webhook’s body", received.body),
        el("p", { class: `signed ${signed ? "good" : "bad"}` },
          signed ? mark("✓", "", "good") : mark("✕", "", "bad"),
          signed ? " The signature holds." : " The signature does not fit."))),
    el("article", { class: "pane", "aria-label": "The customer" },
      title("2", "Who is that?"),
      el("div", { class: "pane-body" }, ...customer({ system, found, unknown, repeated, sent }))),
    el("article", { class: "pane", "aria-label": "The details" },
      title("3", "What goes back"),
      el("div", { class: "pane-body" }, ...answer(sent, answered))));
}

const title = (step, text) =>
  el("p", { class: "pane-title" }, el("span", { "aria-hidden": "true" }, `${step}. `), text);

const code = (label, text) => el("pre", { tabindex: "0", "aria-label": label }, el("code", {}, text));

function customer({ found, unknown, repeated, sent }) {
  if (repeated) return [el("p", {}, "This event was done before.")];
  if (unknown) return [el("p", {}, "No customer.")];
  if (!found) return [el("p", { class: "quiet" }, "Nobody is looked up.")];
  const { by, id, email } = found;
  return [
    el("p", {}, `Looked up by ${by}`, el("code", {}, ` ${by === "email" ? email : id}`)),
    by === "email" ? null : el("p", { class: "quiet" }, "This system signs no email."),
    el("dl", { class: "facts" },
      el("dt", {}, "Customer"), el("dd", {}, id),
      (sent?.body.Fields ?? []).map(({ name, value }) => [el("dt", {}, name), el("dd", {}, value)])),
  ].filter(Boolean);
}

function answer(sent, answered) {
  if (!sent) return [el("p", { class: "quiet" }, "Nothing.")];
  const good = answered?.status === 200;
  return [
    el("p", { class: "request-line" }, `POST ${sent.target}`),
    code("The details", JSON.stringify(sent.body, null, 2)),
    answered
      ? el("p", { class: good ? "good" : "bad" },
        good ? mark("✓", "", "good") : mark("✕", "", "bad"),
        good ? " 200: taken." : ` ${answered.status || "Nobody answers"} ${answered.body}`)
      : el("p", { class: "quiet" }, "On its way …"),
  ];
}
