package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRequire(t *testing.T) {
	o := testOptions()
	o.Functions = append(o.Functions[:len(o.Functions):len(o.Functions)],
		Function{Name: "same", Fn: func(text string) (bool, error) {
			if text != "CCO" {
				return false, errors.New("the bond C1–O2 broke")
			}
			return true, nil
		}})
	p := mustLoad(t, `molecule { require = mol.charge < 9 }
stage "a" {
  command = ["true"]
  require = same(mol.smiles)
}
stage "b" {
  command = ["true"]
  require = mol.charge == 0 && same(mol.smiles)
}
`, o)
	for _, c := range []struct {
		smiles, stage, want string
		charge              int64
	}{
		{"CCO", "a", "", 0}, {"C", "a", "the bond C1–O2 broke", 0},
		{"CCO", "b", "require is not true: mol.charge == 0 && same(mol.smiles)", 1},
		{"CCO", "b", "", 0},
	} {
		m, err := p.Molecule(map[string]any{"smiles": c.smiles, "charge": c.charge})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Read(p.Stage(c.stage), 0, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	if bad, _ := p.Check(map[string]any{"charge": int64(9)}); len(bad) != 1 ||
		!strings.Contains(bad[0], "require is not true: mol.charge < 9") {
		t.Errorf("got %q", bad)
	}
}

// A local value may name stages: it is evaluated where it is used, when they have run.
func TestLocalOfStage(t *testing.T) {
	p := mustLoad(t, `locals {
  twice = local.once * 2
  once  = stage.a.n + mol.charge
}
stage "b" {
  command = ["true", local.twice, step(["x", "y"], attempt)]
}
stage "a" { values = { n = 1 } }
merge { y = local.twice }
`, testOptions())
	if p.Stages[0].Name != "a" || len(p.Stages[1].DependsOn) != 1 ||
		p.Stages[1].DependsOn[0] != "a" {
		t.Fatalf("stage b needs %v", p.Stages[1].DependsOn)
	}
	m, err := p.Molecule(map[string]any{"charge": int64(3)})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"5", "7"} { // a second result is seen, too
		m.Set(p.Stage("a"), []Result{{Status: StatusOK, Values: []byte(`{"n":` + n + `}`)}})
		task, err := m.Task(p.Stage("b"), 0, 7)
		want := map[string]string{"5": "16", "7": "20"}[n]
		if err != nil || task.Argv[1] != want || task.Argv[2] != "y" {
			t.Errorf("got %v, %v, want %s", task, err, want)
		}
	}
}

type exported struct {
	Geometry *string  `cty:"geometry"`
	HOF      *float64 `cty:"hof"`
	Runs     []struct {
		Rank int `cty:"rank"`
	} `cty:"runs"`
}

func TestExport(t *testing.T) {
	o := testOptions()
	o.Export = exported{}
	const stages = `stage "a" {
  command = ["true"]
  outputs = { g = "g.xyz" }
  values  = { hof = 1.5, text = "a" }
}
`
	p := mustLoad(t, stages+`export {
  geometry = stage.a.g
  runs     = [for i in range(2) : { rank = i + 1 }]
}
`, o)
	m, err := p.Molecule(nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Set(p.Stage("a"), []Result{{Status: StatusOK, Values: []byte(`{"hof":1.5}`),
		Outputs: map[string]Input{"g": {Path: "/a/g.xyz"}}}})
	var got exported
	if ok, err := m.Export(&got); !ok || err != nil || *got.Geometry != "/a/g.xyz" ||
		got.HOF != nil || len(got.Runs) != 2 || got.Runs[1].Rank != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	for block, want := range map[string]string{
		`hof = stage.a.text == "a"`: "hof must be a number", `runs = 3`: "runs must be a list",
		`hoff = 1`: `Did you mean "hof"?`,
		`runs = [for r in range(2) : { rank = r, "rnak" = 2 }]`: "There is no attribute \"rnak\"." +
			` Did you mean "rank"?`,
		"runs = try(true ? concat([merge({ rank = 1 }, { x = 2 })]) : (null), [])": "There is no " +
			"attribute \"x\". There are: rank.",
	} {
		_, err := load(t, stages+"export {\n  "+block+"\n}\n", o)
		if got := found(t, err); len(got) != 1 || !strings.Contains(got[0].detail, want) {
			t.Errorf("%s: got %v", block, got)
		}
	}
	p = mustLoad(t, stages, o)
	if m, err = p.Molecule(nil); err != nil {
		t.Fatal(err)
	}
	if ok, err := m.Export(&got); ok || err != nil {
		t.Errorf("without the block: %t, %v", ok, err)
	}
}

// A declared column has numbers, and a cell that is none is the row's mistake.
func TestColumn(t *testing.T) {
	o := testOptions()
	o.Columns = func(string) ([]Column, error) {
		return append(testColumns[:6:6], Column{"temperature", false}), nil
	}
	p := mustLoad(t, `column "temperature" { type = number }
stage "a" { command = ["true", mol.temperature == 300 ? "hot" : "cold"] }
`, o)
	for cell, want := range map[string]string{"300": "hot", "300.0": "hot", "400": "cold"} {
		m, err := p.Molecule(map[string]any{"temperature": cell})
		if err != nil {
			t.Fatal(err)
		}
		if task, err := m.Task(p.Stage("a"), 0, 0); err != nil || task.Argv[1] != want {
			t.Errorf("%s: %v, %v", cell, task, err)
		}
	}
	if bad, _ := p.Check(map[string]any{"temperature": "warm"}); len(bad) != 1 ||
		!strings.Contains(bad[0], `temperature of the row: a number is needed here, not "warm"`) {
		t.Errorf("got %q", bad)
	}
	_,
		err := load(t,
		"column \"temperatur\" { type = number }\nstage \"a\" { command = [\"true\"] }\n", o)
	if got := found(t, err); len(got) != 1 || !strings.Contains(got[0].detail,
		`Did you mean "temperature"?`) {
		t.Errorf("got %v", got)
	}
}

// Of what is turned off together, one stage may use another, and functions of its results.
func TestOffWithFunctions(t *testing.T) {
	const src = `variable "on" { default = false }
stage "a" {
  enabled = var.on
  command = ["true"]
  outputs = { x = "x" }
}
stage "b" {
  enabled = var.on
  command = ["true", xyz(stage.a.x).comment]
  require = same_bonds(stage.a.x, xyz(stage.a.x))
}
merge { y = status(stage.b) }
`
	for _, set := range []string{"", "on=true"} {
		o := testOptions()
		o.Set = set
		mustLoad(t, src, o)
	}
}

// TestEditors checks that the line ends, mark and tabs of an editor change no written file. Line
// ends and mark do not change the key either.
func TestEditors(t *testing.T) {
	const src = "stage \"a\" {\n  file \"in.txt\" {\n    content = <<-EOT\n      PM7 PRECISE\n   " +
		"   ${mol.mol_id}\n    EOT\n  }\n  command = [\"cp\", \"in.txt\", \"a.txt\"]\n}\n"
	key, text := "", ""
	for name, edited := range map[string]string{"LF": src,
		"CRLF": strings.ReplaceAll(src, "\n", "\r\n"), "BOM": "\ufeff" + src,
		"tabs": strings.ReplaceAll(src, "  ", "\t")} {
		p := mustLoad(t, edited, testOptions())
		m, err := p.Molecule(map[string]any{"mol_id": "m1"})
		if err != nil {
			t.Fatal(err)
		}
		task, err := m.Task(p.Stages[0], 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if key == "" {
			text = string(task.Files[0].Content)
		}
		if got := string(task.Files[0].Content); got != text {
			t.Errorf("%s: %q, want %q", name, got, text)
		}
		if key != "" && name != "tabs" && p.Key != key {
			t.Errorf("%s: another key", name)
		}
		if name != "tabs" {
			key = p.Key
		}
	}
}

// A script that a command names by its absolute path decides what is stale, also as the value of an
// option.
func TestWatchedScript(t *testing.T) {
	for _, before := range []string{"", "--script=", "-f="} {
		t.Run(before, func(t *testing.T) { testWatchedScript(t, before) })
	}
}

func testWatchedScript(t *testing.T, before string) {
	script := filepath.Join(t.TempDir(), "run.py")
	describe := func(text string) (string, Input) {
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p := mustLoad(t, `stage "a" { command = ["python3", "`+before+script+`"] }`,
			testOptions())
		m, err := p.Molecule(nil)
		if err != nil {
			t.Fatal(err)
		}
		task, err := m.Task(p.Stages[0], 0, 0)
		if err != nil || len(task.Watched) != 1 {
			t.Fatal(task, err)
		}
		return p.Key, task.Watched[0]
	}
	key1, in1 := describe("print(1)")
	key2, in2 := describe("print(2)")
	if key1 == key2 || in1.SHA256 == in2.SHA256 || in1.Name != script {
		t.Errorf("an edit of the script goes unseen: %v, %v", in1, in2)
	}
}

// Inputs with the same name get different ones in the scratch folder.
func TestInputNames(t *testing.T) {
	p := mustLoad(t, `stage "a" {
  for_each = [1, 2]
  command  = ["true"]
  outputs  = { out = "run.out" }
}
stage "b" {
  command = ["cat", stage.a[0].out, stage.a[1].out, stage.a[1].out]
}
stage "c" {
  file "in" { content = "own" }
  command = ["cat", "in", stage.a[0].out]
  outputs = { o = "inputs/x" }
}
`, testOptions())
	m, err := p.Molecule(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := func(path string) Result {
		return Result{Status: StatusOK, Outputs: map[string]Input{"out": {Path: path,
			SHA256: path}}}
	}
	m.Set(p.Stage("a"), []Result{out("/art/m/a/1/run.out"), out("/art/m/a/2/run.out")})
	task, err := m.Task(p.Stage("b"), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(task.Argv, " "); got != "cat in/run.out in/run-2.out in/run-2.out" {
		t.Errorf("got %s", got)
	}
	own, err := m.Task(p.Stage("c"), 0, 0)
	if err != nil || own.Argv[2] != "inputsputs/run.out" { // the stage's own files have both names
		t.Errorf("got %v, %v", own, err)
	}
	if len(task.Inputs) != 2 || task.Inputs[1].Local != "in/run-2.out" ||
		task.Inputs[1].Name != "a[1].out" {
		t.Errorf("got %+v", task.Inputs)
	}
}

// Values of one type may be compared, objects and null with any other.
func TestComparison(t *testing.T) {
	for expr, want := range map[string]string{
		`{ a = 1 } == { a = 2 }`: "false", `{ a = 1 } == { a = 1 }`: "true", `null != { a = 1 }`: "true",
		`[1] == [2]`: "false", `mol.smiles == "CCO"`: "true",
		`stage.b == stage.b`: "true", `mol.charge != 1`: "true",
	} {
		p := mustLoad(t, stageWith(expr)+"stage \"b\" { values = { x = 1 } }\n", testOptions())
		m, err := p.Molecule(cells)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Read(p.Stage("a"), 0, nil); err != nil || string(got) != `{"v":`+want+`}` {
			t.Errorf("%s: got %s, %v, want %s", expr, got, err, want)
		}
	}
}

// What a stage extends says how it runs; whether and how often it says itself.
func TestExtends(t *testing.T) {
	p := mustLoad(t, `
stage "last" {
  extends = "base"
  file "x" { content = "last at ${attempt}" }
  values = { n = 2 }
}
stage "base" {
  title    = "Base"
  enabled  = mol.charge == 0
  for_each = ["one"]
  at_least = 1
  timeout  = "3m"
  file "x" { content = each.value }
  file "y" { content = "shared" }
  command  = ["cat", "x", "y"]
  outputs  = { log = "stdout" }
  values   = { n = 1 }
  precondition {
    condition     = mol.multiplicity == 1
    error_message = "no singlet"
  }
}
`, testOptions())
	m, err := p.Molecule(map[string]any{"charge": int64(1), "multiplicity": int64(2)})
	if err != nil {
		t.Fatal(err)
	}
	s := p.Stage("last")
	if s.Titled || s.ForEach || s.AtLeast != 0 || s.Conditional() || s.Outputs["log"] != "stdout" {
		t.Errorf("got %+v", s)
	}
	task, err := m.Task(s, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range task.Files {
		files[f.Name] = string(f.Content)
	}
	if len(files) != 2 || files["x"] != "last at 4" || files["y"] != "shared" ||
		strings.Join(task.Argv, " ") != "cat x y" || task.Timeout != 3*time.Minute {
		t.Errorf("got %v, %+v", files, task)
	}
	if values, err := m.Read(s, 0, nil); err != nil || string(values) != `{"n":2}` {
		t.Errorf("got %s, %v", values, err)
	}
	if err := m.Precheck(s, 0, 0); err == nil || err.Error() != "no singlet" {
		t.Errorf("got %v", err)
	}
}

func TestOneOf(t *testing.T) {
	const src = `variable "search" { one_of = ["etkdg", "crest"] }
stage "a" { command = ["echo", var.search] }
`
	for set, want := range map[string]string{"": "etkdg", "search=crest": "crest",
		"search=xyz": `refuses: "xyz" is not one of etkdg, crest.`, "search=[]": "another type"} {
		o := testOptions()
		o.Set = set
		p, err := loadText(t.TempDir()+"/pipeline.hcl", []byte(src), o)
		if err != nil {
			if text := err.Error(); !strings.Contains(text, want) {
				t.Errorf("%s: got %s", set, text)
			}
		} else if got := p.Variables[0].Text(); got != want {
			t.Errorf("%s: got %s", set, got)
		}
	}
}

// A script is watched wherever a command names it by its absolute path. So is a file that can be
// run, whatever its name. The program itself has a version.
func TestWatchedScripts(t *testing.T) {
	dir := t.TempDir()
	script, tool := filepath.Join(dir, "x.sh"), filepath.Join(dir, "tool")
	if err := os.WriteFile(script, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tool, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, attributes := range []string{
		`command = ["sh", "PATH"]`, `command = ["sh", step(["PATH"], attempt)]`,
		`command = ["sh", step(["a.sh", "PATH"], attempt)]`, `command = ["env", "A=PATH", "true"]`,
		`command = concat(["sh", "PATH"], mol.charge > 0 ? ["-v"] : [])`,
		`command = ["sh", "-c", "PATH foo && true"]`, `command = ["true", "-fPATH"]`,
		"command = [\"true\"]\n  env = { A = \"PATH\" }",
		"for_each = [\"PATH\"]\n  command = [\"sh\", each.value]",
	} {
		for _, path := range []string{script, tool} {
			src := "stage \"a\" {\n  " + strings.ReplaceAll(attributes, "PATH", path) + "\n}\n"
			p := mustLoad(t, src, testOptions())
			if got := p.Files(); len(got) != 1 || got[0] != path ||
				len(p.Stage("a").watched) != 1 {
				t.Errorf("%s: got %v", attributes, got)
			}
		}
	}
	p := mustLoad(t, `stage "a" { command = ["`+tool+`"] }`, testOptions())
	if got := p.Files(); len(got) != 0 {
		t.Errorf("the program is watched as a file: %v", got)
	}
}
