package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestOff(t *testing.T) {
	for enabled, want := range map[string]bool{
		`true`:                                          false,
		`false`:                                         true,
		`var.search == "crest"`:                         true,
		`var.search == "crest" && stage.a.n > 1`:        true,
		`stage.a.n > 1 && var.search == "crest"`:        true,
		`var.search == "etkdg" && stage.a.n > 1`:        false,
		`var.search == "crest" ? stage.a.n > 1 : false`: true,
		`var.search == "crest" && (stage.a.n > 1 || mol.size > 2)`:     true,
		`var.search == "crest" && jsondecode(file(stage.a.out)).n > 1`: true,
		`mol.size > 2`: false,
	} {
		path := filepath.Join(t.TempDir(), "pipeline.hcl")
		text := "variable \"search\" { default = \"etkdg\" }\nstage \"a\" {\n  command = " +
			"[\"true\"]\n  outputs = { out = \"o\" }\n  values = { n = 1 }\n}\nstage \"b\" {\n  " +
			"enabled = " + enabled + "\n  command = [\"true\"]\n}\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		columns := func(string) ([]Column, error) { return []Column{{"size", true}}, nil }
		p, err := Load(path, Options{Columns: columns})
		if err != nil {
			t.Fatalf("%s: %v", enabled, err)
		}
		if got := p.Stage("b").Off(); got != want {
			t.Errorf("%s: off is %t, want %t", enabled, got, want)
		}
	}
}

// A stage is off, too, if it is enabled by the result of a stage that is off.
func TestOffByAnother(t *testing.T) {
	for enabled, want := range map[string]bool{
		`stage.crest.status == "ok"`:                     true,
		`coalesce(stage.crest.n, 0) > 2`:                 true,
		`local.energy != null`:                           true,
		`stage.crest.status == "ok" || mol.charge > 2`:   false,
		`stage.search.status == "ok"`:                    false,
		`coalesce(stage.crest.n, stage.search.n, 0) > 2`: false,
	} {
		p, err := load(t, `variable "search" { one_of = ["etkdg", "crest"] }
locals { energy = stage.crest.n }
stage "post" {
  enabled = `+enabled+`
  command = ["cat", coalesce(stage.crest.out, "x"), stage.search.out]
}
stage "crest" {
  enabled = var.search == "crest"
  command = ["true"]
  outputs = { out = "o" }
  values  = jsondecode(file(output.out))
}
stage "search" {
  command = ["true"]
  outputs = { out = "o" }
  values  = { n = 1 }
}
`, testOptions())
		if err != nil {
			t.Fatalf("%s: %v", enabled, found(t, err))
		}
		if got := p.Stage("post").Off(); got != want {
			t.Errorf("%s: off is %t, want %t", enabled, got, want)
		}
	}
	mustLoad(t, `stage "a" {
  enabled = false
  command = ["true"]
  outputs = { out = "o" }
}
stage "b" {
  enabled = stage.a.status == "ok"
  command = ["cat", stage.a.out, "${stage.a.out}.log"]
}
`, testOptions())
}

// The names of some values are known with the result. They are null if the stage is off, or if the
// molecule goes on without it.
func TestWithoutValues(t *testing.T) {
	const src = `stage "a" {
  %s
  command = ["true"]
  outputs = { o = "o" }
  values  = jsondecode(file(output.o))
}
merge { x = coalesce(stage.a.n, 7) }
`
	off := mustLoad(t, fmt.Sprintf(src, "enabled = false"), testOptions())
	on := mustLoad(t, fmt.Sprintf(src, "optional = true"), testOptions())
	for _, c := range []struct {
		p      *Pipeline
		result *Result
		want   string
	}{
		{off, nil, "7"},
		{on, &Result{Status: StatusLeftOut}, "7"},
		{on, &Result{Status: StatusOK, Values: []byte(`{"n": 5}`)}, "5"},
		{on, &Result{Status: StatusOK, Values: []byte(`{"m": 5}`)}, "no attribute"},
	} {
		m, err := c.p.Molecule(cells)
		if err != nil {
			t.Fatal(err)
		}
		if c.result == nil {
			_, err = m.Enabled(c.p.Stages[0])
		} else {
			m.Set(c.p.Stages[0], []Result{*c.result})
		}
		if err != nil {
			t.Fatal(err)
		}
		if merged, err := m.Merge(false); c.want == "no attribute" {
			if err == nil {
				t.Errorf("got %v, want an error", merged)
			}
		} else if err != nil || merged["x"] != c.want {
			t.Errorf("got %v, %v, want %s", merged, err, c.want)
		}
	}
}
