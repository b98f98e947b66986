package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/store"
)

func TestHOFs(t *testing.T) {
	for values, want := range map[string]string{
		`{"hof": [-1.5, null, 2], "rank": 1}`: "[-1.5 NaN 2]",
		`{"hof": -1.5}`:                       "[]",
		`{"hof": ["a"]}`:                      "[]",
		`{"HOF": null, "count": 3}`:           "[]",
		``:                                    "[]",
	} {
		if got := fmt.Sprint(hofs(json.RawMessage(values))); got != want {
			t.Errorf("%s: %s, want %s", values, got, want)
		}
	}
}

func TestTableColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	text := "mol_id,smiles,status,charge,H298_cbs,note,zip,most_stable_hof\n" +
		"a,C,complete,+1,nan,1.5,007,+8\nb,CC,,?,-3.50,,x,bad\nc,C,OK,0,1e308,,,-inf\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	table, err := csvmerge.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{mol_id  false [a b c]} {smiles  false [C CC C]} {status  false [OK Pending OK]} " +
		"{charge e true [+1  0]} {H298_cbs kcal/mol true [ -3.50 ]} {note  true [1.5  ]} " +
		"{zip  false [007 x ]} {most_stable_hof kcal/mol true [+8  ]}]"
	if got := fmt.Sprint(tableColumns(table)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	pr := &project{Config: batch.Config{Table: table, Index: new(store.Store).NoIndex()}}
	if a, c := pr.deviationOf(0), pr.deviationOf(2); a.Result != 8 || !math.IsNaN(c.Reference) ||
		!math.IsNaN(c.Result) {
		t.Errorf("%v, %v", a, c)
	}
}
