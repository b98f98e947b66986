package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// Info tells where the table stands: statuses, failures, times, and how long the rest will take.
// With count it prints the number of molecules instead, with sizes what the artefacts take on the
// disk.
func Info(count, sizes bool, o Options) error { return ended(info(os.Stdout, count, sizes, o)) }

func info(w io.Writer, count, sizes bool, o Options) error {
	pr, err := open(o, false)
	if err != nil {
		return err
	}
	var stages []string
	for _, s := range pr.Pipeline.Stages {
		stages = append(stages, s.Name)
	}
	switch {
	case count:
		_, err = fmt.Fprintln(w, pr.Table.Len())
		return err
	case sizes:
		return printSizes(w, stages, pr.Store)
	}
	path := pr.Store.Path(store.JournalName)
	seconds, err := readSeconds(journal.Open(path))
	if err != nil {
		return err
	}
	left := printStatuses(w, pr.Table)
	printSeconds(w, stages, seconds)
	printRest(w, len(left), pr.expectedTime(left, journal.OpenAtEnd(path).Past()),
		max(1, pr.Pipeline.Jobs))
	return nil
}

// inOrder returns the keys that are stages in the pipeline's order, then the others.
func inOrder[V any](m map[string]V, stages []string) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int { // -1 is the largest uint
		i, j := uint(slices.Index(stages, a)), uint(slices.Index(stages, b))
		return cmp.Or(cmp.Compare(i, j), cmp.Compare(a, b))
	})
}

// printSizes prints what the results of each stage take, then what else there is.
func printSizes(w io.Writer, stages []string, st *store.Store) error {
	sizes, err := st.Sizes()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%-16s %10s %10s %10s\n", batch.ShownPath(st.Root()), "files", "size", "on disk")
	all := &store.Size{}
	line := func(name string, z *store.Size) {
		fmt.Fprintf(w, "  %-14s %10d %10s %10s\n", name, z.Files, size(z.Bytes), size(z.Disk))
	}
	for _, name := range inOrder(sizes, stages) {
		z := sizes[name]
		line(name, z)
		all.Files, all.Bytes, all.Disk = all.Files+z.Files, all.Bytes+z.Bytes, all.Disk+z.Disk
	}
	line("all", all)
	return nil
}

// printStatuses prints how many molecules have which status and why some failed. left are the rows
// that are to be computed.
func printStatuses(w io.Writer, t *csvmerge.Table) (left []int) {
	counts := map[csvmerge.Status]int{}
	var messages []string
	for i := range t.Len() {
		s := t.Status(i)
		counts[s]++
		if s != csvmerge.OK && s != csvmerge.Skip && s != csvmerge.Unknown {
			left = append(left, i)
		}
		if s == csvmerge.Rerun || s == csvmerge.Skip {
			messages = append(messages, t.Cell(i, "error_message").Text)
		}
	}
	fmt.Fprintf(w, "%s: %s\n", batch.ShownPath(t.Path()), batch.Count(t.Len(), "molecule"))
	for _, s := range []csvmerge.Status{csvmerge.OK, csvmerge.Rerun, csvmerge.Skip, csvmerge.Pending,
		csvmerge.Selected, csvmerge.Running, csvmerge.Unknown} {
		if counts[s] > 0 {
			share := 100 * float64(counts[s]) / float64(t.Len())
			fmt.Fprintf(w, "  %-9s %7d  %5.1f %%\n", s, counts[s], share)
		}
	}
	if len(messages) > 0 {
		fmt.Fprintln(w, "Failures by stage and reason:")
		for _, g := range batch.Groups(messages) {
			fmt.Fprintf(w, "  %7d  %s: %s\n", g.Count, g.Stage, g.Reason)
		}
	}
	return left
}

// readSeconds returns the wall times of the successful targets, by stage.
func readSeconds(r *journal.Reader) (map[string][]float64, error) {
	seconds := map[string][]float64{}
	err := r.Each(func(e journal.Event) {
		if e.Event == journal.TargetEnd && e.Outcome == journal.OK {
			seconds[e.Stage] = append(seconds[e.Stage], e.Seconds)
		}
	})
	return seconds, err
}

// printSeconds prints a line for each stage that ran.
func printSeconds(w io.Writer, stages []string, seconds map[string][]float64) {
	if len(seconds) > 0 {
		fmt.Fprintln(w, "Seconds a target:    runs    median       p95")
	}
	for _, name := range inOrder(seconds, stages) {
		s := seconds[name]
		slices.Sort(s)
		fmt.Fprintf(w, "  %-14s %8d %9.2f %9.2f\n", name, len(s), quantile(s, 0.5), quantile(s, 0.95))
	}
}

// quantile interpolates between the two nearest of sorted numbers.
func quantile(sorted []float64, q float64) float64 {
	at, share := math.Modf(q * float64(len(sorted)-1))
	next := min(int(at)+1, len(sorted)-1)
	return (1-share)*sorted[int(at)] + share*sorted[next]
}

// expectedTime is how long all programs take for the molecules of these rows, one after the other.
func (pr *project) expectedTime(rows []int, estimate *journal.Estimate) time.Duration {
	var stages []string
	for _, s := range pr.Pipeline.Stages {
		if s.Program != "" && !s.Off() {
			stages = append(stages, s.Name)
		}
	}
	var sum atomic.Int64
	csvmerge.CheckRows(rows, func(i int) []csvmerge.Finding {
		_, m := batch.Precheck(pr.Pipeline, pr.Table, i)
		sum.Add(int64(estimate.Molecule(m.Size(), stages...)))
		return nil
	})
	return time.Duration(sum.Load())
}

// printRest prints how many molecules are to be computed, and how long that takes.
func printRest(w io.Writer, left int, computing time.Duration, jobs int) {
	molecules := batch.Count(left, "molecule")
	switch {
	case left == 0:
		fmt.Fprintln(w, "Nothing is left to compute but what changed since (mage batch -dryRun tells).")
	case computing == 0:
		fmt.Fprintf(w, "To be computed: %s; how long that takes is known when some are done.\n", molecules)
	default:
		fmt.Fprintf(w, "To be computed: %s, about %s with %s, at %.2f s a molecule.\n", molecules,
			journal.Wall(computing, left, jobs), batch.Count(jobs, "job"), computing.Seconds()/float64(left))
	}
}
