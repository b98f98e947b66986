package csvmerge

import (
	"bytes"
	"encoding/csv"
	"math"
	"slices"
	"strings"
	"testing"
)

const head = "mol_id,smiles,status\n"

// mustParse makes a table of a text, without a file.
func mustParse(t testing.TB, text string) *Table {
	t.Helper()
	table, err := parse("t.csv", []byte(text), math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// reference reads a table with encoding/csv, which we must agree with but for blank records.
func reference(data []byte) ([][]string, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	all, err := r.ReadAll()
	return slices.DeleteFunc(all, func(record []string) bool {
		return strings.Trim(strings.Join(record, ""), " \t,\"") == ""
	}), err
}

// records returns what t says its records are.
func records(t *Table) [][]string {
	var all [][]string
	for _, r := range append([]row{{text: t.header}}, t.rows...) {
		var record []string
		cells, _, _ := scan(r.text, nil)
		for k := range cells {
			record = append(record, text(cells, k))
		}
		all = append(all, record)
	}
	return all
}

func TestParseForm(t *testing.T) {
	tests := []struct {
		name, text string
		rows       string // ID@line, and so on
	}{
		{"plain", head + "a,C,\nb,CC,OK\n", "a@2 b@3"},
		{"no last newline", head + "a,C,", "a@2"},
		{"CRLF", "mol_id,smiles,status\r\na,C,\r\nb,C,\r\n", "a@2 b@3"},
		{"CR at the end of the file", head + "a,C,OK\r", "a@2"},
		{"BOM", "\ufeff" + head + "a,C,\n", "a@2"},
		{"blank lines", "\n\r\n" + head + "\na,C,\n\r\n\nb,C,\n\n", "a@5 b@8"},
		{"newlines in quotes", head + "a,\"C\n\n\",\nb,C,\n", "a@2 b@5"},
		{"commas and quotes in quotes", head + "\"a\",\"C,\"\"\",\n\"b\"\"\",C,\n", "a@2 b\"@3"},
		{"quoted header over two lines", "mol_id,\"smiles\",status,\"x\ny\"\na,C,\n", "a@3"},
		{"spaces around names and ids", " mol_id , smiles,status \n a ,C,\n", "a@2"},
		{"mol_id last", "status,smiles,mol_id\n,C,a\n,C\n,\"x,y\",b\n", "a@2 @3 b@4"},
		{"duplicate foreign names", "mol_id,x,x,smiles,status\na,1,2,C,\n", "a@2"},
		{"nameless columns", "mol_id,,smiles,status,\na,,C,,\n", "a@2"},
		{"header only", head, ""},
		{"blank rows", ",,\r\n" + head + "a,C,\n,,\n , \t,\n\"\",\"\",\"\"\nb,C,\n,,", "a@3 b@7"},
		{"not blank", head + ",C,\n,,OK\n", "@2 @3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table := mustParse(t, test.text)
			var rows []string
			for i := range table.Len() {
				rows = append(rows, table.ID(i)+"@"+itoa(table.Line(i)))
				if id := table.ID(i); id != "" {
					if j, ok := table.Lookup(id); !ok || i != j {
						t.Errorf("Lookup(%q) = %d, %v; want %d", id, j, ok, i)
					}
				}
			}
			if got := strings.Join(rows, " "); got != test.rows {
				t.Errorf("rows %q, want %q", got, test.rows)
			}
			want, err := reference([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := records(table); !slices.EqualFunc(got, want, slices.Equal[[]string]) {
				t.Errorf("records %q, encoding/csv reads %q", got, want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "t.csv: the table is empty"},
		{"only blank lines", "\n\n", "t.csv: the table is empty"},
		{"missing column", "mol_id,SMILES,status\n",
			`t.csv:1:1: the table has no column "smiles"; ` +
				`its first line must have mol_id, status, smiles, separated by commas, and is "mol_id,SMILES,status"; ` +
				"the command import makes a table of other files"},
		{"a quote in the header that swallows rows",
			"mol_id,smiles,\"status\n" + strings.Repeat("a,C,\n", 11) + "\"\n",
			"t.csv:1:1: the name of column 3 has 11 line breaks"},
		{"semicolons", "mol_id;smiles;status\n",
			`separated by commas, and is "mol_id;smiles;status"`},
		{"tabs", "mol_id\tsmiles\tstatus\n",
			`separated by commas, and is "mol_id\tsmiles\tstatus"`},
		{"own column twice", "mol_id,smiles,status, charge,x,charge\n",
			`t.csv:1:1: column "charge" is there twice, as number 4 and as number 6`},
		{"mol_id twice", "\ufeffmol_id,smiles,status,mol_id\n",
			`t.csv:1:1: column "mol_id" is there twice`},
		{"open quote", head + "a,C,\nb,\"C,\nc,C,\n",
			"t.csv:3:3: a quote is opened here and never closed"},
		{"quote closed by another row's", head + "a,\"C,\nb,C,\nc,\"C\",\n",
			"t.csv:2:3: a quote is opened here and never closed before a comma"},
		{"quote in a bare cell", head + "é,C\"C,\n",
			"t.csv:2:4: a quote is opened here and never closed before a comma"},
		{"text behind a quote", head + "a,\"C\"C,\n",
			"t.csv:2:3: a quote is opened here and never closed before a comma"},
		{"space behind a quote", head + "a,\"C\" ,\n",
			"t.csv:2:3: a quote is opened here and never closed before a comma"},
		{"CR behind a quote", head + "a,\"C\"\rx,\n",
			"t.csv:2:3: a quote is opened here and never closed before a comma"},
		{"latin-1", head + "a,C,\nb\xe9,C,\n", `t.csv:3:1: "b\xe9,C," is not UTF-8 text`},
		{"NUL", head + "a,\x00,\n", `t.csv:2:1: "a,\x00," has a NUL byte, which no text has`},
		{"CR alone", "mol_id,status,smiles,x\rm1,,C,\rm2,,CC,\r",
			"t.csv:1:1: lines end with CR alone"},
		{"UTF-16", "\xff\xfem\x00", `t.csv:1:1: "\xff\xfem\x00" is not UTF-8 text`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse("t.csv", []byte(test.text), math.MaxInt)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
