//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// directory is one that `writ seed` makes.
type directory struct {
	profile string
	users   int
	// objects says that operations on objects are measured, and not decisions alone: there are enough of them for each to be another one.
	objects bool
}

func directories() []directory {
	return []directory{{"1k", 1_000, false}, {"10k", 10_000, true}, {"100k", 100_000, true}, {"large", 1_000_000, true}}
}

const (
	sizeRepeats  = 300 // of each operation, on an object of its own each time
	sizeWrites   = 100 // of those that write
	pageLimit    = 100
	deepPage     = 10_000
	commonRole   = "seed:common" // of a tenth of the users
	commonEvery  = 10
	commonEdited = "role of a tenth of the users edited"
	sampled      = 500 // holders that are asked whether an edit has come to them
	seedingTakes = 10 * time.Minute
)

// sized is what one directory was measured to take.
type sized struct {
	Profile      string        `json:"profile"`
	Users        int           `json:"users"`
	StartSeconds float64       `json:"start_seconds"`
	RestMiB      float64       `json:"resident_at_rest_mib"`
	Operations   []sizedTiming `json:"operations,omitempty"`
	Decisions    []sizedTiming `json:"decisions"`
	// Logged and Unlogged are the CPU time of an evaluation with the decision log and without it, where that was measured.
	Logged   float64 `json:"logged_us,omitempty"`
	Unlogged float64 `json:"unlogged_us,omitempty"`
	// Effective is how long after the reply to an edit of the role that a tenth have all of a sample of them were seen to have it.
	Effective float64 `json:"effective_seconds"`
	// Grown is by how much resident memory grew from before that edit until then.
	Grown float64 `json:"grown_mib"`
	// Pages are the CPU time of the first page of the users, and of a deep one, whose number is Deep.
	FirstPage float64 `json:"first_page_us"`
	DeepPage  float64 `json:"deep_page_us"`
	Deep      int     `json:"deep"`
}

// sizedTiming is the server's CPU time of one operation, in microseconds.
type sizedTiming struct {
	Name string  `json:"name"`
	CPU  float64 `json:"cpu_us"`
}

func (s *sized) of(name string) float64 {
	for _, o := range slices.Concat(s.Operations, s.Decisions) {
		if o.Name == name {
			return o.CPU
		}
	}
	return 0
}

// wantsSizes says whether the directories are to be measured: only where that is asked for by name, because to make them takes minutes.
func (o *options) wantsSizes() bool {
	return slices.ContainsFunc(o.only, func(name string) bool { return slices.Contains(sizeRows(), name) })
}

func sizeRows() []string {
	return []string{"PI-02", "PI-03", "PI-04", "PI-05", "PD-03", "PD-06", "PD-10"}
}

// bySize measures each directory.
func (b *bench) bySize(ctx context.Context, r *results) error {
	if !b.wantsSizes() {
		if len(b.only) == 0 {
			r.Absent = append(r.Absent, "PI-02 to PI-05, PD-03, PD-06, PD-10: name one with --scenario; the directory of a million users takes minutes to make")
		}
		return nil
	}
	if b.store != "sqlite" {
		r.Absent = append(r.Absent, "PI-02 to PI-05, PD-03, PD-06, PD-10: measured on the embedded store only")
		return nil
	}
	for _, size := range directories() {
		s, err := b.size(ctx, size)
		if err != nil {
			return fmt.Errorf("directory %s: %w", size.profile, err)
		}
		r.Sizes = append(r.Sizes, *s)
	}
	return nil
}

// seeded returns a data directory of its own with the seeded database in it, which is made once.
func (b *bench) seeded(ctx context.Context, profile string) (string, error) {
	kept := b.options.seeded
	if kept == "" {
		kept = filepath.Join(b.dir, "seeded")
	}
	from := filepath.Join(kept, profile)
	if _, err := os.Stat(filepath.Join(from, "writ.db")); errors.Is(err, os.ErrNotExist) {
		b.say("seeding the directory %s", profile)
		limited, cancel := context.WithTimeout(ctx, seedingTakes)
		defer cancel()
		if err := b.runOn(limited, b.cores.all, b.shipped, "seed", "--profile", profile, "--data-dir", from); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(b.dir, "size-"+profile)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return "", err
	}
	return dir, copyFile(filepath.Join(from, "writ.db"), filepath.Join(dir, "data", "writ.db"))
}

func (b *bench) size(ctx context.Context, size directory) (*sized, error) {
	profile := size.profile
	dir, err := b.seeded(ctx, profile)
	if err != nil {
		return nil, err
	}
	secret, env, err := environment(dir, "")
	if err != nil {
		return nil, err
	}
	m := &sized{Profile: profile, Users: size.users}
	// The first start makes root and the keys, the second is what a restart is. On all cores, as the product would be.
	p := program{binary: b.shipped, args: []string{"serve"}, env: env, dir: dir, on: b.cores.all}
	for n := range 2 {
		b.say("start %d with the directory %s", n+1, profile)
		s, err := p.start(ctx, b.cores.load)
		if err != nil {
			return nil, err
		}
		m.StartSeconds = s.ready.Seconds()
		if n == 1 {
			rest := results{Singles: map[string]float64{}}
			err = b.atRest(ctx, s, &rest)
			m.RestMiB = rest.Singles["resident, demo"]
		}
		s.stop()
		if err != nil {
			return nil, err
		}
	}
	p.binary, p.on = b.bench, b.cores.server
	s, err := p.start(ctx, b.cores.load)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	w := &sizeWorld{world: &world{server: s}, sized: m}
	if w.root, err = w.token(ctx, basic("root", secret)); err != nil {
		return nil, err
	}
	b.say("decisions in the directory %s", profile)
	if err := w.decisions(ctx); err != nil {
		return nil, err
	}
	if !size.objects {
		s.stop()
		b.say("decisions in the directory %s with and without the decision log", profile)
		return m, b.logging(ctx, p, secret, m)
	}
	b.say("operations on the directory %s", profile)
	if err := w.operations(ctx); err != nil {
		return nil, err
	}
	b.say("pages of the directory %s", profile)
	if err := w.pages(ctx); err != nil {
		return nil, err
	}
	b.say("an edit of the role %s in the directory %s", commonRole, profile)
	return m, w.edit(ctx)
}

// sizeWorld is a server with a seeded directory.
type sizeWorld struct {
	*world
	*sized
	root string
}

// seededUser is the id of a user, as `writ seed` makes it.
func seededUser(i int) string {
	const began = 1_767_225_600_000
	at := uint64(began + i)
	return fmt.Sprintf("%08x-%04x-7000-8000-%012x", at>>16, at&0xffff, i)
}

// call sends one request and refuses any answer but the wanted one.
func (w *sizeWorld) call(ctx context.Context, method, address, path string, body any, want int) ([]byte, error) {
	if body == nil {
		return w.send(ctx, method, address, path, nil, nil, want)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return w.send(ctx, method, address, path, http.Header{"Content-Type": {"application/json"}}, text, want)
}

// send is call with headers and a body as they go over the wire.
func (w *sizeWorld) send(ctx context.Context, method, address, path string, more http.Header, text []byte, want int) ([]byte, error) {
	header := http.Header{"Authorization": {w.root}}
	maps.Copy(header, more)
	status, reply, err := ask(ctx, method, "http://"+address+path, header, text)
	if err == nil && status != want {
		err = fmt.Errorf("%s %s: got %d %.300s, want %d", method, path, status, reply, want)
	}
	return reply, err
}

// timed returns the CPU time of the server for each of n calls.
func (w *sizeWorld) timed(ctx context.Context, n int, call func(i int) error) (float64, error) {
	if err := w.collect(ctx); err != nil {
		return 0, err
	}
	before, err := w.usage(ctx)
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := call(i); err != nil {
			return 0, err
		}
	}
	after, err := w.usage(ctx)
	return float64(after.CPUMicros-before.CPUMicros) / float64(n), err
}

// evaluate asks whether a user may read an object of a role's, and returns the answer.
func (w *sizeWorld) evaluate(ctx context.Context, user, resource string) (bool, error) {
	reply, err := w.call(ctx, http.MethodPost, w.public, "/access/v1/evaluation", object{
		"subject": object{"type": "user", "id": user}, "action": object{"name": "read"}, "resource": object{"type": resource, "id": "42"},
	}, http.StatusOK)
	return strings.Contains(string(reply), `"decision":true`), err
}

// operations measures what is done with one object, on others each time: none of them is in a cache.
func (w *sizeWorld) operations(ctx context.Context) error {
	// Far from each other in the directory, and none of them twice.
	at := func(round, i int) int { return (round*(w.Users/8) + i*(w.Users/8/sizeRepeats) + 1) % w.Users }
	no := func(_ []byte, err error) error { return err }
	made := make([]string, 0, sizeWrites)
	for _, o := range []struct {
		name string
		n    int
		call func(i int) error
	}{
		{"warm-up", sizeRepeats, func(i int) error {
			return no(w.call(ctx, http.MethodGet, w.admin, "/v1/users/"+seededUser(at(0, i)), nil, http.StatusOK))
		}},
		{"user by id, from the store", sizeRepeats, func(i int) error {
			return no(w.call(ctx, http.MethodGet, w.admin, "/v1/users/"+seededUser(at(1, i)), nil, http.StatusOK))
		}},
		{"user by id, cached", sizeRepeats, func(i int) error {
			return no(w.call(ctx, http.MethodGet, w.admin, "/v1/users/"+seededUser(at(1, i)), nil, http.StatusOK))
		}},
		{"decision about a username, from the store", sizeRepeats, func(i int) error {
			_, err := w.evaluate(ctx, fmt.Sprintf("user%07d", at(2, i)), "shop/r00001/g01")
			return err
		}},
		{"application by id", sizeRepeats, func(i int) error {
			return no(w.call(ctx, http.MethodGet, w.admin, fmt.Sprintf("/v1/applications/app_seed%06d", at(3, i)/10), nil, http.StatusOK))
		}},
		{"role by key", sizeRepeats, func(i int) error {
			return no(w.call(ctx, http.MethodGet, w.admin, fmt.Sprintf("/v1/roles/seed:r%05d", 1+i%99), nil, http.StatusOK))
		}},
		{"user edited", sizeWrites, func(i int) error {
			return no(w.call(ctx, http.MethodPatch, w.admin, "/v1/users/"+seededUser(at(4, i)), object{"name": "Edited"}, http.StatusOK))
		}},
		{"user made, its names looked up", sizeWrites, func(i int) error {
			name := fmt.Sprintf("made%04d", i)
			reply, err := w.call(ctx, http.MethodPost, w.admin, "/v1/users", object{
				"username": name, "email": name + "@example.org", "name": name, "roles": []string{"seed:r00001"},
				"password_hash": "$2b$10$abcdefghijklmnopqrstuuN8ijLN1n0W3ntpa6U5d.xqgdxvM4Ywe",
			}, http.StatusCreated)
			var user struct{ ID string }
			if err == nil {
				err = json.Unmarshal(reply, &user)
			}
			made = append(made, user.ID)
			return err
		}},
		{"user deleted", sizeWrites, func(i int) error {
			return no(w.call(ctx, http.MethodDelete, w.admin, "/v1/users/"+made[i], nil, http.StatusNoContent))
		}},
		{"application edited", sizeWrites, func(i int) error {
			path := fmt.Sprintf("/v1/applications/app_seed%06d", at(5, i)/10)
			return no(w.call(ctx, http.MethodPatch, w.admin, path, object{"name": "Edited"}, http.StatusOK))
		}},
		{"role edited", sizeWrites, func(i int) error {
			path := fmt.Sprintf("/v1/roles/seed:r%05d", 1+i%99)
			return no(w.call(ctx, http.MethodPatch, w.admin, path, object{"description": fmt.Sprint("Edit ", i)}, http.StatusOK))
		}},
	} {
		cpu, err := w.timed(ctx, o.n, o.call)
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		if o.name != "warm-up" {
			w.Operations = append(w.Operations, sizedTiming{o.name, cpu})
		}
	}
	return nil
}

// pages walks the list of users, since a cursor is what leads to a page, and measures the first and the deepest.
func (w *sizeWorld) pages(ctx context.Context) error {
	const repeats = 50
	page := func(after string) (next string, err error) {
		path := fmt.Sprintf("/v1/users?limit=%d", pageLimit)
		if after != "" {
			path += "&after=" + url.QueryEscape(after)
		}
		reply, err := w.call(ctx, http.MethodGet, w.admin, path, nil, http.StatusOK)
		if err != nil {
			return "", err
		}
		var shown struct {
			Items []struct{} `json:"items"`
			Next  string     `json:"next"`
		}
		if err := json.Unmarshal(reply, &shown); err != nil {
			return "", err
		}
		if len(shown.Items) != pageLimit {
			return "", fmt.Errorf("the page has %d users, want %d", len(shown.Items), pageLimit)
		}
		return shown.Next, nil
	}
	w.Deep = min(deepPage, w.Users/pageLimit)
	at := ""
	for range w.Deep - 1 {
		next, err := page(at)
		if err != nil {
			return err
		}
		at = next
	}
	for into, after := range map[*float64]string{&w.FirstPage: "", &w.DeepPage: at} {
		cpu, err := w.timed(ctx, repeats, func(int) error { _, err := page(after); return err })
		if err != nil {
			return err
		}
		*into = cpu
	}
	return nil
}

// edit adds a grant to the role that a tenth of the users have, and asks a sample of them until they have it.
func (w *sizeWorld) edit(ctx context.Context) error {
	holder := func(i int) string { return seededUser(i * (w.Users / commonEvery / sampled) * commonEvery) }
	reply, err := w.call(ctx, http.MethodGet, w.admin, "/v1/roles/"+commonRole, nil, http.StatusOK)
	if err != nil {
		return err
	}
	var role struct {
		Grants []object `json:"grants"`
	}
	if err := json.Unmarshal(reply, &role); err != nil {
		return err
	}
	all := func(want bool) error {
		for i := range sampled {
			if got, err := w.evaluate(ctx, holder(i), "bench/edited"); err != nil || got != want {
				return fmt.Errorf("holder %d of %s: decision %t, want %t: %w", i, commonRole, got, want, err)
			}
		}
		return nil
	}
	if err := all(false); err != nil { // who is asked is in the caches then
		return err
	}
	before, err := w.resident()
	if err != nil {
		return err
	}
	// Several edits, of which each counts; the last one leaves the grant.
	edits := [][]object{append(slices.Clone(role.Grants), object{"resource": "bench/edited", "action": "read"}), role.Grants}
	const repeats = 21
	cpu, err := w.timed(ctx, repeats, func(i int) error {
		_, err := w.call(ctx, http.MethodPatch, w.admin, "/v1/roles/"+commonRole, object{"grants": edits[i%2]}, http.StatusOK)
		return err
	})
	if err != nil {
		return err
	}
	w.Operations = append(w.Operations, sizedTiming{commonEdited, cpu})
	replied := time.Now()
	if err := all(true); err != nil {
		return err
	}
	w.Effective = time.Since(replied).Seconds()
	after, err := w.resident()
	w.Grown = float64(after-before) / (1 << 20)
	return err
}

// runOn runs a program to its end.
func (b *bench) runOn(ctx context.Context, on []int, binary string, args ...string) error {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "WRIT_") })
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var told strings.Builder
	cmd.Stderr = &told
	if err := startOn(cmd, on, b.cores.load); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		text := told.String()
		return fmt.Errorf("%s %s: %w\n%s", binary, args[0], err, text[max(0, len(text)-2000):])
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// size finds the figures of a directory.
func (r *results) size(profile string) *sized {
	for i := range r.Sizes {
		if r.Sizes[i].Profile == profile {
			return &r.Sizes[i]
		}
	}
	return nil
}

// ofLarge is a figure of the largest directory.
func ofLarge(figure func(*sized) float64) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		large := r.size("large")
		if large == nil {
			return 0, false
		}
		return figure(large), true
	}
}

// worstGrowth is the most that the CPU time of an operation grew from the smallest directory to the largest, and of which one.
func (r *results) worstGrowth() (factor float64, name string) {
	small, large := r.size("10k"), r.size("large")
	if small == nil || large == nil {
		return 0, ""
	}
	for _, o := range small.Operations {
		if grown := large.of(o.Name) / o.CPU; grown > factor && o.Name != commonEdited {
			factor, name = grown, o.Name
		}
	}
	return factor, name
}

// decided are the figures of PD-03: what an evaluation costs in the directory where it costs most, against where it costs least, and
// against the floor of the same server.
func decided(against func(dearest, cheapest, floors float64) float64) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		var dearest, cheapest, ratio float64
		for i := range r.Sizes {
			cpu, floor := r.Sizes[i].of(permitDecided), r.Sizes[i].of(floorDecided)
			if cpu == 0 || floor == 0 {
				return 0, false
			}
			if dearest == 0 || cpu < cheapest {
				cheapest = cpu
			}
			dearest, ratio = max(dearest, cpu), max(ratio, cpu/floor)
		}
		return against(dearest, cheapest, ratio), dearest > 0
	}
}

// sizesTable writes the directories side by side.
func (r *results) sizesTable(b *strings.Builder) {
	if len(r.Sizes) == 0 {
		return
	}
	head, lines := []string{"directory"}, [][]string{}
	for _, s := range r.Sizes {
		head = append(head, fmt.Sprintf("%s, %d users", s.Profile, s.Users))
	}
	add := func(name string, figure func(*sized) string) {
		line := []string{name}
		for i := range r.Sizes {
			line = append(line, figure(&r.Sizes[i]))
		}
		lines = append(lines, line)
	}
	add("start to ready", func(s *sized) string { return number(s.StartSeconds, 2) + " s" })
	add("resident at rest", func(s *sized) string { return number(s.RestMiB, 0) + " MiB" })
	largest := r.Sizes[len(r.Sizes)-1]
	for _, o := range slices.Concat(largest.Decisions, largest.Operations) {
		add(o.Name, func(s *sized) string {
			if s.of(o.Name) == 0 {
				return ""
			}
			return number(s.of(o.Name), 0) + " µs CPU"
		})
	}
	whole := func(figure func(*sized) string) func(*sized) string {
		return func(s *sized) string {
			if len(s.Operations) == 0 {
				return ""
			}
			return figure(s)
		}
	}
	add("first page of the users", whole(func(s *sized) string { return number(s.FirstPage, 0) + " µs CPU" }))
	add("a deep page", whole(func(s *sized) string { return fmt.Sprintf("%s µs CPU (page %d)", number(s.DeepPage, 0), s.Deep) }))
	add("all of a sample have what was given to a tenth", whole(func(s *sized) string { return number(s.Effective, 2) + " s later" }))
	add("resident memory grew by", whole(func(s *sized) string { return number(s.Grown, 0) + " MiB" }))
	table(b, head, lines)
	if factor, name := r.worstGrowth(); name != "" {
		fmt.Fprintf(b, "What grew most from the smallest to the largest: %s, × %s.\n", name, number(factor, 2))
	}
}
