package batch

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// step is what a visit would do about a target that is not up to date.
type step struct {
	*target
	again *store.Record // the finished result that is computed again, nil for none
}

// prospect is what a visit of a molecule would do.
type prospect struct {
	steps     []step
	finished  int      // results of programs that the molecule has
	rewritten []string // columns whose cells alone are written again
}

// foresee predicts a visit of a row's molecule: for certain up to the first target of each stage
// that is not up to date, and what may follow. It changes nothing.
func (b *Batch) foresee(i int, size []float64) (*prospect, error) {
	p := &prospect{}
	t, err := b.visitor.begin(b.row(i, size))
	if err != nil {
		return p, nil // the visit will say what is wrong with the folder
	}
	for _, name := range t.log.Targets() {
		stage, _, _ := strings.Cut(name, "/")
		s := b.Pipeline.Stage(stage)
		if s != nil && s.Program != "" && t.log.Record(name).Outcome == store.OK {
			p.finished++
		}
	}
	if t.known() {
		p.rewritten = b.differing(i, t.Cells)
		return p, nil
	}
	if t.m, err = b.Pipeline.Molecule(t.Row.Cells); err != nil {
		return nil, err
	}
	err = t.walk(func(g *target) error { p.see(t, g); return nil })
	if err == nil && len(p.steps) == 0 && t.Failure == nil {
		if merged, err := t.m.Merge(false); err == nil {
			p.rewritten = b.differing(i, merged)
		}
		for name, text := range t.gone() {
			if b.hasText(i, name, text) {
				p.rewritten = append(p.rewritten, name)
			}
		}
	}
	return p, err
}

// see notes what would be done about a target.
func (p *prospect) see(t *visit, g *target) {
	last, st := t.log.Record(g.name), step{g, nil}
	switch g.action {
	case off, none, leave:
		return
	case fresh:
		g.rec = last
		return
	case skip:
		g.failure = &TargetError{Skipped: true}
		return
	case wait:
		for _, name := range append(t.log.Instances(g.stage.Name), g.stage.Name) {
			if rec := t.log.Record(name); rec != nil && rec.Outcome == store.OK {
				st = step{&target{verdict: g.verdict, stage: g.stage, name: name}, rec}
				p.steps = append(p.steps, st)
			}
		}
		if st.again != nil {
			return
		}
	case run:
		if last != nil && last.Outcome == store.OK {
			st.again = last
		}
	case broken:
		g.failure = &TargetError{Message: g.reason}
	}
	p.steps = append(p.steps, st)
}

// differing are the merged columns whose cells in a row say something else.
func (b *Batch) differing(i int, merged map[string]string) (out []string) {
	for _, name := range b.Pipeline.Merged {
		if text, ok := merged[name]; ok && !b.Table.Says(i, name, text) {
			out = append(out, name)
		}
	}
	return out
}

// Current reports whether a molecule's results are those of its row and of the present pipeline.
func (b *Batch) Current(id string) (bool, error) {
	i, ok := b.Table.Lookup(id)
	if !ok {
		return false, nil
	}
	if e, known := b.Index.Entry(id); known && b.upToDate(i) && b.Store.Untouched(id, e) {
		return true, nil
	}
	p, err := b.foresee(i, nil)
	return err == nil && len(p.steps) == 0, err
}

// needed is an error if a molecule needs a program that is missing. Else it warns of the program.
func (b *Batch) needed(ctx context.Context, ids []string) error {
	missing := b.visitor.Programs.missing
	if len(missing) == 0 {
		return nil
	}
	if _, err := b.forecast(ctx, ids); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		b.warn(fmt.Sprintf("%v. Nothing needs it now.", missing[name]))
	}
	return nil
}

const (
	fewMolecules = 10  // so many are computed again without a question
	sampleSize   = 500 // molecules of a large table that are looked at to estimate the rest
)

// confirm asks before more of the finished results are computed again than max_recompute allows.
func (b *Batch) confirm(ctx context.Context) error {
	all := 0
	for i := range b.Table.Len() {
		if b.Table.Status(i) == csvmerge.OK {
			all++
		}
	}
	done := slices.DeleteFunc(slices.Clone(b.plan.now), func(id string) bool { // to be looked at again
		i, _ := b.Table.Lookup(id)
		return b.Table.Status(i) != csvmerge.OK
	})
	most := b.limited(len(done), 0)
	if b.Confirm == nil || most < fewMolecules ||
		float64(most) <= b.Pipeline.MaxRecompute*float64(all) {
		return nil
	}
	sample, about := done, ""
	if len(done) > 2*sampleSize {
		sample, about = nil, "about "
		for n := range sampleSize {
			sample = append(sample, done[n*len(done)/sampleSize])
		}
	}
	f, err := b.forecast(ctx, sample)
	scale := float64(len(done)) / float64(len(sample))
	molecules := float64(f.recomputed) * scale
	share := float64(f.again) / float64(max(f.finished, 1)) * float64(len(done)) / float64(all)
	if err != nil || molecules < fewMolecules || share <= b.Pipeline.MaxRecompute {
		return err
	}
	took := time.Duration(f.seconds * scale / float64(b.jobs()) * float64(time.Second))
	return b.Confirm(fmt.Sprintf("%s%s of %s finished molecules would be computed again, "+
		"which took about %s.\nMost of them: %s", about, thousands(int(molecules+0.5)),
		thousands(all), round(took), f.reasons()[0]))
}

// text says why a molecule has something to do, the same for molecules that have the same to do.
func (p *prospect) text() string {
	var parts []string
	for _, st := range p.steps {
		if st.action == wait {
			continue
		}
		reason := st.reason
		if message, failed := strings.CutPrefix(reason, "failed last time: "); failed {
			_, message = Reason(message)
			reason = "failed last time: " + message
		}
		reason = verbs[st.action] + reason
		if reason == "never computed" && p.finished == 0 {
			return reason
		}
		if part := st.stage.Name + ": " + reason; !slices.Contains(parts, part) { // of several instances
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

// forecast is what a batch would do.
type forecast struct {
	molecules  int
	targets    map[string]int      // by stage
	groups     map[string][]string // molecules that have the same to do, by its text
	finished   int                 // results of programs that the molecules have
	again      int                 // of these, computed again
	recomputed int                 // molecules with one of them
	seconds    float64             // that these took
	rewritten  int                 // rows that are written again without a program
	columns    map[string]bool     // in these rows
	expected   time.Duration       // of all programs, one after the other
	unknown    map[string]bool     // stages that never ran
	list       strings.Builder     // every molecule with its targets
}

// forecast foresees the visits of molecules. A missing program that one of them needs is an error.
func (b *Batch) forecast(ctx context.Context, ids []string) (*forecast, error) {
	past := journal.OpenAtEnd(b.journal.Path).Past()
	f := &forecast{targets: map[string]int{}, groups: map[string][]string{},
		columns: map[string]bool{}, unknown: map[string]bool{}}
	for _, id := range ids {
		if ctx.Err() != nil || b.Limit > 0 && f.molecules == b.Limit {
			break
		}
		i, _ := b.Table.Lookup(id)
		p, err := b.foresee(i, b.plan.sizes[id])
		if err != nil {
			return f, err
		}
		f.add(id, p, b.plan.sizes[id], past)
		for _, st := range p.steps {
			for _, name := range st.stage.Programs {
				err := b.visitor.Programs.missing[name]
				if err != nil && (st.action == run || st.action == wait) {
					return f, fmt.Errorf("%w\n%s/%s needs it", err, id, st.name)
				}
			}
		}
	}
	return f, nil
}

// add takes in what a visit of a molecule would do.
func (f *forecast) add(id string, p *prospect, size []float64, past *journal.Estimate) {
	f.finished += p.finished
	if len(p.steps) == 0 {
		f.rewritten += min(len(p.rewritten), 1)
		for _, name := range p.rewritten {
			f.columns[name] = true
		}
		return
	}
	f.molecules++
	f.groups[p.text()] = append(f.groups[p.text()], id)
	fmt.Fprintln(&f.list, id)
	again := f.again
	for _, st := range p.steps {
		fmt.Fprintf(&f.list, "  %-10s %s\n", st.name, verbs[st.action]+st.reason)
		f.targets[st.stage.Name]++
		if d, ok := past.Target(st.stage.Name, size); ok && st.action != read && st.action != restore {
			f.expected += d
		} else if st.action == run && st.stage.Program != "" {
			f.unknown[st.stage.Name] = true
		}
		if st.again != nil && st.stage.Program != "" {
			f.again++
			f.seconds += st.again.Seconds
		}
	}
	f.recomputed += min(f.again-again, 1)
}

// reasons are the texts of the groups, those of the most molecules first.
func (f *forecast) reasons() []string {
	texts := slices.Sorted(maps.Keys(f.groups))
	slices.SortStableFunc(texts, func(x, y string) int { return len(f.groups[y]) - len(f.groups[x]) })
	return texts
}

// DryRun prints what Run would do, and does nothing: totals first, then what is alike; with verbose
// every molecule.
func (b *Batch) DryRun(ctx context.Context, w io.Writer, verbose bool) (err error) {
	if b.plan, err = b.schedule(ctx); err != nil {
		return err
	}
	todo := append(b.plan.now, b.touched(ctx, b.plan.maybe)...)
	if err := b.needed(ctx, todo); err != nil {
		return err
	}
	f, err := b.forecast(ctx, todo)
	if err != nil {
		return err
	}
	b.printForecast(w, f)
	switch {
	case verbose:
		fmt.Fprint(w, f.list.String())
	case f.molecules > 0:
		fmt.Fprintln(w, "mage batch -dryRun -v lists the molecules and their targets.")
	}
	return nil
}

func (b *Batch) printForecast(w io.Writer, f *forecast) {
	var parts []string
	for _, s := range b.Pipeline.Stages {
		if n := f.targets[s.Name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", s.Name, n))
		}
	}
	if len(parts) == 0 {
		fmt.Fprintln(w, "Everything is up to date: nothing would run.")
	} else {
		fmt.Fprintf(w, "%s would be computed; targets: %s\n", Count(f.molecules, "molecule"),
			strings.Join(parts, ", "))
	}
	b.printSettings(w)
	for _, text := range f.reasons() {
		ids := f.groups[text]
		fmt.Fprintf(w, "  %s: %s (%s)\n", Count(len(ids), "molecule"), text, some(ids, len(ids)))
	}
	if f.rewritten > 0 {
		fmt.Fprintf(w, "%s would be written again, without a program: %s\n", Count(f.rewritten, "row"),
			strings.Join(slices.Sorted(maps.Keys(f.columns)), ", "))
	}
	if f.expected > 0 {
		fmt.Fprintf(w, "Expected time: about %s, by what such targets took before\n",
			journal.Wall(f.expected, f.molecules, b.jobs()))
	}
	if len(f.unknown) > 0 {
		fmt.Fprintf(w, "Nothing is known yet of how long these take: %s\n",
			strings.Join(slices.Sorted(maps.Keys(f.unknown)), ", "))
	}
}

// printSettings names the variables that have other values than in the last batch.
func (b *Batch) printSettings(w io.Writer) {
	last, now := journal.Settings(b.journal.Path), b.settings()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if was, ok := last[name]; ok && was != now[name] {
			was, is := cmp.Or(was, `""`), cmp.Or(now[name], `""`)
			parts = append(parts, fmt.Sprintf("%s %s → %s", name, was, is))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "Settings that changed since the last batch: %s\n", strings.Join(parts, ", "))
	}
}

var verbs = map[action]string{
	read: "values are read again: ", restore: "an earlier result comes back: "}
