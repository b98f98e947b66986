package csvmerge

import (
	"slices"
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestClassify(t *testing.T) {
	tests := []struct {
		typ           Type
		valid, broken []string
	}{
		{Number, []string{"0.0", "0", "-0", "1e-3", "+5", " 5 ", "1E+3", ".5", "5.", "-17.545",
			"1e-400", "\u00a05"},
			[]string{"1,5", "0x10", "1_000", "inf", "-Infinity", "1e999", "--5", "1e", ".", "+",
				"5 kcal", "１", "NaN"}},
		{Integer, []string{"3", "3.0", "+3", "-1", "3e0", " 7 ", "9223372036854775807", "1e2"},
			[]string{"3.7", "1e-1", "0x3", "three", "1e300", "9223372036854775808",
				"9007199254740993.0e1"}},
		{Timestamp, []string{"2026-11-23T00:00:00+00:00", "2026-11-23T00:00:00Z",
			"2026-11-23T00:00:00.123456-03:00",
			"2026-11-23", "2026-11-23 10:00:00+00:00", "2026-11-23T10:00", "20261123T100000Z",
			"2026-11-23T10:00:00",
			"2026-11-23T10:00:00+0000", " 2024-02-29 "},
			[]string{"23.11.2026", "2026-13-01", "2026-02-29", "yesterday", "11/23/2026",
				"2026-11-23T25:00:00", "2026-11-23T5:00:00", "1700000000"}},
		{StatusType, []string{"ok", "OK", "Pending", " RUNNING ", "complete", "FAILED",
			"Skipped", "selected", "rerun", "skip"},
			[]string{"done", "0", "okay"}},
		{Text, []string{"x", "0", "[Na+].[Cl-]", "nano", "Na", "C#N"}, nil},
	}
	markers := []string{"nan", "NaN", "none", "None", "N/A", "na", "-", "?", "NULL", " - ", "", " ",
		"\t"}
	for _, test := range tests {
		for _, text := range test.valid {
			if test.typ.Read(text).Value == nil {
				t.Errorf("type %d: %q has no value", test.typ, text)
			}
		}
		for _, text := range append(test.broken, markers...) {
			if v := test.typ.Read(text).Value; v != nil {
				t.Errorf("type %d: %q has the value %#v", test.typ, text, v)
			}
		}
	}
}

func TestValue(t *testing.T) {
	table := mustParse(t,
		"mol_id,smiles,status,charge,multiplicity,reruns,nheavy,H298_cbs,timestamp_added,name\n"+
			"a,\" C,N \",COMPLETE,-1,3.0,2,1,0.0,2026-11-23, 007 "+
			"\nb,CC,,,,,,,,\nc,CC\nd,nan,done,1.5,none,?,-,\"1,5\",now,-\n")
	columns := []string{"smiles", "status", "charge", "multiplicity", "reruns", "nheavy",
		"H298_cbs", "timestamp_added", "name", "delta_1"}
	tests := []struct {
		id     string
		values []any
	}{
		{"a", []any{"C,N", "OK", int64(-1), int64(3), int64(2), int64(1), 0.0, "2026-11-23", "007",
			nil}},
		{"b", []any{"CC", "Pending", int64(0), int64(1), int64(0), nil, nil, nil, nil, nil}},
		{"c", []any{"CC", "Pending", int64(0), int64(1), int64(0), nil, nil, nil, nil, nil}},
		{"d", []any{nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}},
	}
	for _, test := range tests {
		i, _ := table.Lookup(test.id)
		for k, column := range columns {
			if got := table.Value(i, column); got != test.values[k] {
				t.Errorf("%s %s: value %#v, want %#v", test.id, column, got, test.values[k])
			}
		}
	}
	if got := table.Cell(0, "name").Text; got != " 007 " {
		t.Errorf("text %q, want the cell as written", got)
	}
}

func TestStatus(t *testing.T) {
	tests := map[string]Status{
		"": Pending, "pending": Pending, "PENDING": Pending, "Selected": Selected,
		"RUNNING": Running,
		"ok":      OK, "COMPLETE": OK,
		"Rerun": Rerun, "FAILED": Rerun, "Skip": Skip, "SKIPPED": Skip, "done": Unknown,
		"nan": Unknown,
	}
	for text, want := range tests {
		table := mustParse(t, head+"a,C, "+text+" \n")
		if got := table.Status(0); got != want {
			t.Errorf("status of %q is %v, want %v", text, got, want)
		}
		if got := parseStatus(want.String()); got != want {
			t.Errorf("%v is not read back", want)
		}
	}
}

func TestCellValue(t *testing.T) {
	for _, test := range []struct {
		text string
		typ  Type
		want any
	}{
		{" 3.0 ", Integer, int64(3)}, {"+1e-3", Number, 0.001}, {"nan", Number, nil},
		{"", Number, nil},
		{"complete", StatusType, "OK"}, {" x ", Text, "x"},
	} {
		if got := test.typ.Read(test.text).Value; got != test.want {
			t.Errorf("%q: %#v, want %#v", test.text, got, test.want)
		}
	}
}

func TestRow(t *testing.T) {
	table := mustParse(t, "mol_id,x,smiles,status,x\na,1,\"C\"\nb,1,C,,2,3\n")
	for i, want := range [][]Cell{
		{{"a", "a"}, {"1", "1"}, {"C", "C"}, {}, {}},
		{{"b", "b"}, {"1", "1"}, {"C", "C"}, {"", nil}, {"2", "2"}},
	} {
		if got := table.Row(i); !slices.Equal(got, want) {
			t.Errorf("row %d: %v, want %v", i, got, want)
		}
	}
}
