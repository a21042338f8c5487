// Before the Web Widget's snippet. The widget calls jwtFn whenever it needs a token.
window.zESettings = {
  webWidget: {
    authenticate: {
      chat: {
        jwtFn: function (callback) {
          fetch("/token/zendesk").then(function (res) {
            res.text().then(function (jwt) {
              callback(jwt);
            });
          });
        }
      }
    }
  }
};
