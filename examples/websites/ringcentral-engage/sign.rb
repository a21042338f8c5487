# RingCentral Engage: the token for `_setSignedIdentity`, signed with a shared secret.
#
#   CHAT_SECRET=... CHAT_KEY_ID=... ruby ringcentral-engage/sign.rb user-123 Ana ana@acme.example

require "jwt"

# From your session, never from the request.
uuid, screenname, email = ARGV

visitor = {
  uuid: uuid,
  screenname: screenname,
  email: email,
  extra_values: { customer_id: uuid },
  exp: Time.now.to_i + 7200
}
# `kid` says which of the keys to check with; `typ`, needed too, this library leaves to you.
header = { typ: "JWT", kid: ENV.fetch("CHAT_KEY_ID") }
puts JWT.encode(visitor, ENV.fetch("CHAT_SECRET"), "HS256", header)
