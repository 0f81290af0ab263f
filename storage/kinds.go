package storage

import "slices"

// Kinds lists every collection, in a stable order.
func Kinds() []Kind {
	return []Kind{
		TenantKind, UserKind, GroupKind, RoleKind, ApplicationKind, SealedSecretKind, SecretUseKind, LoginUseKind, TombstoneKind,
		SessionKind, DenialKind, RevocationKind, AssertionUseKind, GuessesKind, KeyKind, SettingKind, AuditKind,
		AuditCheckpointKind, PolicyRevisionKind, PolicyContentKind, PolicyActivationKind, PolicyDataKind,
	}
}

func (i *Identity) filters() map[string][]string {
	grants := make([]string, len(i.Grants))
	for n, g := range i.Grants {
		grants[n] = string(g.Tenant) + " " + g.Resource + " " + g.Action
	}
	return map[string][]string{
		"role": texts(i.Roles), "group": texts(i.Groups), "tenant": {string(i.Tenant)}, "grant": grants,
	}
}

func texts[S ~string](ids []S) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// folded are the keys that there are.
func folded(keys ...string) []string {
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
