package formats

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// WriteSQLite writes a SQLite database with the table molecules and, if conformers are named, the
// table conformers, whose first column is the Key of molecules. Comments name the columns' units.
func WriteSQLite(ctx context.Context, to io.Writer, x Export) (err error) {
	if n := len(x.Columns); n > mostColumns {
		return fmt.Errorf("%d columns, and a table of SQLite has at most %d; take -format=parquet",
			n, mostColumns)
	}
	dir, err := os.MkdirTemp("", "grimperium-sqlite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "export.db")
	name := url.URL{Scheme: "file", Path: path,
		RawQuery: "_pragma=journal_mode(off)&_pragma=synchronous(off)"} // nobody reads a torn one
	db, err := sql.Open("sqlite", name.String())
	if err == nil {
		err = errors.Join(fill(ctx, db, x), db.Close())
	}
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}

// fill writes the tables in one transaction.
func fill(ctx context.Context, db *sql.DB, x Export) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // has no effect after the commit
	molecules, err := create(ctx, tx, "molecules", x.Columns)
	if err != nil {
		return err
	}
	var conformers *sql.Stmt
	if x.Conformers != nil {
		columns := append([]Column{x.Columns[x.Key]}, x.Conformers...)
		if conformers, err = create(ctx, tx, "conformers", columns); err != nil {
			return err
		}
	}
	for i := range x.Rows {
		values, list, err := x.Row(i)
		if err != nil {
			return err
		}
		if _, err := molecules.ExecContext(ctx, sqliteValues(values)...); err != nil {
			return err
		}
		for _, c := range list {
			row := append([]any{values[x.Key]}, c...)
			if _, err := conformers.ExecContext(ctx, row...); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// create makes a table and prepares the insertion of a row.
func create(ctx context.Context, tx *sql.Tx, name string, columns []Column) (*sql.Stmt, error) {
	var lines []string
	for k, c := range columns {
		line := `"` + strings.ReplaceAll(c.Name, `"`, `""`) + `" ` +
			map[Kind]string{Text: "TEXT", Integer: "INTEGER", Number: "REAL", Time: "TEXT"}[c.Kind]
		if k < len(columns)-1 {
			line += ","
		}
		if c.Unit != "" {
			line += " -- " + c.Unit
		}
		lines = append(lines, "  "+line)
	}
	table := fmt.Sprintf("CREATE TABLE %s (\n%s\n)", name, strings.Join(lines, "\n"))
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return nil, err
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",")
	return tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s VALUES (%s)", name, marks))
}

// sqliteValues writes times as texts, which SQLite's functions read.
func sqliteValues(values []any) []any {
	out := make([]any, len(values))
	for k, v := range values {
		if t, ok := v.(time.Time); ok {
			v = t.UTC().Format(time.RFC3339Nano)
		}
		out[k] = v
	}
	return out
}
