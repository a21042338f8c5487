// Anywhere in the page, beside the source's loader.js. To renew it, push again.
var _chatq = _chatq || [];
function signChatIdentity() {
  fetch("/token/ringcentral").then(function (res) {
    res.text().then(function (jwt) {
      _chatq.push(["_setSignedIdentity", jwt]);
    });
  });
}
// Or without the loader, as an iframe:
//   https://the-domain.dimelochat.com/chat/the-source-token/web?jwt_identity=eyJhbGc...
