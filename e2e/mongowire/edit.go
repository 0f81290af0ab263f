package main

import (
	"github.com/tidwall/btree"
)

// edit is a private next version of the state: of one command, or of a transaction. All its methods need the writer lock, but for reading,
// which needs that nobody writes to the same edit.
type edit struct {
	engine      *engine
	owner       *transaction // nil: a command outside transactions
	base        *state
	collections *btree.Map[string, *collection]
	mine        map[string]bool
	ops         []op
}

// op is what the log keeps of a change.
type op struct {
	kind string // put, remove, create, drop, index, unindex
	ns   string
	doc  *document // of put; of remove only the id counts
	spec indexSpec // of index; of unindex only the name counts
}

// blocked says whose end a writer outside transactions has to wait for.
type blocked struct{ by *transaction }

func (*blocked) Error() string { return "blocked by an open transaction" }

func (e *engine) edit(owner *transaction) *edit {
	return &edit{engine: e, owner: owner, base: e.head, collections: e.head.collections, mine: map[string]bool{}}
}

func (d *edit) collection(ns string) *collection {
	c, _ := d.collections.Get(ns)
	return c
}

// own returns a collection that this edit may change, nil where there is none.
func (d *edit) own(ns string) *collection {
	c := d.collection(ns)
	if c == nil || d.mine[ns] {
		return c
	}
	c = c.clone()
	d.set(ns, c)
	return c
}

func (d *edit) set(ns string, c *collection) {
	if len(d.mine) == 0 {
		d.collections = d.collections.Copy()
	}
	d.mine[ns] = true
	if c == nil {
		d.collections.Delete(ns)
	} else {
		d.collections.Set(ns, c)
	}
}

// claim reserves a key for this edit's transaction, or finds out that the edit comes too late or has to wait.
func (d *edit) claim(ns, index string, key []any) error {
	want := intent{ns: ns, index: index, key: key, owner: d.owner}
	held, taken := d.engine.intents.Get(want)
	switch {
	case taken && d.owner == nil:
		return &blocked{by: held.owner}
	case taken && held.owner != d.owner:
		return conflict()
	case taken || d.owner == nil:
		return nil
	}
	if changed(d.base.collection(ns), d.engine.head.collection(ns), index, key) {
		return conflict()
	}
	d.engine.intents.Set(want)
	d.owner.intents = append(d.owner.intents, want)
	return nil
}

// changed says whether a key has another holder in one version of a collection than in another.
func changed(before, now *collection, name string, key []any) bool {
	if before == now {
		return false
	}
	if before == nil || now == nil || before.incarnation != now.incarnation {
		return true
	}
	switch name {
	case "":
		return false
	case "_id_":
		return before.get(key[0]) != now.get(key[0])
	}
	one, had := before.index(name).holder(key)
	other, has := now.index(name).holder(key)
	return had != has || had && compare(one, other) != 0
}

// replace stores next in place of old, either of which may be nil, or changes nothing and says why not.
func (d *edit) replace(ns string, old, next *document) error {
	c := d.own(ns)
	if c == nil {
		if err := d.create(ns); err != nil {
			return err
		}
		c = d.own(ns)
	}
	id := old
	if id == nil {
		id = next
	}
	if err := d.claim(ns, "_id_", []any{id.id}); err != nil {
		return err
	}
	if old == nil && c.get(next.id) != nil {
		return duplicate(ns, idIndex(), []any{next.id})
	}
	for _, x := range c.indexes {
		before, after, err := x.changes(old, next)
		if err != nil {
			return err
		}
		if !x.spec.unique {
			continue
		}
		for _, key := range append(before, after...) {
			if err := d.claim(ns, x.spec.name, key); err != nil {
				return err
			}
		}
		for _, key := range after {
			if _, taken := x.holder(key); taken {
				return duplicate(ns, x.spec, key)
			}
		}
	}
	if next == nil {
		d.ops = append(d.ops, op{kind: "remove", ns: ns, doc: old})
	} else {
		d.ops = append(d.ops, op{kind: "put", ns: ns, doc: next})
	}
	return c.replace(old, next)
}

func (d *edit) create(ns string) error {
	if err := d.claim(ns, "", nil); err != nil {
		return err
	}
	return d.apply(op{kind: "create", ns: ns})
}

// apply redoes a change that has been judged before: of a transaction that commits, or of the log.
func (d *edit) apply(o op) error {
	d.ops = append(d.ops, o)
	c := d.own(o.ns)
	incarnation := d.engine.head.sequence + 1
	switch o.kind {
	case "create":
		d.set(o.ns, newCollection(o.ns, incarnation))
	case "drop":
		d.set(o.ns, nil)
	case "put":
		return c.replace(c.get(o.doc.id), o.doc)
	case "remove":
		return c.replace(c.get(o.doc.id), nil)
	case "index":
		x, err := newIndex(o.spec)
		if err != nil {
			return err
		}
		if err := x.build(c); err != nil {
			return err
		}
		c.indexes, c.incarnation = append(c.indexes, x), incarnation
	case "unindex":
		var rest []*index
		for _, x := range c.indexes {
			if x.spec.name != o.spec.name {
				rest = append(rest, x)
			}
		}
		c.indexes, c.incarnation = rest, incarnation
	}
	return nil
}

// busy returns the wait for an open transaction that has written to a collection, if there is one.
func (d *edit) busy(ns string) error {
	var by *transaction
	d.engine.intents.Ascend(intent{ns: ns}, func(i intent) bool {
		if i.ns == ns {
			by = i.owner
		}
		return false
	})
	if by != nil {
		return &blocked{by: by}
	}
	return nil
}

// find returns what a query selects in this edit.
func (d *edit) find(ns string, q query) ([]*document, error) { return find(d.collection(ns), q) }
