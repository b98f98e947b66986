package batch

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/internal/packed"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Why tells of each target of a molecule, or of one, whether it is fresh, and what changed where it is not. It writes nothing.
func (b *Batch) Why(w io.Writer, id, target string) error {
	i, ok := b.Table.Lookup(id)
	if !ok {
		return fmt.Errorf("the table %s has no molecule %q", shown(b.Table.Path()), id)
	}
	problems, _ := Precheck(b.Pipeline, b.Table, i)
	for _, problem := range problems {
		fmt.Fprintf(w, "%s can't be computed: %s\n", id, problem.Problem)
	}
	v, err := b.visit(i)
	if err != nil {
		return err
	}
	found := false
	line := func(name, text string) {
		if target == "" || name == target || strings.HasPrefix(name, target+"/") {
			found = true
			fmt.Fprintf(w, "%-10s %s\n", name, text)
		}
	}
	stale := map[string]bool{}
	for _, s := range b.Pipeline.Stages {
		if err := b.whyStage(v, s, stale, line); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s has no target %q", id, target)
	}
	return nil
}

func (b *Batch) whyStage(v *visit, s *pipeline.Stage, stale map[string]bool, line func(name, text string)) error {
	if on, err := v.m.Enabled(s); err == nil && !on {
		line(s.Name, "turned off")
		return nil
	}
	if up := slices.IndexFunc(s.DependsOn, func(d string) bool { return stale[d] }); up >= 0 {
		stale[s.Name] = true
		line(s.Name, v.behind(s, s.DependsOn[up]))
		return nil
	}
	n, err := v.m.Instances(s)
	if err != nil {
		line(s.Name, "can't be described: "+err.Error())
		stale[s.Name] = true
		return nil
	}
	results := make([]pipeline.Result, n)
	verdicts, errs := b.judgeAll(v, s, n)
	for i, d := range verdicts {
		name := s.Instance(i)
		rec := v.man.Targets[name]
		results[i] = b.result(v, s, i, rec)
		switch {
		case errs[i] != nil:
			line(name, "can't be described: "+errs[i].Error())
			stale[s.Name] = true
		case d.action == fresh:
			line(name, "fresh"+warningsOf(rec))
		case v.m.LeftOut(s, i):
			line(name, "left out: "+d.reason)
			results[i].Status = pipeline.StatusLeftOut
		case d.action == leave:
			line(name, "failed, left out: "+d.reason)
			results[i].Status = pipeline.StatusLeftOut
		default:
			stale[s.Name] = true
			line(name, whyText(d)+b.changedFiles(v.id, name, rec, d))
		}
	}
	if !stale[s.Name] {
		v.m.Set(s, results)
	}
	return nil
}

// behind tells of a stage that can't be judged before another has run.
func (v *visit) behind(s *pipeline.Stage, up string) string {
	if v.man.Targets[s.Name] == nil && len(v.man.Instances(s.Name)) == 0 {
		return "never built; runs after " + up
	}
	return "runs if " + up + " gives something else"
}

func whyText(d verdict) string {
	switch d.action {
	case read:
		return "fresh, but its values are read again: " + d.reason
	case restore:
		return "stale, an earlier result comes back: " + d.reason
	case skip:
		return "skipped: " + d.reason
	}
	return "stale: " + d.reason
}

// maxDeck is how large a written file is that is compared, in bytes.
const maxDeck = 16 << 20

// changedFiles shows the lines in which a written file differs from the one that the recorded result was made with.
func (b *Batch) changedFiles(mol, name string, rec *store.Record, d verdict) string {
	if rec == nil || rec.Outcome != store.OK {
		return ""
	}
	var text strings.Builder
	for _, f := range d.task.Files {
		old, err := packed.ReadFile(filepath.Join(b.Store.TargetDir(mol, name), f.Name), maxDeck)
		if !f.Keep || err != nil || string(old) == string(f.Content) {
			continue
		}
		was, is := strings.Split(string(old), "\n"), strings.Split(string(f.Content), "\n")
		const most = 6
		shown := 0
		for n := range max(len(was), len(is)) {
			o, i := at(was, n), at(is, n)
			if o == i {
				continue
			}
			if shown++; shown > most {
				text.WriteString("\n             ...")
				break
			}
			fmt.Fprintf(&text, "\n             %s:%d  %q → %q", f.Name, n+1, o, i)
		}
	}
	return text.String()
}

func at(lines []string, n int) string {
	if n < len(lines) {
		return lines[n]
	}
	return ""
}
