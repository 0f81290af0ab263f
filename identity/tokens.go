package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// Revoking all tokens of an identity, or of everybody, is raising an epoch: one write, whatever the number of tokens, after which none
// that was issued before it is accepted and no session from before it goes on. Epochs only grow, so the order of two raises is nothing.

// revokeUserTokens signs a user out everywhere.
func (r *Room) revokeUserTokens(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	w, v, current, err := r.presentUser(ctx, req, id, "iam/users:revoke_tokens")
	if err != nil || current == nil {
		return r.changeOr(req, w, err)
	}
	next := *current
	next.Epoch++
	if err := r.askUser(ctx, req, w, v, current, &next, false); err != nil {
		return enforce.Resolved{}, err
	}
	w.question.Resource.Changes = []string{"epoch"}
	w.apply = func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, &next) }
	w.after = func(ctx context.Context) error {
		r.endSessions(ctx, id, "")
		return nil
	}
	w.reply = noContent
	return r.change(req, w), nil
}

// revokeApplicationTokens revokes what was issued to an application: its own tokens, and those of people who came through it. Its
// secrets stay.
func (r *Room) revokeApplicationTokens(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	w, v, current, err := r.presentApplication(ctx, req, req.Params["id"], "revoke_tokens")
	if err != nil || current == nil {
		return r.changeOr(req, w, err)
	}
	next := *current
	next.Epoch++
	r.askApplication(req, w, v, current, &next, false)
	w.question.Resource.Changes = []string{"epoch"}
	w.apply = func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, &next) }
	w.reply = noContent
	return r.change(req, w), nil
}

// revokeAllTokens revokes every token there is, the caller's too.
func (r *Room) revokeAllTokens(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w := &write{sequence: sequence, many: true, action: "tokens:revoke_all", target: "tokens"}
	w.question.Resource = resource(standing{r.directory}, "", "", true)
	w.question.Resource.Changes = []string{"epoch"}
	w.apply = r.raiseGlobalEpoch
	w.reply = noContent
	return r.change(req, w), nil
}

// RevokeRestored revokes every token from before, on a node that does not serve: a database that was restored from a copy has forgotten
// what was revoked and ended since the copy was made.
func (r *Room) RevokeRestored(ctx context.Context) error {
	err := r.atStart(ctx, "tokens:revoke_all", "tokens", func() (func(context.Context, storage.Tx) error, error) {
		return r.raiseGlobalEpoch, nil
	})
	if err != nil {
		return fmt.Errorf("revoke every token: %w", err)
	}
	return nil
}

// raiseGlobalEpoch raises it by one at least, and to the milliseconds of the clock where they are more: so it comes out above every raise that
// a restored database has forgotten.
func (r *Room) raiseGlobalEpoch(ctx context.Context, tx storage.Tx) error {
	now := r.config.Now().UnixMilli()
	setting, err := storage.Get[storage.Setting](ctx, tx, globalEpoch)
	if errors.Is(err, storage.ErrNotFound) {
		setting = &storage.Setting{Epoch: max(1, now)}
		setting.ID = globalEpoch
		return tx.Insert(ctx, setting)
	}
	if err != nil {
		return err
	}
	setting.Epoch = max(setting.Epoch+1, now)
	return tx.Update(ctx, setting)
}
