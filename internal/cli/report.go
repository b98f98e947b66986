package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/formats"
	"grimperium/internal/journal"
	"grimperium/internal/store"
	"grimperium/internal/web"
	"grimperium/stages"
)

// The columns that the report is about, and the methods behind them.
const (
	referenceColumn = "H298_cbs"
	resultColumn    = "most_stable_hof"
	resultMethod    = "PM7"
	searchMethod    = "GFN2-xTB"
)

// Report writes the report of the table: a page, by default report.html, or with the format json
// its numbers to standard output. against is another table to compare with.
func Report(ctx context.Context, format, out, against string, o Options) error {
	format = cmp.Or(format, "html")
	if err := oneOf("-format", format, "html", "json"); err != nil {
		return ended(err)
	}
	if out == "" && format == "html" {
		out = "report.html"
	}
	return open(ctx, o, false, func(ctx context.Context, pr *project) error {
		if err := pr.refuse(out, against); err != nil { // before the work
			return err
		}
		tell := pr.leaveOut()
		d, err := pr.gather(ctx, out, against, format == "html")
		if err != nil {
			return err
		}
		n := web.Compute(d)
		err = pr.writeTo(out, func(w io.Writer) error {
			if format == "html" {
				return web.WritePage(w, d, n)
			}
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(n)
		})
		if err == nil && out != "" {
			fmt.Fprintf(stderr, "%s\nWritten: %s\n", n.Sentence, out)
		}
		if err == nil {
			tell()
		}
		return err
	})
}

// printDeviation prints how far the results are from the reference, if a row has both.
func (pr *project) printDeviation(w io.Writer) {
	pr.leaveOut()
	molecules := make([]web.Molecule, pr.Table.Len())
	for i := range molecules {
		molecules[i] = pr.deviationOf(i)
	}
	for _, line := range web.Deviations(molecules, resultColumn, referenceColumn) {
		fmt.Fprintln(w, line)
	}
}

// gatherer collects the plain data of a report.
type gatherer struct {
	*project
	classes    map[string]*web.Class
	forcefield bool              // GFN-FF ran
	singles    bool              // single points by PM7 ranked the conformers
	programs   counts            // versions, by how many results
	variables  counts            // values, by how many rows; a name is var.NAME
	sources    map[string]string // of the values that are not the default, by variable and value
}

// counts say how often each value of something is there.
type counts map[string]map[string]int

func (c counts) add(name, value string, n int) {
	if c[name] == nil {
		c[name] = map[string]int{}
	}
	c[name][value] += n
}

// gather returns what a report is made of, whose file is out. With pictures it has drawings and
// geometries, too.
func (pr *project) gather(ctx context.Context, out, against string, pictures bool) (
	*web.Data, error) {
	if err := pr.evaluate(ctx); err != nil {
		return nil, err
	}
	g := &gatherer{project: pr, classes: map[string]*web.Class{}, programs: counts{},
		variables: counts{}, sources: map[string]string{}}
	d := &web.Data{Title: batch.ShownPath(g.Table.Path()), Made: time.Now(),
		Method: resultMethod, Search: searchMethod, Against: against,
		Reference: referenceColumn, Result: resultColumn,
		Tolerance: stages.Tolerance(resultColumn), Folders: folderURL(out, g.Store.Root()),
		Molecules: make([]web.Molecule, g.Table.Len()), Columns: tableColumns(g.Table)}
	for i := range d.Molecules {
		d.Molecules[i] = g.molecule(i)
		// A server shows a zip as a folder.
		d.Molecules[i].Zip = out != "" && g.Store.IsZip(g.Table.ID(i))
	}
	if err := g.addAllResults(ctx, d.Molecules); err != nil {
		return nil, err
	}
	if against != "" {
		if err := g.addOther(d); err != nil {
			return nil, err
		}
	}
	for _, s := range g.Pipeline.Stages {
		d.Stages = append(d.Stages, web.Stage{Name: s.Name, Title: s.Title, DependsOn: s.DependsOn,
			Runs: s.Program, Off: s.Off()})
	}
	d.Failures = g.failures()
	var err error
	if d.Batch, err = g.batches(ctx); err != nil {
		return nil, err
	}
	g.methods(d)
	if pictures {
		err = g.addPictures(ctx, d)
	}
	return d, err
}

// deviationOf has the reference and the result of a row.
func (pr *project) deviationOf(i int) web.Molecule {
	t := pr.Table
	m := web.Molecule{ID: t.ID(i), Status: t.Status(i).String(), Other: math.NaN(),
		Reference: number(t.Value(i, referenceColumn)), Result: math.NaN()}
	if t.Status(i) == csvmerge.OK {
		m.Result = number(t.Value(i, resultColumn))
	}
	return m
}

// molecule is what the table says of a row.
func (g *gatherer) molecule(i int) web.Molecule {
	t, m := g.Table, g.deviationOf(i)
	m.SMILES, _ = t.Value(i, "smiles").(string)
	charge, _ := t.Value(i, "charge").(int64)
	multiplicity, _ := t.Value(i, "multiplicity").(int64)
	g.classify(&m, int(charge), int(multiplicity))
	return m
}

// mostEnthalpy is more than any molecule has, in kcal/mol. A larger number would make sums of
// squares infinite.
const mostEnthalpy = 1e9

// number is an enthalpy of the table, NaN if there is none.
func number(value any) float64 {
	if v, ok := value.(float64); ok && math.Abs(v) < mostEnthalpy {
		return v
	}
	return math.NaN()
}

// classify puts a molecule into its classes.
func (g *gatherer) classify(m *web.Molecule, charge, multiplicity int) {
	put := func(place int, kind, name string) {
		c := g.classes[kind+name]
		if c == nil {
			c = &web.Class{Kind: kind, Name: name, Place: place}
			g.classes[kind+name] = c
		}
		m.Classes = append(m.Classes, c)
	}
	signed := strings.NewReplacer("-", "−", "+0", "0").Replace(fmt.Sprintf("%+d", charge))
	put(100+charge, "charge", signed)
	put(200+multiplicity, "multiplicity", fmt.Sprint(multiplicity))
	for _, e := range stages.ElementsOf(m.SMILES) {
		put(300+e.Number, "element", e.Symbol)
	}
	if n := stages.HeavyAtoms(m.SMILES); n != nil {
		m.Size = *n
		place, name := span(*n, []int{1, 4, 7, 10, 13, 16, 21, 31})
		put(500+place, "heavy atoms", name)
	}
	if n := stages.RotatableBonds(m.SMILES); n != nil {
		place, name := span(*n, []int{0, 1, 2, 3, 5, 8})
		put(600+place, "rotatable bonds", name)
	}
}

// span names the range that a number is in, by the first number of each range.
func span(n int, starts []int) (place int, name string) {
	at, found := slices.BinarySearch(starts, n)
	if !found {
		at--
	}
	switch {
	case at < 0:
		return at, fmt.Sprint(n) // before the first range
	case at == len(starts)-1:
		return at, fmt.Sprintf("%d and more", starts[at])
	case starts[at+1] == starts[at]+1:
		return at, fmt.Sprint(starts[at])
	}
	return at, fmt.Sprintf("%d–%d", starts[at], starts[at+1]-1)
}

// addAllResults adds what the artefacts know of the molecules. A molecule without results, or with
// a log that can't be read, stays as it is: the report is of the table.
func (g *gatherer) addAllResults(ctx context.Context, molecules []web.Molecule) error {
	var counting sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range molecules {
		if csvmerge.SafeID(molecules[i].ID) != nil {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if log, err := g.Store.Molecule(molecules[i].ID); err == nil {
				counting.Lock()
				defer counting.Unlock()
				g.addResults(&molecules[i], log)
			}
			return nil
		})
	}
	return group.Wait()
}

// hofs are the results of the conformers in the order of the search, if a target's values list them
// by the name hof. The block export has them, too, but to evaluate it takes 5 ms a molecule.
func hofs(values json.RawMessage) (out []float64) {
	for _, v := range numbersIn(values, "hof") {
		out = append(out, math.NaN())
		if v != nil {
			out[len(out)-1] = *v
		}
	}
	return out
}

// numbersIn is the list of numbers that has a name among a target's values, nil if there is none.
func numbersIn(values json.RawMessage, name string) (list []*float64) {
	var all map[string]json.RawMessage
	if json.Unmarshal(values, &all) != nil || json.Unmarshal(all[name], &list) != nil {
		return nil // one number is a geometry's
	}
	return list
}

// addResults adds the results of a molecule, and notes what computed them.
func (g *gatherer) addResults(m *web.Molecule, log *store.Molecule) {
	for _, target := range log.Targets() {
		rec, s := log.Record(target), g.Pipeline.Stage(store.StageOf(target))
		if s == nil || s.Off() || rec.Outcome != store.OK {
			continue
		}
		m.Targets = append(m.Targets, web.Target{Stage: s.Name, Seconds: rec.Seconds, CPU: rec.CPU})
		for name, version := range rec.Programs {
			g.programs.add(name, version, 1)
		}
		g.forcefield = g.forcefield || stages.UsesForceField(rec.Command)
		g.singles = g.singles || numbersIn(rec.Values, "energies") != nil
		if list := hofs(rec.Values); list != nil && m.Status == csvmerge.OK.String() {
			m.Conformers = list
		}
	}
}

// tableColumns are the columns of the table for the page. In the columns that are compared, what is
// no enthalpy is blank.
func tableColumns(t *csvmerge.Table) []web.Column {
	var columns []web.Column
	for _, c := range kinds(t) {
		number := c.Kind == formats.Integer || c.Kind == formats.Number || compared(c.Name)
		columns = append(columns, web.Column{Name: c.Name, Unit: c.Unit, Number: number,
			Cells: make([]string, t.Len())})
	}
	for i := range t.Len() {
		for k, c := range t.Row(i) {
			switch name := columns[k].Name; {
			case name == "status":
				columns[k].Cells[i] = t.Status(i).String()
			case compared(name) && math.IsNaN(number(t.Value(i, name))):
			case c.Value != nil || !columns[k].Number:
				columns[k].Cells[i] = c.Text
			}
		}
	}
	return columns
}

// compared says whether the report compares a column with another.
func compared(column string) bool { return column == referenceColumn || column == resultColumn }

// addOther adds the results of another table. It counts the rows that are of another molecule.
func (g *gatherer) addOther(d *web.Data) error {
	t, err := readTable(d.Against)
	if err != nil {
		return fmt.Errorf("-against: %w", err)
	}
	for i := range d.Molecules {
		row, ok := t.Lookup(d.Molecules[i].ID)
		differs := func(column string) bool {
			has := slices.Contains(t.Columns(), column)
			return has && t.Value(row, column) != g.Table.Value(i, column)
		}
		switch {
		case !ok || t.Status(row) != csvmerge.OK:
		case slices.ContainsFunc([]string{"smiles", "charge", "multiplicity"}, differs):
			d.OtherMolecules++
		default:
			d.Molecules[i].Other = number(t.Value(row, resultColumn))
		}
	}
	return nil
}

// folderURL is the way from a file to the artefacts as a relative URL, "" if there is none.
func folderURL(out, root string) string {
	dir, err := filepath.Abs(filepath.Dir(out))
	rel, relErr := filepath.Rel(dir, root)
	if cmp.Or(err, relErr) != nil {
		return ""
	}
	way := url.URL{Path: "./" + filepath.ToSlash(rel) + "/"}
	return way.EscapedPath()
}

// failures are the reasons for which molecules have no result, with commands to try.
func (g *gatherer) failures() (out []web.Failure) {
	var messages []string
	skipped := map[string]bool{} // stages
	for i := range g.Table.Len() {
		text := failure(g.Table, i)
		if text == "" {
			continue
		}
		messages = append(messages, text)
		if stage, _ := batch.Reason(text); g.Table.Status(i) == csvmerge.Skip {
			skipped[stage] = true
		}
	}
	for _, group := range batch.Groups(messages) {
		stage, reason := batch.Reason(group.Members[0])
		f := web.Failure{Stage: stage, Reason: reason, Count: len(group.Members),
			Examples: group.Members[:min(3, len(group.Members))]}
		target, _, _ := strings.Cut(group.Members[0], ": ")
		id, rest, ok := strings.Cut(target, "/")
		if _, known := g.Table.Lookup(id); ok && known {
			note := filepath.Join(g.Store.FailedDir(id, rest), "failure.txt")
			if _, err := os.Stat(note); err == nil {
				f.Commands = append(f.Commands, "cat "+batch.Quoted(batch.ShownPath(note)))
			}
			f.Commands = append(f.Commands, command.Name+" why "+batch.Quoted(id)+g.flags)
		}
		again := command.Name + " batch -only=failed"
		if skipped[stage] && stage != "?" {
			again = command.Name + " batch -retry=" + batch.Quoted(stage)
		}
		f.Commands = append(f.Commands, again+g.flags)
		out = append(out, f)
	}
	return out
}

// batches reads the journal. It returns the last batch of the table that ran a target, and notes
// with which values of the variables the rows were computed.
func (g *gatherer) batches(ctx context.Context) (last web.Batch, err error) {
	cores := map[string]int{}
	for _, s := range g.Pipeline.Stages {
		cores[s.Name] = s.Cores
	}
	var b web.Batch
	computed := map[string]bool{} // molecules of b
	h := g.past(ctx)
	err = h.each(func(e journal.Event) {
		if e.Event == journal.BatchStart {
			b = web.Batch{ID: e.Batch, Host: e.Host, Jobs: e.Jobs, Started: e.Time}
			clear(computed)
		}
		if e.Batch != b.ID || b.ID == "" {
			return
		}
		at := e.Time.Sub(b.Started).Seconds()
		b.Seconds = max(b.Seconds, at)
		if e.Computed() {
			computed[e.Mol] = true
		}
		switch {
		case e.Final() && computed[e.Mol]: // else its row alone was written again
			b.Rows++
		case e.Event == journal.TargetEnd && e.Seconds > 0.001:
			b.Spans = append(b.Spans, web.Span{From: at - e.Seconds, To: at, Cores: cores[e.Stage]})
		}
		if len(b.Spans) > 0 {
			last = b
		}
	})
	rows := map[string]int{} // by batch
	for i := range g.Table.Len() {
		if g.Table.Status(i) == csvmerge.OK {
			rows[g.Table.Texts(i, "batch_id")[0]]++
		}
	}
	for id, n := range rows {
		for variable, value := range h.starts[id].Settings {
			name, source := "var."+variable, h.starts[id].Given[variable]
			g.variables.add(name, value, n)
			if other, ok := g.sources[name+"="+value]; ok {
				source = min(source, other) // the default, if one batch had it from there
			}
			g.sources[name+"="+value] = source
		}
	}
	return last, err
}
