"""Django with PyJWT: answers nobody but those whom Countersign vouches for.

    COUNTERSIGN_JWKS=http://127.0.0.1:8080/.well-known/countersign/jwks.json \
    COUNTERSIGN_SITE=acme-support gunicorn --chdir django app:application -b 127.0.0.1:3000
"""

import logging
import os
import re

import jwt
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.urls import path

SITE = os.environ["COUNTERSIGN_SITE"]
# Fetched when first needed; again after five minutes, or for an unknown key, if the last time
# was five seconds ago.
KEYS = jwt.PyJWKClient(
    os.environ["COUNTERSIGN_JWKS"], lifespan=300, cooldown_duration=5, timeout=3
)


def read(assertion: str) -> dict:
    """What the assertion says; raises if it proves nothing."""
    # WSGI joins two headers by a comma.
    if not re.fullmatch(r"([\w-]+\.){2}[\w-]+", assertion, re.ASCII):
        raise jwt.DecodeError("not exactly one Countersign-Assertion")
    token = jwt.decode_complete(
        assertion,
        KEYS.get_signing_key_from_jwt(assertion),
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
    """A middleware, first in `MIDDLEWARE`."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            request.visitor = read(request.META.get("HTTP_COUNTERSIGN_ASSERTION", ""))
        except Exception as error:
            logging.getLogger("countersign").warning("refused: %s", error)
            headers = {"WWW-Authenticate": "Countersign-Assertion"}
            return HttpResponse("Only through Countersign.", status=401, headers=headers)
        return self.get_response(request)


# --- The application, in one file. ---


def who(request):
    visitor = request.visitor
    names = ["status", "name", "email", "attributes", "claimed", "details"]
    return JsonResponse({"id": visitor.get("sub"), **{name: visitor.get(name) for name in names}})


settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.Countersigned"]
)
urlpatterns = [path("", who)]
application = get_wsgi_application()
