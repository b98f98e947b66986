package tables

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/command"
)

const version = 1 // of the form of a table in a database

var longest = 30 * time.Second // that a transaction may take. A test has a shorter one

// refused says what to do if the database does not take what a batch writes.
const refused = "change the type, the constraint or the trigger that refuses it, and run again: " +
	"the results are kept, and the next batch writes them"

// engine is what SQLite and PostgreSQL do differently.
type engine struct {
	types   map[csvmerge.Type]string // as a column is declared
	most    int                      // columns, beside the own ones
	options *sql.TxOptions           // of a transaction that reads everything
	// arguments of a query that is not prepared: columns may change
	fresh []any
	// several batches may work on one table: their rows are claimed
	shared bool
	// among is the condition that a mol_id is in a list, which is the first argument.
	among  string
	list   func(ids []string) any
	lock   string // behind a SELECT: the rows are to be changed
	write  func(d *database, w *write) error
	define func(d *database, columns []column) (statements []string)
	add    func(d *database, c column) (statements []string) // a column
	// keeps is the query for a text as a column would have it after a merge of $1.
	keeps func(d *database, c column) string
	asCSV func(d *database) (command string) // that writes the table as CSV
	// explain gives an error of the driver the type and the words that it needs.
	explain func(d *database, err error) error
}

// database is a table of molecules in a database. It is a batch.Table.
type database struct {
	*engine
	db         *sql.DB
	place      string // a path or a URL
	shown      string // the same, for messages
	table      string // quoted
	name       string // of the table in the list of tables
	schema     string // quoted, with a dot, or ""
	info       os.FileInfo
	lease      *lease
	header     []byte // as the database has it
	firstWidth int    // columns that the table had when it was made
	rows       *csvmerge.Table
	columns    []column
	// by mol_id: the Origin of the last merge and the batch that made it
	origins map[string]string
	// by mol_id: of a row that this batch has claimed, and has neither read nor written since
	versions map[string]string
}

// column is a column of the table of molecules.
type column struct {
	name string // quoted
	// read is the expression that is read. It names the table t: SQLite takes "x" alone for a text
	// if there is no column x any more.
	read string
	typ  csvmerge.Type
	cast string // the type of the database that a text becomes when it is written; "": none
}

func types(columns []column) (types []csvmerge.Type) {
	for _, c := range columns {
		types = append(types, c.typ)
	}
	return types
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// Rows is the table in memory.
func (d *database) Rows() *csvmerge.Table { return d.rows }

// Origin says with what a row was computed, and where.
func (d *database) Origin(id string) string {
	origin := d.origins[id]
	return origin[:max(0, strings.LastIndex(origin, " "))]
}

// Says reports whether a merge of a text would leave a cell as it is. A column of another type than
// convert makes, such as numeric(10, 2), keeps another text than it is given.
func (d *database) Says(row int, column, text string) bool {
	if d.rows.Says(row, column, text) {
		return true
	}
	k := slices.Index(d.rows.Columns(), column)
	if k < 0 || d.columns[k].cast == "" || text == "" {
		return false
	}
	var kept sql.NullString // an error of the database: the column can't keep this text
	_ = d.db.QueryRow(d.keeps(d, d.columns[k]), text).Scan(&kept)
	return kept.Valid && d.rows.Says(row, column, kept.String)
}

// Close ends the connections. A batch's claims end with it.
func (d *database) Close() error {
	if d.db == nil {
		return nil
	}
	if d.lease != nil { // all claims end with it
		d.lease.stop()
		ctx, cancel := context.WithTimeout(context.Background(), connectTime)
		defer cancel()
		// else it runs out
		_, _ = d.db.ExecContext(ctx, "DELETE FROM "+d.batches()+" WHERE id = $1", d.lease.id)
	}
	if d.info != nil { // else another program has the file open, or the disk failed
		_, _ = d.db.Exec("PRAGMA journal_mode = DELETE")
	}
	return d.db.Close()
}

// transaction does some work whole, or not at all.
func (d *database) transaction(work func(ctx context.Context, tx *sql.Tx) error) error {
	return d.inTime(func(ctx context.Context) error {
		tx, err := d.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // nothing after a commit
		if err := work(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// inTime does some work that writes. On a server it may not take long.
func (d *database) inTime(work func(ctx context.Context) error) error {
	if d.info != nil {
		// Nobody may open the file here: the end of that would end SQLite's locks on it, too.
		now, err := os.Stat(d.place)
		if err != nil || !os.SameFile(now, d.info) || now.Size() == 0 {
			return fmt.Errorf("%s: the file was removed, emptied or replaced while the batch ran; "+
				"nothing more was written, run again", d.shown)
		}
	}
	ctx := context.Background()
	if d.shared {
		limited, cancel := context.WithTimeout(ctx, longest)
		defer cancel()
		ctx = limited
	}
	err := work(ctx)
	if err != nil && ctx.Err() != nil {
		err = &csvmerge.BusyError{Away: true, Err: fmt.Errorf("%s: no answer in %s: the server is "+
			"away, or an open transaction of another program has locked the rows", d.shown,
			longest)}
	}
	return d.explained(err)
}

func (d *database) explained(err error) error {
	if _, ok := errors.AsType[*csvmerge.BusyError](err); ok || err == nil {
		return err
	}
	return d.explain(d, err)
}

// load reads the whole table.
func (d *database) load() error {
	ctx := context.Background()
	tx, err := d.db.BeginTx(ctx, d.options)
	if err == nil {
		err = d.loadIn(ctx, tx)
		_ = tx.Rollback()
	}
	return d.explained(err)
}

func (d *database) loadIn(ctx context.Context, tx querier) error {
	text, err := d.describe(ctx, tx)
	if err != nil {
		return err
	}
	n, end, kinds, odd := 0, ending(text), types(d.columns), ""
	d.origins, d.versions = map[string]string{}, map[string]string{}
	err = d.fetch(ctx, tx, func(r dbRow) {
		if text[len(text)-1] != '\n' { // the last row of a file may have none
			text = append(text, end...)
		}
		text = csvmerge.AppendRecord(text, r.form, d.short(), kinds, r.values)
		if r.origin != "" {
			d.origins[r.id] = r.origin
		}
		if n++; strings.TrimSpace(r.id) != r.id {
			odd = r.id
		}
	}, "ORDER BY "+numberColumn)
	if err == nil && odd != "" {
		err = fmt.Errorf("%s: the mol_id %q has a blank at its beginning or end; UPDATE %s SET "+
			"mol_id = trim(mol_id) takes it away", d.shown, odd, d.table)
	}
	if err != nil {
		return err
	}
	if d.rows, err = csvmerge.Parse(d.shown, text); err == nil && d.rows.Len() != n {
		err = fmt.Errorf("%s: a %s is not the text of one row; set it to NULL where you changed it",
			d.shown, textColumn)
	}
	return err
}

// describe finds the header and the columns, without rows.
func (d *database) describe(ctx context.Context, q querier) (header []byte, err error) {
	if d.header, err = d.recorded(ctx, q, ""); err != nil {
		return nil, err
	}
	t, err := csvmerge.Parse(d.shown, d.header)
	if err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, "SELECT * FROM "+d.table+" LIMIT 0", d.fresh...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	declared, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	own := []string{numberColumn, textColumn, claimedColumn, originColumn}
	names := append(own, sqlNames(t.Columns())...)
	for _, c := range declared { // those that somebody has added come last
		if !slices.Contains(names, c.Name()) {
			t, names = t.With([]string{c.Name()}), append(names, c.Name())
		}
	}
	d.columns = nil
	for _, name := range names[len(own):] {
		at := slices.IndexFunc(declared, func(c *sql.ColumnType) bool { return c.Name() == name })
		if at < 0 {
			return nil, dropped(d, name)
		}
		d.columns = append(d.columns, d.column(name, declared[at].DatabaseTypeName()))
	}
	d.rows = t
	return t.Header(), nil
}

// column is a column by its type in the database. Those of foreign types are read as texts.
func (d *database) column(name, declared string) column {
	c := column{name: quoted(name), read: "t." + quoted(name), typ: csvmerge.Text}
	switch typ := strings.ToUpper(declared); {
	case typ == "TEXT":
	case slices.Contains([]string{"INTEGER", "INT", "INT8"}, typ):
		c.typ = csvmerge.Integer
	case typ == "REAL" || typ == "FLOAT8":
		c.typ = csvmerge.Number
	default:
		c.read = "CAST(" + c.read + " AS text)"
		if strings.Trim(declared, "0123456789") != "" { // else the number of a type
			c.cast = declared
		}
	}
	return c
}

// recorded reads the header from the list of tables.
func (d *database) recorded(ctx context.Context, q querier, lock string) (
	header []byte, err error) {
	var found int
	query := "SELECT version, columns, header FROM " + d.schema + "grimperium_tables WHERE name " +
		"= $1" + lock
	err = q.QueryRowContext(ctx, query, d.name).Scan(&found, &d.firstWidth, &header)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, noTable(d)
	case isStatement(err):
		return nil, foreign(d)
	case err == nil && found != version:
		return nil, fmt.Errorf("%s: the table has version %d, and this program reads version %d; "+
			"convert it to CSV with the program that made it", d.shown, found, version)
	}
	return header, err
}

// fits is an error if the database has no place for so many columns.
func (d *database) fits(columns int) error {
	if columns <= d.most {
		return nil
	}
	return fmt.Errorf("%s: %d columns, and a table of the database has at most %d; leave some "+
		"out, or keep the table as it is", d.shown, columns, d.most)
}

func noTable(d *database) error {
	if d.shared {
		if _, err := d.db.Exec("SELECT FROM " + d.table + " LIMIT 0"); err == nil {
			return foreign(d)
		}
	}
	return fmt.Errorf("%s: there is no table of molecules; make one: %s convert TABLE.csv '%[1]s'",
		d.shown, command.Name)
}

// foreign is the error of a table that another program made.
func foreign(d *database) error {
	return fmt.Errorf("%s: is no table of molecules that %s convert made; write it as CSV and "+
		"import that:\n  %s\n  %[2]s import theirs.csv -out=mine.csv", d.shown, command.Name,
		d.asCSV(d))
}

// dropped is the error of a column that somebody dropped or renamed.
func dropped(d *database, name string) error {
	return fmt.Errorf("%s: the table has no column %q any more; rename it back, or add it again: "+
		"ALTER TABLE %s ADD COLUMN %s text", d.shown, name, d.table, quoted(name))
}

// dbRow is a row as the database has it.
type dbRow struct {
	id     string
	form   []byte // the row in CSV, or a line ending
	mine   bool   // no other batch that lives has claimed it
	origin string
	values []any
}

// fetch reads rows; what follows FROM the table is in tail.
func (d *database) fetch(ctx context.Context, q querier, each func(dbRow), tail string,
	args ...any) error {
	lists := []string{"t." + textColumn}
	if d.shared {
		lists = append(lists, originColumn, d.free())
	}
	own := len(lists)
	for _, c := range d.columns {
		lists = append(lists, c.read)
	}
	query := fmt.Sprintf("SELECT %s FROM %s AS t %s", strings.Join(lists, ", "), d.table, tail)
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	values, into := make([]any, len(lists)), make([]any, len(lists))
	for k := range values {
		into[k] = &values[k]
	}
	end, id, altered := ending(d.header), d.idColumn(), d.altered()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		r := dbRow{form: end, mine: true, values: values[own:]}
		text, ok := r.values[id].(string)
		if !ok { // somebody has made mol_id a number
			text = string(csvmerge.AppendRecord(nil, nil, false, types(d.columns[id:id+1]),
				r.values[id:id+1]))
		}
		r.id = text
		form, formed := values[0].(string)
		if formed {
			r.form = []byte(form)
		}
		if d.shared {
			r.origin, _ = values[1].(string)
			r.mine, _ = values[2].(bool)
		}
		for k, v := range r.values {
			if v == "" {
				r.values[k] = nil
			}
		}
		if formed && len(altered) > 0 {
			r.restore(altered)
		}
		each(r)
	}
	return rows.Err()
}

// altered are the types in the format of the columns that have another type in the database.
func (d *database) altered() map[int]csvmerge.Type {
	out := map[int]csvmerge.Type{}
	for k, c := range d.columns {
		if own := csvmerge.Types(strings.Trim(c.name, `"`)); own != c.typ {
			out[k] = own
		}
	}
	return out
}

// restore gives a row back its texts that were never numbers, in altered columns. Blank cells would
// mean something else.
func (r dbRow) restore(altered map[int]csvmerge.Type) {
	texts := csvmerge.Values(r.form, make([]csvmerge.Type, len(r.values)))
	for k, own := range altered {
		text, ok := texts[k].(string)
		if r.values[k] == nil && ok && own.Value(text) == nil {
			r.values[k] = text
		}
	}
}

// idColumn is the place of mol_id among the columns.
func (d *database) idColumn() int {
	return slices.IndexFunc(d.columns, func(c column) bool { return c.name == `"mol_id"` })
}

// short says whether rows may be shorter than the header: until a column is added, as in a file.
func (d *database) short() bool { return len(d.columns) == d.firstWidth }

// refresh takes a dbRow row into memory.
func (d *database) refresh(r dbRow) bool {
	row, ok := d.rows.Lookup(r.id)
	if ok {
		d.rows.SetRecord(row, csvmerge.AppendRecord(nil, r.form, d.short(), types(d.columns),
			r.values))
		d.origins[r.id] = r.origin
	}
	return ok
}

// follow takes in columns that somebody has added since the header was read, and keeps others from
// adding more.
func (d *database) follow(ctx context.Context, tx querier) error {
	now, err := d.recorded(ctx, tx, d.lock)
	if err != nil || string(now) == string(d.header) {
		return err
	}
	was, old := *d, d.rows.Columns()
	_, err = d.describe(ctx, tx)
	all := d.rows.Columns()
	ordered := slices.Equal(all[:min(len(old), len(all))], old)
	if err == nil && !ordered {
		err = d.loadIn(ctx, tx)
	}
	switch {
	case err != nil:
		*d = was
		return err
	case ordered:
		*was.rows = *was.rows.With(all[len(old):])
	default:
		*was.rows = *d.rows
	}
	d.rows = was.rows // others have the pointer
	return nil
}

// Claim reads rows again. Where several batches may work on the table, it takes them for this one.
func (d *database) Claim(n int, ids []string) (ours []string, asked int, err error) {
	if d.shared {
		return d.claim(n, ids)
	}
	ids = ids[:min(n, len(ids))]
	_, err = d.gone(ids, func(r dbRow) { d.refresh(r) })
	return ids, len(ids), err
}

// gone calls each for the rows, and forgets and returns those that the table has no more.
func (d *database) gone(ids []string, each func(dbRow)) (gone []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	there := map[string]bool{}
	err = d.fetch(context.Background(), d.db, func(r dbRow) {
		each(r)
		there[r.id] = true
	}, "WHERE "+d.among, d.list(ids))
	for _, id := range ids {
		if err == nil && !there[id] {
			d.rows.Forget(id)
			gone = append(gone, id)
		}
	}
	return gone, d.explained(err)
}

// open connects for reading, or with write for a batch.
func (d *database) open(write bool) error {
	if !d.shared {
		return d.openSQLite(write)
	}
	if write {
		return d.begin()
	}
	return nil
}
