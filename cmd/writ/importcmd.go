package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/spf13/cobra"
)

const (
	// batchObjects, batchBytes and batchMembers bound what one request brings, below the bounds of the server.
	batchObjects = 100
	batchBytes   = 400 << 10
	batchMembers = 8_000
	batchBeside  = 900
	// shownFaults is how many faults are told before the rest is counted.
	shownFaults = 20
)

func (c *cli) importCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	var begin func() *progress
	cmd := c.command(cobra.Command{
		Use: "import FILE", Short: "Bring tenants, roles, groups, users and applications from a file into a running server",
		Long: `Bring objects from a file of YAML or JSON, as writ export writes it; - is standard input.

All of the file is checked first, rights included, and nothing is written if anything is wrong. Then it is written in batches of up to 100
objects, each of which is one transaction. An object that is there already is changed to what the file says of it; what the file does not
say stays. Doing it again changes nothing, so an import that was interrupted is simply repeated; with --resume what was acknowledged
before is not looked at again.

Users without a password_hash have no password until one is set for them (writ user reset-password), and applications without secrets
get none (writ app secret add). Needs iam/imports:write, and for every object the right to write it.

With --from, the file is another system's: casbin (p and g rows), lerian (groups with users, and Casbin rows), miniorange (client credentials
with capabilities), hantera (principals, clients and roles), policyserver (the JSON of PolicyServer.Local) or credentials (those of Rustici
Generator). What has no counterpart is told and left out.`,
		Example: `  writ import objects.yaml --dry-run
  writ import objects.yaml --resume
  writ import backup.age --identity key.txt
  writ import policy.csv --from casbin --dry-run`,
		Args: cobra.ExactArgs(1),
	}, func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		run := &importRun{cli: c, server: r, file: args[0], progress: begin()}
		flags := cmd.Flags()
		run.dry, _ = flags.GetBool("dry-run")
		run.resume, _ = flags.GetBool("resume")
		run.from, _ = flags.GetString("from")
		run.prefix, _ = flags.GetString("prefix")
		identity, _ := flags.GetString("identity")
		result, err := run.all(cmd.Context(), identity)
		if result == nil {
			return err
		}
		return errors.Join(print(result, func(w io.Writer) { result.table(w, run.dry) }), err)
	})
	flags := cmd.Flags()
	flags.Bool("dry-run", false, "show what would be done, and do nothing")
	flags.Bool("resume", false, "go on behind what an interrupted import of this file has done")
	flags.String("from", "", "read another system's file: "+strings.Join(importerNames(), ", "))
	flags.String("prefix", "", "first segment of the keys of roles from another system (its name)")
	flags.String("identity", "", "file with the age identity that an encrypted file is read with")
	server, print, begin = c.adminFlags(cmd), c.outputFlag(cmd), c.progressFlag(cmd)
	return cmd
}

// importItem is the server's verdict on one object.
type importItem struct {
	Pointer string       `json:"pointer"`
	Kind    string       `json:"kind"`
	ID      string       `json:"id,omitempty"`
	Name    string       `json:"name,omitempty"`
	Outcome string       `json:"outcome"`
	Version int64        `json:"version"`
	Changes []importDiff `json:"changes,omitempty"`
	Kept    []string     `json:"kept,omitempty"`
	Problem *importFault `json:"problem,omitempty"`
}

type importDiff struct {
	Field string          `json:"field"`
	From  json.RawMessage `json:"from"`
	To    json.RawMessage `json:"to"`
}

type importFault struct {
	Code    string `json:"code"`
	Pointer string `json:"pointer,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Reasons []struct {
		Code string `json:"code"`
		Rule string `json:"rule"`
	} `json:"reasons,omitempty"`
}

// importResult is what an import did, or would do.
type importResult struct {
	DryRun    bool         `json:"dry_run"`
	Created   int          `json:"created"`
	Changed   int          `json:"changed"`
	Unchanged int          `json:"unchanged"`
	Skipped   int          `json:"skipped"` // done before, by the import that is resumed
	Items     []importItem `json:"items,omitempty"`
	// LeftOut is what has no counterpart here.
	LeftOut []string `json:"left_out,omitempty"`
}

func (r *importResult) table(w io.Writer, dry bool) {
	if dry {
		for _, i := range r.Items {
			if i.Outcome == "unchanged" {
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", i.Outcome, i.Kind, i.Name)
			for _, d := range i.Changes {
				fmt.Fprintf(w, "\t\t%s: %s -> %s\n", d.Field, d.From, d.To)
			}
		}
	}
	for _, text := range r.LeftOut {
		fmt.Fprintf(w, "left out\t%s\n", text)
	}
	verb := "created %d, changed %d, unchanged %d"
	if dry {
		verb = "would create %d, change %d; unchanged %d"
	}
	fmt.Fprintf(w, verb, r.Created, r.Changed, r.Unchanged)
	if r.Skipped > 0 {
		fmt.Fprintf(w, ", done before %d", r.Skipped)
	}
	fmt.Fprintln(w)
}

func (r *importResult) count(outcome string, n int) {
	switch outcome {
	case "create":
		r.Created += n
	case "change":
		r.Changed += n
	case "unchanged":
		r.Unchanged += n
	}
}

// importRun is one run of the command.
type importRun struct {
	cli      *cli
	server   *remote
	progress *progress
	file     string
	from     string
	prefix   string
	dry      bool
	resume   bool
	digest   string
	objects  []*object
	leftOut  []string
	planned  map[*object]importItem
}

// batch is what one request brings: objects, and others of the file that they lead to.
type batch struct {
	objects []*object
	beside  []*object
}

// all reads, plans and applies. Nothing is written before everything was found good.
func (run *importRun) all(ctx context.Context, identity string) (*importResult, error) {
	content, err := run.read(identity)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte(run.from+"\x00"+run.prefix+"\x00"), content...))
	run.digest = hex.EncodeToString(sum[:])
	if err := run.parse(content); err != nil {
		return nil, err
	}
	batches, err := run.batches()
	if err != nil {
		return nil, err
	}
	done, err := run.doneBefore()
	if err != nil {
		return nil, err
	}
	result := &importResult{DryRun: run.dry, LeftOut: run.leftOut}
	for _, b := range batches[:min(done, len(batches))] {
		result.Skipped += len(b.objects)
	}
	batches = batches[min(done, len(batches)):]
	run.planned = map[*object]importItem{}
	if err := run.plan(ctx, batches, result); err != nil {
		return nil, err
	}
	if run.dry {
		return result, nil
	}
	return run.apply(ctx, batches, done, result)
}

// read returns the file, decrypted if it is encrypted.
func (run *importRun) read(identity string) ([]byte, error) {
	var content []byte
	var err error
	if run.file == "-" {
		if run.resume {
			return nil, usage("standard input cannot be resumed")
		}
		content, err = io.ReadAll(run.cli.stdin)
	} else {
		content, err = os.ReadFile(run.file)
	}
	if err != nil {
		return nil, err
	}
	armored := bytes.HasPrefix(content, []byte(armor.Header))
	if !armored && !bytes.HasPrefix(content, []byte("age-encryption.org/")) {
		return content, nil
	}
	if identity == "" {
		return nil, usage("%s is encrypted: name the file of the age identity with --identity", run.file)
	}
	identities, err := readIdentities(identity)
	if err != nil {
		return nil, err
	}
	var sealed io.Reader = bytes.NewReader(content)
	if armored {
		sealed = armor.NewReader(sealed)
	}
	plain, err := age.Decrypt(sealed, identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", run.file, err)
	}
	return io.ReadAll(plain)
}

// readIdentities reads a file of age identities.
func readIdentities(file string) ([]age.Identity, error) {
	keys, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	identities, err := age.ParseIdentities(keys)
	if err != nil {
		return nil, fmt.Errorf("--identity: %s holds no age identity", file) // the error of age may repeat a key
	}
	return identities, nil
}

// parse fills the objects, by way of another system's terms where the file has them.
func (run *importRun) parse(content []byte) error {
	var err error
	if run.from == "" {
		run.objects, err = readObjects(run.file, content)
		return err
	}
	read := importers()[run.from]
	if read == nil {
		return usage("--from %q is none of %s", run.from, strings.Join(importerNames(), ", "))
	}
	prefix := run.prefix
	if prefix == "" {
		prefix = run.from
	}
	run.objects, run.leftOut, err = read(run.file, content, prefix)
	return err
}

// batches divides the objects, in order, so that none is too large.
func (run *importRun) batches() ([]*batch, error) {
	byName := map[string]*object{}
	for _, o := range run.objects {
		if name := cmpOr(o.text("key"), o.text("id")); name != "" {
			byName[o.section+" "+name] = o
		}
	}
	var all []*batch
	now := &batch{}
	size, members := 0, 0
	beside := map[*object]bool{}
	for _, o := range run.objects {
		weight, count, led := o.weigh(), o.members(), o.leadsTo(byName)
		for _, other := range led {
			if !beside[other] {
				weight, count = weight+other.weigh(), count+other.members()
			}
		}
		if len(led) > batchBeside || weight > batchBytes*2 || count > batchMembers*2 {
			return nil, o.fault(run.file, "", "the object, with what it leads to in the file, is too large for one request")
		}
		full := len(now.objects) == batchObjects || size+weight > batchBytes || members+count > batchMembers || len(beside)+len(led) > batchBeside
		if full && len(now.objects) > 0 {
			all = append(all, now.closed(beside))
			now, size, members, beside = &batch{}, 0, 0, map[*object]bool{}
		}
		now.objects = append(now.objects, o)
		for _, other := range led {
			beside[other] = true
		}
		size, members = size+weight, members+count
	}
	if len(now.objects) > 0 {
		all = append(all, now.closed(beside))
	}
	return all, nil
}

// closed completes a batch with what stands beside it, in the order of the file.
func (b *batch) closed(beside map[*object]bool) *batch {
	for o := range beside {
		if !slices.Contains(b.objects, o) {
			b.beside = append(b.beside, o)
		}
	}
	slices.SortFunc(b.beside, func(x, y *object) int { return strings.Compare(x.pointer(""), y.pointer("")) })
	return b
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (o *object) weigh() int {
	raw, err := json.Marshal(o.fields)
	if err != nil {
		return batchBytes * 4 // unreachable: the fields came from a file
	}
	return len(raw)
}

func (o *object) members() int { return len(o.places) + 1 }

// leadsTo are the objects of the file whose state decides on what this one may be: tenants, roles and groups, and what those lead to.
func (o *object) leadsTo(byName map[string]*object) []*object {
	seen := map[*object]bool{o: true}
	var found []*object
	var walk func(o *object)
	walk = func(o *object) {
		follow := func(section string, names ...string) {
			for _, name := range names {
				if other := byName[section+" "+name]; other != nil && !seen[other] {
					seen[other] = true
					found = append(found, other)
					walk(other)
				}
			}
		}
		follow("tenants", o.text("tenant"))
		for _, field := range []string{"roles", "add_roles", "inherits"} {
			follow("roles", texts(o.fields[field])...)
		}
		for _, field := range []string{"groups", "add_groups"} {
			follow("groups", texts(o.fields[field])...)
		}
		for _, field := range []string{"grants", "add_grants"} {
			list, _ := o.fields[field].([]any)
			for _, item := range list {
				grant, _ := item.(map[string]any)
				tenant, _ := grant["tenant"].(string)
				follow("tenants", tenant)
			}
		}
	}
	walk(o)
	return found
}

// body is the request for objects, and the objects in the order in which the server answers.
func body(objects []*object, fields func(*object) map[string]any) (map[string]any, map[string]*object) {
	sent, at := map[string]any{}, map[string]*object{}
	for _, o := range objects {
		list, _ := sent[o.section].([]any)
		at["/"+o.section+"/"+strconv.Itoa(len(list))] = o
		sent[o.section] = append(list, fields(o))
	}
	return sent, at
}

func plainFields(o *object) map[string]any { return o.fields }

// send sends one batch and returns the verdicts by object. A refusal of the whole batch is an error that names its place in the file.
func (run *importRun) send(ctx context.Context, request map[string]any, at, beside map[string]*object) (map[*object]importItem, error) {
	reply, err := run.patiently(ctx, request)
	if err != nil {
		return nil, err
	}
	if err := reply.err(); err != nil {
		if o, inner := locate(reply.problem().Pointer, at, beside); o != nil {
			return nil, o.fault(run.file, inner, err.Error())
		}
		return nil, err
	}
	var said struct {
		Items []importItem `json:"items"`
	}
	if err := json.Unmarshal(reply.body, &said); err != nil || len(said.Items) != len(at) {
		return nil, fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", run.server.adminURL)
	}
	verdicts := map[*object]importItem{}
	for _, item := range said.Items {
		o := at[item.Pointer]
		if o == nil {
			return nil, fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", run.server.adminURL)
		}
		if item.Problem != nil {
			item.Problem.Pointer = strings.TrimPrefix(item.Problem.Pointer, item.Pointer)
		}
		item.Pointer, item.Name = o.pointer(""), o.name()
		verdicts[o] = item
	}
	return verdicts, nil
}

// busyTries and busyPause bound how long a server is waited for that cannot tell now. A batch that was written although the answer was lost is
// unchanged the next time.
const (
	busyTries = 6
	busyPause = time.Second
)

// patiently sends a request, again where the server says that it cannot tell now.
func (run *importRun) patiently(ctx context.Context, request map[string]any) (*adminReply, error) {
	for try := 1; ; try++ {
		reply, err := run.server.exchange(ctx, http.MethodPost, "/v1/import", nil, request)
		if err != nil || reply.status() != http.StatusServiceUnavailable || try == busyTries {
			return reply, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(busyPause):
		}
	}
}

// locate finds the object that a pointer into a request is about, and the rest of the pointer.
func locate(pointer string, at, beside map[string]*object) (*object, string) {
	from := at
	if inner, ok := strings.CutPrefix(pointer, "/beside"); ok {
		from, pointer = beside, inner
	}
	parts := strings.SplitN(pointer, "/", 4)
	if len(parts) < 3 {
		return nil, ""
	}
	o := from["/"+parts[1]+"/"+parts[2]]
	if len(parts) == 4 {
		return o, "/" + parts[3]
	}
	return o, ""
}

// plan asks the server what it would do, for all of the file. Every fault is told; one is enough to end here.
func (run *importRun) plan(ctx context.Context, batches []*batch, result *importResult) error {
	total := 0
	for _, b := range batches {
		total += len(b.objects)
	}
	run.progress.begin("plan", total)
	defer run.progress.end()
	var faults []error
	for _, b := range batches {
		request, at := body(b.objects, plainFields)
		beside, besideAt := body(b.beside, plainFields)
		request["dry_run"], request["beside"] = true, beside
		verdicts, err := run.send(ctx, request, at, besideAt)
		var fault *fileFault
		if errors.As(err, &fault) {
			faults = append(faults, err)
			continue
		}
		if err != nil {
			return err
		}
		kept := b.objects[:0:0]
		for _, o := range b.objects {
			item := verdicts[o]
			switch {
			case item.Outcome == "missing" && run.from != "":
				result.LeftOut = append(result.LeftOut, item.Kind+" "+o.name()+": there is none here to give the rights to; make it and import again")
				continue
			case item.Outcome == "missing":
				faults = append(faults, o.fault(run.file, "", "there is no such "+item.Kind+" to add something to"))
			case item.Problem != nil:
				faults = append(faults, o.fault(run.file, item.Problem.Pointer, item.Problem.text()))
			}
			kept = append(kept, o)
			run.planned[o] = item
			result.count(item.Outcome, 1)
			if run.dry {
				result.Items = append(result.Items, item)
			}
		}
		run.progress.add(len(b.objects))
		b.objects = kept
	}
	return faulty(run.cli.stderr, faults)
}

func (f *importFault) text() string {
	text := f.Code
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	for _, reason := range f.Reasons {
		if reason.Code != f.Code {
			text += "; " + reason.Code
		}
	}
	return text
}

// faulty tells all faults but the last ones, one in a line, and returns what the command ends with.
func faulty(w io.Writer, faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	for _, fault := range faults[:min(len(faults), shownFaults)] {
		fmt.Fprintln(w, fault)
	}
	if more := len(faults) - shownFaults; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	if len(faults) == 1 {
		return errors.New("a fault; nothing was changed")
	}
	return fmt.Errorf("%d faults; nothing was changed", len(faults))
}

// apply writes what the plan found to change, batch by batch.
func (run *importRun) apply(ctx context.Context, batches []*batch, done int, result *importResult) (*importResult, error) {
	work := 0
	for _, b := range batches {
		work += len(run.changing(b))
	}
	run.progress.begin("import", work)
	defer run.progress.end()
	*result = importResult{LeftOut: result.LeftOut, Skipped: result.Skipped, Unchanged: result.Unchanged}
	for n, b := range batches {
		if changing := run.changing(b); len(changing) > 0 {
			request, at := body(changing, func(o *object) map[string]any {
				fields := map[string]any{"version": run.planned[o].Version}
				for name, value := range o.fields {
					fields[name] = value
				}
				return fields
			})
			verdicts, err := run.send(ctx, request, at, nil)
			if err != nil {
				err = fmt.Errorf("%w; before it %d objects were written, for good: import again to go on", err, result.Created+result.Changed)
				return result, err
			}
			for _, item := range verdicts {
				result.count(item.Outcome, 1)
			}
			run.progress.add(len(changing))
		}
		if err := run.note(done + n + 1); err != nil {
			return result, err
		}
	}
	return result, run.forget()
}

func (run *importRun) changing(b *batch) []*object {
	var changing []*object
	for _, o := range b.objects {
		if run.planned[o].Outcome != "unchanged" {
			changing = append(changing, o)
		}
	}
	return changing
}

// journal says how far an import has come. It holds nothing of the file but its digest.
type journal struct {
	SHA256  string `json:"sha256"`
	Server  string `json:"server"`
	Batches int    `json:"batches"`
}

func (run *importRun) journalPath() string { return run.file + ".progress" }

// doneBefore is how many batches the interrupted import had acknowledged.
func (run *importRun) doneBefore() (int, error) {
	if !run.resume {
		return 0, nil
	}
	raw, err := os.ReadFile(run.journalPath())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var j journal
	if err == nil {
		err = json.Unmarshal(raw, &j)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", run.journalPath(), err)
	case j.SHA256 != run.digest:
		return 0, fmt.Errorf("%s has changed since the import that is to be resumed: import it without --resume, which changes what is left", run.file)
	case j.Server != run.server.adminURL:
		return 0, fmt.Errorf("the import that is to be resumed went to %s", j.Server)
	}
	return j.Batches, nil
}

// note writes down that so many batches are done. It replaces the file, so that a crash leaves the one or the other.
func (run *importRun) note(batches int) error {
	if run.file == "-" {
		return nil
	}
	raw, err := json.Marshal(journal{SHA256: run.digest, Server: run.server.adminURL, Batches: batches})
	if err != nil {
		return err
	}
	next := run.journalPath() + ".new"
	if err := os.WriteFile(next, raw, 0o600); err != nil {
		return fmt.Errorf("note how far the import is, in %s: %w", filepath.Dir(run.file), err)
	}
	return os.Rename(next, run.journalPath())
}

func (run *importRun) forget() error {
	err := os.Remove(run.journalPath())
	if run.file == "-" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
