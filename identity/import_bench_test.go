package identity_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkPI06Import plans and applies batches of 100 new users with the verifiers of their passwords, from the request to the commit on
// the embedded store. An iteration is a user.
func BenchmarkPI06Import(b *testing.B) {
	w := newWorld(b)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"}]`)
	w.root().put("/v1/groups/desk", `{"name":"Desk","roles":["ops:viewer"]}`).is(201)
	for _, phase := range []string{"plan", "apply"} {
		made := 0
		b.Run(phase, func(b *testing.B) {
			b.ReportAllocs()
			before, done := cpu(), 0
			for b.Loop() {
				if done++; done%100 != 1 {
					continue // one request for a hundred
				}
				var users []string
				for range 100 {
					made++
					users = append(users, fmt.Sprintf(`{"id":"0193d4c2-7f00-7000-8000-%012x","username":"user%d","email":"user%d@example.com","groups":["desk"],
						"password_hash":"%s"}`, made, made, made, hashed))
				}
				w.root().post("/v1/import", fmt.Sprintf(`{"dry_run":%t,"users":[%s]}`, phase == "plan", strings.Join(users, ","))).is(200)
			}
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(done), "cpu-µs/user")
		})
	}
}
