package storagetest

import (
	"encoding/json"
	"time"

	"github.com/writ-authz/writ/storage"
)

// Item is a record with one of everything that the contract knows.
type Item struct {
	storage.Meta
	// Name and Code are unique; nil is not indexed.
	Name *string `json:"name"`
	Code *string `json:"code"`
	// Tags and Colour are filters.
	Tags      []string        `json:"tags"`
	Colour    string          `json:"colour"`
	ExpiresAt time.Time       `json:"expires_at"`
	Parts     []Part          `json:"parts"`
	Raw       json.RawMessage `json:"raw,omitempty"`
}

// Part is what an Item has several of.
type Part struct {
	At   *time.Time `json:"at"`
	Text string     `json:"text"`
}

// ItemKind is written freely.
var ItemKind = storage.Kind{
	Name: "test_items", Unique: []string{"name", "code"}, Filters: []string{"tag", "colour"},
	New: func() storage.Record { return new(Item) },
}

func (i *Item) RecordMeta() *storage.Meta { return &i.Meta }
func (*Item) Kind() storage.Kind          { return ItemKind }

// Index implements storage.Record.
func (i *Item) Index() storage.Index {
	index := storage.Index{
		Unique: map[string]string{}, ExpiresAt: i.ExpiresAt,
		Filters: map[string][]string{"tag": i.Tags, "colour": {i.Colour}},
	}
	if i.Name != nil {
		index.Unique["name"] = *i.Name
	}
	if i.Code != nil {
		index.Unique["code"] = *i.Code
	}
	return index
}

// Guarded is an Item that is written only under the authority sequence.
type Guarded struct{ Item }

// GuardedKind is an authority kind.
var GuardedKind = storage.Kind{
	Name: "test_guarded", Unique: ItemKind.Unique, Filters: ItemKind.Filters, Authority: true,
	New: func() storage.Record { return new(Guarded) },
}

// Kind implements storage.Record.
func (*Guarded) Kind() storage.Kind { return GuardedKind }

// rogue is an Item that fills indexes of which its kind knows nothing.
type rogue struct {
	Item
	index storage.Index
}

func (r *rogue) Index() storage.Index { return r.index }

func item(id string) *Item { return &Item{Meta: storage.Meta{ID: id}} }

func named(id, name string) *Item {
	i := item(id)
	i.Name = &name
	return i
}

func tagged(id, colour string, tags ...string) *Item {
	i := item(id)
	i.Colour, i.Tags = colour, tags
	return i
}

func guarded(id string) *Guarded { return &Guarded{Item: *item(id)} }

func ids(records []storage.Record) []string {
	list := make([]string, len(records))
	for n, r := range records {
		list[n] = r.RecordMeta().ID
	}
	return list
}
