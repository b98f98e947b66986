package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"grimperium/csvmerge"
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
	text := "mol_id,smiles,status,charge,H298_cbs,note,zip\n" +
		"a,C,complete,+1,nan,1.5,007\nb,CC,,?,-3.50,,x\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	table, err := csvmerge.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{mol_id false [a b]} {smiles false [C CC]} {status false [OK Pending]} {charge " +
		"true [+1 ]} {H298_cbs true [ -3.50]} {note true [1.5 ]} {zip false [007 x]}]"
	if got := fmt.Sprint(tableColumns(table)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
