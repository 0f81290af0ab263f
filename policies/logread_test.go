package policies_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

const goodLine = `{"decision_id":"d1","request_id":"r","time":"2026-03-01T12:00:00Z","entrypoint":"writ/decision","route":"x","input":{"a":1},` +
	`"allow":true,"reasons":[{"code":"granted","rule":"x"}],"obligations":{},"policy_revision":"p","data_revision":"d"}`

func TestReadingALogNamesWhatIsWrongWithALine(t *testing.T) {
	text := strings.Join([]string{
		goodLine,
		"",
		"   ",
		"not json",
		`{"decision_id":`,
		`[1]`,
		`"text"`,
		`{}`,
		strings.Replace(goodLine, `"allow":true,`, "", 1),
		strings.Replace(goodLine, `"allow":true`, `"allow":"yes"`, 1),
		strings.Replace(goodLine, `"policy_revision":"p"`, `"policy_revision":""`, 1),
		strings.Replace(goodLine, `"d1"`, "\"\xff\"", 1),
		strings.Replace(goodLine, "12:00:00Z", "noon", 1),
		strings.Replace(goodLine, `"data_revision"`, `"error":"none","data_revision"`, 1),
		goodLine + goodLine,
		`{"x":"` + strings.Repeat("y", 9<<20) + `"}`,
		strings.Replace(goodLine, `"route"`, `"of_a_later_version":{"x":[1]},"route"`, 1),
		`{"decision_id":"d2","entry`,
	}, "\n")
	r := policies.NewLogReader(strings.NewReader(text))
	good, wrong := 0, []string{}
	for {
		rec, err := r.Next()
		var line *policies.LineError
		if errors.Is(err, io.EOF) {
			break
		} else if errors.As(err, &line) {
			wrong = append(wrong, err.Error())
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		good++
		if rec.DecisionID != "d1" || !rec.Allow || string(rec.Input) != `{"a":1}` || len(rec.Reasons) != 1 {
			t.Errorf("read %+v", rec)
		}
	}
	const noJSON, noRecord = "not one JSON object of the right types", "no line of a decision log: it lacks decision_id, entrypoint, allow or the revisions"
	want := []string{
		"line 4: " + noJSON, "line 5: " + noJSON, "line 6: " + noJSON, "line 7: " + noJSON, "line 8: " + noRecord, "line 9: " + noRecord,
		"line 10: " + noJSON, "line 11: " + noRecord, "line 12: not UTF-8", "line 13: " + noJSON, "line 14: " + noRecord, "line 15: " + noJSON,
		"line 16: longer than a line of the decision log can be", "line 18: cut off",
	}
	if good != 2 || strings.Join(wrong, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d good lines, and\n%s", good, strings.Join(wrong, "\n"))
	}
	for _, w := range wrong {
		if strings.Contains(w, "d1") {
			t.Errorf("%q repeats the line", w)
		}
	}
}

// failing is a file that cannot be read to its end.
type failing struct{ io.Reader }

var errDisk = errors.New("disk")

func (f failing) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		err = errDisk
	}
	return n, err
}

func TestALogThatCannotBeReadIsNoEnd(t *testing.T) {
	r := policies.NewLogReader(failing{strings.NewReader(goodLine + "\n" + goodLine[:50])})
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
}

// FuzzLogReader: whatever a file holds, every line is a record or named as none, no record permits beside an error, and replaying it is
// no crash.
func FuzzLogReader(f *testing.F) {
	f.Add([]byte(goodLine))
	f.Add([]byte(goodLine + "\n" + goodLine[:70]))
	f.Add([]byte(strings.Replace(goodLine, `{"a":1}`, `null,"masked":["/input"]`, 1)))
	f.Add([]byte("\xff\n{}\n[]\n\x00"))
	pdp := open(f, policies.Config{})
	f.Fuzz(func(t *testing.T, file []byte) {
		r := policies.NewLogReader(strings.NewReader(string(file)))
		lines, records := 0, []policies.Record{}
		for {
			rec, err := r.Next()
			var line *policies.LineError
			switch {
			case errors.Is(err, io.EOF):
			case errors.As(err, &line):
				if line.Line <= 0 {
					t.Fatal(err)
				}
				lines++
				continue
			case err != nil:
				t.Fatal(err)
			default:
				if rec.DecisionID == "" || rec.Allow && rec.Error != "" {
					t.Fatalf("%+v", rec)
				}
				records = append(records, rec)
				lines++
				continue
			}
			break
		}
		if most := strings.Count(string(file), "\n") + 1; lines > most {
			t.Fatalf("%d lines of %d", lines, most)
		}
		report, err := policies.Replay(t.Context(), policies.ReplayConfig{Candidate: pdp.ReplaySet(), Now: now, Workers: 1}, over(records))
		if err != nil || report.Decisions != len(records) {
			t.Fatalf("%d of %d replayed, %v", report.Decisions, len(records), err)
		}
	})
}
