package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const keyed = `variable "n" { default = 3 }
locals { words = "a  b" }
stage "a" {
  command = ["true", var.n, local.words]
  outputs = { x = "x" }
}
merge { y = status(stage.a) }
`

func TestKey(t *testing.T) {
	key := func(src string, o Options) string { return mustLoad(t, src, o).Key }
	base := key(keyed, testOptions())
	set, version, column := testOptions(), testOptions(), testOptions()
	set.Set = "n = 4"
	version.Functions = slices.Clone(testFunctions)
	version.Functions[0].Version++
	column.Columns = func(string) ([]Column, error) { return []Column{{"mol_id", false}}, nil }
	for _, c := range []struct {
		name    string
		key     string
		changes bool
	}{
		{"comment", key("# x\n"+strings.ReplaceAll(keyed, "\n}", " // y\n}"), testOptions()),
			false},
		{"layout", key(strings.ReplaceAll(keyed, `["true", var.n,`, "[\n\n  \"true\",   var.n,\n"),
			testOptions()), false},
		{"line ends", key(strings.ReplaceAll(keyed, "\n", "\r\n"), testOptions()), false},
		{"blanks in a text", key(strings.ReplaceAll(keyed, "a  b", "a b"), testOptions()), true},
		{"a word", key(strings.ReplaceAll(keyed, `"true"`, `"false"`), testOptions()), true},
		{"a variable", key(keyed, set), true},
		{"a function's version", key(keyed, version), true},
		{"a column that is not used", key(keyed, column), false},
	} {
		if (c.key != base) != c.changes {
			t.Errorf("%s: changed %t, want %t", c.name, c.key != base, c.changes)
		}
	}
}

func TestKeyOfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("pipeline.hcl", `stage "a" {
  command = ["true"]
  file "in.txt" { source = "source.txt" }
  outputs = { x = "x" }
  values  = { l = file("limits.txt") }
}`)
	read := func() (string, string) {
		p, err := Load(filepath.Join(dir, "pipeline.hcl"), testOptions())
		if err != nil {
			t.Fatal(found(t, err))
		}
		m, err := p.Molecule(nil)
		if err != nil {
			t.Fatal(err)
		}
		task, err := m.Task(p.Stages[0], 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if want := hashOf(task.Files[0].Content); task.Files[0].SHA256 != want ||
			task.Files[0].Keep {
			t.Errorf("got %+v, want the hash %s", task.Files[0], want)
		}
		return p.Key, m.Reading(p.Stages[0], 0)
	}
	write("source.txt", "one")
	write("limits.txt", "1")
	key1, reading1 := read()
	write("source.txt", "two")
	key2, reading2 := read()
	write("limits.txt", "2")
	key3, reading3 := read()
	if key1 == key2 || key2 == key3 || reading1 != reading2 || reading2 == reading3 {
		t.Error(
			"an edit of a file that the pipeline reads goes unseen, or changes what it has no " +
				"part in")
	}
}

// small is a pipeline for the tests of evaluation.
const small = `variable "conformers" { default = 2 }
variable "preopt" { default = true }
locals {
  uhf   = mol.multiplicity - 1
  twice = local.uhf * var.conformers
  fixed = "w${var.conformers}"
}
pipeline { env = { A = "1", B = "2" } }
stage "emb" {
  command = ["emb", mol.smiles]
  outputs = { g = "g.xyz", gg = "g.xyz.gz" }
  values  = { n = 1, dyn = jsondecode(file(output.g)).x }
}
stage "pre" {
  enabled = var.preopt && mol.charge < 2
  command = ["xtb", stage.emb.g]
  timeout = "${5 * pow(2, attempt)}m"
  outputs = { g = "opt.xyz" }
}
stage "each" {
  for_each = first(var.conformers, ensemble(coalesce(stage.pre.g, stage.emb.g)))
  command  = ["mopac", each.key, attempt, local.twice, local.fixed, ` +
	`mol.H298_cbs * 0.1, true, 1e21, "in=${stage.emb.g},${stage.emb.gg}"]
  env      = { B = stage.emb.g, C = null, D = mol.charge }
  outputs  = { out = "o" }
  file "in.mop" { content = "see ${stage.emb.g} $${stage.emb.g} %%{x} ${each.value.comment} ${mol.H298_cbs * 0.3}" }
  values   = { h = each.key + 0.5, none = null }
  precondition {
    condition     = mol.charge != 7
    error_message = "charge ${mol.charge}"
  }
  postcondition {
    condition     = each.key < 5 && stage.emb.n > 0
    error_message = "too many"
  }
}
merge {
  a = min(stage.each[*].h...)
  b = stage.emb.dyn
  c = mol.H298_cbs
  d = stage.each[1].h * 1e-3
}
`

// molecule evaluates small up to the stage "each".
func molecule(t *testing.T, p *Pipeline, cells map[string]any) *Molecule {
	t.Helper()
	m, err := p.Molecule(cells)
	if err != nil {
		t.Fatal(err)
	}
	m.Set(p.Stage("emb"), []Result{{Status: StatusOK, Seconds: 2,
		Values: []byte(`{"n": 1, "dyn": 7.25}`),
		Outputs: map[string]Input{"g": {Path: "/art/m/emb/g.xyz", SHA256: "h1"},
			"gg": {Path: "/art/m/emb/g.xyz.gz", SHA256: "h2"}}}})
	on, err := m.Enabled(p.Stage("pre"))
	if err != nil {
		t.Fatal(err)
	}
	if on {
		m.Set(p.Stage("pre"), []Result{{Status: StatusOK, Seconds: 1,
			Outputs: map[string]Input{"g": {Path: "/art/m/pre/opt.xyz", SHA256: "h3"}}}})
	}
	if _, err := m.Instances(p.Stage("each")); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTask(t *testing.T) {
	p := mustLoad(t, small, testOptions())
	m := molecule(t, p, map[string]any{"smiles": "CCO", "charge": int64(0),
		"multiplicity": int64(3), "H298_cbs": -56.12})
	s := p.Stage("each")
	task, err := m.Task(s, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	check("argv", task.Argv, []string{"mopac", "1", "2", "4", "w2", "-5.612", "true",
		"1000000000000000000000", "in=in/g.xyz,in/g.xyz.gz"})
	check("hashed", task.HashedArgv, task.Argv)
	check("inputs", task.Inputs, []Input{{Name: "emb.g", Path: "/art/m/emb/g.xyz", SHA256: "h1",
		Local: "in/g.xyz"}, {Name: "pre.g", Path: "/art/m/pre/opt.xyz", SHA256: "h3",
		Local: "in/opt.xyz"}, {Name: "emb.gg", Path: "/art/m/emb/g.xyz.gz", SHA256: "h2",
		Local: "in/g.xyz.gz"}})
	check("env", task.Env, []string{"A=1", "B=in/g.xyz", "D=0"})
	check("file", string(task.Files[0].Content),
		"see in/g.xyz ${stage.emb.g} %{x} in/opt.xyz 1 -16.836")
	check("hash", task.Files[0].SHA256, hashOf(task.Files[0].Content))
	check("timeout", task.Timeout, time.Duration(0))
	check("programs", task.Programs, []string{"mopac"})
	if task, err = m.Task(p.Stage("pre"), 0, 3); err != nil || task.Timeout != 40*time.Minute {
		t.Errorf("got %v, %v", task.Timeout, err)
	}
	if n, err := m.Instances(s); n != 2 || err != nil || s.Instance(1) != "each/2" ||
		p.Stage("pre").Instance(0) != "pre" {
		t.Errorf("%d, %v", n, err)
	}
	check("files", s.FileNames(), []string{"in.mop", "o"})
}

func TestTurnedOff(t *testing.T) {
	o := testOptions()
	for _, c := range []struct {
		set    string
		charge int64
		on     bool
	}{{"", 0, true}, {"", 2, false}, {"preopt = false", 0, false}} {
		o.Set = c.set
		p := mustLoad(t, small, o)
		m := molecule(t, p, map[string]any{"charge": c.charge, "multiplicity": int64(1)})
		on, err := m.Enabled(p.Stage("pre"))
		if err != nil || on != c.on {
			t.Errorf("%q: on %t, %v", c.set, on, err)
		}
		want := "/art/m/emb/g.xyz 0" // the alternative
		if c.on {
			want = "/art/m/pre/opt.xyz 0"
		}
		if got := m.each["each"][0].GetAttr("comment").AsString(); got != want {
			t.Errorf("%q: reads %s, want %s", c.set, got, want)
		}
	}
}

// What only a molecule's values bring to light names its place in the file.
func TestMoleculeErrors(t *testing.T) {
	const src = `locals {
  l = 10 / mol.charge
}
stage "a" {
  command  = ["true", mol.H298_cbs]
  for_each = mol.charge > 1 ? [1] : null
  enabled  = mol.multiplicity > 1 ? true : null
  timeout  = "${mol.nheavy}x"
  env      = { A = format("%d", mol.smiles) }
  values   = jsondecode(mol.smiles)
}
merge { x = mol.smiles * local.l }
`
	p := mustLoad(t, src, testOptions())
	m, err := p.Molecule(map[string]any{"charge": int64(0)})
	if err != nil {
		t.Fatal(err)
	}
	const infinite = "pipeline.hcl:2: Division by zero: A division by 0 has no result"
	if _, err := m.Merge(false); err == nil || !strings.Contains(err.Error(), infinite) {
		t.Errorf("got %v", err)
	}
	m, err = p.Molecule(map[string]any{"charge": int64(1), "smiles": `{"seconds": 1}`,
		"multiplicity": int64(1), "nheavy": int64(5)})
	if err != nil {
		t.Fatal(err)
	}
	s := p.Stage("a")
	task := func(edit func(*Stage)) error {
		copied := *s
		edit(&copied)
		_, err := m.Task(&copied, 0, 0)
		return err
	}
	_, instances := m.Instances(s)
	_, enabled := m.Enabled(s)
	_, merge := m.Merge(false)
	_, read := m.Read(s, 0, nil)
	for _, c := range []struct {
		err  error
		want string
	}{
		{instances,
			"pipeline.hcl:6: there is no value here (null): an empty cell, or a stage that is " +
				"turned off"},
		{enabled, "pipeline.hcl:7: there is no value here (null)"},
		{merge, "pipeline.hcl:12: Invalid operand"},
		{read, `pipeline.hcl:10: every stage has stage.NAME.seconds already`},
		{task(func(*Stage) {}), `pipeline.hcl:8: "5x" is no duration`},
		{task(func(s *Stage) { s.timeout = nil }),
			"pipeline.hcl:9: Error in function call: format: "},
		{task(func(s *Stage) { s.timeout, s.env = nil, nil }),
			"pipeline.hcl:5: word 2 of the command has no value: an empty cell"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got %v, want %s", c.err, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	const src = `variable "word" { default = "d" }
variable "count" {
  type    = number
  default = 1
}
variable "on" { default = false }
variable "list" { default = [1] }
variable "typed" {
  type    = map(number)
  default = {}
}
stage "a" { command = ["true"] }
`
	file := filepath.Join(t.TempDir(), "values.hcl")
	if err := os.WriteFile(file, []byte("word = \"f\"\ncount = 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env       []string
		file, set string
		want      string // name value source, of each; or the mistake
	}{
		{nil, "", "",
			"word d default, count 1 default, on false default, list [1] default, typed {} default"},
		{[]string{"GRIMPERIUM_VAR_word=e", "GRIMPERIUM_VAR_count=2", "GRIMPERIUM_VAR_on=true",
			"GRIMPERIUM_VAR_nosuch=1", "word=x"}, "", "",
			"word e GRIMPERIUM_VAR_word, count 2 GRIMPERIUM_VAR_count, on true " +
				"GRIMPERIUM_VAR_on, list [1] default, typed {} default"},
		{[]string{"GRIMPERIUM_VAR_word=e", "GRIMPERIUM_VAR_count=2"}, file, "word = s",
			"word s -set, count 3 -varFile=" + file +
				", on false default, list [1] default, typed {} default"},
		{[]string{"GRIMPERIUM_VAR_list=[1, 2]", "GRIMPERIUM_VAR_typed={ a = 1 }"}, "", "",
			"word d default, count 1 default, on false default, list [1,2] GRIMPERIUM_VAR_list, " +
				"typed {\"a\":1} GRIMPERIUM_VAR_typed"},
		{nil, "", `word="a, b", count = "5", list = [], on=true`,
			"word a, b -set, count 5 -set, on true -set, list [] -set, typed {} default"},
		{nil, "", `word=5`,
			"word 5 -set, count 1 default, on false default, list [1] default, typed {} default"},
		{nil, "", "count=[1]",
			`Unsuitable value for a variable: -set sets the variable "count" to a value ` +
				`of another type: a number is needed here, not a list.`},
		{nil, "", "count=1, count=2", `Variable set twice: -set gives "count" two values.`},
		{nil, "", "count=abs(1)", `Unreadable -set: -set gives "count" no plain ` +
			`value. A text stands in quotes: -set='count="..."'.`},
		{nil, "", "list=1",
			`Unsuitable value for a variable: -set sets the variable "list" to a value ` +
				`of another type: a list is needed here, not a number.`},
		{[]string{"GRIMPERIUM_VAR_count=x"}, "", "",
			`Unsuitable value for a variable: GRIMPERIUM_VAR_count sets the variable "count" ` +
				`to a value of another type: a number is needed here, not "x".`},
	} {
		o := testOptions()
		o.Environ, o.VarFile, o.Set = c.env, c.file, c.set
		p, err := load(t, src, o)
		var got []string
		if err != nil {
			for _, m := range found(t, err) {
				got = append(got, m.summary+": "+m.detail)
			}
		} else {
			for _, v := range p.Variables {
				got = append(got, fmt.Sprintf("%s %s %s", v.Name, v.Text(), v.Source))
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%v %s %s:\ngot  %s\nwant %s", c.env, c.file, c.set, text, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	o := testOptions()
	five := 5
	o.Table, o.Reruns = "/other.csv", &five
	p := mustLoad(t, small, o)
	if p.Table != "/other.csv" || p.MaxReruns != 5 || p.Artefacts != "/other.artefacts" {
		t.Errorf("got %s, %d, %s", p.Table, p.MaxReruns, p.Artefacts)
	}
	want := []string{"H298_cbs", "charge", "multiplicity", "smiles"}
	if !slices.Equal(p.Columns, want) {
		t.Errorf("columns %v", p.Columns)
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(p.Merged, want) {
		t.Errorf("merged %v", p.Merged)
	}
	o.Columns = func(string) ([]Column, error) { return nil, errors.New("no table") }
	mustLoad(t, small, o) // without a table no column can be called unknown
}

// A turned-off stage's own command may name what is turned off with it.
func TestOffTogether(t *testing.T) {
	p := mustLoad(t, `variable "on" { default = false }
stage "a" {
  enabled = var.on
  command = ["true"]
  outputs = { x = "x" }
}
stage "b" {
  enabled = var.on
  command = ["true", stage.a.x]
  outputs = { y = "y" }
}
merge { y = status(stage.b) }
`, testOptions())
	m, err := p.Molecule(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := walk(m, p)
	if err != nil || got["y"] != "NOT_ATTEMPTED" {
		t.Errorf("got %v, %v", got, err)
	}
}

// Many goroutines may evaluate molecules of one pipeline; under -race this proves that nothing of
// it is written.
func TestConcurrent(t *testing.T) {
	for _, file := range []string{fiveStages, "../../testdata/pipelines/valid/everything.hcl"} {
		p, err := Load(file, testOptions())
		if err != nil {
			t.Fatal(found(t, err))
		}
		var wg sync.WaitGroup
		results := make([]map[string]string, 8)
		for i := range results {
			wg.Go(func() {
				for range 3 {
					m, err := p.Molecule(cells)
					if err != nil {
						t.Error(err)
						return
					}
					if results[i], err = walk(m, p); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, r := range results {
			if !maps.Equal(r, results[0]) {
				t.Errorf("got %v and %v", r, results[0])
			}
		}
	}
}
