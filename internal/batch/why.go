package batch

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/internal/packed"
	"grimperium/internal/store"
)

// Why shows which targets of a molecule are up to date, or one of them, and what changed for the
// others. It changes nothing.
func (b *Batch) Why(w io.Writer, id, only string) error {
	i, ok := b.Table.Lookup(id)
	if !ok {
		return fmt.Errorf("the table %s has no molecule %q", b.shownTable(), id)
	}
	problems, _ := Precheck(b.Pipeline, b.Table, i)
	for _, problem := range problems {
		fmt.Fprintf(w, "%s can't be computed: %s\n", id, problem.Problem)
	}
	t, err := b.visitor.begin(b.row(i, nil))
	if err != nil {
		return err
	}
	if b.byHand(i) {
		fmt.Fprintf(w, "%s is left out: a person wrote Skip into its row\n", id)
	}
	b.printSettings(w)
	t.log.Vouch(t.Row.Known)
	if t.m, err = b.Pipeline.Molecule(t.Row.Cells); err != nil {
		return err
	}
	var order []string
	texts := map[string]string{}
	err = t.walk(func(g *target) error {
		if texts[g.name] == "" {
			order = append(order, g.name)
		}
		texts[g.name] = t.explain(g)
		return nil
	})
	if merged, mergeErr := t.m.Merge(t.Failure != nil); err == nil && mergeErr == nil {
		if columns := b.differing(i, merged); len(columns) > 0 {
			order = append(order, "merge")
			texts["merge"] = "the row is written again: " + strings.Join(columns, ", ")
		}
	}
	order = slices.DeleteFunc(order, func(name string) bool {
		return only != "" && name != only && !strings.HasPrefix(name, only+"/")
	})
	for _, name := range order {
		fmt.Fprintf(w, "%-10s %s\n", name, texts[name])
	}
	if err == nil && len(order) == 0 {
		err = fmt.Errorf("%s has no target %q", id, only)
	}
	return err
}

// explain says of a target whether it is up to date.
func (t *visit) explain(g *target) string {
	last, text := t.log.Record(g.name), judgements[g.action]+g.reason
	switch g.action {
	case fresh:
		g.rec = last
		for _, w := range last.Warnings {
			text += "\n             warning: " + w
		}
	case run:
		text += t.changedFiles(g, last)
	}
	return text
}

var judgements = map[action]string{
	fresh: "up to date", off: "turned off", none: "left out: ", leave: "failed, left out: ",
	skip: "skipped: ", broken: "can't be described: ", run: "stale: ",
	read:    "up to date, but its values are read again: ",
	restore: "stale, an earlier result comes back: ",
}

// maxCompared is how large a written file is that is compared, in bytes.
const maxCompared = 16 << 20

// changedFiles shows the lines in which written files differ from those of the recorded result.
func (t *visit) changedFiles(g *target, last *store.Record) string {
	if last == nil || last.Outcome != store.OK {
		return ""
	}
	var text strings.Builder
	for _, f := range g.task.Files {
		name := filepath.Join(t.Store.TargetDir(t.Row.ID, g.name), f.Name)
		old, err := packed.ReadFile(name, maxCompared)
		if !f.Keep || err != nil || string(old) == string(f.Content) {
			continue
		}
		was, is := strings.Split(string(old), "\n"), strings.Split(string(f.Content), "\n")
		was = append(was, make([]string, max(0, len(is)-len(was)))...)
		is = append(is, make([]string, max(0, len(was)-len(is)))...)
		const most = 6
		changed := 0
		for n := range was {
			if was[n] == is[n] {
				continue
			}
			if changed++; changed > most {
				text.WriteString("\n             ...")
				break
			}
			fmt.Fprintf(&text, "\n             %s:%d  %q → %q", f.Name, n+1, was[n], is[n])
		}
	}
	return text.String()
}
