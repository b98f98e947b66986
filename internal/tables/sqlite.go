package tables

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"grimperium/csvmerge"
)

// sqliteFile is the table of an SQLite file.
func sqliteFile(path string) *database {
	return &database{engine: &sqliteEngine, place: path, shown: path, table: `"molecules"`,
		name: "molecules"}
}

var sqliteEngine = engine{
	types: map[csvmerge.Type]string{csvmerge.Integer: "INTEGER", csvmerge.Number: "REAL",
		csvmerge.Text: "TEXT"},
	most:  2000 - 2, // SQLite, "Limits In SQLite"
	among: "mol_id IN (SELECT value FROM json_each($1))",
	list: func(ids []string) any {
		text, _ := json.Marshal(ids) // texts have no error
		return string(text)
	},
	write:  writeSQLite,
	define: defineSQLite,
	add: func(d *database, c column) []string {
		return []string{"ALTER TABLE " + d.table + " ADD COLUMN " + defined(d, c)}
	},
	keeps: func(_ *database, c column) string {
		return "SELECT CAST(CAST($1 AS " + c.cast + ") AS text)"
	},
	asCSV: func(d *database) string {
		return fmt.Sprintf("sqlite3 -csv -header '%s' 'SELECT * FROM TABLE' > theirs.csv", d.shown)
	},
	explain: explainSQLite,
}

// source is what the driver opens. SQLite waits a second for another program that writes.
func (d *database) source(options string) string {
	path, _ := filepath.Abs(d.place)
	u := url.URL{Scheme: "file", Path: path,
		RawQuery: "_pragma=busy_timeout(1000)&_pragma=synchronous(FULL)&" + options}
	return u.String()
}

// openNew makes the file. A crash in the middle leaves a temporary file.
func (d *database) openNew() (err error) {
	d.db, err = sql.Open("sqlite", d.source("mode=rwc&_pragma=journal_mode(OFF)"))
	return err
}

// openSQLite opens the file. For a batch it has a write-ahead log, so that a merge takes one flush
// and readers need not wait. At rest the table is one file.
func (d *database) openSQLite(write bool) (err error) {
	options := "mode=rw"
	if write {
		options = "mode=rw&_txlock=immediate&_pragma=journal_mode(WAL)"
		if d.info, err = os.Stat(d.place); err != nil {
			return err
		}
	}
	d.db, err = sql.Open("sqlite", d.source(options))
	if err == nil && write {
		d.db.SetMaxOpenConns(1)
	}
	return err
}

func defineSQLite(d *database, columns []column) []string {
	var lines []string
	own := []column{{name: numberColumn, typ: csvmerge.Integer}, {name: textColumn}}
	for _, c := range slices.Concat(own[:1], columns, own[1:]) {
		lines = append(lines, "  "+defined(d, c))
	}
	return []string{
		"CREATE TABLE grimperium_tables (name TEXT PRIMARY KEY, version INTEGER, columns " +
			"INTEGER, header TEXT) STRICT",
		"CREATE TABLE " + d.table + " (\n" + strings.Join(lines, ",\n") + "\n) STRICT",
		"CREATE INDEX molecules_status ON " + d.table + " (status)"}
}

// defined is a column with its type and, for people, its comment.
func defined(d *database, c column) string {
	name := strings.Trim(c.name, `"`)
	constraints := map[string]string{"mol_id": " NOT NULL UNIQUE", numberColumn: " PRIMARY KEY"}
	text := c.name + " " + d.types[c.typ]
	if comments[name] != "" {
		text += " /* " + comments[name] + " */"
	}
	return text + constraints[name]
}

func writeSQLite(d *database, w *write) error {
	var names, places, sets []string
	for k, c := range w.columns {
		place := fmt.Sprintf("$%d", k+1)
		names, places = append(names, c.name), append(places, place)
		sets = append(sets, c.name+" = "+place)
	}
	query := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", d.table, strings.Join(names, ", "),
		strings.Join(places, ", "))
	if w.update {
		query = fmt.Sprintf("UPDATE %s SET %s WHERE mol_id = $1", d.table,
			strings.Join(sets[1:], ", "))
	}
	statement, err := w.tx.PrepareContext(w.ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	for _, row := range w.rows {
		if _, err := statement.ExecContext(w.ctx, row...); err != nil {
			return err
		}
	}
	return nil
}

// diskErrors are SQLite's codes for what the system reports.
var diskErrors = map[int]error{sqlite3.SQLITE_FULL: syscall.ENOSPC,
	sqlite3.SQLITE_IOERR:    syscall.EIO,
	sqlite3.SQLITE_READONLY: syscall.EROFS}

// isStatement reports whether SQLite can't do a statement, for example because a table is missing.
func isStatement(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_ERROR
}

func explainSQLite(d *database, err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	code := e.Code() & 0xff // without what is more than the primary code
	switch code {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return &csvmerge.BusyError{Err: fmt.Errorf("%s: another program has a transaction open on "+
			"the table, for example DB Browser or a Python script; commit or close it there and "+
			"run again", d.shown)}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s: %w; restore the file from a backup", d.shown, err)
	case sqlite3.SQLITE_ERROR:
		return fmt.Errorf("%s: %w; if somebody dropped or renamed it, add it again", d.shown, err)
	case sqlite3.SQLITE_CONSTRAINT:
		return fmt.Errorf("%s: %w; %s", d.shown, err, refused)
	}
	return fmt.Errorf("%s: %w", d.shown, cmp.Or(diskErrors[code], err))
}
