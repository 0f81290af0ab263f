"""What requests-oauthlib and oauthlib make of Writ. It reads one JSON object from standard input and prints a line for each step
that was as it should be; the first one that was not ends it with a traceback."""

import json
import sys
import time

import requests
from oauthlib.oauth2 import BackendApplicationClient, LegacyApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session

given = json.load(sys.stdin)
issuer, machine, login, person = (given[k] for k in ("issuer", "machine", "login", "person"))
me = issuer + "/v1/me"


def step(name):
    print(name, flush=True)


def refusal(call, *args, **more):
    try:
        call(*args, **more)
    except OAuth2Error as err:
        return err.error
    raise AssertionError("nothing was refused")


metadata = requests.get(issuer + "/.well-known/oauth-authorization-server").json()
token_url = metadata["token_endpoint"]

session = OAuth2Session(client=BackendApplicationClient(client_id=machine["id"], scope=["ledger:read"]))
token = session.fetch_token(token_url, client_secret=machine["secret"])
assert token["token_type"] == "Bearer" and token["scope"] == ["ledger:read"] and "refresh_token" not in token, token
assert session.get(me).json()["id"] == machine["id"]
step("client_credentials")

# The secret in the body, as the library sends it when it is told to name the client there.
session = OAuth2Session(client=BackendApplicationClient(client_id=machine["id"]))
session.fetch_token(token_url, client_secret=machine["secret"], include_client_id=True)
assert session.get(me).json()["id"] == machine["id"]
step("body")

session = OAuth2Session(client=BackendApplicationClient(client_id=machine["id"]))
assert refusal(session.fetch_token, token_url, client_secret="wrong " + machine["secret"]) == "invalid_client"
session = OAuth2Session(client=BackendApplicationClient(client_id=machine["id"], scope=["ledger:write"]))
assert refusal(session.fetch_token, token_url, client_secret=machine["secret"]) == "invalid_scope"
step("refusals")

saved = []
client = LegacyApplicationClient(client_id=login["id"])
session = OAuth2Session(
    client=client, auto_refresh_url=token_url, token_updater=saved.append,
    auto_refresh_kwargs={"client_id": login["id"], "client_secret": login["secret"]})
who = {"username": person["username"], "password": person["password"]}
first = session.fetch_token(token_url, client_secret=login["secret"], **who)
assert session.get(me).json()["id"] == person["id"]
other = OAuth2Session(client=LegacyApplicationClient(client_id=login["id"]))
who["password"] = "wrong"
assert refusal(other.fetch_token, token_url, client_secret=login["secret"], **who) == "invalid_grant"
step("password")

second = session.refresh_token(token_url)
assert second["access_token"] != first["access_token"] and second["refresh_token"], second
session.token = dict(second, expires_at=time.time() - 1)  # the library refreshes an expired token by itself
assert session.get(me).json()["id"] == person["id"]
assert len(saved) == 1 and saved[0]["access_token"] != second["access_token"], saved
step("refresh")

# oauthlib prepares a revocation and knows no introspection, which is a form like any other.
credentials = (login["id"], login["secret"])


def introspect(value):
    return requests.post(metadata["introspection_endpoint"], data={"token": value}, auth=credentials).json()


def revoke(value, hint):
    url, headers, body = client.prepare_token_revocation_request(metadata["revocation_endpoint"], value, token_type_hint=hint)
    return requests.post(url, data=body, headers=headers, auth=credentials).status_code


said = introspect(saved[0]["access_token"])
assert said["active"] is True and said["sub"] == person["id"] and said["client_id"] == login["id"], said
step("introspection")

assert revoke(saved[0]["access_token"], "access_token") == 200
assert introspect(saved[0]["access_token"]) == {"active": False}
assert session.get(me).status_code == 401
step("revocation")

# With a refresh token goes the login, and the access tokens that came of it (RFC 7009, section 2.1).
last = session.refresh_token(token_url, refresh_token=saved[0]["refresh_token"])
assert session.get(me).status_code == 200
assert revoke(last["refresh_token"], "refresh_token") == 200
assert session.get(me).status_code == 401
assert refusal(session.refresh_token, token_url) == "invalid_grant"
step("revocation_of_the_login")
