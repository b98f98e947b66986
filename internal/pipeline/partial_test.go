package pipeline

import (
	"maps"
	"testing"
)

// partial is a pipeline for a molecule whose stage "a" fails for one of three targets.
const partial = `locals { all = [for v in stage.a[*].v : v if v != null] }
stage "first" {
  command = ["true"]
  outputs = { o = "o" }
  values  = { v = 7 }
}
stage "off" {
  enabled = false
  command = ["true"]
  outputs = { o = "o" }
  values  = { v = 8 }
}
stage "a" {
  for_each = [stage.first.v, 2, 3]
  command  = ["true"]
  outputs  = { o = "o" }
  values   = { v = each.value }
}
stage "b" {
  for_each = [1]
  command  = ["cat", stage.a[0].o]
  outputs  = { o = "o" }
  values   = { v = 1 }
}
merge {
  lowest  = min([for v in stage.a[*].v : v if v != null]...)
  total   = sum(local.all)
  last    = coalesce(stage.a[2].v, 0)
  count   = length(stage.a)
  later   = length(stage.b)
  first   = stage.first.v
  other   = coalesce(stage.off.v, 1)
  word    = status(stage.a, stage.b)
  state   = stage.a[0].status
  time    = seconds(stage.first, stage.a)
  longest = max(stage.a[*].seconds...)
}
`

// In the row of a molecule that failed no cell is made of a part of the results.
func TestMergePartial(t *testing.T) {
	p := mustLoad(t, partial, testOptions())
	m, err := p.Molecule(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Stages {
		if on, err := m.Enabled(s); err != nil || on != (s.Name != "off") {
			t.Fatalf("%s: on %v, %v", s.Name, on, err)
		}
		ok := Result{Status: StatusOK, Values: []byte(`{"v": 7}`), Seconds: 2}
		switch s.Name {
		case "first":
			m.Set(s, []Result{ok})
		case "a":
			m.Set(s, []Result{ok, {Status: StatusFailed, Seconds: 3}})
		}
	}
	got, err := m.Merge(true)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"lowest": "", "total": "", "last": "", "count": "", "later": "",
		"first": "7", "other": "1", "word": "FAILED", "state": "ok", "time": "7", "longest": "3"}
	if !maps.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}
