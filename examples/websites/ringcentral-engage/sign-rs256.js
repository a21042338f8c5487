// RingCentral Engage: the token for `_setSignedIdentity`, signed with a private key. Only its
// public half leaves the website, so that nobody else can sign.
//
//   CHAT_PRIVATE_KEY="$(cat private.pem)" CHAT_KEY_ID=... \
//     node ringcentral-engage/sign-rs256.js user-123 Ana ana@acme.example

const jwt = require("jsonwebtoken");

// From your session, never from the request.
const [uuid, screenname, email] = process.argv.slice(2);

const visitor = { uuid, screenname, email, extra_values: { customer_id: uuid } };
// `kid` is needed: it says which of the keys to check with.
const options = { algorithm: "RS256", keyid: process.env.CHAT_KEY_ID, expiresIn: "2h" };
console.log(jwt.sign(visitor, process.env.CHAT_PRIVATE_KEY, options));
