package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Why tells what is fresh and what is stale of a molecule ("mol_00001"), or of one of its targets ("mol_00001/pm7/2"), and why.
func Why(ctx context.Context, what string, o Options) error {
	ctx, stop := signals(ctx)
	defer stop()
	pr, _, err := open(o, false)
	if err != nil {
		return ended(err)
	}
	b, err := batch.New(ctx, batch.Config{Pipeline: pr.pipeline, Table: pr.table, Store: pr.store, Index: pr.index, Builtins: builtins(), Warn: os.Stderr})
	if err != nil {
		return ended(err)
	}
	id, target, _ := strings.Cut(strings.TrimPrefix(what, "-mol="), "/")
	return ended(b.Why(os.Stdout, id, target))
}

// Check checks the whole pipeline against the table's header, and tells what each stage takes and gives.
func Check(o Options) error {
	p, err := load(o)
	if err != nil {
		return ended(err)
	}
	if _, err := os.Stat(p.Table); err != nil {
		return ended(tableError(p.Table, err))
	}
	if _, err := columns(p.Table); err != nil {
		return ended(err)
	}
	for _, s := range p.Stages {
		program := s.Program
		if program == "" {
			program = "no program"
		}
		fmt.Printf("stage %s (%s, line %d): %s\n", s.Name, s.Title, s.Line, program)
		if len(s.DependsOn) > 0 {
			fmt.Printf("  needs   %s\n", strings.Join(s.DependsOn, ", "))
		}
		if files := s.FileNames(); len(files) > 0 {
			fmt.Printf("  files   %s\n", strings.Join(files, ", "))
		}
		for _, v := range s.Values() {
			fmt.Printf("  value   %s\n", v)
		}
	}
	fmt.Printf("merge: %s\n", strings.Join(p.Merged, ", "))
	fmt.Printf("%s is in order.\n", p.Path)
	return nil
}

// Fmt lays out pipeline.hcl in the usual way; with check it only says whether it would.
func Fmt(path string, check bool) error {
	if path == "" {
		path = "pipeline.hcl"
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return ended(err)
	}
	out := pipeline.Format(src)
	if bytes.Equal(src, out) {
		return nil
	}
	if check {
		return &exit{exitFailed, fmt.Errorf("%s: mage fmt would change its layout", path)}
	}
	info, err := os.Stat(path)
	if err == nil {
		err = renameio.WriteFile(path, out, info.Mode().Perm(), renameio.WithTempDir(filepath.Dir(path)))
	}
	return ended(err)
}

// Graph prints the stages as a Mermaid diagram.
func Graph(o Options) error {
	p, err := load(o)
	if err == nil {
		fmt.Print(p.Graph())
	}
	return ended(err)
}

// Prune lists what nothing refers to in the artefacts folder, and removes it if told to.
func Prune(remove bool, o Options) error {
	return ended(prune(o, remove))
}

func prune(o Options, remove bool) error {
	pr, claims, err := open(o, remove)
	if err != nil {
		return err
	}
	defer claims.Release()
	stage := func(name string) bool { return pr.pipeline.Stage(name) != nil }
	unused, err := pr.store.Unused(func(id string) bool { _, ok := pr.table.Lookup(id); return ok }, stage)
	if err != nil {
		return err
	}
	var total int64
	for _, u := range unused {
		total += u.Bytes
		rel, _ := filepath.Rel(pr.store.Root(), u.Path)
		fmt.Printf("%8s  %s: %s\n", size(u.Bytes), rel, u.Why)
		if !remove {
			continue
		}
		if err := pr.store.Remove(u); err != nil {
			return err
		}
		if err := forget(pr, strings.Split(rel, string(filepath.Separator))[0], stage); err != nil {
			return err
		}
	}
	if remove {
		if err := pr.store.Sweep(); err != nil {
			return err
		}
	}
	switch {
	case len(unused) == 0:
		fmt.Println("Nothing is unused.")
	case remove:
		fmt.Printf("Removed %s.\n", size(total))
	default:
		fmt.Printf("%s in all; mage prune -remove removes it.\n", size(total))
	}
	return nil
}

// forget drops the records of removed stages from a molecule's manifest.
func forget(pr *project, id string, stage func(string) bool) error {
	m, err := pr.store.Manifest(id)
	var damaged *store.DamagedError
	if err != nil && !errors.As(err, &damaged) {
		return err
	}
	if err == nil && m.Forget(stage) {
		return pr.store.Sync(m)
	}
	return nil
}

// size writes a number of bytes for a person.
func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	case n < 10_000_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
	return fmt.Sprintf("%d GB", n/1_000_000_000)
}
