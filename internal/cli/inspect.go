package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/magefile/mage/mg"

	"grimperium/internal/batch"
	"grimperium/internal/cluster"
	"grimperium/internal/command"
	"grimperium/internal/durable"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Why shows which results of a molecule ("mol_00001") or of one target ("mol_00001/pm7/2") are up
// to date, and what changed for the others.
func Why(ctx context.Context, what string, o Options) error {
	return open(ctx, o, false, func(ctx context.Context, pr *project) error {
		if err := pr.evaluate(ctx); err != nil {
			return err
		}
		id, target, _ := strings.Cut(what, "/")
		if !has(pr.Table, id) {
			return unknown(id, pr.Table)
		}
		return pr.batch.Why(stdout, id, target)
	})
}

// Check checks the pipeline against the table's header, and prints what each stage takes and gives.
func Check(o Options) error {
	p, err := load(o)
	if err == nil {
		_, err = header(p.Table)
	}
	if err == nil {
		fmt.Fprintf(stdout, "%s%s is in order.\n", describe(p), p.Path)
	}
	return ended(err)
}

// Fmt indents and aligns pipeline.hcl in the usual way; with check it only says whether it would.
func Fmt(path string, check bool) error {
	path = cmp.Or(path, "pipeline.hcl")
	src, err := os.ReadFile(path)
	if err != nil {
		return ended(err)
	}
	out, err := pipeline.Format(path, src)
	switch {
	case err != nil || bytes.Equal(src, out):
		return ended(explained(err))
	case check:
		return mg.Fatalf(exitFailed, "%s: %s fmt would change its layout", path, command.Name)
	}
	return ended(replaceFile(path, durable.Bytes(out)))
}

// Graph prints the stages as a Mermaid diagram.
func Graph(o Options) error {
	p, err := load(o)
	if err == nil {
		err = printData(graph(p))
	}
	return ended(err)
}

// Stop asks the batch that has the artefacts to start no more targets and to end. Where the folder
// is named, pipeline.hcl is not read: it may be in the middle of an edit.
func Stop(o Options) error { return ended(stop(stdout, o)) }

func stop(w io.Writer, o Options) error {
	if o.Artefacts == "" {
		p, err := load(o)
		if err != nil {
			return err
		}
		o.Artefacts = p.Artefacts
	}
	st, err := openStore(o.Artefacts)
	if err != nil {
		return err
	}
	name, path := batch.ShownPath(st.Root()), st.Path(store.LockName)
	if _, missing := os.Stat(path); missing == nil {
		var l *store.Lock
		if l, err = store.TakeLock(path, name); err == nil {
			err = l.Release()
		}
	}
	if err == nil {
		run, err := cluster.Find(st.Root())
		if err != nil || run == nil {
			fmt.Fprintf(w, "No batch runs on %s.\n", name)
			return err
		}
		fmt.Fprintf(w, "The tasks on the cluster (%s, submitted on %s) start no more molecules "+
			"and end after those under way.\nThe last job of -detach merges their results. %s "+
			"batch -on=slurm does so, too, and goes on; with -cancel it ends the run.\n",
			run.ID, run.Host, command.Name)
		return requestStop(st)
	}
	locked, ok := errors.AsType[*store.LockedError](err)
	if !ok || locked.Holder.PID == 0 {
		return err // a batch that is just starting would not see the request
	}
	h := locked.Holder
	fmt.Fprintf(w, "Process %d on %s (%s) starts no more targets and ends after those under way.\n",
		h.PID, h.Host, h.Command)
	return requestStop(st)
}

// requestStop leaves a file for the batch, or for the tasks on a cluster.
func requestStop(st *store.Store) error {
	return durable.WriteFile(durable.File{Path: st.Path(store.StopName), Write: durable.Bytes(nil)})
}

// size is a number of bytes for a person.
func size(n int64) string {
	for _, unit := range []string{"B", "kB", "MB"} {
		if n < 10_000 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%d GB", n)
}

// describe says of each stage what it runs, needs and gives, and which columns are merged.
func describe(p *pipeline.Pipeline) string {
	var b strings.Builder
	list := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(&b, "  %-7s %s\n", what, strings.Join(names, ", "))
		}
	}
	for _, s := range p.Stages {
		fmt.Fprintf(&b, "stage %s (%s, line %d): %s\n", s.Name, s.Title, s.Line,
			cmp.Or(s.Program, "no program"))
		list("needs", s.DependsOn)
		list("files", s.FileNames())
		for _, v := range s.Values() {
			list("value", []string{v})
		}
	}
	fmt.Fprintf(&b, "merge: %s\n", strings.Join(p.Merged, ", "))
	return b.String()
}

// graph draws the stages as a Mermaid diagram, with an arrow to each stage that uses a result.
func graph(p *pipeline.Pipeline) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	// A prefix keeps a stage's name from being one of Mermaid's own words.
	node := func(name string) string { return "stage_" + strings.ReplaceAll(name, "-", "_") }
	for _, s := range p.Stages {
		form := "    %s[\"%s\"]\n"
		if s.ForEach {
			form = "    %s[[\"%s\"]]\n"
		}
		title := strings.NewReplacer(`"`, "#quot;", "\n", " ").Replace(s.Title)
		fmt.Fprintf(&b, form, node(s.Name), title)
	}
	for _, s := range p.Stages {
		for _, up := range s.DependsOn {
			fmt.Fprintf(&b, "    %s --> %s\n", node(up), node(s.Name))
		}
	}
	return b.String()
}
