"""FastAPI with PyJWT: answers nobody but those whom Countersign vouches for.

    COUNTERSIGN_JWKS=http://127.0.0.1:8080/.well-known/countersign/jwks.json \
    COUNTERSIGN_SITE=acme-support uvicorn --app-dir fastapi app:app --port 3000
"""

import asyncio
import logging
import os
import re

import jwt
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

SITE = os.environ["COUNTERSIGN_SITE"]
# Fetched when first needed; again after five minutes, or for an unknown key, if the last time
# was five seconds ago.
KEYS = jwt.PyJWKClient(
    os.environ["COUNTERSIGN_JWKS"], lifespan=300, cooldown_duration=5, timeout=3
)


def read(assertions: list[str]) -> dict:
    """What the one assertion says; raises if it proves nothing."""
    # Others in between may have joined two by a comma.
    if len(assertions) != 1 or not re.fullmatch(r"([\w-]+\.){2}[\w-]+", assertions[0], re.ASCII):
        raise jwt.DecodeError("not exactly one Countersign-Assertion")
    token = jwt.decode_complete(
        assertions[0],
        KEYS.get_signing_key_from_jwt(assertions[0]),
        algorithms=["ES256"],
        issuer="countersign",
        audience=SITE,
        leeway=5,
        options={"require": ["iss", "aud", "iat", "exp"]},
    )
    if token["header"].get("typ") != "countersign+jwt":
        raise jwt.InvalidTokenError("a token of another kind")
    return token["payload"]


class Countersigned:
    """Around any ASGI application; WebSocket handshakes pass here too."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        name = b"countersign-assertion"
        values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
        try:
            # On a thread: keys may have to be fetched.
            visitor = await asyncio.to_thread(read, values)
        except Exception as error:
            logging.getLogger("uvicorn.error").warning("refused: %s", error)
            headers = {"WWW-Authenticate": "Countersign-Assertion"}
            refusal = PlainTextResponse("Only through Countersign.", 401, headers)
            return await refusal(scope, receive, send)
        scope["state"] = {**scope.get("state", {}), "visitor": visitor}
        await self.app(scope, receive, send)


# --- The application. ---

app = FastAPI()
app.add_middleware(Countersigned)


@app.get("/")
def who(request: Request):
    visitor = request.state.visitor
    names = ["status", "name", "email", "attributes", "claimed", "details"]
    return {"id": visitor.get("sub"), **{name: visitor.get(name) for name in names}}
