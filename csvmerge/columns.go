package csvmerge

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type says how the cells of a column are read.
type Type uint8

// The types of columns. A column that is not ours is Text.
const (
	Text       Type = iota
	Integer         // 3, +3, 3.0; not 3.7
	Number          // decimal, with or without an exponent; no infinities
	Timestamp       // ISO 8601
	StatusType      // one of the names that ParseStatus understands
	SMILES          // a SMILES, and perhaps a name behind a blank, which is no part of its value
)

// column is what we know of one of our columns.
type column struct {
	name     string
	typ      Type
	required bool
	added    bool // of format v2.1: added to older tables by the first merge that needs one
	output   bool // only ever written by us, so a bad cell in it is no reason to pass over the row
}

// ours lists the columns of formats v2.0 and v2.1 in the order of the specification
// ("CSV Format Evolution"). Enthalpies and their differences are in kcal/mol, times in seconds.
var ours = []column{
	{name: "mol_id", required: true},
	{name: "status", typ: StatusType, required: true},
	{name: "reruns", typ: Integer},
	{name: "smiles", typ: SMILES, required: true},
	{name: "multiplicity", typ: Integer},
	{name: "charge", typ: Integer},
	{name: "nheavy", typ: Integer},
	{name: "timestamp_added", typ: Timestamp},
	{name: "H298_cbs", typ: Number},
	{name: "batch_id", output: true},
	{name: "timestamp_started", typ: Timestamp, added: true, output: true},
	{name: "timestamp_completed", typ: Timestamp, added: true, output: true},
	{name: "crest_status", added: true, output: true},
	{name: "crest_conformers_generated", typ: Integer, added: true, output: true},
	{name: "crest_time", typ: Number, added: true, output: true},
	{name: "mopac_status", added: true, output: true},
	{name: "mopac_time", typ: Number, added: true, output: true},
	{name: "delta_1", typ: Number, added: true, output: true},
	{name: "delta_2", typ: Number, added: true, output: true},
	{name: "delta_3", typ: Number, added: true, output: true},
	{name: "most_stable_hof", typ: Number, added: true, output: true},
	{name: "error_message", added: true, output: true},
}

// own returns what we know of a column, or nil for a foreign one.
func own(name string) *column {
	i := slices.IndexFunc(ours, func(c column) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &ours[i]
}

// Known returns the names of the columns of both formats, in the specification's order.
func Known() []string {
	names := make([]string, len(ours))
	for i, c := range ours {
		names[i] = c.name
	}
	return names
}

// Types returns the type of a column by its name; Text for a column that is not ours.
func Types(column string) Type {
	if c := own(column); c != nil {
		return c.typ
	}
	return Text
}

// Kind tells apart the ways in which a cell can hold no value.
type Kind uint8

// The kinds of cells.
const (
	Absent  Kind = iota // no such column, or the row ends before it
	Empty               // nothing, or only spaces
	Invalid             // an NA marker, or not of the column's type
	Valid
)

// Cell is one cell: its text as in the file but without the quotes around it, and what it is.
type Cell struct {
	Text string
	Kind Kind
}

// classify says what a cell's text is in a column of a type.
func classify(typ Type, text string) Kind {
	text = strings.TrimSpace(text)
	if text == "" {
		return Empty
	}
	ok := !isNA(text)
	if ok {
		switch typ {
		case Integer:
			_, ok = parseInteger(text)
		case Number:
			_, ok = parseNumber(text)
		case Timestamp:
			ok = isTimestamp(text)
		case StatusType:
			_, ok = ParseStatus(text)
		case SMILES:
			_, _, problem := SplitSMILES(text)
			ok = problem == ""
		}
	}
	if !ok {
		return Invalid
	}
	return Valid
}

// isNA reports whether a trimmed text stands for "no value" in tables written by others.
// Such a cell is invalid, not empty: somebody tried to say something.
func isNA(text string) bool {
	if len(text) > len("none") {
		return false
	}
	switch strings.ToLower(text) {
	case "nan", "none", "n/a", "na", "-", "?", "null":
		return true
	}
	return false
}

// parseNumber reads a finite decimal number: 5, +5, 0.0, 1e-3. Not 1,5, 0x10, 1_000, inf.
func parseNumber(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', c == '+', c == '-', c == '.', c == 'e', c == 'E':
		default:
			return 0, false // ParseFloat takes more than a table should: hexadecimal, underscores, Inf
		}
	}
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil
}

// parseInteger reads an integer, also one written as 3.0 or 1e2.
func parseInteger(text string) (int64, bool) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53 // above it a float64 no longer tells neighbouring integers apart
	x, ok := parseNumber(text)
	if !ok || x != math.Trunc(x) || math.Abs(x) > exact {
		return 0, false
	}
	return int64(x), true
}

// timestampForms are the forms of ISO 8601 that programs write; a blank for the T is pandas' habit.
// Fractions of a second are understood after any seconds.
var timestampForms = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02T15:04:05-0700", "2006-01-02T15:04:05Z07", "20060102T150405Z0700", "20060102T150405", "20060102",
}

func isTimestamp(text string) bool {
	text = strings.TrimSpace(text)
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	if len(text) > 12 && text[10] == 'T' && text[12] == ':' {
		return false // time.Parse would take an hour of one digit
	}
	return slices.ContainsFunc(timestampForms, func(form string) bool {
		_, err := time.Parse(form, text)
		return err == nil
	})
}

// Status is where a molecule stands.
type Status uint8

// The statuses. Unknown is a cell that names none of them; Check reports it.
const (
	Unknown Status = iota
	Pending
	Selected
	Running
	OK
	Rerun
	Skip
)

// String returns the name as it is written into the table.
func (s Status) String() string {
	return [...]string{"Unknown", "Pending", "Selected", "Running", "OK", "Rerun", "Skip"}[min(s, Skip)]
}

// ParseStatus reads a status in any letter case, by its present or its earlier name (PENDING,
// COMPLETE, FAILED, SKIPPED). A blank is Pending. ok is false, and the status Unknown, for anything else.
func ParseStatus(text string) (s Status, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "pending":
		return Pending, true
	case "selected":
		return Selected, true
	case "running":
		return Running, true
	case "ok", "complete":
		return OK, true
	case "rerun", "failed":
		return Rerun, true
	case "skip", "skipped":
		return Skip, true
	}
	return Unknown, false
}
