package writ.token

# METADATA
# title: Usual case
# description: |
#   A machine asks for a token of its own. Calling a rule costs many times what an expression does, so the guards are
#   written out here in one body; it permits nothing that they do not, and plain_test holds it to that.
# labels:
#   rule: token.plain
plain if {
	# usable, client_usable, settled, addressed, fitting, registered
	object.subset(input, {
		"subject": {
			"type": "application", "exists": true, "active": true, "tenant_enabled": true, "temporary_password": false,
		},
		"client": {
			"exists": true, "active": true, "tenant_enabled": true, "grant_types": {"client_credentials": true},
		},
		"caller": {"address": "allowed"},
		"token": {"grant_type": "client_credentials", "nonce": null},
	})

	# valid, client_valid
	input.subject.not_before <= input.now
	input.now < input.subject.not_after
	input.client.not_before <= input.now
	input.now < input.client.not_after

	# timely
	data.settings.token.nonce_required == false

	# situated
	data.settings.tenants.named == false

	# served
	input.token.down == {}

	# placed, lasting
	input.token.tenant == input.subject.tenant
	input.client.tenant == input.subject.tenant
	input.token.lifetime >= 1
}
