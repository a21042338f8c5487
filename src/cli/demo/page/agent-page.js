// The agents' view as a page of the backend's own: one column a site.

import { Agents } from "./agents.js";
import { byId, el } from "./dom.js";

const SITES = { uchat: "User hash", zendesk: "Zendesk Chat", ringcentral: "RingCentral", amazon: "Amazon Connect" };

for (const [site, title] of Object.entries(SITES)) {
  const list = el("div", {});
  byId("sites").append(
    el("section", { class: "pane", "aria-labelledby": `title-${site}` },
      el("h2", { id: `title-${site}` }, title), list));
  new Agents(list).connect(`ws://${location.host}/agent/feed?site=${site}`);
}
