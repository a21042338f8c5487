// The four systems: what a widget of each sends. A request is plain data,
// { method, path, query: [[name, value]], headers: [[name, value]], body }, so that one can
// be compared, edited and sent. Where a credential or a claim goes is one line: `put`.

import { unsignedAttributes } from "./widgets.js";

/** Whom one might want to be. */
export const ben = { id: "user-456", name: "Ben Okafor", email: "ben@acme.example" };

const put = {
  query: (request, name, value) => request.query.push([name, value]),
  header: (request, name, value) => request.headers.push([name, value]),
  body: (request, name, value) => (request.body = { ...request.body, [name]: value }),
};

const get = (path) => ({ method: "GET", path, query: [], headers: [], body: null });
const post = (path) => ({ ...get(path), method: "POST" });

/** A JWT's payload, unverified: for showing, and for writing something else into it. */
export function payload(token) {
  try {
    const bytes = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

/** The same token with other claims: header and signature are left as they were. */
function rewritten(token, claims) {
  const [header, , signature] = token.split(".");
  const bytes = new TextEncoder().encode(JSON.stringify({ ...payload(token), ...claims }));
  const text = btoa(String.fromCharCode(...bytes));
  const encoded = text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  return [header, encoded, signature].join(".");
}

const uchat = {
  name: "uchat",
  title: "User hash",
  vendor: "UChat and others",
  about:
    "The website sends the visitor’s id with a hash of it that only its server can make. Simple, but " +
    "the hash covers nothing else and never expires.",
  request: () => get("/messages"),
  present(request, { user_id, identifier_hash }) {
    put.query(request, "user_id", user_id);
    put.query(request, "identifier_hash", identifier_hash);
  },
  // The snippet's own, unsigned.
  beside(request, who) {
    put.query(request, "name", who.name);
    put.query(request, "email", who.email);
  },
  claim(request, who) {
    put.header(request, "X-User-Id", who.id);
    put.query(request, "name", who.name);
    put.query(request, "email", who.email);
  },
  unsigned(request, who) {
    put.query(request, "user_id", who.id);
    this.beside(request, who);
  },
  tamper: (credential) => ({ ...credential, user_id: ben.id }),
  tampered: "Ana’s hash, with Ben’s id before it.",
  claims: "Ana’s good hash, with Ben’s id and name beside it.",
  lapse: "A hash carries no time: it is good until the website changes its key.",
  room: ({ user_id, identifier_hash }, { name, email }) => ({ user_id, identifier_hash, name, email }),
  inspect: ({ user_id, identifier_hash }) => ({ credential: identifier_hash, id: user_id }),
};

const zendesk = {
  name: "zendesk",
  title: "Zendesk Chat",
  vendor: "authenticated visitors",
  about:
    "The widget asks the website for a token whenever it needs one (jwtFn). A token holds id, name " +
    "and email, and is good for minutes.",
  request: () => get("/messages"),
  present: (request, token) => put.header(request, "Authorization", `Bearer ${token}`),
  claim(request, who) {
    put.query(request, "external_id", who.id);
    put.query(request, "name", who.name);
    put.query(request, "email", who.email);
  },
  tamper: (token) =>
    rewritten(token, { external_id: ben.id, name: ben.name, email: ben.email }),
  room: (jwt) => ({ jwt }),
};

const ringcentral = {
  name: "ringcentral",
  title: "RingCentral",
  vendor: "Engage signed identity",
  about:
    "The website hands the chat a token (_setSignedIdentity), or puts it into an iframe’s address " +
    "(jwt_identity). The token names the key that signed it.",
  request: () => get("/messages"),
  present: (request, token) => put.query(request, "jwt_identity", token),
  claim(request, who) {
    put.query(request, "uuid", who.id);
    put.query(request, "screenname", who.name);
    put.query(request, "email", who.email);
  },
  tamper: (token) => rewritten(token, { uuid: ben.id, screenname: ben.name, email: ben.email }),
  room: (jwt_identity) => ({ jwt_identity }),
};

const amazon = {
  name: "amazon",
  title: "Amazon Connect",
  vendor: "communication widget",
  about:
    "The widget asks the website for a token (authenticate) made for this one widget, and sends it in a " +
    "header of its own. Attributes in the token are signed; those of the snippet are not.",
  request(facts) {
    const request = post(`/connectwidget/api/${facts.widget}/start`);
    put.body(request, "Attributes", unsignedAttributes());
    return request;
  },
  present: (request, token) => put.header(request, "x-amz-security-token", token),
  claim(request, who) {
    const claimed = { memberID: who.id, name: who.name, email: who.email };
    put.body(request, "Attributes", { ...request.body.Attributes, ...claimed });
  },
  tamper: (token) =>
    rewritten(token, { attributes: { memberID: ben.id, name: ben.name, email: ben.email } }),
  claimedInBody:
    "What the body says about you is marked in place, HostedWidget-…, as the vendor marks it: it never " +
    "looks like a signed attribute.",
  room: (token) => ({ token }),
};

/** In the order of the tabs. */
export const systems = [zendesk, ringcentral, amazon, uchat].map((system) => ({
  beside: () => {},
  unsigned: system.claim,
  tampered: "Ana’s token, with Ben’s id, name and email written into it.",
  claims: "Ana’s good token, with Ben’s id and name beside it.",
  inspect: (token) => ({ credential: token }),
  ...system,
}));
