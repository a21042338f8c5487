// A chat window: one WebSocket, the conversation, a line to write on.

import { el, mark } from "./dom.js";

/** Connects anew whenever it is told who speaks; the old connection goes. */
export class Chat {
  constructor(root, onwelcome = () => {}) {
    this.onwelcome = onwelcome;
    this.status = el("p", { class: "chat-status", role: "status" }, "Not connected.");
    this.log = el("ol", { class: "messages", tabindex: "0", "aria-label": "Messages" });
    this.text = el("input", { name: "text", "aria-label": "Your message", autocomplete: "off",
      placeholder: "Write something …" });
    const form = el("form", { class: "write", onsubmit: (event) => this.submit(event) },
      this.text, el("button", {}, "Send"));
    root.replaceChildren(this.status, this.log, form);
  }

  /** Opens `url`; resolves once the backend has said welcome, false if it never does. */
  connect(url) {
    this.socket?.close();
    const socket = (this.socket = new WebSocket(url));
    this.status.textContent = "Connecting …";
    return new Promise((done) => {
      socket.addEventListener("message", ({ data }) => {
        if (socket !== this.socket) return;
        const told = JSON.parse(data);
        this.show(told.conversation);
        if (told.type === "welcome") {
          this.onwelcome(told);
          done(true);
        }
      });
      socket.addEventListener("close", ({ code, reason }) => {
        if (socket === this.socket) {
          this.status.replaceChildren(code >= 3000 ? `Closed: ${reason || "no reason"} (${code}).` : "Not connected.");
        }
        done(false);
      });
    });
  }

  /** Sends a message, if anybody is there to hear it. */
  say(text) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ text }));
  }

  submit(event) {
    event.preventDefault();
    this.say(this.text.value);
    this.text.value = "";
  }

  show({ visitor, messages, browsers, nickname }) {
    const who = visitor.verified
      ? [mark("✓", "verified", "good"), ` ${visitor.name ?? visitor.id ?? "Verified"}`]
      : [mark("○", "guest"), ` Guest${nickname ? ` “${nickname}”` : ""}`];
    const many = browsers > 1 ? ` · in ${browsers} browsers` : "";
    this.status.replaceChildren(...who, many);
    this.log.replaceChildren(...messages.map(({ from, text }) =>
      el("li", { class: `message ${from}` },
        el("span", { class: "from" }, from === "agent" ? "Agent" : "You"), text)));
    this.log.scrollTop = this.log.scrollHeight;
  }
}
