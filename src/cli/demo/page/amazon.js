(function (w, x) {
  w[x] = w[x] || function () { (w[x].ac = w[x].ac || []).push(arguments); };
})(window, "amazon_connect");
amazon_connect("authenticate", function (callback) {
  window.fetch("/token/amazon").then(function (res) {
    res.json().then(function (data) {
      callback(data.data);
    });
  });
});
// Not signed: reaches the agent as HostedWidget-cart.
amazon_connect("contactAttributes", { cart: "3 items" });
