package cli

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	was := &expected{map[string]string{"mopac": "22.0.6", "xtb": "6.5.1"}, map[string]map[string]any{
		"a": {"most_stable_hof": -57.859, "nheavy": 3.0, "status": "OK", "pm7/1.hof": -57.859, "search.energy": -11.3943},
		"b": {"status": "OK"},
	}}
	is := &expected{map[string]string{"mopac": "23.2.5", "xtb": "6.5.1"}, map[string]map[string]any{
		"a": {"most_stable_hof": -57.82, "nheavy": 4.0, "status": "Rerun", "pm7/1.hof": -57.7, "search.energy": -11.39439, "delta_1": 1.5},
	}}
	var out strings.Builder
	different := compare(&out, was, is)
	printVersions(&out, was.Programs, is.Programs)
	want := `a delta_1: was not there, is 1.5
a nheavy: was 3, is 4
a pm7/1.hof: was -57.859, is -57.7 (0.159 apart, 0.05 allowed)
a status: was "OK", is "Rerun"
b status: was "OK", is not there
  mopac: then "22.0.6", now "23.2.5"
  xtb: 6.5.1, as then
`
	if out.String() != want || different != 5 {
		t.Errorf("%d differences:\n%s\nwant:\n%s", different, out.String(), want)
	}
	if n := compare(&out, was, was); n != 0 {
		t.Errorf("%d differences from itself", n)
	}
}
