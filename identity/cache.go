package identity

import (
	"container/list"
	"sync"
)

// userCache keeps the users that were asked for last, by id and by username. A record that was read before a change arrived is
// not kept: see mark.
type userCache struct {
	mu       sync.Mutex
	order    *list.List // of *entry, most recent first
	byID     map[string]*list.Element
	byName   map[string]*list.Element
	dropped  uint64
	capacity int
}

func newUserCache(capacity int) *userCache {
	return &userCache{
		order: list.New(), byID: map[string]*list.Element{}, byName: map[string]*list.Element{}, capacity: capacity,
	}
}

func (c *userCache) get(index map[string]*list.Element, key string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := index[key]
	if !ok {
		return nil
	}
	c.order.MoveToFront(at)
	return at.Value.(*entry)
}

func (c *userCache) id(id string) *entry { return c.get(c.byID, id) }

func (c *userCache) name(key string) *entry { return c.get(c.byName, key) }

// mark is taken before a user is read from the store and handed to add with what was read.
func (c *userCache) mark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

// add keeps e unless something was dropped since mark: e may then be from before that change.
func (c *userCache) add(mark uint64, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped != mark {
		return
	}
	c.remove(e.user.ID)
	at := c.order.PushFront(e)
	c.byID[e.user.ID], c.byName[e.user.UsernameKey] = at, at
	for c.order.Len() > c.capacity {
		c.remove(c.order.Back().Value.(*entry).user.ID)
	}
}

// drop forgets a user that changed.
func (c *userCache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped++
	c.remove(id)
}

func (c *userCache) remove(id string) {
	at, ok := c.byID[id]
	if !ok {
		return
	}
	c.order.Remove(at)
	delete(c.byID, id)
	delete(c.byName, at.Value.(*entry).user.UsernameKey)
}
