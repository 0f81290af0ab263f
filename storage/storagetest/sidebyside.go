package storagetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

const (
	sequences = 200
	// briefSequences are what -short has time for.
	briefSequences = 20
	// shrinkings bounds how many shorter sequences are tried once one has failed.
	shrinkings = 500
	// seedVariable holds the seed to begin with, to repeat a run; unset, it is a random one. Either way it is printed.
	seedVariable = "WRIT_TEST_SEED"
)

// SideBySide runs random sequences of operations on stores of two kinds and demands the same reply from both, each time:
// records whole, the kind of an error, order, feed and sequence. It is said which seed made the sequences; of one that fails
// a short form is printed. With -short there are fewer, which is said, too.
func SideBySide(t *testing.T, left, right Factory) {
	t.Helper()
	seed, runs := rand.Uint64(), sequences
	if given := os.Getenv(seedVariable); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	if testing.Short() {
		runs = briefSequences
		t.Logf("-short: %d sequences instead of %d", briefSequences, sequences)
	}
	t.Logf("%d sequences from %s=%d", runs, seedVariable, seed)
	if found := explore(t, left, right, seed, runs); found != nil {
		t.Fatalf("%s=%d: sequence %d%v", seedVariable, seed, found.run, found)
	}
}

// difference is where two stores gave different replies.
type difference struct {
	// run is the number of the random sequence, ops what is left of it; the last of those is the one that differs.
	run     int
	ops     []operation
	names   [2]string
	diff    string
	replies [2]reply
}

func (d *difference) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, ", in short:\n")
	for _, o := range d.ops {
		fmt.Fprintf(&text, "  %v\n", o)
	}
	for n, name := range d.names {
		fmt.Fprintf(&text, "%s: %s\n", name, shown(d.replies[n]))
	}
	return text.String() + "difference (-left +right):\n" + d.diff
}

// shown prints the parts of a reply that say something.
func shown(r reply) string {
	var parts []string
	v := reflect.ValueOf(r)
	for n := range v.NumField() {
		name, field := v.Type().Field(n).Name, v.Field(n)
		switch value := field.Interface().(type) {
		case []reply:
			for _, step := range value {
				parts = append(parts, "{"+shown(step)+"}")
			}
		default:
			if !field.IsZero() {
				text, _ := json.Marshal(value) // records and what they have always encode
				parts = append(parts, name+": "+string(text))
			}
		}
	}
	if parts == nil {
		return "no error"
	}
	return strings.Join(parts, ", ")
}

// explore runs random sequences until one finds a difference, and returns that with the sequence made short.
func explore(t *testing.T, left, right Factory, seed uint64, runs int) *difference {
	t.Helper()
	for run := range runs {
		ops := sequence(rand.New(rand.NewPCG(seed, uint64(run))))
		found := replay(t, left, right, ops)
		if found == nil {
			continue
		}
		tries := 0
		shrink(found.ops, func(shorter []operation) bool {
			if tries++; tries > shrinkings {
				return false
			}
			again := replay(t, left, right, shorter)
			if again != nil {
				found = again
			}
			return again != nil
		})
		found.run = run
		return found
	}
	return nil
}

// replay runs a sequence on two fresh stores, up to the first reply that differs.
func replay(t *testing.T, left, right Factory, ops []operation) *difference {
	t.Helper()
	clock := newClock()
	// Only the kinds that are written: to make a collection may be what takes longest.
	kinds := []storage.Kind{ItemKind, GuardedKind}
	stores := [2]storage.Store{left(t, kinds, clock.Now), right(t, kinds, clock.Now)}
	defer func() {
		for _, s := range stores {
			must(t, s.Close())
		}
	}()
	conflicted := false
	for n, o := range ops {
		if o.Do == "wait" {
			clock.advance(o.By)
			continue
		}
		var replies [2]reply
		for side, s := range stores {
			replies[side] = perform(t.Context(), s, nil, o, clock.Now())
		}
		if o.Do == "purge" {
			// For a write that was refused in the end a store may have removed an expired record already.
			if conflicted {
				replies[0].Number, replies[1].Number = 0, 0
			}
			conflicted = false
		}
		conflicted = conflicted || slices.ContainsFunc(append(replies[0].Steps, replies[0]), func(r reply) bool {
			return r.Taken != nil
		})
		if diff := cmp.Diff(replies[0], replies[1], sameJSON(), sameTime()); diff != "" {
			return &difference{
				ops: ops[:n+1], replies: replies, diff: diff, names: [2]string{stores[0].Describe(), stores[1].Describe()},
			}
		}
	}
	return nil
}

// shrink leaves out and simplifies what it can of a sequence for which fails says true.
func shrink(ops []operation, fails func([]operation) bool) []operation {
	for size := max(1, len(ops)/2); size > 0; size /= 2 {
		for at := 0; at+size <= len(ops); {
			if shorter := slices.Concat(ops[:at], ops[at+size:]); fails(shorter) {
				ops = shorter
			} else {
				at += size
			}
		}
	}
	for n := range ops {
		replaced := func(o operation) []operation {
			changed := slices.Clone(ops)
			changed[n] = o
			return changed
		}
		o := ops[n]
		o.Steps = shrink(o.Steps, func(steps []operation) bool {
			fewer := o
			fewer.Steps = steps
			return fails(replaced(fewer))
		})
		ops = replaced(o)
		for _, simpler := range simplifications(o) {
			if changed := replaced(simpler(ops[n])); fails(changed) {
				ops = changed
			}
		}
	}
	return ops
}

// simplifications returns a function for each field that o sets, and for each of the record that it writes, to unset it.
func simplifications(o operation) []func(operation) operation {
	var all []func(operation) operation
	fields := reflect.ValueOf(o)
	for n := range fields.NumField() {
		if name := fields.Type().Field(n).Name; !fields.Field(n).IsZero() && !slices.Contains([]string{"Do", "ID", "Steps"}, name) {
			all = append(all, func(o operation) operation {
				reflect.ValueOf(&o).Elem().Field(n).SetZero()
				return o
			})
		}
	}
	fields = reflect.ValueOf(o.Written)
	for n := range fields.NumField() {
		if !fields.Field(n).IsZero() {
			all = append(all, func(o operation) operation {
				reflect.ValueOf(&o.Written).Elem().Field(n).SetZero()
				return o
			})
		}
	}
	return all
}
