// RingCentral Engage: the token for `_setSignedIdentity`, signed with a shared secret.
//
//   CHAT_SECRET=... CHAT_KEY_ID=... node ringcentral-engage/sign.js user-123 Ana ana@acme.example

const jwt = require("jsonwebtoken");

// From your session, never from the request.
const [uuid, screenname, email] = process.argv.slice(2);

const visitor = { uuid, screenname, email, extra_values: { customer_id: uuid } };
// `kid` is needed: it says which of the keys to check with.
const options = { keyid: process.env.CHAT_KEY_ID, expiresIn: "2h" };
console.log(jwt.sign(visitor, process.env.CHAT_SECRET, options));
