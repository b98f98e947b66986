package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"grimperium/csvmerge"
	"grimperium/internal/command"
	"grimperium/internal/journal"
	"grimperium/internal/packed"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// foresee predicts a visit of a row's molecule. The prediction is certain up to the first target of
// each stage that is not up to date; later targets may run. If nothing has to run, it also gives
// the columns whose cells are written again. It changes nothing.
func (b *Batch) foresee(i int) (t *visit, rewritten []string, err error) {
	if t, err = b.visitor.begin(b.row(i)); err != nil {
		return t, nil, err
	}
	err = t.walk(func(g *target) error {
		switch {
		case g.action == skip || g.action == broken:
			g.failure = &TargetError{Message: g.reason}
		case g.action == restore && g.earlier.Reading == g.reading:
			g.rec = g.earlier
		}
		return nil
	})
	if err != nil || len(t.steps()) > 0 {
		return t, nil, err
	}
	merged, err := t.m.Merge(t.Failure != nil)
	if err != nil {
		return t, nil, nil // the visit will say so
	}
	for _, name := range b.blanked(t.gone(), i) {
		merged[name] = ""
	}
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		if !b.Source.Says(i, name, merged[name]) {
			rewritten = append(rewritten, name)
		}
	}
	return t, rewritten, nil
}

// blanked are the columns of a row that are no longer merged and still say what they were given.
func (b *Batch) blanked(gone map[string]string, i int) (names []string) {
	for name, text := range gone {
		if b.Source.Says(i, name, text) {
			names = append(names, name)
		}
	}
	return names
}

// steps are the targets about which the visit does something, or may do something.
func (t *visit) steps() []*target {
	return slices.DeleteFunc(slices.Clone(t.targets), func(g *target) bool {
		return !slices.Contains([]action{read, restore, run, broken, wait}, g.action)
	})
}

// finished reports whether a target has a program's result, which a run computes again, or had one.
func (t *visit) finished(g *target) bool {
	return g.stage.Program != "" && (t.lost() || g.last != nil && g.last.Outcome == store.OK)
}

// lost reports whether the row says OK and the artefacts folder has nothing of the molecule. It may
// be another folder, or on a disk that is not mounted.
func (t *visit) lost() bool {
	return t.Row.Status == csvmerge.OK && len(t.log.Targets()) == 0
}

// failedBefore begins the reason of a target that repeats. The molecule's message follows.
const failedBefore = "failed last time: "

// verbs say what is done about a target, before the reason.
var verbs = map[action]string{
	read: "values are read again: ", restore: "an earlier result comes back: "}

// text says why a molecule has something to do, the same for molecules that have the same to do.
func (t *visit) text() string {
	var parts []string
	for _, g := range t.steps() {
		reason := verbs[g.action] + g.reason
		switch {
		case g.action == wait:
			continue
		case g.action == run && t.lost():
			return "the artefacts folder has no result, though the row says OK"
		case g.action == run && len(t.log.Targets()) == 0:
			return g.reason // never computed
		case g.action == run && g.repeats:
			_, cause := Reason(g.last.Error)
			reason = failedBefore + cause
		}
		// of several instances
		if part := g.stage.Name + ": " + reason; !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

// Results evaluates a row's molecule with the results that it has. current is false where they are
// not those of the row and of the present pipeline: a batch would compute something.
func (b *Batch) Results(row int) (m *pipeline.Molecule, current bool, err error) {
	t, _, err := b.foresee(row)
	return t.m, err == nil && len(t.steps()) == 0, err
}

// Returns reports whether the next batch may bring an earlier result of a molecule back. An edit
// had replaced it, or its stage has another name now.
func (b *Batch) Returns(id string) bool {
	i, ok := b.Table.Lookup(id)
	if !ok || b.upToDate(i) {
		return false
	}
	t, _, err := b.foresee(i)
	return err != nil || slices.ContainsFunc(t.targets, func(g *target) bool {
		return g.action == restore || g.action == wait
	})
}

// forecast is what a batch would do.
type forecast struct {
	molecules  int
	computed   int                 // of these, by a program
	targets    map[string]int      // by stage
	open       map[string]bool     // stages whose number of targets an earlier result decides
	groups     map[string][]string // molecules that have the same to do, by its text
	finished   int                 // results of programs that the molecules have
	again      int                 // of these, computed again
	recomputed int                 // molecules with one of them
	seconds    float64             // that these took
	rewritten  int                 // rows that are written again without a program
	columns    map[string]bool     // in these rows
	blanked    map[string]bool     // columns that the pipeline no longer merges
	expected   time.Duration       // of all programs, one after the other
	unknown    map[string]bool     // stages that never ran
	list       strings.Builder     // every molecule with its targets
}

// forecast foresees the visits of molecules. A missing program that one of them needs is an error.
func (b *Batch) forecast(ctx context.Context, ids []string) (*forecast, error) {
	past := journal.Past(b.journal.Path)
	f := &forecast{targets: map[string]int{}, groups: map[string][]string{},
		columns: map[string]bool{}, blanked: map[string]bool{}, unknown: map[string]bool{},
		open: map[string]bool{}}
	for _, id := range ids {
		if ctx.Err() != nil || f.molecules == b.Limit {
			break
		}
		i, _ := b.Table.Lookup(id)
		t, rewritten, err := b.foresee(i)
		if _, ok := errors.AsType[*store.FolderError](err); ok {
			continue // the visit will say so
		}
		if err != nil {
			return f, err
		}
		f.rewritten += min(len(rewritten), 1)
		for _, name := range rewritten {
			f.columns[name] = true
		}
		for _, name := range b.blanked(t.gone(), i) {
			f.blanked[name] = true
		}
		steps, again, computed := t.steps(), f.again, 0
		if len(steps) > 0 {
			text := t.text()
			f.groups[text] = append(f.groups[text], id)
			fmt.Fprintln(&f.list, id)
		}
		for _, g := range steps {
			fmt.Fprintf(&f.list, "  %-10s %s\n", g.name, verbs[g.action]+g.reason)
			if g.action == wait && g.last == nil && g.n == 0 {
				f.open[g.stage.Name] = true
			} else {
				f.targets[g.stage.Name]++
			}
			if g.action == read || g.action == restore {
				continue
			}
			computed = 1
			for _, name := range g.stage.Programs {
				if err := b.visitor.Programs.found[name].Missing; err != nil {
					return f, fmt.Errorf("%w\n%s/%s needs it", err, id, g.name)
				}
			}
			f.time(t, g, past)
		}
		f.molecules += min(len(steps), 1)
		f.computed += computed
		f.recomputed += min(f.again-again, 1)
		for _, g := range t.targets {
			if t.finished(g) {
				f.finished++
			}
		}
	}
	if len(f.groups) > mostGroups { // their texts have something of each molecule
		f.groups = withoutValues(f.groups)
	}
	return f, nil
}

const mostGroups = 20 // that are told apart by the values that changed

// valued is the part of a reason that has values. A stage and its reason, or several, stand before.
var valued = regexp.MustCompile(`^([^:]*: [^:]*): .*`)

// withoutValues groups molecules by what changed, whatever it is now.
func withoutValues(groups map[string][]string) map[string][]string {
	out := map[string][]string{}
	for text, ids := range groups {
		var parts []string
		for part := range strings.SplitSeq(text, "; ") {
			if part = valued.ReplaceAllString(part, "$1"); !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
		text = strings.Join(parts, "; ")
		out[text] = append(out[text], ids...)
	}
	return out
}

// time adds what a target is expected to take, and what the result took that it computes again.
func (f *forecast) time(t *visit, g *target, past journal.Estimate) {
	if d, ok := past.Target(g.stage.Name, t.Row.Size); ok {
		f.expected += d
	} else if g.action == run && g.stage.Program != "" {
		f.unknown[g.stage.Name] = true
	}
	if t.finished(g) {
		f.again++
		f.seconds += cmp.Or(g.last, &store.Record{}).Seconds
	}
}

// needMissing is an error if a molecule needs a missing program. Else it warns of the program.
func (b *Batch) needMissing(ctx context.Context) error {
	missing := b.visitor.Programs.missing()
	switch {
	case len(missing) == 0:
		return nil
	case b.Clear:
		return fmt.Errorf("%w\nThe results stay until all programs are there", missing[0].Missing)
	}
	_, err := b.forecast(ctx, b.now)
	if err == nil {
		b.warnUnneeded()
	}
	return err
}

// warnUnneeded warns of the missing programs, after a forecast that needs none of them.
func (b *Batch) warnUnneeded() {
	for _, f := range b.visitor.Programs.missing() {
		b.warn.Printf("%v. Nothing needs it now.", f.Missing)
	}
}

const (
	fewMolecules = 10  // so many are computed again without a question
	sampleSize   = 500 // molecules of a large table that are looked at to estimate the rest
)

// confirm asks before more of the finished results are computed again than max_recompute allows.
func (b *Batch) confirm(ctx context.Context) error {
	all, done := 0.0, []string{} // finished molecules, and those to be looked at again
	for i := range b.Table.Len() {
		if b.Table.Status(i) != csvmerge.OK {
			continue
		}
		all++
		if _, scheduled := b.sizes[b.Table.ID(i)]; scheduled {
			done = append(done, b.Table.ID(i))
		}
	}
	most := min(len(done), b.Limit)
	if b.Confirm == nil || most < fewMolecules || float64(most) <= b.Pipeline.MaxRecompute*all {
		return nil
	}
	var sample []string
	for some := range slices.Chunk(done, 1+len(done)/sampleSize) {
		sample = append(sample, some[0])
	}
	f, err := b.forecast(ctx, sample)
	scale := float64(len(done)) / float64(len(sample))
	molecules := float64(f.recomputed) * scale
	share := float64(f.again) / float64(max(f.finished, 1)) * float64(len(done)) / all
	if err != nil || molecules < fewMolecules || share <= b.Pipeline.MaxRecompute {
		return err
	}
	about := ""
	if scale > 1 {
		about = "about "
	}
	took := time.Duration(f.seconds * scale / float64(b.Pipeline.Jobs) * float64(time.Second))
	long := ""
	if took > 0 { // of results that are lost nothing is known
		long = fmt.Sprintf(", which took about %s", rounded(took))
	}
	return b.Confirm(fmt.Sprintf("%s%s of %s finished molecules would be computed again%s.\n"+
		"Most of them: %s", about, humanize.Comma(int64(molecules+0.5)),
		humanize.Comma(int64(all)), long, mostFirst(f.groups)[0].Text))
}

// DryRun prints what Run would do: totals, then groups of molecules; with verbose every molecule.
func (b *Batch) DryRun(ctx context.Context, w io.Writer, verbose bool) error {
	if err := b.schedule(ctx); err != nil {
		return err
	}
	f, err := b.forecast(ctx, b.now)
	if err != nil {
		return err
	}
	b.warnUnneeded()
	say := func(n int, form string, args ...any) {
		if n > 0 {
			fmt.Fprintf(w, form+"\n", args...)
		}
	}
	names := func(set map[string]bool) string {
		return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
	}
	var targets, open []string
	for _, s := range b.Pipeline.Stages {
		if n := f.targets[s.Name]; n > 0 {
			targets = append(targets, fmt.Sprintf("%s %d", s.Name, n))
		}
		if f.open[s.Name] {
			open = append(open, s.Name)
		}
	}
	say(1-f.molecules-f.rewritten, "Everything is up to date: nothing would run.")
	var what []string
	if f.computed > 0 {
		what = append(what, Count(f.computed, "molecule")+" would be computed")
	}
	if n := f.molecules - f.computed; n > 0 {
		what = append(what, Count(n, "molecule")+" would be updated without a program")
	}
	say(f.molecules, "%s; targets: %s", strings.Join(what, ", "), strings.Join(targets, ", "))
	say(len(open), "  and as many of these as the results ask for: %s", strings.Join(open, ", "))
	b.printSettings(w)
	for _, g := range mostFirst(f.groups) {
		say(1, "  %s", g.molecules())
	}
	say(f.rewritten, "%s would be written again, without a program: %s", Count(f.rewritten, "row"),
		names(f.columns))
	say(len(f.blanked), "Blank then, because pipeline.hcl no longer merges them: %s",
		names(f.blanked))
	say(int(f.expected), "Estimated time: about %s, from earlier runs",
		journal.Wall(f.expected, f.molecules, b.Pipeline.Jobs))
	say(len(f.unknown), "Nothing is known yet of how long these take: %s", names(f.unknown))
	if verbose {
		_, err = io.WriteString(w, f.list.String())
	} else {
		say(f.molecules, "%s batch -dryRun -v lists the molecules and their targets.", command.Name)
	}
	return err
}

// printSettings names the variables that have other values than in the last batch.
func (b *Batch) printSettings(w io.Writer) {
	last := journal.LastStart(b.journal.Path).Settings
	var parts []string
	for _, v := range b.Pipeline.Variables {
		if was, ok := last[v.Name]; ok && was != v.Text() {
			parts = append(parts, fmt.Sprintf("%s %s → %s", v.Name, cmp.Or(was, `""`),
				cmp.Or(v.Text(), `""`)))
		}
	}
	if slices.Sort(parts); len(parts) > 0 {
		fmt.Fprintf(w, "Settings that changed since the last batch: %s\n",
			strings.Join(parts, ", "))
	}
}

// judgements are the words of mage why for the action of a target. The reason follows them.
var judgements = map[action]string{
	fresh: "up to date", none: "left out: ", leave: "failed, left out: ",
	skip: "skipped: ", broken: "can't be described: ", run: "stale: ",
	read:    "up to date, but its values are read again: ",
	restore: "stale, an earlier result comes back: ",
}

// Why shows whether the targets of a molecule, or only one, are up to date, and what changed. The
// table must have the molecule.
func (b *Batch) Why(w io.Writer, id, only string) error {
	i, _ := b.Table.Lookup(id)
	problems, _ := Precheck(b.Pipeline, b.Table, i)
	for _, problem := range problems {
		fmt.Fprintf(w, "%s can't be computed: %s\n", id, problem.Problem)
	}
	if b.byHand(i) {
		fmt.Fprintf(w, "%s is left out: a person wrote Skip into its row\n", id)
	}
	t, rewritten, err := b.foresee(i)
	if err != nil {
		return err
	}
	b.printSettings(w)
	shown, width := false, nameWidth(b.Pipeline.Stages)
	var names []string
	for _, g := range t.targets {
		names = append(names, g.name)
		if only == "" || g.name == only || strings.HasPrefix(g.name, only+"/") ||
			strings.HasPrefix(only, g.name+"/") {
			shown = true
			fmt.Fprintf(w, "%-*s %s\n", width, g.name, judgements[g.action]+g.reason+
				t.details(g, "\n"+strings.Repeat(" ", width+1)))
		}
	}
	if len(rewritten) > 0 && only == "" {
		fmt.Fprintf(w, "%-*s the row is written again: %s\n", width, "merge",
			strings.Join(rewritten, ", "))
	}
	if !shown {
		err = fmt.Errorf("%s has no target %q%s", id, only, cmp.Or(Like(only, names, id+"/"),
			"; it has "+strings.Join(names, ", ")))
	}
	return err
}

// details are the warnings of a target that is up to date, each behind an indent. For a stale
// target they are differences from the recorded result: the words that differ in a line of each
// file.
func (t *visit) details(g *target, indent string) (text string) {
	const maxBytes = 16 << 20
	if g.action == fresh {
		return strings.Join(append([]string{""}, g.last.Warnings...), indent+"warning: ")
	}
	if g.action != run || !t.finished(g) {
		return ""
	}
	for _, f := range g.task.Files {
		name := filepath.Join(t.Store.TargetDir(t.Row.ID, g.name), f.Name)
		old, err := packed.ReadFile(name, maxBytes)
		if !f.Keep || err != nil {
			continue
		}
		was := append(strings.Split(string(old), "\n"), "")
		is := strings.Split(string(f.Content), "\n")
		for n := range min(len(was), len(is)) {
			if was[n] != is[n] {
				gone, added := changedWords(strings.Split(was[n], " "),
					strings.Split(is[n], " "), 1)
				text += fmt.Sprintf("%s%s:%d  %q → %q", indent, f.Name, n+1,
					strings.Join(gone, " "), strings.Join(added, " "))
				break
			}
		}
	}
	return text
}
