package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/identity"
)

func (c *cli) reviewCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	filters := map[string]*string{}
	var unused string
	cmd := c.command(cobra.Command{
		Use: "review", Short: "See who can do what and by what, who can read which secret, and what nobody uses",
		Long: `Review access. Of every user and application: what the policies permit it now and the roles, groups and own grants that this
comes from, the secrets of applications that it could read, and when it and its secrets were last used. A table or CSV has one row for
each of these facts. A login is known to the hour, and of applications that prove themselves with keys no use is known.

In CSV, a cell that a spreadsheet would take for a formula begins with an apostrophe. Needs iam/access:read; with it in some tenants only,
the review is of those.`,
		Example: `  writ review --permission iam/users:write
  writ review --application billing
  writ review --unused-for 90d --output csv > unused.csv`,
	}, func(cmd *cobra.Command, _ []string) error {
		query := url.Values{"limit": {"100"}}
		for name, value := range filters {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		if unused != "" {
			days, err := daysOf(unused)
			if err != nil {
				return err
			}
			query.Set("unused_for", strconv.Itoa(days))
		}
		r, err := server()
		if err != nil {
			return err
		}
		if cmd.Flag("output").Value.String() == "csv" {
			w := csv.NewWriter(c.stdout)
			if err := w.Write(reviewColumns()); err != nil {
				return err
			}
			if err := r.review(cmd.Context(), query, func(items []identity.ReviewedIdentity) error { return w.WriteAll(safeCells(reviewRows(items))) }); err != nil {
				return err
			}
			w.Flush()
			return w.Error()
		}
		all := []identity.ReviewedIdentity{}
		if err := r.review(cmd.Context(), query, func(items []identity.ReviewedIdentity) error {
			all = append(all, items...)
			return nil
		}); err != nil {
			return err
		}
		return print(all, func(w io.Writer) { tableOfReview(w, all) })
	})
	for name, help := range map[string]string{
		"type": "only identities of this type: user or application", "tenant": "only identities of this tenant",
		"role": "only who has this role itself", "group": "only members of this group",
		"permission": "only who has this right: resource:action", "application": "only who could read a secret of this application",
	} {
		filters[name] = cmd.Flags().String(name, "", help)
	}
	cmd.Flags().StringVar(&unused, "unused-for", "", "only what was not used for so long, or has secrets that were not: 90d")
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	cmd.Flag("output").Usage = "table, json, yaml or csv"
	return cmd
}

// daysOf reads a time in days: 90d.
func daysOf(text string) (int, error) {
	number, _ := strings.CutSuffix(text, "d")
	days, err := strconv.Atoi(number)
	if err != nil || days < 1 {
		return 0, usage("--unused-for %q is no number of days, such as 90d", text)
	}
	return days, nil
}

// review hands every page of a review to f.
func (r *remote) review(ctx context.Context, query url.Values, f func([]identity.ReviewedIdentity) error) error {
	for {
		var page struct {
			Items []identity.ReviewedIdentity `json:"items"`
			Next  string                      `json:"next"`
		}
		if err := r.manage(ctx, http.MethodGet, "/v1/access-review?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		if err := f(page.Items); err != nil {
			return err
		}
		if page.Next == "" {
			return nil
		}
		query.Set("after", page.Next)
	}
}

func reviewColumns() []string {
	return []string{"fact", "type", "id", "name", "tenant", "usable", "what", "in_tenant", "via", "last_used_at", "unused", "ends_at"}
}

// reviewRows are one row for every fact: the identity itself, its rights, the secrets that it can read, and its own secrets.
func reviewRows(items []identity.ReviewedIdentity) (rows [][]string) {
	for _, i := range items {
		row := func(fact, what, in, via string, last *time.Time, unused bool, ends *time.Time) {
			rows = append(rows, []string{
				fact, i.Type, i.ID, i.Name, string(i.Tenant), strconv.FormatBool(i.Usable), what, in, via, instant(last), strconv.FormatBool(unused),
				instant(ends),
			})
		}
		row("identity", "", "", "", i.LastUsedAt, i.Unused, nil)
		for _, p := range i.Permissions {
			row("permission", p.Resource+":"+p.Action, p.Tenant, strings.Join(p.Via, " "), nil, false, p.NotAfter)
		}
		for _, r := range i.Reveals {
			for _, secret := range r.Secrets {
				row("reveal", r.Application+"/"+secret, "", "", nil, false, nil)
			}
		}
		if i.RevealsIncomplete {
			row("reveal", "there are more; ask with --application", "", "", nil, false, nil)
		}
		for _, s := range i.Secrets {
			row("secret", s.ID+" "+s.Label, "", "", s.LastUsedAt, s.Unused, s.ExpiresAt)
		}
	}
	return rows
}

func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// safeCells keeps a spreadsheet from reading a cell as a formula: names are what their owners chose.
func safeCells(rows [][]string) [][]string {
	for _, row := range rows {
		for i, cell := range row {
			text := strings.TrimLeftFunc(cell, unicode.IsSpace)
			if begins, _ := utf8.DecodeRuneInString(text); text != cell || strings.ContainsRune("=+-@＝＋－＠", begins) {
				row[i] = "'" + cell
			}
		}
	}
	return rows
}

func tableOfReview(w io.Writer, items []identity.ReviewedIdentity) {
	fmt.Fprintln(w, "FACT\tTYPE\tID\tNAME\tWHAT\tTENANT\tVIA\tLAST USED\tENDS")
	for _, row := range reviewRows(items) {
		fact, what, tenant := row[0], row[6], row[7]
		if fact == "identity" {
			tenant = row[4]
			switch {
			case row[5] == "false":
				what = "not usable"
			case row[10] == "true":
				what = "unused"
			}
		} else if row[10] == "true" {
			what += " (unused)"
		}
		cells := []string{fact, row[1], row[2], row[3], what, tenant, row[8], row[9], row[11]}
		for i, cell := range cells {
			cells[i] = strings.Map(oneCell, cell)
			if cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
}

// oneCell keeps a name from moving the columns.
func oneCell(r rune) rune {
	if unicode.IsControl(r) {
		return '?'
	}
	return r
}
