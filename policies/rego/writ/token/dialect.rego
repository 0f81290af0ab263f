package writ.token

import data.writ.lib

# METADATA
# title: Own application of a dialect
# description: |
#   The application that a dialect signs people in with, where their client names none, serves requests of that dialect
#   alone: where the dialect is off, nobody signs in by it.
# labels:
#   rule: token.addressee
# scope: document
default addressee := false

addressee if {
	count([name |
		some name, dialect in data.settings.dialects
		dialect.application == input.client.id
		name != lib.spoken(input.context)
	]) == 0
}

# METADATA
# title: Claims for Lerian's client
# description: |
#   What the client library of the dialect reads of a token beside what Writ says in it. Reserved claims are Writ's: the
#   server refuses a policy that names one.
# labels:
#   rule: token.claims_for.lerian
claims_for["lerian"] := object.union(
	{
		"type": {"user": "normal-user", "application": "application"}[input.subject.type],
		"owner": data.settings.dialects.lerian.owner,
	},
	{"tenantId": tenant | some tenant in {input.token.tenant}; tenant != ""},
)

# METADATA
# title: Claims for clients of miniOrange
# description: |
#   What the tokens of miniOrange PAM say beside: the customer, how the token was got, and the name of the client, where
#   an administrator set it as the attribute client_name.
# labels:
#   rule: token.claims_for.miniorange
claims_for["miniorange"] := object.union_n([
	{"grant_type": input.token.grant_type},
	{"customer_id": tenant | some tenant in {input.token.tenant}; tenant != ""},
	{"client_name": name | name := input.client.attributes.client_name; is_string(name)},
])

# METADATA
# title: Claims, where the dialect has any
# description: |
#   The obligation of the claims that the clients of the dialect expect, and nothing where there are none.
# labels:
#   rule: token.beside
# scope: document
default beside := {}

beside := {"claims": claims_for[input.context.dialect]}
