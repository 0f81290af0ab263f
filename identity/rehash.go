package identity

import (
	"context"
	"errors"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const (
	rehashAction = "iam/users:rehash"
	// rehashAttempts bounds how often a new verifier is tried against a moving authority sequence: the next login is another chance.
	rehashAttempts = 4
	rehashTimeout  = 5 * time.Second
)

// strengthen replaces, beside the request and with the password that was just proved, a verifier that is weaker than those made now.
// It is no change of the password: tokens and sessions live on, and the date of the password stays. It is one of the record,
// though, whose version moves. Where another one is under way, or something fails, the next login tries again.
func (r *Room) strengthen(ctx context.Context, u *storage.User, password string) {
	v, err := parseVerifier(u.Password.Verifier)
	if err != nil || !v.weak() {
		return
	}
	normal, ok := normalPassword(password)
	if !ok || !r.rehashing.TryLock() {
		return
	}
	r.background.Go(func() {
		defer r.rehashing.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rehashTimeout)
		defer cancel()
		if err := r.rehash(ctx, u, normal); err != nil {
			r.config.Logger.WarnContext(ctx, "a verifier was not made stronger; the next login tries again", "user", u.ID, "error", err)
		}
	})
}

// rehash is a change of authority like any other: the record is mirrored, and who may log in is decided by it.
func (r *Room) rehash(ctx context.Context, proved *storage.User, normal string) error {
	verifier, err := r.passwords.make(ctx, normal)
	if err != nil {
		return err
	}
	for range rehashAttempts {
		feed := r.follower()
		if err := feed.CatchUp(ctx); err != nil {
			return err
		}
		sequence := feed.Sequence()
		current, err := r.storedUser(ctx, proved.ID)
		if err != nil {
			return err
		}
		if current == nil || current.Password.Verifier != proved.Password.Verifier {
			return nil // the user is gone, or the password is another one by now
		}
		next := *current
		next.Password.Verifier = verifier
		entry := storage.AuditEntry{
			Actor: "system:" + r.config.Node, Action: rehashAction, Target: "users/" + next.ID,
			RequestID: enforce.EventFrom(ctx).RequestID, FromVersion: current.Version, ToVersion: current.Version + 1,
			Tenant: next.Tenant,
		}
		err = r.commit(ctx, entry, &write{
			sequence: sequence, action: rehashAction, target: entry.Target,
			apply: func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, &next) },
		})
		if !errors.Is(err, enforce.ErrRetry) {
			return err
		}
	}
	return enforce.ErrBusy
}
