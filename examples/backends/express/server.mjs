// Express with jose: answers nobody but those whom Countersign vouches for.
//
//   COUNTERSIGN_JWKS=http://127.0.0.1:8080/.well-known/countersign/jwks.json \
//   COUNTERSIGN_SITE=acme-support PORT=3000 node express/server.mjs

import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { COUNTERSIGN_JWKS, COUNTERSIGN_SITE, PORT = 3000 } = process.env;
// Without an audience jose would let every site's visitors in.
if (!COUNTERSIGN_SITE) throw new Error("COUNTERSIGN_SITE is missing: the name of the site");

// Fetched when first needed; again after five minutes, or for an unknown key, if the last time
// was five seconds ago.
const keys = createRemoteJWKSet(new URL(COUNTERSIGN_JWKS), {
  cacheMaxAge: 300_000,
  cooldownDuration: 5_000,
  timeoutDuration: 3_000,
});
const expected = {
  algorithms: ["ES256"],
  typ: "countersign+jwt",
  issuer: "countersign",
  audience: COUNTERSIGN_SITE,
  requiredClaims: ["exp"],
  maxTokenAge: 60,
  clockTolerance: 5,
};

/** What the request's one assertion says; throws if it proves nothing. */
async function read(request) {
  const [assertion, ...more] = request.headersDistinct["countersign-assertion"] ?? [];
  // Others in between may have joined two by a comma.
  if (more.length > 0 || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(assertion)) {
    throw new Error("not exactly one Countersign-Assertion");
  }
  return (await jwtVerify(assertion, keys, expected)).payload;
}

async function countersigned(request, response, next) {
  try {
    request.visitor = await read(request);
  } catch (error) {
    console.error("refused:", error.message);
    response.set("WWW-Authenticate", "Countersign-Assertion");
    return response.status(401).send("Only through Countersign.");
  }
  next();
}

// --- The application. ---

const app = express();
app.use(countersigned);
app.get("/", (request, response) => {
  const { status, sub, name, email, attributes, claimed, details } = request.visitor;
  response.json({ status, id: sub, name, email, attributes, claimed, details });
});
app.listen(PORT, "127.0.0.1");
