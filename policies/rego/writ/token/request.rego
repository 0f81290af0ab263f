package writ.token

import data.writ.lib

# METADATA
# title: Fitting grant type
# description: |
#   People sign in with a password and applications with client_credentials, unless policy data says otherwise, of all or
#   of a dialect.
#   Either refreshes.
# labels:
#   rule: token.fitting
# scope: document
default fitting := false

fitting if {
	input.token.grant_type == "client_credentials"
	input.subject.type == "application"
}

fitting if {
	input.token.grant_type == "client_credentials"
	lib.setting(data.settings, input.context, ["token", "user_client_credentials"]) == true
}

fitting if {
	input.token.grant_type == "password"
	input.subject.type == "user"
}

fitting if {
	input.token.grant_type == "password"
	input.subject.grant_types.password
	lib.setting(data.settings, input.context, ["token", "application_password"]) == true
}

# Where the clients of a dialect sign in with the id and the secret of an application, that it has tokens of its own is
# enough: an application that lists the grant type is one that people sign in through.
fitting if {
	input.token.grant_type == "password"
	input.subject.grant_types.client_credentials
	lib.spoken(input.context) != ""
	lib.setting(data.settings, input.context, ["token", "application_password"]) == true
}

fitting if input.token.grant_type == "refresh_token"

# METADATA
# title: Registered grant type
# description: |
#   The application lists the grant type.
# labels:
#   rule: token.registered
# scope: document
default registered := false

registered if input.client.grant_types[input.token.grant_type]

# METADATA
# title: Tenant of the token
# description: |
#   A token has its identity's tenant. An identity without one narrows a token to a tenant in which it holds grants.
#   An application of a tenant serves identities of that tenant only.
# labels:
#   rule: token.placed
# scope: document
default placed := false

placed if {
	tenant_fits
	client_fits
}

# METADATA
# title: Fitting tenant
# description: |
#   The token's tenant is the identity's, or none, or one that an identity without tenant holds grants in.
# labels:
#   rule: token.tenant_fits
# scope: document
tenant_fits if input.token.tenant in {"", input.subject.tenant}

tenant_fits if {
	input.subject.tenant == ""
	some tenant in [input.token.tenant, "*"]
	input.subject.grants[tenant]
}

# METADATA
# title: Fitting application
# description: |
#   The application has no tenant, or the identity's.
# labels:
#   rule: token.client_fits
client_fits if input.client.tenant in {"", input.subject.tenant}

# METADATA
# title: Tenant named
# description: |
#   Where policy data demands it, of all or of a dialect, an identity that holds rights in single tenants only names one of
#   them: a token without a tenant would be good for nothing.
# labels:
#   rule: token.situated
# scope: document
default situated := false

situated if lib.setting(data.settings, input.context, ["tenants", "named"]) != true

situated if input.token.tenant != ""

situated if not lib.in_single_tenants(input.subject.grants)

# METADATA
# title: Lasting token
# description: |
#   The token would live for at least a second before a validity window ends it.
# labels:
#   rule: token.lasting
# scope: document
default lasting := false

lasting if input.token.lifetime >= 1

# METADATA
# title: Served audience
# description: |
#   An audience that applications serve, and none of them is usable, is not granted: who disables a resource server
#   ends what is issued for it, also by refreshing. Audiences that the request named are all granted or none.
# labels:
#   rule: token.served
# scope: document
default served := false

served if input.token.down == {}

served if {
	is_object(input.token.down)
	input.token.audiences_named == false
	count(audiences) > 0
}

# METADATA
# title: The request is of now
# description: |
#   A timestamp_nonce lies within its window. One is needed only where policy data demands it. That it is used once is
#   not a rule but a unique insert, which is remembered for a day: no window is wider.
# labels:
#   rule: token.timely
# scope: document
default timely := false

timely if {
	is_null(input.token.nonce)
	data.settings.token.nonce_required == false
}

timely if {
	is_number(input.token.nonce)
	window := min([data.settings.token.nonce_window_seconds, 86400]) * 1000000000
	sent := input.token.nonce * 1000000000
	sent >= input.now - window
	sent <= input.now + window
}
