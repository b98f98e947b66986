package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/cluster"
	"grimperium/internal/command"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
	"grimperium/internal/tables"
	"grimperium/internal/web"
	"grimperium/stages"
)

// Settings prints every setting with its value and where that comes from.
func Settings(o Options) error {
	p, err := load(o)
	logs, logsSource, homeErr := home()
	if err := cmp.Or(err, homeErr); err != nil {
		return ended(err)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, value, source string) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, value, source)
	}
	line := func(n int) string { return fmt.Sprintf("%s line %d", p.Path, n) }
	isFlag := map[string]bool{"pipeline": o.Pipeline != "", "table": o.Table != "",
		"artefacts": o.Artefacts != "", "max_reruns": o.MaxReruns != nil, "jobs": o.Jobs != nil}
	setting := func(name, value string) {
		source := "default"
		if n, ok := p.Given[name]; ok {
			source = line(n)
		}
		if isFlag[name] {
			source = "-" + cmp.Or(map[string]string{"max_reruns": "maxReruns"}[name], name)
		}
		row(name, value, source)
	}
	row("SETTING", "VALUE", "FROM")
	setting("pipeline", p.Path)
	setting("table", batch.ShownPath(p.Table))
	setting("artefacts", batch.ShownPath(p.Artefacts))
	for _, s := range batchSettings(p) {
		setting(s[0], s[1])
	}
	row("logs", logs, logsSource)
	for _, v := range p.Variables {
		source := v.Source
		if strings.HasPrefix(source, pipeline.EnvPrefix) {
			source = "environment " + source
		}
		row("var."+v.Name, v.Text(), source)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Programs)) {
		program := p.Programs[name]
		row("program."+name, strings.Join(program.Candidates, ", "), line(program.Line))
	}
	_ = w.Flush() // to memory
	fmt.Fprint(stdout, b.String())
	for _, text := range batch.TakenBack(p, filepath.Join(p.Artefacts, store.JournalName)) {
		fmt.Fprintf(stdout, "Warning: %s.\n", text)
	}
	return ended(nil)
}

// batchSettings are the attributes of the pipeline block for a batch, each with its value.
func batchSettings(p *pipeline.Pipeline) [][2]string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		env = append(env, name+"="+p.Env[name])
	}
	return [][2]string{{"max_reruns", fmt.Sprint(p.MaxReruns)}, {"jobs", fmt.Sprint(p.Jobs)},
		{"order", map[bool]string{true: "smallest_first", false: "table"}[p.SmallestFirst]},
		{"max_failures", percent(p.Alarms.Failures)}, {"max_invalid", percent(p.Alarms.Invalid)},
		{"when_exceeded", map[bool]string{true: "stop", false: "warn"}[p.Alarms.Stop]},
		{"max_recompute", percent(p.MaxRecompute)},
		{"store", cmp.Or(p.Store, "zip on a cluster, else as it was")},
		{"env", strings.Join(env, " ")}}
}

func percent(share float64) string {
	if share == 0 {
		return "none"
	}
	return fmt.Sprintf("%g%%", 100*share)
}

// Info shows the progress of the table: statuses, failures, times, and how long the rest will take.
// With count it prints only the number of molecules, with sizes the disk use of the artefacts.
func Info(count, sizes bool, o Options) error {
	return ended(with(o, false, func(pr *project) error {
		var names []string
		for _, s := range pr.Pipeline.Stages {
			if !s.Off() {
				names = append(names, s.Name)
			}
		}
		switch {
		case count:
			return printData(fmt.Sprintln(pr.Table.Len()))
		case sizes:
			return printSizes(stdout, names, pr.Store)
		}
		left := printStatuses(stdout, pr.Table)
		if err := cluster.Describe(stdout, pr.Store.Root()); err != nil {
			return err
		}
		estimate, err := printSeconds(stdout, names, pr.Store.Path(store.JournalName))
		if err != nil {
			return err
		}
		var computing time.Duration
		for _, i := range left {
			_, m := batch.Precheck(pr.Pipeline, pr.Table, i)
			computing += estimate.Molecule(m.Size(), names...)
		}
		printRest(stdout, len(left), computing, max(1, pr.Pipeline.Jobs))
		return nil
	}))
}

// inOrder returns the keys: those of a list in its order, then the others by name.
func inOrder[V any](m map[string]V, list []string) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int { // -1 is the largest uint
		i, j := uint(slices.Index(list, a)), uint(slices.Index(list, b))
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
	line := func(name string, z store.Size) {
		fmt.Fprintf(w, "  %-14s %10d %10s %10s\n", name, z.Files, size(z.Bytes), size(z.Disk))
	}
	var all store.Size
	for _, name := range inOrder(sizes, stages) {
		z := *sizes[name]
		line(name, z)
		all = store.Size{Files: all.Files + z.Files, Bytes: all.Bytes + z.Bytes,
			Disk: all.Disk + z.Disk}
	}
	line("all", all)
	return nil
}

// printStatuses prints the statuses, and why molecules failed. left are the rows to be computed.
func printStatuses(w io.Writer, t *csvmerge.Table) (left []int) {
	counts := map[csvmerge.Status]int{}
	var messages []string
	byHand := 0
	for i := range t.Len() {
		s := t.Status(i)
		counts[s]++
		if s != csvmerge.OK && s != csvmerge.Skip && s != csvmerge.Unknown {
			left = append(left, i)
		}
		if text := failure(t, i); text != "" {
			messages = append(messages, text)
		} else if s == csvmerge.Skip {
			byHand++
		}
	}
	fmt.Fprintf(w, "%s: %s\n", batch.ShownPath(t.Path()), batch.Count(t.Len(), "molecule"))
	for _, s := range slices.Sorted(maps.Keys(counts)) {
		share := 100 * float64(counts[s]) / float64(t.Len())
		fmt.Fprintf(w, "  %-9s %7d  %5.1f %%\n", s, counts[s], share)
	}
	if byHand > 0 {
		fmt.Fprintf(w, "%s left out by your Skip\n", batch.Count(byHand, "molecule"))
	}
	for n, g := range batch.Groups(messages) {
		if n == 0 {
			fmt.Fprintln(w, "Failures by stage and reason:")
		}
		fmt.Fprintf(w, "  %7d  %s\n", len(g.Members), g.Text)
	}
	return left
}

// printSeconds prints the wall times of the successful targets of each stage that ran.
func printSeconds(w io.Writer, stages []string, path string) (journal.Estimate, error) {
	estimate, seconds := journal.Estimate{}, map[string][]float64{}
	err := journal.Each(path, func(e journal.Event) {
		estimate.Add(e)
		if e.Event == journal.TargetEnd && e.Outcome == journal.OK {
			seconds[e.Stage] = append(seconds[e.Stage], e.Seconds)
		}
	})
	if len(seconds) > 0 {
		fmt.Fprintln(w, "Time per run (s):    runs    median       p95")
	}
	for _, name := range inOrder(seconds, stages) {
		s := seconds[name]
		slices.Sort(s)
		fmt.Fprintf(w, "  %-14s %8d %9.2f %9.2f\n", name, len(s), web.Quantile(s, 0.5),
			web.Quantile(s, 0.95))
	}
	return estimate, err
}

// printRest prints how many molecules are to be computed, and how long that takes.
func printRest(w io.Writer, left int, computing time.Duration, jobs int) {
	molecules := batch.Count(left, "molecule")
	switch {
	case left == 0:
		fmt.Fprintf(w, "Nothing to compute, unless the pipeline has changed (%s batch -dryRun "+
			"shows).\n", command.Name)
	case computing == 0:
		fmt.Fprintf(w, "To be computed: %s; how long that takes is known when some are done.\n",
			molecules)
	default:
		fmt.Fprintf(w, "To be computed: %s, about %s with %s, at %.2f s a molecule.\n", molecules,
			journal.Wall(computing, left, jobs), batch.Count(jobs, "job"),
			computing.Seconds()/float64(left))
	}
}

// Validate lists every row that can't be used and warns of the others. It fails when a row can't be
// used, with Permissive only when no batch can run on the table.
func Validate(ctx context.Context, format string, o Options) error {
	if err := oneOf("-format", cmp.Or(format, "text"), "text", "json"); err != nil {
		return ended(err)
	}
	return open(ctx, o, false, func(ctx context.Context, pr *project) error {
		return pr.validate(ctx, format, o.Permissive)
	})
}

func (pr *project) validate(ctx context.Context, format string, permissive bool) error {
	found, err := findings(ctx, pr.Pipeline, pr.Table)
	if err != nil {
		return err
	}
	path, rows := batch.ShownPath(pr.Table.Path()), pr.Table.Len()
	last, unusable, warnings, fatal := 0, 0, 0, false
	for _, f := range found {
		label := ""
		if f.Severity == csvmerge.Warning {
			label = "warning: "
			warnings++
		} else if f.Line != last {
			unusable, last = unusable+1, f.Line
		}
		fatal = fatal || f.Severity == csvmerge.Fatal
		if format != "json" {
			fmt.Fprintf(stdout, "%s%s:%s\n", label, path, f)
		}
	}
	if format == "json" {
		enc := json.NewEncoder(os.Stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		found = append([]csvmerge.Finding{}, found...) // not null
		err := enc.Encode(map[string]any{"table": pr.Table.Path(), "rows": rows, "fatal": fatal,
			"unusable": unusable, "warnings": warnings, "findings": found})
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(stderr, "%s: %d can't be used, %s.\n", batch.Count(rows, "row"), unusable,
		batch.Count(warnings, "warning"))
	if fatal || unusable > 0 && !permissive {
		return fmt.Errorf("%s: %d of %d rows can't be used", path, unusable, rows)
	}
	return nil
}

// findings are the errors and warnings of a table in the order of its rows. They come from the
// table's format, the molecule block, the workers, and a check for numbers that can't be right. If
// a worker could not be asked, the reason goes to standard error.
func findings(ctx context.Context, p *pipeline.Pipeline, t *csvmerge.Table) (
	out []csvmerge.Finding, err error) {
	out = t.Check()
	broken := map[int]bool{}
	for _, f := range out {
		broken[f.Line] = broken[f.Line] || f.Severity != csvmerge.Warning
	}
	var rows []int // a broken cell would lead to more findings that say nothing new
	for i := range t.Len() {
		if !broken[t.Line(i)] {
			rows = append(rows, i)
		}
	}
	answers, unasked, err := batch.Ask(ctx, p, t, rows)
	for _, why := range unasked {
		fmt.Fprintln(stderr, "warning:", why)
	}
	seen := map[[3]any]int{}
	for n, answer := range answers {
		i := rows[n]
		f := csvmerge.Finding{Line: t.Line(i), ID: t.ID(i), Problem: answer.Problem}
		problems := []csvmerge.Finding{f}
		if f.Problem == "" { // else the molecule block can only count electrons
			problems, _ = batch.Precheck(p, t, i)
		}
		out = append(out, problems...)
		if len(problems) > 0 {
			continue
		}
		for _, d := range doubts(t, i, answer, seen) {
			f.Column, f.Cell, f.Severity = d.Column, t.Cell(i, d.Column).Text, csvmerge.Warning
			f.Problem, f.Want = d.Problem, d.Want
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b csvmerge.Finding) int { return a.Line - b.Line })
	return out, err
}

// doubts are what is odd about a row that can be used. seen has the rows of earlier molecules. If
// no worker says which molecule a row is, two spellings of one molecule count as two.
func doubts(t *csvmerge.Table, i int, answer batch.Answer, seen map[[3]any]int) []stages.Doubt {
	row := stages.Row{Heavy: pointer[int64](t.Value(i, "nheavy")),
		Reference: pointer[float64](t.Value(i, "H298_cbs")),
		HOF:       pointer[float64](t.Value(i, "most_stable_hof"))}
	row.SMILES, _ = t.Value(i, "smiles").(string)
	row.Charge, _ = t.Value(i, "charge").(int64)
	out := row.Doubts()
	for _, text := range answer.Warnings {
		out = append(out, stages.Doubt{Problem: text})
	}
	molecule := [3]any{cmp.Or(answer.Molecule, row.SMILES), row.Charge, t.Value(i, "multiplicity")}
	first, again := seen[molecule]
	if !again {
		seen[molecule] = i
		return out
	}
	same := "has the same SMILES, charge and multiplicity"
	if other := t.Value(first, "smiles"); other != row.SMILES {
		same = fmt.Sprintf("is the same molecule, written as %v, with the same charge and "+
			"multiplicity", other)
	}
	return append(out, stages.Doubt{Column: "smiles", Want: "one row for a molecule",
		Problem: fmt.Sprintf("%s on line %d %s", t.ID(first), t.Line(first), same)})
}

// Convert copies a table to a place where there is none, of any kind. A CSV file that becomes a
// database and a CSV file again has the same bytes. The table is not changed.
func Convert(ctx context.Context, from, to string) error {
	return run(ctx, func(context.Context) error {
		t, err := readTable(from)
		if err = cmp.Or(err, refuseEnding(to, "csv", "sqlite")); err != nil {
			return err
		}
		if err := tables.Create(to, t); err != nil {
			return err
		}
		artefacts, options := "artefacts", loadOptions()
		options.Environ, options.Table = os.Environ(), place(from)
		if p, err := pipeline.Load("pipeline.hcl", options); err == nil {
			artefacts = batch.ShownPath(p.Artefacts)
		}
		fmt.Fprintf(stderr, "%s has %s now. To go on with that table, write in the block "+
			"pipeline of pipeline.hcl:\n  table     = %[1]q\n  artefacts = %[3]q\n", to,
			batch.Count(t.Len(), "row"), artefacts)
		return nil
	})
}
