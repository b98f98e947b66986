// Package formats writes tables as Parquet and SQLite files, and reads the tables and structure
// files of others into rows of texts. It knows no chemistry: the caller says which column has a
// SMILES, and what a unit is.
//
// Its main types are Export, what is to be written, and Table, what was read. A reader returns an
// error that names the line for any file that it can't read. It never panics and reads at most
// MostBytes. Nothing here replaces a file: the caller writes what comes out in one step.
package formats

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says what the values of an exported column are. Every value may be nil.
type Kind uint8

// The kinds of columns, with the Go types of their values.
const (
	Text    Kind = iota // string
	Integer             // int64
	Number              // float64
	Time                // time.Time
)

// Column is a column of an exported table. Names differ by more than letter case.
type Column struct {
	Name string
	Kind Kind
	Unit string // as "kcal/mol"; "" where there is none
}

// Export is a table of molecules and, if Conformers are named, a list of conformers for each row.
type Export struct {
	Columns, Conformers []Column
	Key                 int // the column that names a row
	Rows                int
	Row                 func(i int) (values []any, conformers [][]any, err error)
}

// Unique is a name, or name_2, name_3 where another one is the same but for letter case.
func Unique(name string, taken []string) string {
	out := name
	same := func(t string) bool { return strings.EqualFold(t, out) }
	for n := 2; slices.ContainsFunc(taken, same); n++ {
		out = fmt.Sprintf("%s_%d", name, n)
	}
	return out
}
