package csvmerge

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzRecord takes records apart into values and puts them together again, as a database does.
func FuzzRecord(f *testing.F) {
	for _, record := range []string{"a,OK,C,0,1.5\n", "\"a\", ok ,\"C\",+1,1e2\r\n",
		"a,\"x\ny\",,one,nan\n\n,,\n",
		"a,,C", "a,\"\",\"\"\"\",9223372036854775808,-0.0,more,\n",
		"a,ß, C,0.10,12345678901234567890\n"} {
		f.Add(record, "text, \"quoted\"", int64(-3), 0.1)
	}
	types := []Type{Text, StatusType, SMILES, Integer, Number}
	f.Fuzz(func(t *testing.T, record, word string, n int64, x float64) {
		table, err := Parse("t.csv", []byte("mol_id,status,smiles,charge,x\n"+record))
		if err != nil || table.Len() != 1 || !bytes.Equal(table.Record(0), []byte(record)) {
			return // not one row
		}
		values := Values([]byte(record), types)
		if got := AppendRecord(nil, []byte(record), true, types, values); string(got) != record {
			t.Fatalf("%q became %q", record, got)
		}
		plain := AppendRecord(nil, []byte("\n"), false, types, values)
		if got := Values(plain, types); !reflect.DeepEqual(got, values) {
			t.Fatalf("%q: %v became %q: %v", record, values, plain, got)
		}
		word, _ = Text.Value(text([][]byte{[]byte(quote(word))}, 0)).(string) // as a cell holds it
		if word == "" || x != x || x-x != 0 {
			return
		}
		want := []any{values[0], word, word, n, x}
		edited := AppendRecord(nil, []byte(record), true, types, want)
		if got := Values(edited, types); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q with %v became %q: %v", record, want, edited, got)
		}
		again, err := Parse("t.csv", append([]byte("mol_id,status,smiles,charge,x\n"), edited...))
		if err != nil || again.Len() != 1 || again.ID(0) != table.ID(0) {
			t.Fatalf("%q became %q, %v", record, edited, err)
		}
	})
}
