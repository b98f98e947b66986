package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

func exported(t *testing.T, format, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	table, err := csvmerge.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	pr := &project{Config: batch.Config{Table: table, Index: new(store.Store).NoIndex(),
		Pipeline: &pipeline.Pipeline{}}}
	if err := pr.export(t.Context(), &out, format, false); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestExportRows(t *testing.T) {
	const table = "\ufeffmol_id,smiles,status,charge,H298_cbs,delta_1,tpsa,cas,note,note,zip\r\n" +
		"a,\"C,<N>\",complete,+1,1.50,0.0,20.23,64-17-5,1,\"say " +
		"\"\"hi\"\"\nthere\",007\r\n\r\nb,CC,,,nan,-1e-3,,?,2\r\n"
	for format, want := range map[string]string{
		"json": `[
{"mol_id":"a","smiles":"C,<N>","status":"OK","charge":1,"H298_cbs":1.50,` +
			`"delta_1":0.0,"tpsa":20.23,"cas":"64-17-5","note":1,"note_2":"say \"hi\"\nthere","zip":"007"},
{"mol_id":"b","smiles":"CC","status":null,"charge":null,"H298_cbs":null,"delta_1":-1e-3,` +
			`"tpsa":null,"cas":null,"note":2,"note_2":null,"zip":null}
]
`,
		"jsonl": `{"mol_id":"a","smiles":"C,<N>","status":"OK","charge":1,"H298_cbs":1.50,` +
			`"delta_1":0.0,"tpsa":20.23,"cas":"64-17-5","note":1,"note_2":"say \"hi\"\nthere","zip":"007"}
{"mol_id":"b","smiles":"CC","status":null,"charge":null,"H298_cbs":null,"delta_1":-1e-3,` +
			`"tpsa":null,"cas":null,"note":2,"note_2":null,"zip":null}
`,
		"csv": "mol_id,smiles,status,charge,H298_cbs,delta_1,tpsa,cas,note,note_2,zip\n" +
			"a,\"C,<N>\",OK,1,1.50,0.0,20.23,64-17-5,1,\"say " +
			"\"\"hi\"\"\nthere\",007\nb,CC,,,,-1e-3,,,2,,\n",
	} {
		if got := exported(t, format, table); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", format, got, want)
		}
	}
	for format, want := range map[string]string{"json": "[\n]\n", "jsonl": "",
		"csv": "mol_id,smiles,status\n"} {
		if got := exported(t, format, "mol_id,smiles,status\n"); got != want {
			t.Errorf("%s of no rows: %q, want %q", format, got, want)
		}
	}
	const long = "mol_id,smiles,status,n,m\na,C,OK,9007199254740994,9007199254740992\n"
	if got := exported(t, "jsonl", long); !strings.Contains(got,
		`"n":"9007199254740994","m":9007199254740992`) {
		t.Errorf("digits are lost: %s", got)
	}
	for text, want := range map[string]string{"+5": "5", ".5": "0.5", "5.": "5", "-.5": "-0.5",
		"+9.e3": "9e3", " 1e400 ": `"1e400"`, "-0": "-0", "1e-400": "1e-400", "007": `"007"`,
		"+-5": `"+-5"`, ".": `"."`, "+9007199254740994": `"+9007199254740994"`} {
		got := exported(t, "json", "mol_id,smiles,status,delta_1,x\na,C,OK,"+text+","+text+"\n")
		if !json.Valid([]byte(got)) || !strings.Contains(got, `"x":`+want+"}") {
			t.Errorf("%q makes %s", text, got)
		}
	}
}
