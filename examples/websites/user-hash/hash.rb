# UChat's `identifier_hash`: proves the user id. Name and email are not covered by it.
#
#   CHAT_SECRET=... ruby user-hash/hash.rb user-123

require "openssl"

# From your session, never from the request.
user_id = ARGV[0]

puts OpenSSL::HMAC.hexdigest("SHA256", ENV.fetch("CHAT_SECRET"), user_id)
