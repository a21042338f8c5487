# Zendesk Chat: the token for the widget's `jwtFn`. At most seven minutes are allowed.
#
#   CHAT_SECRET=... python3 zendesk-chat/sign.py user-123 Ana ana@acme.example

import os
import sys
import time

from jose import jwt  # pip install python-jose

# From your session, never from the request.
external_id, name, email = sys.argv[1:]

now = int(time.time())
visitor = {
    "external_id": external_id,
    "name": name,
    "email": email,
    "iat": now,
    "exp": now + 300,
}
print(jwt.encode(visitor, os.environ["CHAT_SECRET"], algorithm="HS256"))
