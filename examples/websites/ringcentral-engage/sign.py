# RingCentral Engage: the token for `_setSignedIdentity`, signed with a shared secret. PyJWT
# warns that the secret is short: 24 characters are what the vendor asks for.
#
#   CHAT_SECRET=... CHAT_KEY_ID=... \
#     python3 ringcentral-engage/sign.py user-123 Ana ana@acme.example

import os
import sys
import time

import jwt  # pip install pyjwt

# From your session, never from the request.
uuid, screenname, email = sys.argv[1:]

visitor = {
    "uuid": uuid,
    "screenname": screenname,
    "email": email,
    "extra_values": {"customer_id": uuid},
    "exp": int(time.time()) + 7200,
}
# `kid` is needed: it says which of the keys to check with.
header = {"kid": os.environ["CHAT_KEY_ID"]}
print(jwt.encode(visitor, os.environ["CHAT_SECRET"], algorithm="HS256", headers=header))
