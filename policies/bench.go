package policies

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// Timing is what one evaluation costs here, with what the server does around it.
type Timing struct {
	Entrypoint Entrypoint `json:"entrypoint"`
	Allow      bool       `json:"allow"`
	Runs       int        `json:"runs"`
	NsPerOp    int64      `json:"ns_per_op"`
	Allocs     int64      `json:"allocs_per_op"`
	Bytes      int64      `json:"bytes_per_op"`
	// WhyNsPerOp is what the reasons cost on top, where a denial is asked for them; zero for a permit.
	WhyNsPerOp int64 `json:"why_ns_per_op"`
}

// Bench evaluates an entrypoint on an input for about a second, as the server does.
func Bench(ctx context.Context, source Source, e Entrypoint, input io.Reader) (Timing, error) {
	s, value, err := asked(ctx, source, e, input)
	if err != nil {
		return Timing{}, err
	}
	answer, err := s.explain(ctx, e, value)
	if err != nil {
		return Timing{}, err
	}
	p := &PDP{config: Config{Deadline: 10 * time.Second}}
	cost := func(e Entrypoint) (testing.BenchmarkResult, error) {
		var failed error
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.evaluate(ctx, s, e, value); err != nil {
					failed = err
					b.FailNow()
				}
			}
		})
		if failed == nil && result.N == 0 {
			failed = errors.New("nothing was measured")
		}
		return result, failed
	}
	measured, err := cost(e)
	if err != nil {
		return Timing{}, fmt.Errorf("bench %s: %w", e, err)
	}
	t := Timing{
		Entrypoint: e, Allow: answer.Allow, Runs: measured.N, NsPerOp: measured.NsPerOp(),
		Allocs: measured.AllocsPerOp(), Bytes: measured.AllocedBytesPerOp(),
	}
	if !answer.Allow {
		why, err := cost(EntryWhy)
		if err != nil {
			return Timing{}, fmt.Errorf("bench %s: %w", EntryWhy, err)
		}
		t.WhyNsPerOp = why.NsPerOp()
	}
	return t, nil
}
