// The buttons. Each makes a request (or more) out of the system's own parts, and has words
// for what came of it.

import { ben } from "./systems.js";
import { credential, lain } from "./widgets.js";

/** Seconds that the page lies open in "let it expire". */
const TEN_MINUTES = 600;

/** Those that a request shows. `make` returns { request, credential }. */
export const attempts = [
  {
    id: "guest",
    title: "Just visit",
    hint: "No signature: anybody may come in.",
    make: ({ system, start }) => ({ request: start(system) }),
    verified: () => "",
    guest: () => "Nobody vouches for you, and you claim nothing. Guests are welcome here.",
    refused: () => "Here every visitor has to be vouched for.",
  },
  {
    id: "sign-in",
    title: "Sign in",
    hint: "The website signs: this is Ana.",
    async make({ system, start, visitor }) {
      const proof = await credential(system.name);
      return { request: signed(system, start(system), proof, visitor), credential: proof };
    },
    verified: () =>
      "The website’s signature holds. The proof itself stays here; the backend gets plain headers it can trust.",
  },
  {
    id: "tamper",
    attack: true,
    title: "Tamper with the token",
    hint: (system) => system.tampered,
    async make({ system, start, visitor }) {
      const proof = system.tamper(await credential(system.name));
      return { request: signed(system, start(system), proof, visitor), credential: proof };
    },
    refused: () => "The signature fits what the website wrote, and not what you wrote.",
    guest: () => "The forgery counts for nothing, but this mode turns nobody away.",
  },
  {
    id: "expire",
    attack: true,
    title: "Let it expire",
    hint: "Ana’s own proof, ten minutes later.",
    async make({ system, start, visitor }) {
      const proof = await lain(system.name, TEN_MINUTES);
      return { request: signed(system, start(system), proof, visitor), credential: proof };
    },
    refused: () => "It was good, and no longer is. A stolen token is soon worth nothing.",
    verified: (system) => system.lapse ?? "It is still good.",
    guest: () => "An old token proves nothing, but this mode turns nobody away.",
  },
  {
    id: "forge",
    attack: true,
    title: "Forge an identity header",
    hint: "Write what Countersign would write: Countersign-Id.",
    make({ system, start }) {
      const request = start(system);
      request.headers.push(
        ["Countersign-Status", "verified"],
        ["Countersign-Id", ben.id],
        ["countersign_name", ben.name],
        ["X-Forwarded-For", "203.0.113.66"],
      );
      return { request };
    },
    guest: () => "Your headers never arrive. Only Countersign writes these names, however you spell them.",
    refused: () => "Your headers count for nothing, and nobody vouches for you.",
  },
  {
    id: "drop",
    attack: true,
    title: "Drop the signature",
    hint: "Say you are Ben. Who needs proof?",
    make({ system, start }) {
      const request = start(system);
      system.unsigned(request, ben);
      return { request };
    },
    guest: (system) =>
      system.claimedInBody ??
      "What you say about yourself leaves the request. The backend sees it as a claim, and the agent as unverified.",
    refused: () => "A name without a signature is only a name.",
  },
  {
    id: "claim",
    attack: true,
    title: "Claim somebody else’s id",
    hint: (system) => system.claims,
    async make({ system, start }) {
      const proof = await credential(system.name);
      const request = start(system);
      system.present(request, proof);
      system.claim(request, ben);
      return { request, credential: proof };
    },
    verified: (system) =>
      system.claimedInBody ??
      "You are still Ana. What you claim beside the proof is taken out, so no backend can mistake it.",
  },
];

/** A request of the website's visitor. */
export function signed(system, request, proof, visitor) {
  system.present(request, proof);
  system.beside(request, visitor);
  return request;
}
