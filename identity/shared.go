package identity

import (
	"encoding/binary"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// sharedRights has the rights that identities have of their roles and groups, one for all that have the same. It holds none that
// nobody has, so that it needs no bound.
type sharedRights struct {
	names policies.Names

	mu   sync.Mutex
	sets map[string]weak.Pointer[rightsSet] // of the present generation
}

// rightsSet is what follows from roles, groups, own grants and a window.
type rightsSet struct {
	flattened
	rights *policies.Rights
}

// of returns the rights of an identity over a view of the present generation.
func (s *sharedRights) of(v view, i *storage.Identity) *rightsSet {
	build := func() *rightsSet {
		flat := flatten(v, i)
		return &rightsSet{flattened: flat, rights: policies.NewRights(flat.grants, &s.names)}
	}
	if len(i.Grants) > 0 { // which hardly anybody else has
		return build()
	}
	return s.find(rightsKey(i), build)
}

// forget ends the present generation: what follows from a role may be something else.
func (s *sharedRights) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets = nil
}

// find returns the set of this key, made by build if nobody has it.
func (s *sharedRights) find(key string, build func() *rightsSet) *rightsSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.sets[key].Value(); set != nil {
		return set
	}
	set := build()
	if s.sets == nil {
		s.sets = map[string]weak.Pointer[rightsSet]{}
	}
	s.sets[key] = weak.Make(set)
	runtime.AddCleanup(set, s.drop, key)
	return set
}

// drop removes a set that nobody has, unless another is in its place.
func (s *sharedRights) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.sets[key]; ok && at.Value() == nil {
		delete(s.sets, key)
	}
}

// rightsKey says what rights follow from, for identities without grants of their own.
func rightsKey(i *storage.Identity) string {
	k := binary.AppendUvarint(nil, uint64(len(i.Roles)))
	for _, role := range i.Roles {
		k = append(binary.AppendUvarint(k, uint64(len(role))), role...)
	}
	for _, group := range i.Groups {
		k = append(binary.AppendUvarint(k, uint64(len(group))), group...)
	}
	for _, end := range []*time.Time{i.NotBefore, i.NotAfter} {
		if k = append(k, '/'); end != nil {
			k = binary.AppendVarint(k, end.UnixMilli())
		}
	}
	return string(k)
}
