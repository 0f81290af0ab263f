package oauth

import (
	"context"
	"fmt"
)

// resourceOwner finds the user whose password fosite has checked, and gives the session an id. A user who is gone since
// then looks like a wrong password.
func (s *Server) resourceOwner(ctx context.Context, i *issue) error {
	id := i.session.GetSubject()
	subject, err := s.directory.Subject(ctx, typeUser, id)
	if err != nil {
		return fmt.Errorf("facts of user %s: %w", id, err)
	}
	if !subject.Facts.Identity().Exists || subject.ID != id {
		return refusal(codeInvalidGrant)
	}
	i.subject = subject
	i.sid, err = s.randomID()
	return err
}
