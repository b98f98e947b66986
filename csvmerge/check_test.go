package csvmerge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const differs = "the mol_id differs only in letter case from "

func TestCheck(t *testing.T) {
	table := mustParse(t,
		"mol_id,smiles,status,reruns,charge,multiplicity,nheavy,timestamp_added,H298_cbs,delta_1,note\n"+
			"a,C,Pending,0,0,1,1,2026-11-23T00:00:00Z,-17.5,,nan\n"+ // nothing wrong
			"a,C,,,,,,,,,\n"+
			"A,C,,,,,,,,,\n"+
			"Bb,C,,,,,,,,,\nbB,C,,,,,,,,,\na/b,C,,,,,,,,,\n,C,,,,,,,,,\nnan,C,,,,,,,,,\nc, "+
			",done,-1,1.5,0,-2,today,\"1,5\",nan,\nd\ne,C(,C),,0,0,1,1,2026-11-23,1,,x,y\n"+
			"f,C,,,,,,,,,,,\n"+ // more commas than columns, nothing in them
			"g,N/A,null,,,,,,,,\n\"g\n\",C,,,,,,,,,\n")
	want := []string{
		`3 a mol_id "a" fatal: the mol_id is on line 2 already`,
		`4 A mol_id "A" fatal: ` + differs + `"a" on line 2`,
		`6 bB mol_id "bB" fatal: ` + differs + `"Bb" on line 5`,
		`7 a/b mol_id "a/b" fatal: the mol_id has "/" in it, which a folder name can't have everywhere`,
		`8  mol_id "" fatal: the mol_id is blank, or a marker for no value`,
		`9 nan mol_id "nan" fatal: the mol_id is blank, or a marker for no value`,
		`10 c smiles " ": the SMILES is blank`,
		`10 c status "done": not a status`,
		`10 c reruns "-1": the number is too small`,
		`10 c charge "1.5": not an integer`,
		`10 c multiplicity "0": the number is too small`,
		`10 c nheavy "-2": the number is too small`,
		`10 c timestamp_added "today": not a date and time of ISO 8601`,
		`10 c H298_cbs "1,5": not a number`,
		`10 c delta_1 "nan" warning: a marker for no value, and no empty cell`,
		`11 d smiles "": the SMILES is blank`,
		`12 e status "C)": not a status`,
		// line 12 has moved by the comma in its SMILES
		`12 e multiplicity "0": the number is too small`,
		`12 e timestamp_added "1": not a date and time of ISO 8601`,
		`12 e H298_cbs "2026-11-23": not a number`,
		`12 e  "": the row has 13 cells, the header 11`,
		`14 g smiles "N/A": a marker for no value, and no empty cell`,
		`14 g status "null": a marker for no value, and no empty cell`,
		`15 g mol_id "g" fatal: the mol_id is on line 14 already`,
	}
	var got []string
	for _, f := range table.Check() {
		s := itoa(f.Line) + " " + f.ID + " " + f.Column + " " + quoted(f.Cell)
		if f.Severity == Fatal {
			s += " fatal"
		}
		if f.Severity == Warning {
			s += " warning"
		}
		if f.Want == "" {
			t.Errorf("%s: the finding does not tell what would be right", s)
		}
		got = append(got, s+": "+f.Problem)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("findings:\n%s\n\nwant:\n%s", g, w)
	}
}

// TestCheckLong has faults far from each other, in a table that the cores share.
func TestCheckLong(t *testing.T) {
	for last, cutOff := range map[string]bool{"x,C\n": false, "x,C": true, "x,C,,": false} {
		var text strings.Builder
		text.WriteString("mol_id,smiles,charge,status\n")
		for i := range 3*block - 1 {
			charge := map[int]string{block: "a", 2*block - 1: "b"}[i]
			fmt.Fprintf(&text, "m%d,C,%s,\n", i%(3*block-2), charge)
		}
		text.WriteString(last)
		want := fmt.Sprintf("[%d charge a %d charge b %d mol_id m0", block+2, 2*block+1, 3*block)
		if cutOff {
			want += fmt.Sprintf(" %d  ", 3*block+1)
		}
		var got []string
		for _, f := range mustParse(t, text.String()).Check() {
			got = append(got, fmt.Sprint(f.Line, " ", f.Column, " ", f.Cell))
		}
		if fmt.Sprint(got) != want+"]" {
			t.Errorf("%q: %s; want %s]", last, got, want)
		}
	}
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }

func TestCheckAccents(t *testing.T) {
	found := mustParse(t, head+
		"\u00e9thane,C,OK\ne\u0301thane,C,OK\n\u00c9thane,C,OK\nethane,C,OK\n").Check()
	want := []string{
		`3: ` + "e\u0301thane" + `: mol_id "` + "e\u0301thane" + `": the ` +
			`mol_id has an accent that is a character of its own; type the letter with its ` +
			`accent (a name of its own, as mol_00001)`,
		`4: Éthane: mol_id "Éthane": ` + differs +
			`"éthane" on line 2 (a name of its own, as mol_00001)`,
	}
	var got []string
	for _, f := range found {
		got = append(got, f.String())
		if f.Severity != Fatal {
			t.Errorf("%v is not fatal", f)
		}
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("findings:\n%s\nwant:\n%s", g, w)
	}
}

// A stray quote makes one cell of all rows up to the next one.
func TestCheckLineBreaks(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("m,C,,\n", n) }
	table := mustParse(t, "mol_id,smiles,status,note\na,C,,x\nb,C,,\"5 in\n"+lines(11)+
		"c,C,,6 in\"\nd,C,,\"a "+
		"note\n"+strings.Repeat("of many lines, with a comma\n", 9)+"\",\"\n\n\"\ne,\"C\n"+
		lines(11)+"\",,\nf,C,,\"5 in\ng,C,Pending,6 "+
		"in\"\n\"h,CC,OK,x\nk\",CC,OK,x\nl,\"C,,x\nm,C\",,\n")
	const swallowed = "(a cell on one line; a stray quote swallows the rows up to the next quote)"
	want := []string{
		`3: b: note "5 in\nm,C,,\nm,C,,\nm,C,,\nm,C,,\nm,C,,\nm,C,,": the cell begins on line 3 and ends on line 15 ` +
			`(a cell on one line; a stray quote swallows the rows up to the next quote)`,
		`29: e: smiles "C\nm,C,,\nm,C,,\nm,C,,\nm,C,,\nm,C,,\nm,C,,\nm,": the cell begins on line 29 and ends on line 41 ` +
			`(a cell on one line; a stray quote swallows the rows up to the next quote)`,
		`42: f: note "5 in\ng,C,Pending,6 in": the cell begins on line 42 and ends on line 43 ` +
			swallowed,
		"44: \"h,CC,OK,x\\nk\": " +
			`mol_id "h,CC,OK,x\nk": the cell begins on line 44 and ends on line 45 ` + swallowed,
		`46: l: smiles "C,,x\nm,C": the cell begins on line 46 and ends on line 47 ` + swallowed,
	}
	var got []string
	for _, f := range table.Check() {
		if f.Severity == Warning {
			got = append(got, f.String())
		}
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("warnings:\n%s\nwant:\n%s", g, w)
	}
}

// The last row of a table that was cut off is not computed.
func TestCheckCut(t *testing.T) {
	const cut = " (the whole row; the table was probably cut off when it was written or copied)"
	for text, want := range map[string]string{
		"a,C,,x\nb,C":        `3: b: the last row has only 2 of 4 cells` + cut,
		"a,C,,x\n\nb,C,":     `4: b: the last row has only 3 of 4 cells` + cut,
		"a,C,,x\nb,C\n":      "", // it has a line end
		"a,C,,x\nb,C,,":      "", // all cells
		"a,C,,\nc,C\nb,C":    "", // another row is short, too
		"b,C":                "", // there is no other row
		"a,C,,x\nb,C,,x\n,,": "", // blank
	} {
		var got []string
		for _, f := range mustParse(t, "mol_id,smiles,status,note\n"+text).Check() {
			got = append(got, f.String())
			if f.Severity != Unusable {
				t.Errorf("%q: %v", text, f)
			}
		}
		if g := strings.Join(got, "\n"); g != want {
			t.Errorf("%q: findings %s, want %s", text, g, want)
		}
	}
}

func TestCheckBlankSMILES(t *testing.T) {
	found := mustParse(t, "mol_id,status,smiles\na,OK,\nb,OK,\"\"\nc,OK,C\nd,OK,\ne,OK,C\n").Check()
	var lines []int
	for _, f := range found {
		lines = append(lines, f.Line)
	}
	if !slices.Equal(lines, []int{2, 3, 5}) {
		t.Errorf("findings %v, want one on the lines 2, 3 and 5", found)
	}
}

func TestCheckMissingID(t *testing.T) {
	found := mustParse(t, "smiles,status,mol_id\nC,OK\n").Check()
	if len(found) != 1 || found[0].Severity != Fatal || found[0].Column != "mol_id" ||
		found[0].Line != 2 {
		t.Errorf("findings %+v, want one, fatal, on the mol_id", found)
	}
}

// Every mol_id of many is found, the first row of one that is there twice, and the rows are checked
// in their order.
func TestManyRows(t *testing.T) {
	const rows = 5000
	text := "mol_id,smiles,status\n"
	for i := range rows {
		text += "m" + itoa(i%(rows-1)) + ",C,\n" // the last is the first's twin
	}
	table := mustParse(t, text)
	for i := range rows {
		if got, ok := table.Lookup(table.ID(i)); !ok || got != i%(rows-1) {
			t.Fatalf("%s is in row %d (%t), want %d", table.ID(i), got, ok, i)
		}
	}
	for _, id := range []string{"", "m", "m-1", "m4999"} {
		if _, ok := table.Lookup(id); ok {
			t.Errorf("%q is found", id)
		}
	}
	if found := table.Check(); len(found) != 1 || found[0].Line != rows+1 {
		t.Errorf("findings %v, want one about the last line", found)
	}
	two := func(i int) []Finding { return []Finding{{Line: i}, {Line: i}} }
	for n, f := range OnAllCores(rows, two) {
		if f.Line != n/2 {
			t.Fatalf("finding %d is of row %d", n, f.Line)
		}
	}
}

// A cell that is not of its column's type is no warning, even if it looks like a SMILES and a name.
func TestNoNameInOtherTypes(t *testing.T) {
	table := mustParse(t, "mol_id,smiles,status,charge,multiplicity,H298_cbs\na,C,No idea,No "+
		"value,C x,NO data\n")
	found := table.Check()
	if len(found) != 4 {
		t.Errorf("%d findings, want 4", len(found))
	}
	for _, f := range found {
		if f.Severity == Warning || !strings.HasPrefix(f.Problem, "not a") {
			t.Errorf("severity %d: %s", f.Severity, f)
		}
	}
}

func TestSafeID(t *testing.T) {
	good := []string{"mol_00001", "a", "A.b-c_d", "1,3-butadiene", "2-methyl propane", "(R)-x",
		"éthanol", "水", "com", "CON1", "console", "COM10", "a..b", strings.Repeat("x", 100)}
	bad := []string{"", ".", "..", ".a", "-a", " a", "a ", "a.", "a/b", `a\b`, "a:b", "a*", "a?", `a"`, "a<b", "a>b",
		"a|b", "a\x00", "a\nb", "a\tb", "a\x7f",
		"con", "CON", "nul.txt", "Aux", "prn", "COM1", "lpt9.x", "COM¹", "con .x",
		"conin$", "a.zip", "b.ZIP", "journal.jsonl", "Journal.JSONL", "README.md",
		"a\u200bb", "a\u00a0b", "a\u2028b", "e\u0301thanol",
		"\xff", "a\ufffdb", strings.Repeat("x", 101)}
	for _, id := range good {
		if err := SafeID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range bad {
		if SafeID(id) == nil {
			t.Errorf("%q passes", id)
		}
	}
}
