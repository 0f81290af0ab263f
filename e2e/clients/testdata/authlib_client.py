"""What Authlib makes of Writ. It reads one JSON object from standard input and prints a line for each step that was as it should
be; the first one that was not ends it with a traceback."""

import json
import sys
import time

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

given = json.load(sys.stdin)
issuer, machine, login, person = (given[k] for k in ("issuer", "machine", "login", "person"))
audience = given["audience"]
me = issuer + "/v1/me"


def step(name):
    print(name, flush=True)


def refusal(call, *args, **more):
    try:
        call(*args, **more)
    except OAuthError as err:
        return err.error
    raise AssertionError("nothing was refused")


metadata = AuthorizationServerMetadata(requests.get(issuer + "/.well-known/oauth-authorization-server").json())
metadata.validate()
assert metadata["issuer"] == issuer, metadata
step("metadata")

token_url = metadata["token_endpoint"]
session = OAuth2Session(machine["id"], machine["secret"], scope="ledger:read")
token = session.fetch_token(token_url)
assert token["token_type"] == "Bearer" and token["scope"] == "ledger:read" and "refresh_token" not in token, token
assert session.get(me).json()["id"] == machine["id"]
step("client_credentials")

wrong = OAuth2Session(machine["id"], "wrong " + machine["secret"])
assert refusal(wrong.fetch_token, token_url) == "invalid_client"
assert refusal(OAuth2Session(machine["id"], machine["secret"], scope="ledger:write").fetch_token, token_url) == "invalid_scope"
step("refusals")

keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"]).json())
wanted = {name: {"essential": True} for name in ("exp", "sub", "client_id", "iat", "jti")}
wanted |= {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
for algorithm, outside in given["outsiders"].items():
    claims = JsonWebToken([algorithm]).decode(outside, keys, claims_options=wanted)
    claims.validate()
    assert claims["sub"] == claims["client_id"] and claims["scope"] == "ledger:read", claims
    assert claims.header["alg"] == algorithm and claims.header["typ"] == "at+jwt", claims.header
outside = OAuth2Session(machine["id"], machine["secret"]).fetch_token(token_url, audience=audience)["access_token"]
claims = JsonWebToken(["ES256"]).decode(outside, keys, claims_options=wanted)
claims.validate()
assert claims["sub"] == machine["id"], claims
step("jwt")

session = OAuth2Session(login["id"], login["secret"], token_endpoint=token_url)
first = session.fetch_token(username=person["username"], password=person["password"])
assert session.get(me).json()["id"] == person["id"]
other = OAuth2Session(login["id"], login["secret"])
assert refusal(other.fetch_token, token_url, username=person["username"], password="wrong") == "invalid_grant"
step("password")

second = session.refresh_token(token_url)
assert second["access_token"] != first["access_token"] and second["refresh_token"], second
session.token["expires_at"] = int(time.time()) - 1  # the library refreshes an expired token by itself
assert session.get(me).json()["id"] == person["id"]
assert session.token["access_token"] != second["access_token"]
step("refresh")

reply = session.introspect_token(metadata["introspection_endpoint"], token=session.token["access_token"])
said = reply.json()
assert reply.status_code == 200 and said["active"] is True and said["sub"] == person["id"], said
assert said["client_id"] == login["id"] and said["exp"] > time.time(), said
step("introspection")

reply = session.revoke_token(metadata["revocation_endpoint"], token=session.token["access_token"])
assert reply.status_code == 200, reply.text
said = session.introspect_token(metadata["introspection_endpoint"], token=session.token["access_token"]).json()
assert said == {"active": False}, said
assert session.get(me).status_code == 401
step("revocation")

# With a refresh token goes the login, and the access tokens that came of it (RFC 7009, section 2.1).
session.refresh_token(token_url)
assert session.get(me).status_code == 200
reply = session.revoke_token(
    metadata["revocation_endpoint"], token=session.token["refresh_token"], token_type_hint="refresh_token")
assert reply.status_code == 200, reply.text
assert session.get(me).status_code == 401
assert refusal(session.refresh_token, token_url) == "invalid_grant"
step("revocation_of_the_login")
