package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-authz/writ/storage"
)

// BuiltIn is an application that the server brings along, for people who sign in through a client that names none.
type BuiltIn struct {
	ID, Description string
	// SigningAlg is that of its tokens; empty is the usual one.
	SigningAlg string
}

// BuiltIn makes the application unless it is there: public, so it proves itself with nothing; protected, so nobody edits or deletes it; and
// without rights of its own. An application of that id that is somebody else's is an error: it would be given what it was not made for.
func (r *Room) BuiltIn(ctx context.Context, b BuiltIn) error {
	target := "applications/" + b.ID
	err := r.atStart(ctx, "built_in", target, func() (func(context.Context, storage.Tx) error, error) {
		if e := r.directory.application(b.ID); e != nil {
			a := e.application
			ours := a.Protected && a.TokenEndpointAuthMethod == byNothing && slices.Equal(a.GrantTypes, builtInGrants())
			if !ours {
				return nil, errors.New("there is an application of that id, which was made by somebody; delete it first")
			}
			return nil, nil
		}
		stone, err := r.tombstone(ctx, target)
		if err != nil {
			return nil, err
		}
		a := &storage.Application{
			Description: b.Description, GrantTypes: builtInGrants(), TokenEndpointAuthMethod: byNothing, TokenSigningAlg: b.SigningAlg,
			IsActive: true, Secrets: []storage.Secret{},
		}
		a.ID, a.Name, a.Protected = b.ID, b.ID, true
		a.NameKey, _ = searchKey(a.Name)
		if stone != nil {
			a.Epoch = stone.Epoch + 1
		}
		return func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, a, true, stone) }, nil
	})
	if err != nil {
		return fmt.Errorf("make the application %s: %w", b.ID, err)
	}
	return nil
}

func builtInGrants() []string { return []string{"password", "refresh_token"} }
