package tables

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"grimperium/csvmerge"
)

// Merge writes the changes by one transaction, as csvmerge.Table.Merge does by one replacement.
func (d *database) Merge(changes []csvmerge.Change) (changed map[string]bool, err error) {
	if len(changes) == 0 {
		return nil, nil
	}
	var lost error
	m, err := d.known(changes)
	if m == nil && err == nil {
		err = d.transaction(func(ctx context.Context, tx *sql.Tx) error {
			m = &merge{database: d, ctx: ctx, tx: tx, changed: map[string]bool{}}
			if err := m.read(changes); err != nil {
				return err
			}
			var texts map[int]map[string]string
			if texts, lost = d.rows.Valid(m.changes); len(texts) == 0 {
				return nil
			}
			if err := m.widen(texts); err != nil {
				return err
			}
			return m.write(texts)
		})
	}
	if err != nil {
		return nil, err
	}
	if m.next != nil { // it is committed
		*d.rows, d.columns, d.header = *m.next, m.columns, m.header
	}
	for i, record := range m.records {
		d.rows.SetRecord(i, record)
		if id := d.rows.ID(i); d.shared {
			d.origins[id] = m.originOf(id)
		}
	}
	return m.changed, lost
}

// known writes changes of rows that are still as this batch claimed them, which need not be read
// again. For one row one statement is the whole transaction. It is nil if rows must be read.
func (d *database) known(changes []csvmerge.Change) (*merge, error) {
	m := &merge{database: d, changed: map[string]bool{}, byID: map[string]csvmerge.Change{},
		versions: map[string]string{}}
	for _, c := range changes {
		m.byID[c.ID] = c
		if version, claimed := d.versions[c.ID]; claimed {
			m.versions[c.ID] = version
			delete(d.versions, c.ID)
		}
	}
	if len(m.versions) < len(changes) {
		return nil, nil
	}
	texts, _ := d.rows.Valid(changes)
	if len(texts) < len(changes) || string(d.rows.Widened(texts).Header()) != string(d.header) {
		return nil, nil
	}
	write := func(ctx context.Context, q querier) error {
		m.ctx, m.tx, m.next, m.columns, m.header = ctx, q, d.rows, d.columns, d.header
		return m.write(texts)
	}
	var err error
	if len(changes) == 1 {
		err = d.inTime(func(ctx context.Context) error { return write(ctx, d.db) })
	} else {
		err = d.transaction(func(ctx context.Context, tx *sql.Tx) error { return write(ctx, tx) })
	}
	if errors.Is(err, errChanged) {
		return nil, nil
	}
	return m, err
}

// errChanged says that somebody has changed a row since this batch claimed it.
var errChanged = errors.New("the row was changed")

// merge is a transaction of Merge.
type merge struct {
	*database
	ctx     context.Context
	tx      querier
	changes []csvmerge.Change // of rows that no other batch has claimed
	byID    map[string]csvmerge.Change
	next    *csvmerge.Table // with all columns
	columns []column        // of next
	header  []byte          // of next
	records map[int][]byte
	changed map[string]bool
	// by mol_id: of rows that were not read and locked in this transaction
	versions map[string]string
}

// read locks the rows and reads them again: somebody may have edited them.
func (m *merge) read(changes []csvmerge.Change) error {
	ids, found := make([]string, len(changes)), map[string]bool{}
	texts := map[int]map[string]string{}
	for n, c := range changes {
		ids[n], texts[n] = c.ID, c.Cells
	}
	var err error
	if string(m.rows.Widened(texts).Header()) != string(m.database.header) {
		err = m.follow(m.ctx, m.tx) // nobody else can add columns until the end
	}
	if err == nil {
		err = m.fetch(m.ctx, m.tx, func(r dbRow) {
			m.refresh(r)
			found[r.id] = r.mine
		}, "WHERE "+m.among+" ORDER BY t.mol_id"+m.lock, m.list(ids)) // one order of locks
	}
	m.byID = map[string]csvmerge.Change{}
	for _, c := range changes {
		mine, there := found[c.ID]
		if !there && err == nil {
			m.rows.Forget(c.ID)
		}
		if mine || !there {
			m.changes, m.byID[c.ID] = append(m.changes, c), c
		}
	}
	return err
}

// widen adds the columns that texts need.
func (m *merge) widen(texts map[int]map[string]string) error {
	m.next, m.columns = m.rows.Widened(texts), m.database.columns
	m.header = m.next.Header()
	if string(m.header) == string(m.database.header) {
		return nil
	}
	have, all := len(m.columns), m.next.Columns()
	err := m.fits(len(all))
	for k, name := range sqlNames(all)[have:] {
		cells := func(yield func(string) bool) {
			for _, row := range texts {
				if !yield(row[all[have+k]]) {
					return
				}
			}
		}
		c := column{name: quoted(name), read: "t." + quoted(name),
			typ: columnType(all[have+k], cells)}
		m.columns = append(slices.Clip(m.columns), c)
		for _, statement := range m.add(m.database, c) {
			if err == nil {
				_, err = m.tx.ExecContext(m.ctx, statement)
			}
		}
	}
	if err == nil {
		_, err = m.tx.ExecContext(m.ctx, "UPDATE "+m.schema+"grimperium_tables SET header = $1 "+
			"WHERE name = $2", string(m.header), m.name)
	}
	return err
}

// write writes the rows: of each the columns that a change names, and those that are the program's.
func (m *merge) write(texts map[int]map[string]string) error {
	m.records = map[int][]byte{}
	names := map[string]bool{}
	for _, t := range texts {
		for name := range t {
			names[name] = true
		}
	}
	var at []int
	w := &write{ctx: m.ctx, tx: m.tx, update: true, checked: m.versions != nil}
	key := m.idColumn()
	w.columns = []column{m.columns[key], {name: textColumn}}
	if m.shared {
		w.columns = append(w.columns, column{name: originColumn}, column{name: claimedColumn})
	}
	for k, name := range m.next.Columns() {
		if names[name] && slices.Index(m.next.Columns(), name) == k { // the first of a name
			at, w.columns = append(at, k), append(w.columns, m.columns[k])
		}
	}
	if w.checked {
		w.columns = append(w.columns, column{name: versionColumn})
	}
	kinds, ids := types(m.columns), []string(nil)
	for i := range texts {
		id := m.rows.ID(i)
		record := m.next.EditedRecord(i, texts[i])
		if m.changed[id] = string(record) != string(m.rows.Record(i)); !m.changed[id] {
			delete(m.changed, id)
			if !m.shared {
				continue
			}
		}
		m.records[i] = record
		ids = append(ids, id)
		values, form := formed(record, ending(m.header), kinds)
		row := []any{values[key], form}
		if m.shared {
			var holder any
			if m.byID[id].Hold {
				holder = m.lease.id
			}
			row = append(row, m.originOf(id), holder)
		}
		for _, k := range at {
			row = append(row, values[k])
		}
		if w.checked {
			row = append(row, m.versions[id])
		}
		w.rows = append(w.rows, row)
	}
	err := m.engine.write(m.database, w)
	if isCast := func(c column) bool { return c.cast != "" }; err != nil ||
		!slices.ContainsFunc(w.columns[1:], isCast) {
		return err
	}
	return m.readBack(ids)
}

// readBack takes the records as the database has them: a column may keep another text than it was
// given, as numeric(10, 2) does.
func (m *merge) readBack(ids []string) error {
	wide := *m.database
	wide.columns = m.columns
	return wide.fetch(m.ctx, m.tx, func(r dbRow) {
		i, ok := m.rows.Lookup(r.id)
		if !ok {
			return
		}
		m.records[i] = csvmerge.AppendRecord(nil, r.form, wide.short(), types(m.columns), r.values)
		if string(m.records[i]) == string(m.rows.Record(i)) {
			delete(m.changed, r.id)
		}
	}, "WHERE "+m.among, m.list(ids))
}

// formed are the values of a record, and the record itself where they don't say all of it.
func formed(record, end []byte, kinds []csvmerge.Type) (values []any, form any) {
	values = csvmerge.Values(record, kinds)
	if string(csvmerge.AppendRecord(nil, end, false, kinds, values)) != string(record) {
		form = string(record)
	}
	return values, form
}

// originOf is what the row of a molecule keeps of this merge: no other merge has the same.
func (m *merge) originOf(id string) string {
	return strings.TrimSpace(m.byID[id].Origin + " " + m.lease.id)
}

// write is rows that are inserted, or written over the rows with the mol_id in the first column.
type write struct {
	ctx     context.Context
	tx      querier
	columns []column
	rows    [][]any
	update  bool
	// checked: the last value of a row is the version that it must have, else errChanged
	checked bool
}

// create makes the table in the database, with its rows.
func (d *database) create(t *csvmerge.Table) error {
	if err := d.fits(len(t.Columns())); err != nil {
		return err
	}
	names := sqlNames(t.Columns())
	columns := make([]column, len(names))
	for k, name := range names {
		cells := func(yield func(string) bool) {
			for i := range t.Len() {
				if !yield(t.Row(i)[k].Text) {
					return
				}
			}
		}
		columns[k] = column{name: quoted(name), typ: columnType(t.Columns()[k], cells)}
	}
	kinds, end := types(columns), ending(t.Header())
	ctx := context.Background()
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return d.explained(err)
	}
	defer tx.Rollback()
	for _, statement := range d.define(d, columns) {
		if err == nil {
			_, err = tx.ExecContext(ctx, statement)
		}
	}
	if err == nil {
		_, err = tx.ExecContext(ctx,
			"INSERT INTO "+d.schema+"grimperium_tables VALUES ($1, $2, $3, $4) ON CONFLICT "+
				"(name) DO UPDATE SET version = excluded.version, columns = "+
				"excluded.columns, header = excluded.header", // of a table that was dropped
			d.name, version, len(columns), string(t.Header()))
	}
	w := &write{ctx: ctx, tx: tx,
		columns: append(slices.Clone(columns), column{name: textColumn})}
	for i := range t.Len() {
		values, form := formed(t.Record(i), end, kinds)
		w.rows = append(w.rows, append(values, form))
		if err == nil && (len(w.rows) == chunk || i == t.Len()-1) {
			err = d.write(d, w)
			w.rows = w.rows[:0]
		}
	}
	if err == nil {
		err = tx.Commit()
	}
	return d.explained(err)
}

const chunk = 10_000 // rows that are written by one statement
