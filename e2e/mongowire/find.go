package main

import (
	"slices"
	"strings"

	"github.com/256dpi/lungo/bsonkit"
	"github.com/256dpi/lungo/mongokit"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

type query struct {
	filter bson.D
	sort   bson.D
	skip   int
	limit  int // 0: all
}

// checkFilter refuses what is outside the subset that is known to be right, whether or not a document would be looked at.
func checkFilter(filter bson.D) error {
	for _, e := range filter {
		switch {
		case e.Key == "$and" || e.Key == "$or":
			list, ok := e.Value.(bson.A)
			if !ok || len(list) == 0 {
				return fail(codeBadValue, "%s must be a nonempty array", e.Key)
			}
			for _, item := range list {
				part, ok := item.(bson.D)
				if !ok {
					return fail(codeBadValue, "%s entries need to be full objects", e.Key)
				}
				if err := checkFilter(part); err != nil {
					return err
				}
			}
		case strings.HasPrefix(e.Key, "$"):
			return refuse("the query operator %s", e.Key)
		default:
			if err := checkCondition(e.Key, e.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkCondition(path string, value any) error {
	operators, ok := isOperators(value)
	if !ok {
		return checkOperand(path, value)
	}
	for _, e := range operators {
		switch e.Key {
		case "$eq", "$ne", "$gt", "$gte", "$lt", "$lte":
			if err := checkOperand(path, e.Value); err != nil {
				return err
			}
		case "$exists":
			if _, ok := e.Value.(bool); !ok {
				return refuse("$exists with %T", e.Value)
			}
		case "$in", "$nin":
			list, ok := e.Value.(bson.A)
			if !ok {
				return fail(codeBadValue, "%s needs an array", e.Key)
			}
			for _, item := range list {
				if err := checkOperand(path, item); err != nil {
					return err
				}
			}
		default:
			if !strings.HasPrefix(e.Key, "$") {
				return fail(codeBadValue, "unknown operator: %s", e.Key)
			}
			return refuse("the query operator %s (field %q)", e.Key, path)
		}
	}
	return nil
}

// isOperators tells {$gt: 1} from a document to compare with.
func isOperators(value any) (bson.D, bool) {
	doc, ok := value.(bson.D)
	return doc, ok && len(doc) > 0 && strings.HasPrefix(doc[0].Key, "$")
}

func checkOperand(path string, value any) error {
	if _, regex := value.(primitive.Regex); regex {
		return refuse("regular expressions (field %q)", path)
	}
	return nil
}

// checkSort refuses everything but fields with 1 and -1.
func checkSort(sort bson.D) error {
	for _, e := range sort {
		if strings.HasPrefix(e.Key, "$") {
			return refuse("the sort %s", e.Key)
		}
	}
	if _, err := mongokit.Columns(&sort); err != nil {
		return refuse("the sort %v: %s", sort, err)
	}
	return nil
}

// bound is what a filter says about one path, as far as an index can use it.
type bound struct {
	points   []any // equality and $in; nil: no such
	from, to *any
	past     bool // from is $gt
}

// bounds collects from the conditions that must all hold. They narrow the search; Match has the last word.
func bounds(filter bson.D, into map[string]*bound) map[string]*bound {
	for _, e := range filter {
		if e.Key == "$and" {
			for _, part := range e.Value.(bson.A) {
				bounds(part.(bson.D), into)
			}
		}
		if strings.HasPrefix(e.Key, "$") {
			continue
		}
		b := into[e.Key]
		if b == nil {
			b = &bound{}
			into[e.Key] = b
		}
		operators, ok := isOperators(e.Value)
		if !ok {
			operators = bson.D{{Key: "$eq", Value: e.Value}}
		}
		for _, o := range operators {
			b.narrow(o.Key, o.Value)
		}
	}
	return into
}

func (b *bound) narrow(operator string, value any) {
	if list, ok := value.(bson.A); ok && operator == "$in" {
		if b.points == nil && !slices.ContainsFunc(list, unindexable) {
			b.points = slices.Clone(list)
			slices.SortFunc(b.points, compare)
			b.points = slices.CompactFunc(b.points, func(x, y any) bool { return compare(x, y) == 0 })
			b.points = append([]any{}, b.points...) // not nil: $in of nothing finds nothing
		}
		return
	}
	if unindexable(value) {
		return
	}
	switch operator {
	case "$eq":
		b.points = []any{value}
	case "$gt", "$gte":
		if b.from == nil {
			b.from, b.past = &value, operator == "$gt"
		}
	case "$lt", "$lte":
		if b.to == nil {
			b.to = &value
		}
	}
}

// unindexable values are compared in more ways than a key can tell: null with missing fields, arrays as a whole and by element.
func unindexable(value any) bool {
	switch value.(type) {
	case nil, bson.A, bson.D, primitive.Regex:
		return true
	}
	return false
}

// plan is one way to the documents that may match.
type plan struct {
	index    *index // nil: the documents themselves, by _id
	prefixes [][]any
	last     *bound // of the column behind the prefix; nil: unbounded
	ordered  bool   // in the order that is asked for
	distinct bool   // no document twice
}

// choose prefers _id, then the index of which most columns are fixed.
func choose(c *collection, q query) plan {
	paths := bounds(q.filter, map[string]*bound{})
	best := plan{prefixes: [][]any{nil}, last: paths["_id"], distinct: true}
	rank := 0
	if b := paths["_id"]; b != nil && b.points != nil {
		best.prefixes = nil
		for _, id := range b.points {
			best.prefixes = append(best.prefixes, []any{id})
		}
		best.last, rank = nil, 1000
	} else if b != nil && (b.from != nil || b.to != nil) {
		rank = 1
	}
	best.ordered = byID(q.sort)
	for _, x := range c.indexes {
		candidate, score := x.plan(paths, q.sort)
		if score > rank {
			best, rank = candidate, score
		}
	}
	return best
}

func byID(sort bson.D) bool {
	if len(sort) == 0 {
		return true
	}
	direction, _ := integer(sort[0].Value)
	return sort[0].Key == "_id" && direction == 1
}

func (x *index) plan(paths map[string]*bound, sort bson.D) (plan, int) {
	p := plan{index: x, prefixes: [][]any{nil}, distinct: true}
	score, column := 0, 0
	for ; column < len(x.columns); column++ {
		b := paths[x.columns[column].Path]
		if b == nil || b.points == nil {
			if b != nil && (b.from != nil || b.to != nil) {
				p.last = b
				score++
			}
			break
		}
		extended := [][]any{}
		for _, prefix := range p.prefixes {
			for _, point := range b.points {
				extended = append(extended, append(slices.Clone(prefix), point))
			}
		}
		p.prefixes = extended
		score += 2
		if x.multikey[column] && len(b.points) > 1 {
			p.distinct = false
		}
	}
	for i := column; i < len(x.columns); i++ {
		p.distinct = p.distinct && !x.multikey[i]
	}
	if x.spec.unique && column == len(x.columns) {
		score += 100
	}
	p.ordered = len(sort) == 0 || len(p.prefixes) <= 1 && x.sorts(column, sort)
	return p, score
}

// sorts says whether the entries behind a fixed prefix are in a given order. Entries that are alike are in the order of _id.
func (x *index) sorts(column int, sort bson.D) bool {
	for _, e := range sort {
		direction, _ := integer(e.Value)
		if column >= len(x.columns) {
			return e.Key == "_id" && direction == 1
		}
		if c := x.columns[column]; x.multikey[column] || c.Path != e.Key || c.Reverse != (direction < 0) {
			return false
		}
		if e.Key == "_id" {
			return true
		}
		column++
	}
	return true
}

// walk visits the documents of a plan until visit returns false.
func (p plan) walk(c *collection, visit func(*document) bool) {
	more := true
	if p.index == nil {
		for i := 0; i < len(p.prefixes) && more; i++ {
			p.walkDocuments(c, p.prefixes[i], func(d *document) bool { more = visit(d); return more })
		}
		return
	}
	low, high := p.span()
	for i := 0; i < len(p.prefixes) && more; i++ {
		prefix := p.prefixes[i]
		p.index.entries.Ascend(p.start(prefix, low), func(e entry) bool {
			if compareKeys(e.key, prefix, nil) != 0 {
				return false
			}
			if high != nil && p.passed(e.key[len(prefix)], *high, len(prefix)) {
				return false
			}
			if d := c.get(e.id); d != nil {
				more = visit(d)
			}
			return more
		})
	}
}

func (p plan) walkDocuments(c *collection, prefix []any, visit func(*document) bool) {
	if len(prefix) == 1 {
		if d := c.get(prefix[0]); d != nil {
			visit(d)
		}
		return
	}
	bounded := func(d *document) bool {
		return (p.last == nil || p.last.to == nil || compare(d.id, *p.last.to) <= 0) && visit(d)
	}
	if p.last == nil || p.last.from == nil {
		c.docs.Scan(bounded)
		return
	}
	c.docs.Ascend(&document{id: *p.last.from}, bounded)
}

// span is the range of the column behind the prefix, in the order of the index. Where the column holds arrays only one side of it
// can be used: another element may satisfy the other.
func (p plan) span() (low, high *any) {
	if p.last == nil || len(p.prefixes) == 0 {
		return nil, nil
	}
	column := len(p.prefixes[0])
	low, high = p.last.from, p.last.to
	if p.index.columns[column].Reverse {
		low, high = high, low
	}
	if p.index.multikey[column] && low != nil {
		high = nil
	}
	return low, high
}

func (p plan) start(prefix []any, low *any) entry {
	if low == nil {
		return entry{key: prefix, edge: -1}
	}
	edge := -1
	if p.last.past && !p.index.columns[len(prefix)].Reverse {
		edge = 1
	}
	return entry{key: append(slices.Clone(prefix), *low), edge: edge}
}

func (p plan) passed(value, end any, column int) bool {
	order := compare(value, end)
	if p.index.columns[column].Reverse {
		order = -order
	}
	return order > 0
}

// find returns what a query selects of a collection, nil being an empty one.
func find(c *collection, q query) ([]*document, error) {
	if c == nil {
		return nil, nil
	}
	p := choose(c, q)
	var (
		found  []*document
		failed error
		seen   map[*document]bool
	)
	if !p.distinct {
		seen = map[*document]bool{}
	}
	p.walk(c, func(d *document) bool {
		if seen[d] {
			return true
		}
		if seen != nil {
			seen[d] = true
		}
		ok, err := mongokit.Match(d.doc, &q.filter)
		if err != nil {
			failed = fail(codeBadValue, "%s", err)
			return false
		}
		if ok {
			found = append(found, d)
		}
		return !p.ordered || q.limit == 0 || len(found) < q.skip+q.limit
	})
	if failed != nil {
		return nil, failed
	}
	if !p.ordered {
		found = sorted(found, q.sort)
	}
	found = found[min(q.skip, len(found)):]
	if q.limit > 0 {
		found = found[:min(q.limit, len(found))]
	}
	return found, nil
}

// sorted orders documents by the values that lungo takes for comparing.
func sorted(docs []*document, sort bson.D) []*document {
	columns, _ := mongokit.Columns(&sort)
	slices.SortStableFunc(docs, func(a, b *document) int { return bsonkit.Order(a.doc, b.doc, columns, false) })
	return docs
}

// checkProjection allows fields of the first level to be included or left out, and no expressions.
func checkProjection(projection bson.D) error {
	include, exclude := 0, 0
	for _, e := range projection {
		number, ok := integer(e.Value)
		if flag, isBool := e.Value.(bool); isBool {
			ok, number = true, 0
			if flag {
				number = 1
			}
		}
		switch {
		case !ok || number != 0 && number != 1 || strings.ContainsAny(e.Key, "$."):
			return refuse("the projection %s: %v", e.Key, e.Value)
		case number == 1:
			include++
		case e.Key != "_id":
			exclude++
		}
	}
	if include > 0 && exclude > 0 {
		return refuse("a projection that both includes and excludes fields")
	}
	return nil
}

// project encodes what a projection leaves of a document.
func project(d *document, projection bson.D) (bson.Raw, error) {
	if len(projection) == 0 {
		return d.raw, nil
	}
	doc, err := mongokit.Project(d.doc, &projection)
	if err != nil {
		return nil, fail(codeBadValue, "%s", err)
	}
	return appendDocument(nil, *doc), nil
}
