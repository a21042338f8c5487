// The agent's screen: everybody who has come to one site's chat, the latest first.

import { el, heard, mark } from "./dom.js";

const AGAIN_AFTER = 2000;
/** So many of the latest are shown, whether they are there or not. */
const MOST_AWAY = 3;

/** Shows a site's conversations for as long as `url` answers. */
export class Agents {
  constructor(root, empty = "Nobody has come yet.") {
    this.root = root;
    this.empty = empty;
    this.cards = new Map();
  }

  connect(url) {
    clearTimeout(this.again);
    this.socket?.close();
    this.cards.clear();
    this.arrange();
    const socket = (this.socket = new WebSocket(url));
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.socket) return;
      const told = JSON.parse(data);
      for (const conversation of told.conversations ?? [told.conversation]) this.update(conversation);
      this.arrange();
    });
    socket.addEventListener("close", () => {
      if (socket === this.socket) this.again = setTimeout(() => this.connect(url), AGAIN_AFTER);
    });
  }

  update(conversation) {
    const known = this.cards.get(conversation.key);
    const card = known ?? new Card((frame) => this.say({ key: conversation.key, ...frame }));
    card.show(conversation);
    this.cards.set(conversation.key, card);
  }

  say(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  /** Moves cards only where their order has changed: a field being typed in keeps its focus. */
  arrange() {
    const cards = [...this.cards.values()].sort((one, other) => other.used - one.used);
    const wanted = cards.length
      ? cards.filter((card, index) => card.here || index < MOST_AWAY).map((card) => card.root)
      : [el("p", { class: "quiet" }, this.empty)];
    const present = [...this.root.children];
    const same = wanted.length === present.length && wanted.every((w, i) => w === present[i]);
    if (!same && !this.root.contains(document.activeElement)) this.root.replaceChildren(...wanted);
    else if (!same) this.root.append(...wanted.filter((card) => !this.root.contains(card)));
  }
}

/** One visitor. */
class Card {
  constructor(say) {
    this.head = el("p", { class: "who" });
    this.name = el("input", { autocomplete: "off",
      onchange: () => say({ nickname: this.name.value }) });
    this.email = el("input", { autocomplete: "off" });
    this.details = el("dl", { class: "facts" });
    this.known = el("div", { class: "known", hidden: true });
    this.last = el("p", { class: "last quiet" });
    this.reply = el("input", { name: "reply", autocomplete: "off", placeholder: "Answer …" });
    const field = (label, input) => el("label", { class: "field" }, el("span", {}, label), input);
    const answer = (event) => {
      event.preventDefault();
      say({ text: this.reply.value });
      this.reply.value = "";
    };
    this.root = el("div", { class: "visitor" },
      this.head,
      el("div", { class: "fields" }, field("Name", this.name), field("Email", this.email)),
      this.details,
      this.known,
      this.last,
      el("form", { class: "write", onsubmit: answer }, this.reply, el("button", {}, "Answer")));
  }

  show({ visitor, nickname, browsers, messages, used }) {
    this.used = used;
    this.here = browsers > 0;
    const { verified, id, name, email, attributes, claimed, details, reason } = visitor;
    const title = verified ? (name ?? id ?? "Verified visitor") : (nickname ?? "Guest");
    this.root.className = `visitor ${verified ? "verified" : "guest"}`;
    this.reply.setAttribute("aria-label", `Answer to ${title}`);
    this.head.replaceChildren(
      verified ? mark("✓", "verified", "check") : mark("○", "unverified", "check"),
      el("strong", {}, title),
      el("span", { class: "quiet" }, browsers > 1 ? `${browsers} browsers` : browsers ? "here" : "away"));
    this.field(this.name, verified, verified ? name : nickname);
    this.field(this.email, verified, verified ? email : undefined);
    const last = messages.at(-1);
    this.last.textContent = last ? `${last.from === "agent" ? "You" : title}: ${last.text}` : "";
    this.last.hidden = !last;
    this.details.replaceChildren(
      ...fact("Id", verified ? id : null),
      ...Object.entries(attributes)
        .filter(([key]) => !["name", "email", "screenname", "memberID", "visit"].includes(key))
        .flatMap(([key, value]) => fact(key, text(value))),
      ...Object.entries(claimed).flatMap(([key, value]) => unproven(key, text(value))),
      ...fact("Why a guest", verified ? null : reason));
    const known = Object.entries(details);
    this.known.hidden = !known.length;
    this.known.replaceChildren(
      el("p", {}, "The website adds"),
      el("dl", { class: "facts" }, known.flatMap(([key, value]) => fact(key, text(value)))));
  }

  /** Read-only once proven; the website knows better than an agent. */
  field(input, verified, value) {
    input.readOnly = verified;
    if (document.activeElement !== input) input.value = value ?? "";
    input.placeholder = verified ? "not signed" : "unknown";
  }
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

const fact = (name, value) => (value ? [el("dt", {}, name), el("dd", {}, value)] : []);

const unproven = (name, value) => [
  el("dt", { class: "unproven" }, name),
  el("dd", { class: "unproven" }, heard("unverified: "), value,
    el("span", { class: "tag", "aria-hidden": "true" }, "unverified")),
];
