package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Info tells where the table stands: statuses, failures, times, and how long the rest will take; with countOnly the number of molecules, with sizes
// what the artefacts take on the disk instead.
func Info(countOnly, sizes bool, o Options) error { return ended(info(os.Stdout, countOnly, sizes, o)) }

func info(w io.Writer, countOnly, sizes bool, o Options) error {
	p, err := load(o)
	if err != nil {
		return err
	}
	if o.Artefacts != "" {
		p.Artefacts = o.Artefacts
	}
	t, err := csvmerge.Read(p.Table)
	if err != nil {
		return err
	}
	if countOnly {
		fmt.Fprintln(w, t.Len())
		return nil
	}
	st, err := store.Open(p.Artefacts)
	if err != nil {
		return err
	}
	if sizes {
		return printSizes(w, st, p)
	}
	past, err := readTimes(journal.Open(st.Path(store.JournalName)))
	if err != nil {
		return err
	}
	left := printStatuses(w, t)
	if len(past.seconds) > 0 {
		var order []string
		for _, s := range p.Stages {
			order = append(order, s.Name)
		}
		past.print(w, order)
	}
	past.printRest(w, left, max(1, p.Jobs))
	return nil
}

// printSizes prints what the results of each stage take, in the pipeline's order, then what else there is.
func printSizes(w io.Writer, st *store.Store, p *pipeline.Pipeline) error {
	sizes, err := st.Sizes()
	if err != nil {
		return err
	}
	var order []string
	for _, s := range p.Stages {
		order = append(order, s.Name)
	}
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(sizes)), func(name string) bool { return slices.Contains(order, name) })
	fmt.Fprintf(w, "%-16s %10s %10s %10s\n", shownPath(st.Root()), "files", "size", "on disk")
	var all store.Size
	line := func(name string, z store.Size) {
		fmt.Fprintf(w, "  %-14s %10d %10s %10s\n", name, z.Files, size(z.Bytes), size(z.Disk))
	}
	for _, name := range append(order, rest...) {
		if z := sizes[name]; z != nil {
			line(name, *z)
			all.Files, all.Bytes, all.Disk = all.Files+z.Files, all.Bytes+z.Bytes, all.Disk+z.Disk
		}
	}
	line("all", all)
	return nil
}

// printStatuses prints how many molecules have which status and why some failed, and returns how many are to be computed.
func printStatuses(w io.Writer, t *csvmerge.Table) (left int) {
	counts := map[csvmerge.Status]int{}
	var messages []string
	for i := range t.Len() {
		s := t.Status(i)
		counts[s]++
		if s == csvmerge.Rerun || s == csvmerge.Skip {
			messages = append(messages, t.Cell(i, "error_message").Text)
		}
	}
	fmt.Fprintf(w, "%s: %s\n", shownPath(t.Path()), counted(t.Len(), "molecule"))
	for _, s := range []csvmerge.Status{csvmerge.OK, csvmerge.Rerun, csvmerge.Skip, csvmerge.Pending, csvmerge.Selected, csvmerge.Running, csvmerge.Unknown} {
		if counts[s] > 0 {
			fmt.Fprintf(w, "  %-9s %7d  %5.1f %%\n", s, counts[s], 100*float64(counts[s])/float64(t.Len()))
		}
	}
	if len(messages) > 0 {
		fmt.Fprintln(w, "Failures by stage and reason:")
		for _, g := range batch.Groups(messages) {
			fmt.Fprintf(w, "  %7d  %s: %s\n", g.Count, g.Stage, g.Reason)
		}
	}
	return t.Len() - counts[csvmerge.OK] - counts[csvmerge.Skip] - counts[csvmerge.Unknown]
}

// times are what the journal says of how long things took.
type times struct {
	seconds   map[string][]float64 // of the successful targets, by stage
	total     float64              // seconds of all targets, the failed ones too, of the molecules that finished
	molecules int                  // that finished with at least one target run
}

func readTimes(r *journal.Reader) (*times, error) {
	t := &times{seconds: map[string][]float64{}}
	open := map[string]float64{} // of the molecules under way
	for {
		events, err := r.Next()
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			return t, nil
		}
		for _, e := range events {
			t.take(e, open)
		}
	}
}

func (t *times) take(e journal.Event, open map[string]float64) {
	switch {
	case e.Event == journal.TargetEnd && (e.Outcome == journal.OK || e.Outcome == journal.Failed || e.Outcome == journal.Timeout):
		open[e.Mol] += e.Seconds
		if e.Outcome == journal.OK {
			t.seconds[e.Stage] = append(t.seconds[e.Stage], e.Seconds)
		}
	case e.Event == journal.Row:
		if spent, ran := open[e.Mol]; ran {
			t.total += spent
			t.molecules++
			delete(open, e.Mol)
		}
	case e.Event == journal.BatchStart:
		clear(open)
	}
}

// print prints a line for each stage that ran, in the pipeline's order, then the stages that it has no more.
func (t *times) print(w io.Writer, order []string) {
	fmt.Fprintln(w, "Seconds a target:    runs    median       p95")
	var gone []string
	for name := range t.seconds {
		if !slices.Contains(order, name) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range append(order, gone...) {
		if s := t.seconds[name]; len(s) > 0 {
			slices.Sort(s)
			fmt.Fprintf(w, "  %-14s %8d %9.2f %9.2f\n", name, len(s), quantile(s, 0.5), quantile(s, 0.95))
		}
	}
}

// quantile interpolates between the two nearest of sorted numbers.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// printRest estimates the rest by the mean of the molecules so far: rough where the ones to come are larger.
func (t *times) printRest(w io.Writer, left, jobs int) {
	if left == 0 {
		fmt.Fprintln(w, "Nothing is left to compute but what changed since (mage batch -dryRun tells).")
		return
	}
	if t.molecules == 0 {
		fmt.Fprintf(w, "To be computed: %s; how long that takes is known when some are done.\n", counted(left, "molecule"))
		return
	}
	each := t.total / float64(t.molecules)
	rest := time.Duration(each * float64(left) / float64(min(jobs, left)) * float64(time.Second))
	fmt.Fprintf(w, "To be computed: %s, about %s with %s, at %.2f s a molecule.\n", counted(left, "molecule"), rest.Round(time.Second), counted(jobs, "job"), each)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
