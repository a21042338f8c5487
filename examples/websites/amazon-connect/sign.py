# Amazon Connect: the token for the widget's `authenticate`. At most ten minutes are allowed.
# The widget's own snippet fetches it as JSON: {"data": token}.
#
#   CHAT_SECRET=... WIDGET_ID=... python3 amazon-connect/sign.py user-123 Ana ana@acme.example

import os
import sys
from datetime import datetime, timedelta, timezone

import jwt  # pip install pyjwt

# From your session, never from the request.
customer_id, name, email = sys.argv[1:]

now = datetime.now(timezone.utc)
payload = {
    "sub": os.environ["WIDGET_ID"],
    "iat": now,
    "exp": now + timedelta(seconds=500),
    "customerId": customer_id,
    # Strings only: with anything else the vendor's chat does not start.
    "attributes": {"name": name, "email": email, "isPremiumUser": "true"},
}
header = {"typ": "JWT", "alg": "HS256"}
# The secret looks like base64, and is used as it is.
print(jwt.encode(payload, os.environ["CHAT_SECRET"], algorithm="HS256", headers=header))
