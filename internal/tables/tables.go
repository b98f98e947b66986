// Package tables opens the table of molecules wherever it is kept: in a CSV file (csvmerge), in an
// SQLite file, or on a PostgreSQL server. Every kind is the same batch.Table: rows of CSV in
// memory, and Merge.
//
// In a database each column of the table is a typed column. The column csv_text keeps what a typed
// column can't: an unusual form of a number, an invalid number, quotes and line endings. So every
// table can become a CSV file again with the same bytes. What somebody writes into a typed column
// counts; columns that a merge does not change are never written.
//
// A merge is one transaction. While another program locks an SQLite file, and while a PostgreSQL
// server does not answer, the error is a *csvmerge.BusyError. Files: the SQLite file, and SQLite's
// own files beside it while the table is open.
package tables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/durable"
	"grimperium/internal/store"
)

// Open reads the table at a place: the path of a CSV or SQLite file, or the URL of a PostgreSQL
// table, postgres://USER@HOST/DATABASE?table=NAME. With write the table is for a batch, which has
// the right to write it.
func Open(place string, write bool) (batch.Table, error) {
	d, err := find(place)
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return csvmerge.Read(place)
	}
	if err = d.open(write); err == nil {
		err = d.load()
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// Header returns the names of a table's columns. It reads no rows.
func Header(place string) ([]string, error) {
	d, err := find(place)
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return csvmerge.ReadHeader(place)
	}
	defer d.Close()
	if err = d.open(false); err == nil {
		_, err = d.describe(context.Background(), d.db)
	}
	if err != nil {
		return nil, d.explained(err)
	}
	return d.rows.Columns(), nil
}

// find says in which database a table is, nil for a CSV file.
func find(place string) (*database, error) {
	if store.IsURL(place) {
		return postgres(place)
	}
	if isSQLite(place) {
		return sqliteFile(place), nil
	}
	if _, err := os.Stat(place); err == nil && namesSQLite(place) {
		return nil, fmt.Errorf("%s: is no SQLite file; restore it from a backup, or make it "+
			"again: %s convert TABLE.csv 'sqlite:%[1]s'", place, command.Name)
	}
	return nil, nil
}

// isSQLite looks at the first bytes of a file (SQLite, "Database File Format").
func isSQLite(path string) bool {
	f, err := durable.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 16)
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == "SQLite format 3\x00"
}

// sqlitePrefix says that a file is to be one of SQLite.
const sqlitePrefix = "sqlite:"

// namesSQLite reports whether the name of a file is one of SQLite.
func namesSQLite(path string) bool {
	return slices.Contains([]string{".db", ".sqlite", ".sqlite3"}, filepath.Ext(path))
}

// Create makes the table at a place where there is none yet. A place that starts with sqlite: or
// ends with .db, .sqlite or .sqlite3 is a file of SQLite. The table is there whole, or not at all.
func Create(place string, t *csvmerge.Table) error {
	path, isDB := strings.CutPrefix(place, sqlitePrefix)
	isDB = isDB || namesSQLite(path)
	isURL := store.IsURL(place)
	if _, err := os.Lstat(path); !isURL && err == nil {
		return fmt.Errorf("%s: is there already, and nothing was written; give another name, or "+
			"remove it first", path)
	}
	if !isURL && !isDB {
		return durable.WriteFile(durable.File{Path: path, Write: t.Write})
	}
	for _, f := range t.Check() {
		longer := f.Column == "" && f.Severity == csvmerge.Unusable // than the header
		if f.Severity == csvmerge.Fatal || longer {
			return fmt.Errorf("%s:%s; a database has no place for such a row", t.Path(), f)
		}
	}
	if isURL {
		d, err := postgres(place)
		if err != nil {
			return err
		}
		defer d.Close()
		if err = d.open(false); err == nil {
			err = d.create(t)
		}
		return err
	}
	return createFile(path, t)
}

// createFile makes an SQLite file under a temporary name, which a killed one leaves to the next.
func createFile(path string, t *csvmerge.Table) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	d := sqliteFile(temp)
	d.shown = path
	err := durable.InOrder(
		func() error { return durable.Remove(temp) },
		func() error { return os.MkdirAll(filepath.Dir(path), 0o777) },
		func() error { return errors.Join(d.openNew(), d.create(t), d.Close()) },
		func() error { return durable.Sync(temp) },
		func() error { return durable.Rename(temp, path) },
		func() error { return durable.Sync(filepath.Dir(path)) })
	if err != nil {
		err = errors.Join(err, durable.Remove(temp))
	}
	return err
}

// Own columns of a database table, beside those of the table of molecules.
const (
	numberColumn  = "row_number" // the order of the rows
	textColumn    = "csv_text"   // the row in CSV, NULL where the other columns say all of it
	claimedColumn = "claimed_by" // the batch that computes the row
	originColumn  = "computed"   // with what and where the row was computed
)

// sqlNames are the names of the columns in a database. None is empty, longer than 63 bytes, or
// there twice, also in another letter case.
func sqlNames(columns []string) (names []string) {
	taken := map[string]bool{"mol_id": true, numberColumn: true, textColumn: true,
		claimedColumn: true, originColumn: true}
	for _, c := range columns {
		base := strings.ToValidUTF8(c[:min(len(c), 55)], "")
		if base == "" {
			base = "column"
		}
		name := base
		for n := 2; taken[strings.ToLower(name)] && c != "mol_id"; n++ {
			name = fmt.Sprintf("%s_%d", base, n)
		}
		taken[strings.ToLower(name)] = true
		names = append(names, name)
	}
	return names
}

// quoted is a name in SQL.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// columnType is the type of a column in a database. A column that the format does not know has
// numbers if all of its cells are numbers. Leading zeros, as of identifiers, and more digits than a
// float64 has make it text.
func columnType(name string, cells func(yield func(text string) bool)) csvmerge.Type {
	switch typ := csvmerge.Types(name); {
	case typ == csvmerge.Integer || typ == csvmerge.Number:
		return typ
	case typ != csvmerge.Text || slices.Contains(csvmerge.Known(), name):
		return csvmerge.Text
	}
	typ := csvmerge.Text
	for text := range cells {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		if !isNumber(text) {
			return csvmerge.Text
		}
		typ = csvmerge.Number
	}
	return typ
}

func isNumber(text string) bool {
	digits := strings.TrimLeft(text, "-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] != '.' || len(digits) > 15 {
		return false
	}
	return csvmerge.Number.Value(text) != nil
}

// ending is the line ending of a header.
func ending(header []byte) []byte {
	if bytes.HasSuffix(header, []byte("\r\n")) {
		return []byte("\r\n")
	}
	return []byte("\n")
}
