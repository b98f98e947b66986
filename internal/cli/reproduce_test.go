package cli

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	was := &expected{map[string]string{"mopac": "22.0.6", "xtb": "6.5.1"},
		map[string]map[string]any{
			"a": {"most_stable_hof": -57.859, "nheavy": 3.0, "status": "OK",
				"conformer 1: hof": -57.859, "conformer 1: energy": -11.3943},
			"b": {"status": "OK"},
		}}
	is := &expected{map[string]string{"mopac": "23.2.5", "xtb": "6.5.1"}, map[string]map[string]any{
		"a": {"most_stable_hof": -57.82, "nheavy": 4.0, "status": "Rerun",
			"conformer 1: hof": -57.7, "conformer 1: energy": -11.39439, "delta_1": 1.5},
	}}
	var out strings.Builder
	err := was.compare(&out, is)
	want := `a conformer 1: hof: was -57.859, is -57.7 (0.159 apart, 0.05 allowed)
a delta_1: was null, is 1.5
a nheavy: was 3, is 4
a status: was "OK", is "Rerun"
b status: was "OK", is null
  mopac: then "22.0.6", now "23.2.5"
  xtb: 6.5.1, unchanged
`
	if out.String() != want || err == nil || !strings.HasPrefix(err.Error(),
		"not reproduced: 5 numbers;") {
		t.Errorf("%v:\n%s\nwant:\n%s", err, out.String(), want)
	}
	out.Reset()
	err = was.compare(&out, was)
	if err != nil || !strings.HasPrefix(out.String(),
		"Reproduced: 6 numbers and words of 2 molecules.\n") {
		t.Errorf("itself: %v, %s", err, out.String())
	}
}
