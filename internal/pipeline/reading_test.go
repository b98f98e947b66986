package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	p := mustLoad(t, small, testOptions())
	m := molecule(t, p, map[string]any{"charge": int64(0), "multiplicity": int64(1)})
	got, err := m.Read(p.Stage("each"), 1, map[string]string{"out": "/x/o"})
	if want := `{"h":1.5,"none":null}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if got,
		err := m.Read(p.Stage("each"), 1, map[string]string{"out": "/cafe\u0301/o"}); err == nil ||
		got != nil {
		t.Errorf("a path that expressions can't hold is read: %v", got)
	}
	path := filepath.Join(t.TempDir(), "g")
	if err := os.WriteFile(path, []byte(`{"x": [1, "a", null, {"b": 1e400}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Read(p.Stage("emb"), 0, map[string]string{"g": path}); err == nil ||
		!strings.Contains(err.Error(), "pipeline.hcl:12: the number is infinite") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("{\"x\": [1, \"a\xff\", null, {\"b\": 12345678901}]}"),
		0o644); err != nil {
		t.Fatal(err)
	}
	got, err = m.Read(p.Stage("emb"), 0, map[string]string{"g": path})
	if want := `{"dyn":[1,"a�",null,{"b":12345678901}],"n":1}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if err := m.Precheck(p.Stage("each"), 0, 0); err != nil {
		t.Error(err)
	}
	m = molecule(t, p, map[string]any{"charge": int64(7), "multiplicity": int64(1)})
	if err := m.Precheck(p.Stage("each"), 0, 0); err == nil || err.Error() != "charge 7" {
		t.Errorf("got %v", err)
	}
}

func TestReading(t *testing.T) {
	cells := map[string]any{"charge": int64(0), "multiplicity": int64(1), "smiles": "C"}
	const src = `stage "a" {
  command = ["true"]
  outputs = { x = "x", y = "y" }
  values  = { v = 1, w = 2 }
}
stage "b" {
  command = ["true", stage.a.y, mol.charge]
  timeout = "1m"
  outputs = { z = "z" }
  values  = { e = xyz(output.z).energy + stage.a.v }
  postcondition {
    condition     = same_bonds(stage.a.x, xyz(output.z))
    error_message = "no"
  }
}
`
	type state struct {
		src     string
		version int
		result  Result
		cells   map[string]any
	}
	input := func(x, y string) map[string]Input {
		return map[string]Input{"x": {Path: "/a&b/x", SHA256: x}, "y": {Path: "/a&b/y", SHA256: y}}
	}
	base := state{src: src, version: 1, cells: cells,
		result: Result{StatusOK, input("1", "1"), []byte(`{"v": 1, "w": 1}`), 1}}
	reading := func(s state) string {
		o := testOptions()
		o.Functions = slices.Clone(testFunctions)
		o.Functions[0].Version = s.version
		p := mustLoad(t, s.src, o)
		m, err := p.Molecule(s.cells)
		if err != nil {
			t.Fatal(err)
		}
		m.Set(p.Stage("a"), []Result{s.result})
		return m.Reading(p.Stage("b"), 0)
	}
	for _, c := range []struct {
		name    string
		changes bool
		edit    func(*state)
	}{
		{"nothing", false, func(*state) {}},
		{"the expression", true, func(s *state) {
			s.src = strings.ReplaceAll(src, "+ stage", "- stage")
		}},
		{"a function's version", true, func(s *state) { s.version = 2 }},
		{"a value that is used", true,
			func(s *state) { s.result.Values = []byte(`{"v": 2, "w": 1}`) }},
		{"a file that is used", true, func(s *state) { s.result.Outputs = input("2", "1") }},
		{"the message", true, func(s *state) { s.src = strings.ReplaceAll(src, `"no"`, `"yes"`) }},
		{"a value that is not used", false,
			func(s *state) { s.result.Values = []byte(`{"v": 1, "w": 2}`) }},
		{"a file that is not used", false, func(s *state) { s.result.Outputs = input("1", "2") }},
		{"the wall time", false, func(s *state) { s.result.Seconds = 9 }},
		{"where the files lie", false, func(s *state) {
			s.result.Outputs = map[string]Input{"x": {Path: "/elsewhere/x", SHA256: "1"}}
		}},
		{"a comment, the layout, the timeout", false, func(s *state) {
			s.src = "# c\n" + strings.ReplaceAll(strings.ReplaceAll(src, "{ e =",
				"{\n    e = # c\n     "), "1m", "2m")
			s.src = strings.ReplaceAll(s.src, "# c\n     ", "")
		}},
		{"the command", false, func(s *state) {
			s.src = strings.ReplaceAll(src, `["true", stage`, `["false", stage`)
		}},
		{"a cell that is not used", false,
			func(s *state) { s.cells = maps.Clone(cells); s.cells["smiles"] = "N" }},
	} {
		s := base
		c.edit(&s)
		if changed := reading(s) != reading(base); changed != c.changes {
			t.Errorf("%s: changed %t, want %t", c.name, changed, c.changes)
		}
	}
}

// TestReadingOfEach checks that an expression depends on the values of a stage that runs several
// times, and on the content of its files. Here JSON would escape the name of their folder.
func TestReadingOfEach(t *testing.T) {
	for _, expr := range []string{
		"{ lowest = min(stage.a[*].v...), all = stage.a[*].x }",
		"{ all = [for run in stage.a : \"${run.v} ${run.x}\"] }",
		"{ some = { for i, run in stage.a : i => run.x if run.v > 0 } }",
		"{ some = [for i in range(2) : [stage.a[i].v, stage.a[i].x]] }",
		"{ v = stage.a[0].v, x = stage.a[0].x }",
	} {
		p := mustLoad(t, `stage "a" {
  for_each = [1, 2]
  command  = ["true"]
  outputs  = { x = "x", y = "y" }
  values   = { v = 1, w = 1 }
}
stage "b" { values = `+expr+` }
stage "c" { values = { s = status(stage.a) } }
`, testOptions())
		reading := func(stage, sha string, v, w, seconds float64) string {
			m, err := p.Molecule(nil)
			if err != nil {
				t.Fatal(err)
			}
			one := Result{StatusOK, map[string]Input{"x": {Path: "/R&D <1>/x", SHA256: sha},
				"y": {Path: "/R&D <1>/y", SHA256: fmt.Sprint(seconds)}},
				fmt.Appendf(nil, `{"v": %g, "w": %g}`, v, w), seconds}
			m.Set(p.Stage("a"), []Result{one, one})
			return m.Reading(p.Stage(stage), 0)
		}
		base := reading("b", "h", 1, 1, 1)
		if reading("b", "h", 2, 1, 1) == base || reading("b", "h2", 1, 1, 1) == base {
			t.Errorf("%s: a change of v or of the content of x goes unseen", expr)
		}
	}
}

func TestReadingOfTime(t *testing.T) {
	for _, expr := range []string{"[for run in stage.a : run]", "stage.a[*]", "length(stage.a)",
		"stage.a[0].v"} {
		p := mustLoad(t, `stage "a" {
  for_each = [1, 2]
  values   = { v = 1 }
}
stage "b" { values = { x = `+expr+` } }
`, testOptions())
		reading := func(seconds float64) string {
			m, err := p.Molecule(nil)
			if err != nil {
				t.Fatal(err)
			}
			m.Set(p.Stage("a"), []Result{{StatusOK, nil, []byte(`{"v": 1}`), seconds}})
			return m.Reading(p.Stage("b"), 0)
		}
		if reading(1) != reading(9) {
			t.Errorf("%s: the wall time matters", expr)
		}
	}
}

// asValues are the values of a stage with one.
func asValues(h any) []byte {
	data, _ := json.Marshal(map[string]any{"h": h})
	return data
}

func TestMerge(t *testing.T) {
	p := mustLoad(t, small, testOptions())
	merge := func(h0, h1 any, failed bool) (map[string]string, error) {
		m := molecule(t, p, map[string]any{"charge": int64(0), "multiplicity": int64(1),
			"H298_cbs": 0.0})
		m.Set(p.Stage("each"), []Result{{Status: StatusOK, Values: asValues(h0)},
			{Status: StatusOK, Values: asValues(h1)}})
		return m.Merge(failed)
	}
	for _, c := range []struct {
		h0, h1 any
		failed bool
		want   map[string]string // nil: an error that names line 37
	}{
		{-1.23456789012345, 2.0, false, map[string]string{"a": "-1.23456789012", "b": "7.25",
			"c": "0", "d": "0.002"}},
		{0.1 + 0.2, 1e-9, false, map[string]string{"a": "0.000000001", "b": "7.25", "c": "0",
			"d": "1e-12"}},
		{1e25, 1e25, false, map[string]string{"a": "1e+25", "b": "7.25", "c": "0", "d": "1e+22"}},
		{1.0, nil, false, nil},
		{1.0, nil, true, map[string]string{"a": "", "b": "7.25", "c": "0", "d": ""}},
	} {
		got, err := merge(c.h0, c.h1, c.failed)
		if c.want == nil {
			if err == nil || !strings.Contains(err.Error(),
				"pipeline.hcl:37: Error in function call: min: argument 2 has no value (null)") {
				t.Errorf("%v %v: got %v", c.h0, c.h1, err)
			}
		} else if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%v %v: got %v, %v, want %v", c.h0, c.h1, got, err, c.want)
		}
	}
}

// An editor or git may change the ends of lines of a script: it is the same script.
func TestLineEnds(t *testing.T) {
	var tasks []*Task
	var keys []string
	for _, script := range []string{"echo 1\necho 2\n", "echo 1\r\necho 2\r\n"} {
		dir := t.TempDir()
		for name, text := range map[string]string{"x.sh": script, "pipeline.hcl": `stage "a" {
  file "x.sh" { source = "x.sh" }
  command = ["sh", "x.sh", file("x.sh")]
}
`} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Load(filepath.Join(dir, "pipeline.hcl"), testOptions())
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.Molecule(cells)
		if err != nil {
			t.Fatal(err)
		}
		task, err := m.Task(p.Stages[0], 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		tasks, keys = append(tasks, task), append(keys, p.files[filepath.Join(dir, "x.sh")])
	}
	if !tasks[0].Same(tasks[1]) || keys[0] != keys[1] {
		t.Errorf("%+v and %+v differ", tasks[0], tasks[1])
	}
	if got := string(tasks[1].Files[0].Content); got != "echo 1\necho 2\n" {
		t.Errorf("the script is %q", got)
	}
}
