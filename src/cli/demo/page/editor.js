// A request as text, to be changed by hand and sent.

import { el } from "./dom.js";

/** The request in the form in which HTTP is written down. */
export function written({ method, path, query, headers, body }) {
  const parameters = query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  const target = parameters.length ? `${path}?${parameters.join("&")}` : path;
  const lines = [`${method} ${target}`, ...headers.map(([name, value]) => `${name}: ${value}`)];
  if (body) lines.push("", JSON.stringify(body, null, 2));
  return lines.join("\n");
}

/** Reads it back; throws a sentence where that cannot be. */
export function read(text) {
  const [head, ...rest] = text.trim().split(/\n\s*\n/);
  const [first, ...fields] = head.split("\n");
  const [, method, target] = first.trim().match(/^([A-Z]+)\s+(\/\S*)$/) ?? [];
  if (!method) throw new Error("The first line is a method and a path, such as GET /messages");
  const [path, query = ""] = target.split(/\?(.*)/s);
  const headers = fields.filter((field) => field.trim()).map((field) => {
    const [, name, value] = field.match(/^\s*([^:\s]+):\s*(.*)$/) ?? [];
    if (!name) throw new Error(`No header: ${field}`);
    return [name, value.trim()];
  });
  const body = rest.join("\n\n").trim();
  return { method, path, query: [...new URLSearchParams(query)], headers, body: body ? JSON.parse(body) : null };
}

/** A text area that `send` is given the request of. */
export class Editor {
  constructor(root, send) {
    this.text = el("textarea", { rows: "8", spellcheck: "false", id: "request-text" });
    this.error = el("p", { class: "warning", role: "alert", hidden: true });
    const attempt = async () => {
      this.error.hidden = true;
      try {
        await send(read(this.text.value));
      } catch (error) {
        this.error.textContent = error.message;
        this.error.hidden = false;
      }
    };
    root.replaceChildren(
      el("label", { for: "request-text", class: "quiet" },
        "The request last sent. Change anything: an id, a header, a letter of the signature."),
      this.text, this.error, el("button", { class: "primary", onclick: attempt }, "Send this"));
  }

  fill(request) {
    this.text.value = written(request);
  }
}
