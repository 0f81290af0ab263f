package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/storage"
)

// seedBatch is how many records one transaction of a seeding writes: few commits, and yet within what MongoDB takes in one.
const seedBatch = 2000

func (c *cli) seedCommand() *cobra.Command {
	var read func() sources
	var print func(any, func(io.Writer)) error
	var told func() *progress
	var profile string
	var seed uint64
	cmd := c.command(cobra.Command{
		Use: "seed", Short: "Fill an empty store with a large directory, to measure with",
		Long: `Fill an empty store with made-up tenants, roles, groups, applications and users, the same for the same profile and seed, and print
how many. Nobody can log in and no application has a secret; start writ serve on the store to have root beside them. A store that was
written to is refused, and one that a seeding broke off in is to be thrown away. Seeding is not audited: never do it for production.

Profiles: ` + seedProfileText() + `.`,
		Example: "  writ seed --profile 10k --data-dir ./try",
	}, func(cmd *cobra.Command, _ []string) error {
		sizes, err := seedProfileNamed(profile)
		if err != nil {
			return err
		}
		config, _, err := loadConfig(read())
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		store, err := openStore(ctx, config, c.now, c.say)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		s := seeding{seedProfile: sizes, seed: seed}
		err = s.into(ctx, store, told())
		if closed := store.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return fmt.Errorf("seed: %w", err)
		}
		made := map[string]int{}
		for _, kind := range s.kinds() {
			made[kind.name] = kind.count
		}
		return print(made, func(w io.Writer) {
			for _, kind := range s.kinds() {
				fmt.Fprintf(w, "%s\t%d\n", kind.name, kind.count)
			}
		})
	})
	read, print, told = c.configFlags(cmd), c.outputFlag(cmd), c.progressFlag(cmd)
	cmd.Flags().StringVar(&profile, "profile", "demo", "how much: "+strings.Join(seedProfileNames(), ", "))
	cmd.Flags().Uint64Var(&seed, "seed", 1, "another number makes other memberships")
	return cmd
}

func seedProfileNames() (names []string) {
	for _, p := range seedProfiles() {
		names = append(names, p.name)
	}
	return names
}

func seedProfileText() string {
	var texts []string
	for _, p := range seedProfiles() {
		texts = append(texts, fmt.Sprintf("%s (%d users, %d applications, %d roles, %d groups, %d tenants)",
			p.name, p.users, p.applications, p.roles, p.groups, p.tenants))
	}
	return strings.Join(texts, "; ")
}

func seedProfileNamed(name string) (seedProfile, error) {
	for _, p := range seedProfiles() {
		if p.name == name {
			return p, nil
		}
	}
	return seedProfile{}, usage("there is no profile %q; the nearest is %q", name, nearest(name, seedProfileNames()))
}

// into writes all records into a store that nothing was written to.
func (s seeding) into(ctx context.Context, store storage.Store, told *progress) error {
	sequence, err := store.Sequence(ctx)
	if err != nil {
		return err
	}
	if sequence != 0 {
		return fmt.Errorf("the store is not empty (its authority sequence is %d); name an empty --data-dir or database", sequence)
	}
	for _, kind := range s.kinds() {
		told.begin(kind.name, kind.count)
		for first := 0; first < kind.count; first += seedBatch {
			records := make([]storage.Record, 0, seedBatch)
			for i := first; i < min(first+seedBatch, kind.count); i++ {
				records = append(records, kind.record(i))
			}
			// From the sequence that the last batch led to: whoever writes meanwhile ends the seeding.
			if err := insertRecords(ctx, store, sequence, records); err != nil {
				return fmt.Errorf("%s from %d on: %w", kind.name, first, err)
			}
			sequence++
			told.add(len(records))
		}
		told.end()
	}
	return nil
}

// insertRecords writes records in one transaction, past the checks and the audit that the API has.
func insertRecords(ctx context.Context, store storage.Store, sequence int64, records []storage.Record) error {
	return store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		for _, record := range records {
			if err := tx.Insert(ctx, record); err != nil {
				return err
			}
		}
		return nil
	})
}
