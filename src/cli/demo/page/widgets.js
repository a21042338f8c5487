// Stand-ins for the vendors' widgets: they take the credential from the website's code
// (uchat.js, zendesk.js, ringcentral.js, amazon.js) as each vendor's own widget does.

const widgets = {
  uchat: () => new Promise((done) => window.setChatUser({ setUser: done })),
  zendesk: () =>
    new Promise((done) => window.zESettings.webWidget.authenticate.chat.jwtFn(done)),
  ringcentral: () =>
    new Promise((done) => {
      window._chatq.push = ([command, jwt]) => command === "_setSignedIdentity" && done(jwt);
      window.signChatIdentity();
    }),
  amazon: () =>
    new Promise((done) => {
      const [, authenticate] = window.amazon_connect.ac.find(([name]) => name === "authenticate");
      authenticate(done);
    }),
};

/** A fresh credential for the website's visitor, through the vendor's interface. */
export const credential = (system) => widgets[system]();

/** One that the website signed so many seconds ago: as if the page had lain open. */
export async function lain(system, seconds) {
  const answer = await fetch(`/token/${system}?age=${seconds}`);
  if (system === "uchat") return answer.json();
  return system === "amazon" ? (await answer.json()).data : answer.text();
}

/** What the snippet says beside the signature. */
export function unsignedAttributes() {
  const said = window.amazon_connect.ac.find(([name]) => name === "contactAttributes");
  return said ? said[1] : {};
}
