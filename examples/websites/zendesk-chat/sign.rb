# Zendesk Chat: the token for the widget's `jwtFn`. At most seven minutes are allowed.
#
#   CHAT_SECRET=... ruby zendesk-chat/sign.rb user-123 Ana ana@acme.example

require "jwt"

# From your session, never from the request.
external_id, name, email = ARGV

now = Time.now.to_i
visitor = { external_id: external_id, name: name, email: email, iat: now, exp: now + 300 }
puts JWT.encode(visitor, ENV.fetch("CHAT_SECRET"), "HS256")
