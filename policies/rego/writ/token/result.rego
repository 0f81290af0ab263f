# METADATA
# title: Tokens
# description: |
#   May this application get this token, for itself or for this person, with which scopes and for how long? Every
#   guard must hold.
# schemas:
#   - input: schema.input
#   - data.settings: schema.settings
package writ.token

# METADATA
# title: Answer
# description: |
#   The answer to the question, with what the token may say at most.
# entrypoint: true
# labels:
#   rule: token.result
# scope: document
default result := {"allow": false, "reasons": [], "obligations": {}}

result := {
	"allow": true, "reasons": [{"code": "granted", "rule": "token.allow"}],
	"obligations": {
		"scopes": input.token.candidates,
		"audience": input.token.audiences,
		"lifetime": input.token.lifetime,
		"refresh": false,
		"format": input.token.format,
	},
} if {
	input.context.dialect == ""
	plain

	# addressee: the applications of dialects are those, and asking the guard about each client costs more than all else here.
	not startswith(input.client.id, "dialect-")
} else := {
	"allow": true, "reasons": [{"code": "granted", "rule": "token.allow"}],
	"obligations": object.union(
		{
			"scopes": input.token.candidates,
			"audience": input.token.audiences,
			"lifetime": input.token.lifetime,
			"refresh": false,
			"format": input.token.format,
		},
		beside,
	),
} if {
	# the usual case by a dialect. What may differ there about a machine: situated. Settings of tokens are about others.
	input.context.dialect != ""
	not data.settings.dialects[input.context.dialect].tenants.named
	plain

	# addressee
	not startswith(input.client.id, "dialect-")
} else := {
	"allow": true, "reasons": [{"code": "granted", "rule": "token.allow"}],
	"obligations": object.union(
		{
			"scopes": scopes,
			"audience": audiences,
			"lifetime": input.token.lifetime,
			"refresh": refreshable,
			"format": input.token.format,
		},
		beside,
	),
} if {
	allow
}

# METADATA
# title: Permission
# description: |
#   All guards hold. Every token passes here, and calling a rule costs many times what an expression does, so most
#   are written out; result_test holds them to the named ones, by which writ/why explains.
# labels:
#   rule: token.allow
# scope: document
default allow := false

allow if {
	# usable, valid
	object.subset(input.subject, {"exists": true, "active": true, "tenant_enabled": true})
	input.subject.not_before <= input.now
	input.now < input.subject.not_after

	# client_usable, client_valid
	is_object(input.client)
	object.subset(input.client, {"exists": true, "active": true, "tenant_enabled": true})
	input.client.not_before <= input.now
	input.now < input.client.not_after

	# addressed, registered, lasting
	input.caller.address == "allowed"
	input.client.grant_types[input.token.grant_type]
	input.token.lifetime >= 1
	addressee
	fitting
	placed
	settled
	served
	situated
	timely
}

# METADATA
# title: Scopes of the token
# description: |
#   The candidates that Go prepared: asked for, registered and held. A temporary password gives one scope, to change
#   it.
# labels:
#   rule: token.scopes
# scope: document
scopes := input.token.candidates if {
	input.subject.temporary_password == false
} else := ["me:password"]

# METADATA
# title: Audiences of the token
# description: |
#   The audiences that Go prepared, without those whose resource servers are all out of use.
# labels:
#   rule: token.audiences
audiences := [audience |
	some audience in input.token.audiences
	not input.token.down[audience]
]

# METADATA
# title: Refresh token
# description: |
#   A refresh token comes with a sign-in of a person where the application lists the grant type, and not with a
#   temporary password.
# labels:
#   rule: token.refreshable
# scope: document
default refreshable := false

refreshable if {
	input.token.refresh
	input.token.grant_type in {"password", "refresh_token"}
	input.subject.temporary_password == false
}
