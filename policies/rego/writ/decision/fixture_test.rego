package writ.decision_test

import data.writ.decision
import data.writ.why

always := {"not_before": 0, "not_after": 9223372036854775807}

nobody := {
	"type": "user", "id": "nobody", "exists": false, "tenant": "", "tenant_enabled": false, "active": false,
	"not_before": 0, "not_after": 9223372036854775807, "protected": false, "temporary_password": false,
	"groups": {}, "roles": {}, "grants": {}, "scopes": null, "audiences": {}, "grant_types": {}, "retrievable": false,
	"attributes": {}, "properties": {},
}

ada := object.union(nobody, {
	"id": "ada", "exists": true, "tenant_enabled": true, "active": true,
	"grants": {"": {"ledger": {"read": {"own": always}}}, "acme": {"ledger": {"*": {"own": always}}}},
})

# A question of a service about ada, who may read the ledger. now is 1000 in all tests here.
base := {
	"entrypoint": "writ/decision",
	"subject": ada,
	"action": {"name": "read", "properties": {}},
	"resource": {
		"type": "ledger/accounts", "id": "1", "tenant": "", "tenant_enabled": true, "exists": true,
		"path": "ledger/accounts/1", "covers": ["ledger/accounts/1", "ledger/accounts", "ledger", "*"], "properties": {},
		"self": false, "before": null, "after": null, "changes": {}, "other_owners": -1, "owners_before": -1,
		"proof": "none", "reason": false, "detail": {},
	},
	"context": {},
	"caller": {
		"client_id": "app_asker", "scoped": false, "scopes": {}, "tenant": "", "audiences": {}, "sid": "", "auth_time": 0,
		"user_token": false, "external": false, "public": false, "plane": "", "address": "unknown", "self": false,
	},
	"client": null, "token": null, "now": 1000,
}

asks(subject, given) := object.union(object.union(object.remove(base, ["subject"]), {"subject": subject}), given)

# answers says that a question is permitted, or denied with exactly these codes in this order.
answers(question, codes) if {
	result := decision.result with input as question
	reasons := why.result.reasons with input as question
	[reason.code | some reason in reasons] == codes
	permitted := codes == []
	result.allow == permitted
}
