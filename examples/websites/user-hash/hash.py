# UChat's `identifier_hash`: proves the user id. Name and email are not covered by it.
#
#   CHAT_SECRET=... python3 user-hash/hash.py user-123

import hashlib
import hmac
import os
import sys

# From your session, never from the request.
user_id = sys.argv[1]

secret = os.environ["CHAT_SECRET"]
print(hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest())
