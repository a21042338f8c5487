// The page: tabs, buttons, and what each of them sets in motion.

import { Agents } from "./agents.js";
import { attempts } from "./attacks.js";
import { Chat } from "./chat.js";
import { Crm } from "./crm.js";
import { byId, el, mark } from "./dom.js";
import { Editor } from "./editor.js";
import { View, exchange } from "./exchange.js";
import { inspect } from "./inspector.js";
import { systems } from "./systems.js";

const MODES = {
  require: "Every visitor must be vouched for.",
  prefer: "Guests are welcome, forgeries are not.",
  accept: "Nobody is turned away.",
  observe: "A dry run: looks, counts, changes nothing.",
  off: "Nobody looks.",
};
const NO_SECURITY = ["accept", "observe", "off"];

const facts = await (await fetch("/demo.json")).json();
const browser = `first-${crypto.randomUUID().slice(0, 8)}`;
const view = new View(byId("sent"), byId("verdict"), byId("received"));
const chat = new Chat(byId("chat"));
const agents = new Agents(byId("agents"));
const crm = new Crm(byId("crm"), 1);
const editor = new Editor(byId("editor"), (request) => attempt(BY_HAND, { request }));
let system = systems[0];
/** Which chat of theirs a verified visitor is in: one a page, until a new one is begun. */
let conversation = crypto.randomUUID();

const here = () => facts.systems[system.name];

/** A request to be filled in. */
const start = (of) => of.request(facts);

// --- Buttons. ------------------------------------------------------------------------------

const SIGN_IN = attempts.find(({ id }) => id === "sign-in");

const BY_HAND = {
  id: "by-hand",
  verified: () => "The signature holds.",
  guest: () => "Nothing that you wrote proves who you are.",
  refused: () => "This does not get through.",
};

const further = [
  {
    id: "new-chat",
    title: "Start a new chat",
    hint: "The website’s server hears of it, and tells the agent more.",
    run: startChat,
  },
  {
    id: "second",
    title: "Open a second browser",
    hint: "Another device, the same Ana.",
    run: openSecond,
  },
  {
    id: "rotate",
    title: "Rotate the key while chatting",
    hint: "The website changes its secret. Nobody drops.",
    run: rotate,
  },
];

const powers = [
  {
    id: "logout",
    title: "Log Ana out everywhere",
    hint: "Her proofs and connections of before end.",
    run: () => take("logout", {
      refused: () => "What Ana was signed in with before counts no more, in no browser. A new proof does.",
      verified: () => "Her connections were closed. A hash never expires, and this one is still good: " +
        "to keep her out, ban her.",
    }),
  },
  {
    id: "ban",
    title: "Ban Ana",
    hint: "On every device, with any proof.",
    run: () => take("ban", { refused: () => "The proof is good, and Ana is banned: here, and on every device of hers." }),
  },
  {
    id: "pardon",
    title: "Lift the ban",
    hint: "She may come back.",
    run: () => take("pardon", { verified: () => "Nobody keeps her out any more." }),
  },
];

function buttons() {
  const make = (attempted, run) =>
    el("button", { class: `action ${attempted.attack ? "attack" : ""}`, id: `do-${attempted.id}`,
      onclick: () => press(attempted.id, run) },
      el("span", { class: "action-title" }, attempted.title),
      el("span", { class: "action-hint" },
        typeof attempted.hint === "function" ? attempted.hint(system) : attempted.hint));
  const attempting = (attempted) => make(attempted, () => attempt(attempted));
  const group = (title, ...children) =>
    el("div", { class: "group", role: "group", "aria-label": title },
      el("p", { class: "group-title", "aria-hidden": "true" }, title), children);
  byId("actions").replaceChildren(
    group("As it is meant to be",
      attempts.filter(({ attack }) => !attack).map(attempting),
      further.map((one) => make(one, one.run))),
    group("Attack it", attempts.filter(({ attack }) => attack).map(attempting)),
    group("As the operator", powers.map((one) => make(one, one.run))));
}

/** One at a time; the button pressed last is the one whose outcome is shown. */
let queue = Promise.resolve();
let waiting = 0;
function press(id, run) {
  for (const button of document.querySelectorAll(".action")) {
    button.setAttribute("aria-pressed", button.id === `do-${id}`);
  }
  waiting += 1;
  document.body.dataset.busy = id;
  // On a phone the outcome is further down.
  if (byId(`do-${id}`) === document.activeElement) byId("verdict").scrollIntoView({ block: "nearest" });
  queue = queue.then(run).catch((error) => view.failed(error)).then(() => {
    waiting -= 1;
    if (!waiting) delete document.body.dataset.busy;
  });
  return queue;
}

async function attempt(attempted, made) {
  const { request, credential: proof } = made ?? (await make(attempted));
  view.waiting(request);
  editor.fill(request);
  const outcome = await exchange(here().url, request);
  view.show(request, outcome, words(attempted, outcome));
  if (attempted.id === "sign-in" && !outcome.problem) await enter(proof);
  if (attempted.id === "guest" && !outcome.problem) await enter();
  if (attempted !== BY_HAND) await inspect(byId("report"), system, proof);
}

async function make(attempted) {
  const made = await attempted.make({ system, start, visitor: facts.visitor });
  // What this browser calls itself: it tells guests apart, and proves nothing.
  made.request.query.push(["browser", browser]);
  return made;
}

function words(attempted, { problem, conversation }) {
  const fate = problem ? "refused" : conversation.visitor.verified ? "verified" : "guest";
  const reason = conversation?.visitor.reason;
  if (reason === "not_checked") return "Nobody looks at identity in this mode.";
  return attempted[fate]?.(system) ?? BY_HAND[fate]();
}

// --- The chat. -----------------------------------------------------------------------------

function room(proof) {
  const whose = proof ? { ...system.room(proof, facts.visitor), chat: conversation } : {};
  const query = new URLSearchParams({ ...whose, browser });
  return `${here().url.replace("http", "ws")}/room?${query}`;
}

const enter = (proof) => chat.connect(room(proof));

/** The same Ana, another chat: the website's server is told again. */
async function startChat() {
  conversation = crypto.randomUUID();
  await attempt({
    ...SIGN_IN,
    verified: () => "A chat begins. Below, the website’s server is told, looks Ana up, and the agent learns more.",
  });
}

/** Signs in, has the operator do something about Ana, and shows the very same proof again. */
async function take(power, says) {
  const made = await make(SIGN_IN);
  if (power !== "pardon") await attempt(SIGN_IN, made);
  const answer = await fetch(`/${power}/${system.name}`, { method: "POST" });
  if (!answer.ok) throw new Error(await answer.text());
  // What was ended stays ended: who comes back comes to a new chat.
  conversation = crypto.randomUUID();
  // A proof of the same second counts as one of before.
  if (power === "logout") await new Promise((done) => setTimeout(done, 1000));
  await attempt({ ...SIGN_IN, id: power === "pardon" ? SIGN_IN.id : power, ...says }, made);
}

async function openSecond() {
  const frame = el("iframe", { title: "The chat in a second browser", src: `/open/${system.name}` });
  const away = el("p", { class: "quiet" },
    "A window that shares nothing with this page but Ana. Or ",
    el("a", { href: `/open/${system.name}`, target: "_blank", rel: "noopener" }, "open it for real"),
    ": the conversation is the same.");
  byId("second-browser").replaceChildren(frame, away);
  byId("second").hidden = false;
  // Whoever opens a second browser is signed in in the first.
  await attempt({
    ...SIGN_IN,
    verified: () => "The second browser brings a proof of its own, for the same id. " +
      "The backend matches them: one Ana, one conversation.",
  });
  chat.say("Hello from my first browser!");
}

async function rotate() {
  await attempt(SIGN_IN);
  chat.say("I am writing while the key changes.");
  const answer = await fetch(`/rotate/${system.name}`, { method: "POST" });
  if (!answer.ok) throw new Error(await answer.text());
  const before = here().key;
  here().key = (await answer.json()).key;
  chat.say("And I am still here.");
  const renewed = await make(SIGN_IN);
  await attempt({
    ...SIGN_IN,
    id: "rotate",
    verified: () => `The website now signs with ${here().key}; ${before} still verifies until the next ` +
      "rotation. Meanwhile the chat stayed connected.",
  }, renewed);
}

// --- Systems and modes. --------------------------------------------------------------------

function tabs() {
  const choose = (index) => {
    const next = (index + systems.length) % systems.length;
    byId("tabs").children[next].focus();
    select(systems[next]);
  };
  const keys = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  byId("tabs").replaceChildren(...systems.map((one, index) =>
    el("button", { role: "tab", id: `tab-${one.name}`, "aria-controls": "panel",
      onclick: () => select(one),
      onkeydown(event) {
        if (event.key === "Home") choose(0);
        else if (event.key === "End") choose(-1);
        else if (keys[event.key]) choose(index + keys[event.key]);
        else return;
        event.preventDefault();
      } },
      el("span", { class: "tab-title" }, one.title),
      el("span", { class: "tab-vendor" }, one.vendor))));
}

async function select(chosen) {
  system = chosen;
  for (const tab of byId("tabs").children) {
    const current = tab.id === `tab-${system.name}`;
    tab.setAttribute("aria-selected", current);
    tab.tabIndex = current ? 0 : -1;
  }
  byId("panel").setAttribute("aria-labelledby", `tab-${system.name}`);
  byId("about").textContent = system.about;
  byId("second").hidden = true;
  byId("second-browser").replaceChildren();
  buttons();
  showMode();
  agents.connect(`${here().url.replace("http", "ws")}/agent/feed`);
  crm.choose(system.name);
  fetch(`/assets/${system.name}.js`).then(async (answer) => {
    byId("snippet").textContent = await answer.text();
  });
  await press("guest", () => attempt(attempts[0]));
}

function showMode() {
  const { mode } = here();
  byId("mode").replaceChildren(...facts.modes.map((one) =>
    el("option", { value: one, selected: one === mode }, one)));
  byId("mode-words").textContent = MODES[mode];
  const open = NO_SECURITY.includes(mode);
  byId("no-security").hidden = !open;
  byId("no-security").textContent = open
    ? `The mode “${mode}” gives no security: it is for moving, for watching, and for what needs none.`
    : "";
}

byId("mode").addEventListener("change", () => press("mode", async () => {
  const chosen = byId("mode").value;
  const answer = await fetch(`/mode/${system.name}?mode=${chosen}`, { method: "POST" });
  if (!answer.ok) throw new Error(await answer.text());
  here().mode = chosen;
  showMode();
}));

byId("links").replaceChildren(
  el("p", {}, mark("✓", "", "good"),
    " Everything here runs on your machine and is gone when you press Ctrl-C."),
  el("ul", {},
    el("li", {}, el("a", { href: facts.agents }, "The agents’ view")),
    el("li", {}, el("a", { href: facts.crm }, "The website’s CRM")),
    el("li", {}, el("a", { href: facts.metrics }, "The gateway’s metrics")),
    el("li", {}, "Its configuration: ", el("code", {}, facts.configuration))));

tabs();
crm.connect(`ws://${location.host}/crm/feed`);
await select(systems[0]);
