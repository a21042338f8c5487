// Amazon Connect: the token for the widget's `authenticate`. At most ten minutes are allowed.
// The widget's own snippet fetches it as JSON: {"data": token}.
//
//   CHAT_SECRET=... WIDGET_ID=... node amazon-connect/sign.js user-123 Ana ana@acme.example

const jwt = require("jsonwebtoken");

// From your session, never from the request.
const [customerId, name, email] = process.argv.slice(2);

// Strings only: with anything else the vendor's chat does not start.
const attributes = { name, email, isPremiumUser: "true" };
// The secret looks like base64, and is used as it is.
const secret = process.env.CHAT_SECRET;
const options = { subject: process.env.WIDGET_ID, expiresIn: 500 };
console.log(jwt.sign({ customerId, attributes }, secret, options));
