package rustici

import (
	"net/http"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

const nativeMe = "/v1/me"

// self is what is read of the caller's own view: it is an application, or a person.
type self struct {
	Application *native `json:"application"`
	User        *native `json:"user"`
	ID          string  `json:"id"`
}

func (s *self) credential() credential {
	switch {
	case s.Application != nil:
		return s.Application.credential()
	case s.User != nil:
		return s.User.credential()
	}
	return (&native{ID: s.ID}).credential()
}

func getMe(c *dialects.Call) (dialects.Reply, error) {
	var me self
	if _, err := c.Get(nativeMe, nil, &me); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: http.StatusOK, Body: me.credential()}, nil
}

// putMe changes the own credential. What a client sends back unchanged says nothing: the own id, and that one is active, which whoever
// calls is. Natively neither is one's own to name.
func putMe(c *dialects.Call) (dialects.Reply, error) {
	var in wanted
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if in.IsActive.Set && in.IsActive.Value {
		in.IsActive = dialects.Field[bool]{}
	}
	fields, given, err := in.fields(false)
	if err != nil {
		return dialects.Reply{}, err
	}
	if in.ID.Set {
		var me self
		if _, err := c.Get(nativeMe, nil, &me); err != nil {
			return dialects.Reply{}, err
		}
		if err := same(in.ID, me.ID); err != nil {
			return dialects.Reply{}, err
		}
	}
	answer, err := c.JSON(http.MethodPut, nativeMe, nil, fields)
	if err != nil {
		return dialects.Reply{}, given.where(err)
	}
	var me self
	if err := answer.Decode(&me); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: answer.Status, Body: me.credential()}, nil
}
