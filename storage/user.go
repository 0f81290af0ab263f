package storage

import "time"

// User is a person. Its id is a UUID.
type User struct {
	Meta
	Identity
	Username string `json:"username"`
	Email    string `json:"email"`
	// UsernameKey and EmailKey are the normalised forms (PRECIS UsernameCaseMapped) under which the names are unique.
	UsernameKey string     `json:"username_key"`
	EmailKey    string     `json:"email_key"`
	SuspendedAt *time.Time `json:"suspended_at,omitempty"`
	Password    Password   `json:"password"`
}

// Password is the state of a user's password; the password itself is nowhere.
type Password struct {
	// Verifier is a PHC string, or empty where the user has no password.
	Verifier string `json:"verifier,omitempty"`
	// Temporary confines the user to changing the password. ExpiresAt is set for temporary passwords only.
	Temporary bool       `json:"temporary,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	ChangedAt *time.Time `json:"changed_at,omitempty"`
}

// UserKind: look up by "username" and "email"; filter by role, group, tenant, suspension, own grant and the folded forms of
// the names ("name": name and username) and of the e-mail address ("mail").
var UserKind = Kind{
	Name: "users", Unique: []string{"username", "email"}, Filters: []string{"role", "group", "tenant", "suspended", "grant", "name", "mail"},
	Authority: true, New: func() Record { return new(User) },
}

func (u *User) RecordMeta() *Meta { return &u.Meta }
func (*User) Kind() Kind          { return UserKind }

// Index implements Record. A filter value of "suspended" is "true" or "false"; of "grant" tenant, resource and action
// joined by a space.
func (u *User) Index() Index {
	filters := u.filters()
	filters["suspended"] = []string{boolean(u.SuspendedAt != nil)}
	filters["name"], filters["mail"] = folded(u.NameKey, u.UsernameKey), folded(u.EmailKey)
	return Index{Unique: map[string]string{"username": u.UsernameKey, "email": u.EmailKey}, Filters: filters}
}
