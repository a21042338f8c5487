// UChat's `identifier_hash`: proves the user id. Name and email are not covered by it.
//
//   CHAT_SECRET=... node user-hash/hash.js user-123

const { createHmac } = require("node:crypto");

// From your session, never from the request.
const userId = process.argv[2];

console.log(createHmac("sha256", process.env.CHAT_SECRET).update(userId).digest("hex"));
