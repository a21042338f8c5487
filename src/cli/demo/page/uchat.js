// On every page of the website, beside the vendor's widget.
window.setChatUser = function (widget) {
  fetch("/token/uchat").then(function (res) {
    res.json().then(function (user) {
      // The hash was made on the server: HMAC-SHA256(secret key, user_id).
      widget.setUser({
        user_id: user.user_id,
        identifier_hash: user.identifier_hash,
        name: "Ana Torres", // not signed by this system
        email: "ana@acme.example" // nor this
      });
    });
  });
};
