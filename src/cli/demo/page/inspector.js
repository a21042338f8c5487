// The report of `countersign explain` for the credential last sent. The website makes it,
// with its own keys: nothing leaves this machine.

import { coded, el, mark } from "./dom.js";

/** Asks for a credential's report and shows it. */
export async function inspect(root, system, credential) {
  if (!credential) {
    root.replaceChildren(el("p", { class: "quiet" }, "No credential was sent: there was nothing to check."));
    return;
  }
  const answer = await fetch(`/inspect/${system.name}`, {
    method: "POST",
    body: JSON.stringify(system.inspect(credential)),
  });
  show(root, await answer.json());
}

/** A check held, failed, or was not reached. */
const FATES = {
  true: ["held", () => mark("✓", "held:", "good")],
  false: ["failed", () => mark("✕", "failed:", "bad")],
  null: ["open", () => mark("·", "not reached:")],
};

function show(root, { verified, code, checks, hints }) {
  root.replaceChildren(
    el("p", { class: "outcome" }, verified ? "Proven." : el("span", { class: "code" }, code)),
    el("ul", { class: "checks" }, checks.map(({ name, ok, detail }) =>
      el("li", { class: FATES[ok][0] }, FATES[ok][1](),
        el("strong", {}, name),
        el("span", {}, coded(detail))))),
    ...hints.map((hint) => el("p", { class: "hint" }, coded(hint))));
}
