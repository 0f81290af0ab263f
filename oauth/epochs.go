package oauth

// claimEpochs is the private claim that holds the epochs.
const claimEpochs = "writ"

// epochs are the values at the issue of a token. One that is lower than the current value makes the token dead:
// integers, so there is no clock and no question which not-before wins. The secret is compared by presence.
type epochs struct {
	Global      int64 `json:"g"`
	Application int64 `json:"a"`
	// Identity is the user's; for an application's own token it repeats the application's.
	Identity int64 `json:"i"`
	Session  int64 `json:"s"`
	// Secret is the id of the secret that authenticated the application, if one did.
	Secret string `json:"k,omitempty"`
	// AuthTime is when the session began with a password, in Unix seconds; 0 if it did not.
	AuthTime int64 `json:"t,omitempty"`
}

// reaches reports whether every epoch is at least the current one.
func (e epochs) reaches(current epochs) bool {
	return e.Global >= current.Global && e.Application >= current.Application && e.Identity >= current.Identity &&
		e.Session >= current.Session
}
