// Zendesk Chat: the token for the widget's `jwtFn`. At most seven minutes are allowed.
//
//   CHAT_SECRET=... node zendesk-chat/sign.js user-123 Ana ana@acme.example

const jwt = require("jsonwebtoken");

// From your session, never from the request.
const [external_id, name, email] = process.argv.slice(2);

// The library adds `iat`, in seconds as it has to be; `Date.now()` counts milliseconds.
const visitor = { external_id, name, email };
console.log(jwt.sign(visitor, process.env.CHAT_SECRET, { expiresIn: "5m" }));
