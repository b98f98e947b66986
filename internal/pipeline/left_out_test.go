package pipeline

import (
	"fmt"
	"slices"
	"testing"
)

// numbersOf shows what a Go function gets of a list with nulls.
var numbersOf = Function{"numbers_of", func(list []*float64) string {
	var out []string
	for _, x := range list {
		if x == nil {
			out = append(out, "null")
		} else {
			out = append(out, fmt.Sprint(*x))
		}
	}
	return fmt.Sprint(out)
}, 1, nil, 0}

func TestLeftOut(t *testing.T) {
	for name, values := range map[string]string{"typed": `{ n = parseint("7", 10) }`,
		"dynamic": `jsondecode(file(output.out))`} {
		o := testOptions()
		o.Functions = append(slices.Clone(testFunctions), numbersOf)
		p := mustLoad(t, `stage "a" {
  for_each = [1, 2, 3]
  at_least = 1
  command  = ["true"]
  outputs  = { out = "stdout" }
  values   = `+values+`
}
stage "b" {
  for_each = stage.a[*]
  command  = ["true", each.value.n]
}
stage "c" {
  for_each = stage.a[*].out
  command  = ["true", each.value]
}
merge {
  nheavy = numbers_of(stage.a[*].n)
  x      = status(stage.a)
  y      = try(stage.a[1].n + 1, null)
}
`, o)
		m, err := p.Molecule(nil)
		if err != nil {
			t.Fatal(err)
		}
		a := p.Stage("a")
		if _, err := m.Instances(a); err != nil || a.AtLeast != 1 || m.LeftOut(a, 0) {
			t.Fatalf("%s: %v, at_least %d", name, err, a.AtLeast)
		}
		good := Result{Status: StatusOK, Values: []byte(`{"n": 7}`),
			Outputs: map[string]Input{"out": {Path: "/x/out"}}}
		m.Set(a, []Result{good, {Status: StatusLeftOut}, good})
		for _, s := range []*Stage{p.Stage("b"), p.Stage("c")} {
			n, err := m.Instances(s)
			if err != nil || n != 3 || m.LeftOut(s, 0) || !m.LeftOut(s, 1) || m.LeftOut(s, 2) {
				t.Errorf("%s: %d instances of %s, %v; the second is to be left out", name, n,
					s.Name, err)
			}
		}
		cells, err := m.Merge(false)
		if want := "[7 null 7]"; err != nil || cells["nheavy"] != want || cells["x"] != "OK" ||
			cells["y"] != "" {
			t.Errorf("%s: %q, %v; want %s, OK and blank", name, cells, err, want)
		}
	}
}
