package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// History prints what happened to the molecules that stand behind the command, batch by batch. With
// a time at it writes the table as it was then to standard output, or as a whole to the file out.
func History(ctx context.Context, at, out string, o Options) error {
	return last(run(ctx, func(ctx context.Context) error {
		return history(ctx, operands, at, out, o)
	}))
}

func history(ctx context.Context, molecules []string, at, out string, o Options) error {
	switch {
	case at == "" && len(molecules) == 0:
		return fmt.Errorf("name a molecule, as %s history mol_00001, or a time, as -at=2026-11-01",
			command.Name)
	case at != "" && len(molecules) > 0, at == "" && out != "":
		return errors.New("-at and -out write the whole table; a molecule is named without them")
	}
	if err := refuseEnding(out, "csv"); err != nil {
		return err
	}
	return with(o, false, func(pr *project) error {
		h := pr.past(ctx)
		if at == "" {
			for _, id := range molecules {
				if err := h.print(stdout, id); err != nil {
					return err
				}
			}
			return nil
		}
		moment, err := parseTime(at)
		if err != nil {
			return err
		}
		write, err := h.table(moment)
		if err != nil {
			return err
		}
		return pr.writeTo(out, write)
	})
}

// parseTime reads a time, of this machine's zone if it names none. A day alone means its end, and
// so does a second, as a row and history show it.
func parseTime(text string) (time.Time, error) {
	plain := strings.Replace(text, "T", " ", 1)
	for _, zone := range []string{"", "Z07:00", " Z07:00"} {
		if t, err := time.ParseInLocation("2006-01-02 15:04"+zone, plain, time.Local); err == nil {
			return t, nil
		}
		t, err := time.ParseInLocation(time.DateTime+zone, plain, time.Local)
		if err == nil && t.Nanosecond() == 0 {
			t = t.Add(time.Second - time.Millisecond)
		}
		if err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Millisecond), nil
	}
	return time.Time{}, fmt.Errorf("-at=%q: not a time; write -at=2026-11-01 for the end of that "+
		"day, or -at=2026-11-01T15:04", text)
}

// past is what the journal knows of the table.
type past struct {
	*project
	context context.Context
	starts  map[string]journal.Event // of the batches, by their ids
	first   time.Time                // of the journal
	others  map[string]bool          // tables whose rows were passed over
}

func (pr *project) past(ctx context.Context) *past {
	return &past{project: pr, context: ctx, starts: map[string]journal.Event{},
		others: map[string]bool{}}
}

// each gives the events of the table's batches from the beginning. Batches of other tables that
// share the artefacts are passed over.
func (h *past) each(see func(journal.Event)) error {
	others, err := h.Store.OthersThan(h.Pipeline.Table)
	if err != nil {
		return err
	}
	tables := map[string]string{} // other ones, by batch
	err = journal.Each(h.Store.Path(store.JournalName), func(e journal.Event) {
		if h.first.IsZero() {
			h.first = e.Time
		}
		if e.Event == journal.BatchStart {
			h.starts[e.Batch] = e
			tables[e.Batch] = otherTable(e.Table, others, h.Pipeline.Table)
		}
		other := tables[e.Batch]
		switch {
		case other == "" && h.context.Err() == nil:
			see(e)
		case e.Event == journal.Row:
			h.others[other] = true
		}
	})
	return cmp.Or(err, h.context.Err())
}

// elsewhere says which other tables the journal has rows of, and how to see them. A table that is
// gone may be this one under its earlier name. With found it alone is named.
func (h *past) elsewhere(found bool) (text string) {
	for _, other := range slices.Sorted(maps.Keys(h.others)) {
		shown := batch.ShownPath(other)
		_, err := os.Stat(other)
		there := err == nil || store.IsURL(other)
		if there && !found {
			text += fmt.Sprintf("\nThe journal has rows of %s. For these: %s history -table=%s",
				shown, command.Name, batch.Quoted(shown))
		} else if !there {
			text += fmt.Sprintf("\nThe journal has rows of %s, and there is no such table any "+
				"more. If %s is that table, delete the line of %s in %s", shown,
				batch.ShownPath(h.Pipeline.Table), filepath.Base(other),
				batch.ShownPath(h.Store.Path(store.TablesName)))
		}
	}
	return text
}

// otherTable returns which of the other tables a path means, "" for none. The path may be from
// before the project was moved. Then the table counts that has the longest end in common with it.
func otherTable(path string, others []string, own string) string {
	alike := func(table string) (n int) {
		a, b := strings.Split(path, "/"), strings.Split(table, "/")
		for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
			n++
		}
		return n
	}
	other, most := "", alike(own)
	for _, table := range others {
		if n := alike(table); n > most {
			other, most = table, n
		}
	}
	return other
}

// isOwnTable says whether a table of the journal is this one. An error is told by the next command.
func (pr *project) isOwnTable(path string) bool {
	others, err := pr.Store.OthersThan(pr.Pipeline.Table)
	return err != nil || otherTable(path, others, pr.Pipeline.Table) == ""
}

// table returns a function that writes the table as it was at a time, by the journal alone. It has
// the molecules whose rows a batch had written by then, sorted by mol_id. Its cells are those that
// the pipeline read and those that it wrote.
func (h *past) table(at time.Time) (write func(io.Writer) error, err error) {
	rows := map[string]map[string]string{}
	err = h.each(func(e journal.Event) {
		if e.Event != journal.Row || e.Time.After(at) {
			return
		}
		if rows[e.Mol] == nil {
			rows[e.Mol] = map[string]string{"mol_id": e.Mol}
		}
		maps.Copy(rows[e.Mol], e.Inputs)
		maps.Copy(rows[e.Mol], e.Values)
	})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 && h.first.IsZero() {
		return nil, errors.New("-at: there is no journal yet, because no batch has computed " +
			"anything here")
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("-at: no row of %s was written by %s; the journal begins at %s%s",
			batch.ShownPath(h.Pipeline.Table), at.Format(time.DateTime),
			h.first.Local().Format(time.DateTime), h.elsewhere(false))
	}
	used := map[string]string{"status": "", "smiles": ""} // a cell of each column
	for _, row := range rows {
		maps.Copy(used, row)
	}
	columns, bare := inOrder(used, csvmerge.Known()), 0
	records := [][]string{columns}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		var record []string
		for _, name := range columns {
			record = append(record, rows[id][name])
		}
		records = append(records, record)
		if rows[id]["smiles"] == "" {
			bare++
		}
	}
	fmt.Fprintf(stderr, "%s as of %s.%s\n", batch.Count(len(rows), "molecule"),
		at.Format("2006-01-02 15:04:05 -07:00"), h.elsewhere(true))
	if bare > 0 {
		fmt.Fprintf(stderr, "%d of them have no SMILES: the version that wrote their rows did "+
			"not journal it.\n", bare)
	}
	return func(w io.Writer) error { return csv.NewWriter(w).WriteAll(records) }, nil
}

// print prints what happened to a molecule, and how its row was edited since the last batch.
func (h *past) print(w io.Writer, id string) error {
	var batches []string
	events := map[string][]journal.Event{} // by batch
	err := h.each(func(e journal.Event) {
		if e.Mol != id || e.Event != journal.TargetEnd && e.Event != journal.Row {
			return
		}
		if events[e.Batch] == nil {
			batches = append(batches, e.Batch)
		}
		events[e.Batch] = append(events[e.Batch], e)
	})
	if err != nil {
		return err
	}
	i, there := h.Table.Lookup(id)
	switch {
	case len(batches) == 0 && !there:
		return unknown(id, h.Table)
	case len(batches) == 0:
		fmt.Fprintf(w, "%s: no batch has written its row yet, by the journal.%s\n", id,
			h.elsewhere(false))
		return nil
	}
	fmt.Fprintln(w, id)
	cells, before := map[string]string{}, journal.Event{}
	for _, name := range batches {
		start := h.starts[name]
		printBatch(w, start, events[name])
		printChanges(w, "", before.Programs, start.Programs)
		printChanges(w, "var.", before.Settings, start.Settings)
		now := maps.Clone(cells)
		for _, e := range events[name] { // that of a target has no cells
			maps.Copy(now, e.Inputs)
			maps.Copy(now, e.Values)
		}
		printChanges(w, "", cells, now)
		cells, before = now, start
	}
	h.printNow(w, i, there, cells)
	if text := h.elsewhere(true); text != "" {
		fmt.Fprintln(w, text)
	}
	return nil
}

// printNow says how the row in the table differs from what the batches wrote.
func (h *past) printNow(w io.Writer, row int, there bool, cells map[string]string) {
	if !there {
		fmt.Fprintln(w, "now: the table has no such row any more")
		return
	}
	now := map[string]string{}
	for name, text := range cells {
		now[name] = text
		if !h.Source.Says(row, name, text) && slices.Contains(h.Table.Columns(), name) {
			now[name] = h.Table.Texts(row, name)[0]
		}
	}
	if maps.Equal(now, cells) {
		fmt.Fprintln(w, "now: as the last batch wrote it")
		return
	}
	fmt.Fprintln(w, "now: edited since")
	printChanges(w, "", cells, now)
}

// printBatch prints when a batch had the molecule, who ran the batch and where, and what ran.
func printBatch(w io.Writer, start journal.Event, events []journal.Event) {
	e, outcome := events[len(events)-1], "not finished"
	var ran []string
	for _, event := range events {
		if event.Event == journal.Row {
			e, outcome = event, fmt.Sprintf("%s in %.1f s", event.Outcome, event.Seconds)
			continue
		}
		name := event.Target()
		if event.Outcome != journal.OK {
			name += " " + event.Outcome
		}
		ran = append(ran, name)
	}
	fmt.Fprintf(w, "\n%s  %s  batch %s by %s on %s\n", e.Time.Local().Format(time.DateTime),
		outcome, e.Batch, cmp.Or(start.User, "?"), cmp.Or(start.Host, e.Host, "?"))
	if len(ran) > 0 {
		fmt.Fprintf(w, "  ran  %s\n", strings.Join(ran, ", "))
	}
}

// printable is a text as it is, or quoted if a terminal would obey a part of it.
func printable(text string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.ContainsFunc(text, hidden) || !utf8.ValidString(text) {
		return strconv.Quote(text)
	}
	return text
}

// printChanges prints what differs, but for what every batch changes, such as times.
func printChanges(w io.Writer, prefix string, old, now map[string]string) {
	for _, name := range union(old, now) {
		a, b := printable(old[name]), printable(now[name])
		every := strings.HasPrefix(name, "timestamp_") || strings.HasSuffix(name, "_time") ||
			name == "batch_id" || name == "mol_id"
		switch {
		case a == b || every:
		case a == "":
			fmt.Fprintf(w, "  %-27s %s\n", printable(prefix+name), b)
		default:
			fmt.Fprintf(w, "  %-27s %s → %s\n", printable(prefix+name), a, cmp.Or(b, "blank"))
		}
	}
}
