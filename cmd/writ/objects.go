package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// noun is a kind of object as the daily commands know it.
type noun struct {
	name, plural string
	// key is the field that names an object.
	key     string
	columns []string
	// filters are query parameters of the list, as flags.
	filters []string
	// bundle says that others hold it, so that deleting it may be forced.
	bundle  bool
	example string
}

func (n noun) path() string { return "/v1/" + n.plural }

func nouns() []noun {
	return []noun{
		{
			name: "user", plural: "users", key: "id", columns: []string{"id", "username", "email", "name", "tenant", "suspended_at"},
			filters: []string{"role", "role_prefix", "group", "tenant", "suspended", "name_prefix", "email_prefix"},
			example: "username: ada\nemail: ada@example.com\n",
		},
		{
			name: "group", plural: "groups", key: "id", columns: []string{"id", "name", "tenant", "roles"},
			filters: []string{"tenant", "role", "name_prefix"}, bundle: true, example: "id: desk\nname: Desk\n",
		},
		{
			name: "role", plural: "roles", key: "key", columns: []string{"key", "description", "tenant", "inherits"},
			filters: []string{"tenant", "inherits", "key_prefix"}, bundle: true, example: "key: ops:viewer\n",
		},
		{
			name: "app", plural: "applications", key: "id", columns: []string{"id", "name", "tenant", "is_active", "grant_types"},
			filters: []string{"role", "role_prefix", "group", "tenant", "protected", "active", "name_prefix"}, example: "id: billing\nname: Billing\n",
		},
		{name: "tenant", plural: "tenants", key: "id", columns: []string{"id", "name", "enabled"}, example: "id: acme\nname: Acme\n"},
	}
}

// objectCommands are the commands of daily work: writ user, group, role, app and tenant.
func (c *cli) objectCommands() []*cobra.Command {
	var commands []*cobra.Command
	for _, n := range nouns() {
		children := []*cobra.Command{c.listObjects(n), c.getObject(n), c.createObject(n), c.editObject(n), c.deleteObject(n)}
		switch n.name {
		case "user":
			children = append(children, c.resetPassword(n))
		case "app":
			children = append(children, c.secretCommand(n))
		}
		cmd := c.parent(n.name, "See and change "+n.plural+" of a running server", children...)
		cmd.Long = cmd.Short + ". What may be seen and changed is decided by the server for the caller."
		commands = append(commands, cmd)
	}
	return commands
}

// completions is how many a shell is shown at most.
const completions = 200

// completeWithin bounds how long a shell waits for the ids of a completion.
const completeWithin = 2 * time.Second

// completing makes a command complete the first argument from the server. What goes wrong is silent: a shell has no place for it.
func (n noun) completing(cmd *cobra.Command, server func() (*remote, error)) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, none
		}
		r, err := server()
		if err != nil {
			return nil, none
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		var found []string
		query := url.Values{}
		if begun != "" && n.name == "role" {
			query.Set("key_prefix", begun)
		}
		if strings.Trim(begun, "0123456789abcdef-") != "" && n.name == "user" { // no id begins so
			query.Set("name_prefix", begun)
		}
		enough := errors.New("enough")
		_ = r.each(ctx, n.path(), query, func(item json.RawMessage) error {
			if len(found) >= completions {
				return enough
			}
			fields := map[string]any{}
			if err := json.Unmarshal(item, &fields); err != nil {
				return err
			}
			if id := cell(fields[n.key]); strings.HasPrefix(id, begun) {
				found = append(found, id+"\t"+cmpOr(cell(fields["username"]), cmpOr(cell(fields["name"]), cell(fields["description"]))))
			}
			if name := cell(fields["username"]); begun != "" && strings.HasPrefix(name, begun) {
				found = append(found, name)
			}
			return nil
		})
		return found, none
	}
}

// cell is a value as a table shows it.
func cell(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case []any:
		var items []string
		for _, item := range value {
			items = append(items, cell(item))
		}
		return strings.Join(items, " ")
	}
	return fmt.Sprint(value)
}

func (c *cli) listObjects(n noun) *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "list", Short: "List " + n.plural,
		Example: "  writ " + n.name + " list\n  writ " + n.name + " list --output json --limit 20",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		query := url.Values{}
		for _, filter := range n.filters {
			if flag := cmd.Flags().Lookup(strings.ReplaceAll(filter, "_", "-")); flag.Changed {
				query.Set(filter, flag.Value.String())
			}
		}
		most, err := cmd.Flags().GetInt("limit")
		if err != nil {
			return err
		}
		items := []map[string]any{}
		enough := errors.New("enough")
		err = r.each(cmd.Context(), n.path(), query, func(item json.RawMessage) error {
			if most > 0 && len(items) == most {
				return enough
			}
			fields := map[string]any{}
			items = append(items, fields)
			return json.Unmarshal(item, &fields)
		})
		if err != nil && !errors.Is(err, enough) {
			return err
		}
		return print(items, func(w io.Writer) { n.table(w, items) })
	})
	for _, filter := range n.filters {
		cmd.Flags().String(strings.ReplaceAll(filter, "_", "-"), "", "only those with this "+strings.ReplaceAll(filter, "_", " "))
	}
	cmd.Flags().Int("limit", 0, "at most so many; 0 is all")
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func (n noun) table(w io.Writer, items []map[string]any) {
	fmt.Fprintln(w, strings.ToUpper(strings.Join(n.columns, "\t")))
	for _, item := range items {
		var cells []string
		for _, column := range n.columns {
			cells = append(cells, cell(item[column]))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
}

// find returns the id of an object that is named by its id or, for a user, by its username.
func (n noun) find(ctx context.Context, r *remote, name string) (string, error) {
	if n.name != "user" || uuid.Validate(name) == nil && len(name) == 36 {
		return name, nil
	}
	found := ""
	enough := errors.New("enough")
	err := r.each(ctx, n.path(), url.Values{"name_prefix": {name}}, func(item json.RawMessage) error {
		var u struct{ ID, Username string }
		if err := json.Unmarshal(item, &u); err != nil {
			return err
		}
		if strings.EqualFold(u.Username, name) {
			found = u.ID
			return enough
		}
		return nil
	})
	switch {
	case found != "":
		return found, nil
	case err != nil:
		return "", err
	}
	return "", fmt.Errorf("there is no user %q, or none for you to see", name)
}

// at is the path of one object.
func (n noun) at(ctx context.Context, r *remote, name string) (string, error) {
	id, err := n.find(ctx, r, name)
	return n.path() + "/" + url.PathEscape(id), err
}

// fetch reads one object.
func (n noun) fetch(ctx context.Context, r *remote, name string) (path string, fields map[string]any, etag string, err error) {
	if path, err = n.at(ctx, r, name); err != nil {
		return "", nil, "", err
	}
	reply, err := r.exchange(ctx, http.MethodGet, path, nil, nil)
	if err == nil {
		err = reply.err()
	}
	if err != nil {
		return "", nil, "", err
	}
	if err := json.Unmarshal(reply.body, &fields); err != nil {
		return "", nil, "", fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", r.adminURL)
	}
	return path, fields, reply.response.Header.Get("ETag"), nil
}

// fieldLines prints one object, a field in a line.
func fieldLines(fields map[string]any) func(io.Writer) {
	return func(w io.Writer) {
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			text := cell(fields[name])
			if raw, err := json.Marshal(fields[name]); err == nil && (strings.HasPrefix(string(raw), "{") || strings.HasPrefix(string(raw), "[{")) {
				text = string(raw)
			}
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
}

// aboutOne makes a command about one of the objects: it has the flags of the API and, where it prints, of the form, and completes ids.
func (c *cli) aboutOne(
	n noun, prints bool, about cobra.Command, run func(cmd *cobra.Command, r *remote, args []string, print printer) error,
) *cobra.Command {
	var server func() (*remote, error)
	var print printer
	cmd := c.command(about, func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		return run(cmd, r, args, print)
	})
	if server = c.adminFlags(cmd); prints {
		print = c.outputFlag(cmd)
	}
	n.completing(cmd, server)
	return cmd
}

func (c *cli) getObject(n noun) *cobra.Command {
	return c.aboutOne(n, true, cobra.Command{
		Use: "get " + strings.ToUpper(n.key), Short: "Show one of the " + n.plural, Args: cobra.ExactArgs(1),
		Example: "  writ " + n.name + " get " + n.sample() + " --output yaml",
	}, func(cmd *cobra.Command, r *remote, args []string, print printer) error {
		_, fields, _, err := n.fetch(cmd.Context(), r, args[0])
		if err != nil {
			return err
		}
		return print(fields, fieldLines(fields))
	})
}

// sample is the name of an object in an example.
func (n noun) sample() string {
	_, rest, _ := strings.Cut(n.example, ": ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}

// text reads a file, - being standard input.
func (c *cli) text(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(c.stdin)
	}
	return os.ReadFile(file)
}

// oneObject reads the YAML of one object.
func oneObject(file string, content []byte) (*object, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		return nil, &fileFault{file: file, text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if root.Kind == 0 {
		return nil, &fileFault{file: file, text: "the file is empty"}
	}
	r := &fileReader{file: file, places: map[string]place{}}
	value, err := r.value(root.Content[0], "", 0)
	if err != nil {
		return nil, err
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, &fileFault{file: file, at: placeOf(root.Content[0]), text: "want a mapping"}
	}
	return &object{fields: fields, places: r.places}, nil
}

func (c *cli) createObject(n noun) *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "create -f FILE", Short: "Create one of the " + n.plural + " from YAML or JSON; - is standard input",
		Long: "Create one of the " + n.plural + " from a file with the fields of the API, such as\n\n  " +
			strings.ReplaceAll(strings.TrimSpace(n.example), "\n", "\n  ") +
			"\n\nWhat the server makes (an id, a secret, a temporary password) is shown this once. One that is there already is left alone.",
		Example: "  writ " + n.name + " create -f " + n.name + ".yaml\n  writ " + n.name + " create -f - < " + n.name + ".yaml",
	}, func(cmd *cobra.Command, _ []string) error {
		file, err := cmd.Flags().GetString("file")
		if err != nil {
			return err
		}
		if file == "" {
			return usage("name the file with -f; - is standard input")
		}
		r, err := server()
		if err != nil {
			return err
		}
		content, err := c.text(file)
		if err != nil {
			return err
		}
		in, err := oneObject(file, content)
		if err != nil {
			return err
		}
		method, path, header := http.MethodPost, n.path(), http.Header{}
		if id := in.text("id"); id != "" && n.key == "id" {
			method, path = http.MethodPut, path+"/"+url.PathEscape(id)
			header.Set("If-None-Match", "*")
		}
		reply, err := r.exchange(cmd.Context(), method, path, header, in.fields)
		if err != nil {
			return err
		}
		if err := n.refused(reply, file, in); err != nil {
			return err
		}
		fields := map[string]any{}
		if err := json.Unmarshal(reply.body, &fields); err != nil {
			return fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", r.adminURL)
		}
		return print(fields, fieldLines(fields))
	})
	cmd.Flags().StringP("file", "f", "", "file to read; - is standard input")
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	return cmd
}

// refused is the refusal of what a text says, with its place.
func (n noun) refused(reply *adminReply, file string, in *object) error {
	err := reply.err()
	switch {
	case err == nil:
		return nil
	case reply.status() == http.StatusPreconditionFailed:
		return fmt.Errorf("%s: there is one of this id already: %w", file, err)
	case reply.problem().Pointer != "":
		pointer := reply.problem().Pointer
		return &fileFault{file: file, at: in.at(pointer), text: err.Error()}
	}
	return err
}

func (c *cli) editObject(n noun) *cobra.Command {
	return c.aboutOne(n, false, cobra.Command{
		Use: "edit " + strings.ToUpper(n.key), Short: "Change one of the " + n.plural + " in an editor", Args: cobra.ExactArgs(1),
		Long: `Open an object as YAML in $VISUAL or $EDITOR (vi), and send what was changed; a field that is taken out is cleared. If somebody else
changed the object meanwhile, or the server refuses the change, nothing is sent over it and the text is kept in a file.`,
		Example: "  EDITOR=nano writ " + n.name + " edit " + n.sample(),
	}, func(cmd *cobra.Command, r *remote, args []string, _ printer) error {
		path, fields, etag, err := n.fetch(cmd.Context(), r, args[0])
		if err != nil {
			return err
		}
		for _, name := range append(readOnly(), "id", "key") {
			delete(fields, name)
		}
		text, err := yamlOf(fields)
		if err != nil {
			return err
		}
		edited, kept, err := c.edit(cmd.Context(), n.name, text)
		if err != nil {
			return err
		}
		was, err := oneObject(kept, text)
		if err != nil {
			return err
		}
		is, err := oneObject(kept, edited)
		if err != nil {
			return keeping(kept, err)
		}
		patch := mergePatch(was.fields, is.fields)
		if len(patch) == 0 {
			fmt.Fprintln(c.stderr, "nothing was changed")
			return os.Remove(kept)
		}
		reply, err := r.exchange(cmd.Context(), http.MethodPatch, path, http.Header{"If-Match": {etag}}, patch)
		if err != nil {
			return keeping(kept, err)
		}
		if reply.status() == http.StatusPreconditionFailed {
			return keeping(kept, errors.New("somebody else changed it meanwhile; nothing was sent over that: edit it again"))
		}
		if err := n.refused(reply, kept, is); err != nil {
			return keeping(kept, err)
		}
		return os.Remove(kept)
	})
}

func keeping(file string, err error) error { return fmt.Errorf("%w; your text is in %s", err, file) }

// edit lets a person change a text, and returns it with the file that holds it.
func (c *cli) edit(ctx context.Context, name string, text []byte) (edited []byte, file string, err error) {
	editor := "vi"
	for _, variable := range []string{"EDITOR", "VISUAL"} {
		value, err := c.variable(variable)
		if err != nil {
			return nil, "", err
		}
		if value != "" {
			editor = value
		}
	}
	temporary, err := os.CreateTemp("", "writ-"+name+"-*.yaml") // mode 0600
	if err != nil {
		return nil, "", err
	}
	_, err = temporary.Write(text)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return nil, "", err
	}
	words := strings.Fields(editor)
	run := exec.CommandContext(ctx, words[0], append(words[1:], temporary.Name())...)
	run.Stdin, run.Stdout, run.Stderr, run.Env = c.stdin, c.stdout, c.stderr, c.env
	if err := run.Run(); err != nil {
		return nil, "", errors.Join(fmt.Errorf("the editor %s: %w; nothing was changed", words[0], err), os.Remove(temporary.Name()))
	}
	edited, err = os.ReadFile(temporary.Name())
	return edited, temporary.Name(), err
}

// mergePatch is what makes one object of another (RFC 7396).
func mergePatch(was, is map[string]any) map[string]any {
	patch := map[string]any{}
	for name, value := range is {
		before, there := was[name]
		inner, object := value.(map[string]any)
		outer, also := before.(map[string]any)
		switch {
		case object && also:
			if part := mergePatch(outer, inner); len(part) > 0 {
				patch[name] = part
			}
		case !there || !sameJSON(before, value):
			patch[name] = value
		}
	}
	for name, value := range was {
		if _, there := is[name]; !there && value != nil {
			patch[name] = nil
		}
	}
	return patch
}

func sameJSON(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

func (c *cli) deleteObject(n noun) *cobra.Command {
	cmd := c.aboutOne(n, false, cobra.Command{
		Use: "delete " + strings.ToUpper(n.key), Short: "Delete one of the " + n.plural, Args: cobra.ExactArgs(1),
		Example: "  writ " + n.name + " delete " + n.sample(),
	}, func(cmd *cobra.Command, r *remote, args []string, _ printer) error {
		path, err := n.at(cmd.Context(), r, args[0])
		if err != nil {
			return err
		}
		if flag := cmd.Flags().Lookup("force"); flag != nil && flag.Value.String() == "true" {
			path += "?force=true"
		}
		reply, err := r.exchange(cmd.Context(), http.MethodDelete, path, nil, nil)
		if err != nil {
			return err
		}
		return reply.err()
	})
	if n.bundle {
		cmd.Flags().Bool("force", false, "take it from those who hold it")
	}
	return cmd
}

func (c *cli) resetPassword(n noun) *cobra.Command {
	return c.aboutOne(n, true, cobra.Command{
		Use: "reset-password ID", Short: "Give a user a temporary password, which is shown this once", Args: cobra.ExactArgs(1),
		Example: "  writ user reset-password ada",
	}, func(cmd *cobra.Command, r *remote, args []string, print printer) error {
		path, err := n.at(cmd.Context(), r, args[0])
		if err != nil {
			return err
		}
		return r.show(cmd.Context(), http.MethodPost, path+"/password/reset", nil, print)
	})
}

// show sends a request and prints the object that comes back, if any.
func (r *remote) show(ctx context.Context, method, path string, body any, print printer) error {
	reply, err := r.exchange(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	if err := reply.err(); err != nil || len(reply.body) == 0 {
		return err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(reply.body, &fields); err != nil {
		return fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", r.adminURL)
	}
	return print(fields, fieldLines(fields))
}

func (c *cli) secretCommand(n noun) *cobra.Command {
	return c.parent("secret", "See, make, revoke and read the secrets of an application",
		c.secretList(n), c.secretAdd(n), c.secretRevoke(n), c.secretReveal(n))
}

// secretPath is that of an application's secrets, or of one of them.
func secretPath(args []string) string {
	path := "/v1/applications/" + url.PathEscape(args[0]) + "/secrets"
	if len(args) > 1 {
		path += "/" + url.PathEscape(args[1])
	}
	return path
}

func (c *cli) secretList(n noun) *cobra.Command {
	return c.aboutOne(n, true, cobra.Command{
		Use: "list ID", Short: "List the secrets of an application, without their values", Args: cobra.ExactArgs(1),
		Example: "  writ app secret list billing",
	}, func(cmd *cobra.Command, r *remote, args []string, print printer) error {
		reply, err := r.exchange(cmd.Context(), http.MethodGet, secretPath(args), nil, nil)
		if err == nil {
			err = reply.err()
		}
		if err != nil {
			return err
		}
		var in struct {
			Items []map[string]any `json:"items"`
		}
		if err := json.Unmarshal(reply.body, &in); err != nil {
			return fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", r.adminURL)
		}
		shown := noun{columns: []string{"id", "label", "created_at", "last_used_at", "expires_at", "revoked_at"}}
		return print(in.Items, func(w io.Writer) { shown.table(w, in.Items) })
	})
}

func (c *cli) secretAdd(n noun) *cobra.Command {
	cmd := c.aboutOne(n, true, cobra.Command{
		Use: "add ID", Short: "Give an application another secret, which is shown this once", Args: cobra.ExactArgs(1),
		Example: "  writ app secret add billing --label blue --expires-at 2027-01-01T00:00:00Z",
	}, func(cmd *cobra.Command, r *remote, args []string, print printer) error {
		fields := map[string]any{}
		for _, name := range []string{"label", "not_before", "expires_at"} {
			if flag := cmd.Flags().Lookup(strings.ReplaceAll(name, "_", "-")); flag.Changed {
				fields[name] = flag.Value.String()
			}
		}
		return r.show(cmd.Context(), http.MethodPost, secretPath(args), fields, print)
	})
	cmd.Flags().String("label", "", "what it is for")
	cmd.Flags().String("not-before", "", "when it begins to be good (RFC 3339)")
	cmd.Flags().String("expires-at", "", "when it ends (RFC 3339)")
	return cmd
}

func (c *cli) secretRevoke(n noun) *cobra.Command {
	cmd := c.aboutOne(n, false, cobra.Command{
		Use: "revoke ID SECRET", Short: "Revoke a secret and the tokens that it got", Args: cobra.ExactArgs(2),
		Example: "  writ app secret revoke billing s0123456789abcdef",
	}, func(cmd *cobra.Command, r *remote, args []string, _ printer) error {
		force, err := cmd.Flags().GetBool("force")
		if err != nil {
			return err
		}
		path := secretPath(args)
		if force {
			path += "?force=" + strconv.FormatBool(force)
		}
		reply, err := r.exchange(cmd.Context(), http.MethodDelete, path, nil, nil)
		if err != nil {
			return err
		}
		return reply.err()
	})
	cmd.Flags().Bool("force", false, "also the last one of an application that is active")
	return cmd
}

func (c *cli) secretReveal(n noun) *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "reveal ID SECRET --reason TEXT", Short: "Read a secret again; the audit log has who did and why", Args: cobra.ExactArgs(2),
		Long: `Read a secret again. It takes an administrator who dominates the application, holds iam/applications:reveal by name, and has just logged
in with a password (--username).`,
		Example: `  writ app secret reveal billing s0123456789abcdef --username ada --reason "moving to another vault"`,
	}, func(cmd *cobra.Command, args []string) error {
		reason, err := cmd.Flags().GetString("reason")
		if err != nil {
			return err
		}
		if reason == "" {
			return usage("say why with --reason: it is written into the audit log")
		}
		r, err := server()
		if err != nil {
			return err
		}
		return r.show(cmd.Context(), http.MethodPost, secretPath(args)+"/reveal", map[string]string{"reason": reason}, print)
	})
	cmd.Flags().String("reason", "", "why it is needed")
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	n.completing(cmd, server)
	return cmd
}
