package main

import (
	"slices"

	"go.mongodb.org/mongo-driver/bson"
)

// args reads the fields of a command, or of a document in it. The first thing that is wrong stays in err.
type args struct {
	where string // for messages
	doc   bson.D
	err   error
}

func (a *args) failed(err error) {
	if a.err == nil {
		a.err = err
	}
}

func (a *args) wrongType(key, want string, value any) {
	a.failed(fail(codeTypeMismatch, "BSON field '%s.%s' is the wrong type %T, expected %s", a.where, key, value, want))
}

// only refuses every other field.
func (a *args) only(fields ...string) {
	for _, e := range a.doc {
		if !slices.Contains(fields, e.Key) {
			a.failed(refuse("the field %q of %s", e.Key, a.where))
		}
	}
}

func (a *args) has(key string) bool {
	_, ok := lookup(a.doc, key)
	return ok
}

func (a *args) text(key string) string {
	value, ok := lookup(a.doc, key)
	text, isText := value.(string)
	if ok && !isText {
		a.wrongType(key, "string", value)
	}
	return text
}

func (a *args) integer(key string, absent int64) int64 {
	value, ok := lookup(a.doc, key)
	if !ok {
		return absent
	}
	number, ok := integer(value)
	if !ok {
		a.wrongType(key, "a whole number", value)
	}
	return number
}

// count is an integer that is not negative.
func (a *args) count(key string, absent int64) int {
	number := a.integer(key, absent)
	if number < 0 || number > 1<<31 {
		a.failed(fail(codeBadValue, "BSON field '%s.%s' must be between 0 and 2^31", a.where, key))
	}
	return int(number)
}

func (a *args) flag(key string, absent bool) bool {
	value, ok := lookup(a.doc, key)
	if !ok {
		return absent
	}
	flag, ok := value.(bool)
	if !ok {
		a.wrongType(key, "bool", value)
	}
	return flag
}

func (a *args) document(key string) bson.D {
	value, ok := lookup(a.doc, key)
	doc, isDoc := value.(bson.D)
	if ok && !isDoc {
		a.wrongType(key, "object", value)
	}
	return doc
}

func (a *args) documents(key string) []bson.D {
	value, _ := lookup(a.doc, key)
	list, isList := value.(bson.A)
	if !isList {
		a.wrongType(key, "array", value)
	}
	docs := make([]bson.D, 0, len(list))
	for _, item := range list {
		doc, ok := item.(bson.D)
		if !ok {
			a.wrongType(key, "array of objects", item)
		}
		docs = append(docs, doc)
	}
	return docs
}

// filter is a document that is a query.
func (a *args) filter(key string) bson.D {
	filter := a.document(key)
	if err := checkFilter(filter); err != nil {
		a.failed(err)
	}
	return filter
}

func (a *args) sort(key string) bson.D {
	sort := a.document(key)
	if err := checkSort(sort); err != nil {
		a.failed(err)
	}
	return sort
}

func (a *args) projection(key string) bson.D {
	projection := a.document(key)
	if err := checkProjection(projection); err != nil {
		a.failed(err)
	}
	return projection
}
