package writ.admin

import data.writ.lib

# METADATA
# title: Confinement of the caller
# description: |
#   The tenant the caller is confined to, or empty.
# labels:
#   rule: admin.confinement
confinement := lib.confinement(input.caller, input.subject)

# METADATA
# title: Reachable object
# description: |
#   No tenant confines the caller, or the object is within its reach.
# labels:
#   rule: admin.reachable
# scope: document
default reachable := false

reachable if {
	input.caller.tenant == ""
	input.subject.tenant == ""
}

reachable if {
	placed
	above_system
}

# METADATA
# title: Tenant of the caller
# description: |
#   A caller that is confined to a tenant reaches objects of that tenant and of none, and moves them nowhere else.
# labels:
#   rule: admin.placed
# scope: document
default placed := false

placed if implicit

placed if confinement == ""

placed if {
	input.resource.tenant in {"", confinement}
	arrives_in_reach
	not strays
}

# METADATA
# title: Naming a tenant out of reach
# description: |
#   The request names a tenant that the caller is kept out of, for the object. Whether that tenant exists, and whether the
#   object does, makes no difference.
# labels:
#   rule: admin.strays
# scope: document
default strays := false

strays if {
	confinement != ""
	named := input.resource.detail.named_tenant
	not named in {"", confinement}
	lib.held(input.subject.grants, [confinement, "*"], input.resource.covers, input.action.name, input.now)
}

# METADATA
# title: Arrival in reach
# description: |
#   The change does not move the object to a tenant that the caller is kept out of.
# labels:
#   rule: admin.arrives_in_reach
# scope: document
arrives_in_reach if not input.resource.changes.tenant

arrives_in_reach if input.resource.after.tenant in {"", confinement}

# METADATA
# title: System level
# description: |
#   A caller that is confined to a tenant changes no object of no tenant, and makes none.
# labels:
#   rule: admin.above_system
# scope: document
default above_system := false

above_system if confinement == ""

above_system if input.resource.type in {"me", "tokens"}

above_system if data.settings.system_level.actions[input.action.name]

above_system if {
	input.resource.tenant != ""
	stays_in_tenant
}

# METADATA
# title: Stays in a tenant
# description: |
#   The change does not take the object's tenant from it.
# labels:
#   rule: admin.stays_in_tenant
# scope: document
stays_in_tenant if not input.resource.changes.tenant

stays_in_tenant if input.resource.after.tenant != ""

# METADATA
# title: Enabled tenant
# description: |
#   Objects of a disabled tenant are read, not changed, nor is a role or group taken from them by force; the tenant
#   itself may be changed, or nobody could enable it again, and the sessions of its identities may be ended.
# labels:
#   rule: admin.tenant_enabled
# scope: document
default tenant_enabled := false

tenant_enabled if data.settings.system_level.actions[input.action.name]

tenant_enabled if input.resource.type in {"iam/tenants", "iam/sessions", "me", "tokens"}

tenant_enabled if {
	enabled_now
	enabled_after
	not input.resource.detail.holders.disabled
	not tied_to_disabled
}

# METADATA
# title: Enabled before the change
# description: |
#   The object's tenant is enabled, or it has none.
# labels:
#   rule: admin.enabled_now
# scope: document
enabled_now if input.resource.tenant == ""

enabled_now if input.resource.tenant_enabled

# METADATA
# title: Enabled after the change
# description: |
#   The tenant that the object would have is enabled, or nothing moves.
# labels:
#   rule: admin.enabled_after
# scope: document
enabled_after if is_null(input.resource.after)

enabled_after if input.resource.after.tenant_enabled

# METADATA
# title: Readable at system level
# description: |
#   Objects of no tenant of this type are read with a right in any one tenant, because every tenant uses them. Which types
#   are is policy data, of all or of a dialect.
# labels:
#   rule: admin.system_readable
# scope: document
default system_readable := false

system_readable if {
	input.resource.tenant == ""
	lib.setting(data.settings, input.context, ["system_level", "readable", input.resource.type]) == true
	some tenant, _ in input.subject.grants
	tenant_in_reach(tenant)
	lib.held(input.subject.grants, [tenant], input.resource.covers, "read", input.now)
}

# METADATA
# title: Tenants in reach
# description: |
#   A tenant that the caller is not kept out of by its own.
# labels:
#   rule: admin.tenant_in_reach
# scope: document
tenant_in_reach(_) if confinement == ""

tenant_in_reach(tenant) if tenant in {"", "*", confinement}
