package pipeline

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLoad reads arbitrary bytes as pipeline.hcl. Whatever is accepted is evaluated for a molecule,
// too.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("../../testdata/pipelines/*/*.hcl")
	if err != nil || len(files) < 10 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	for _, expr := range []string{`{for k, v in {a = 1} : k => v...}`,
		`[for x in [1, "a", null] : x if x != 1]`, `"%{for x in [1]}${x}%{else}%{endfor}"`,
		`try(null.a, [][0], 1)`,
		`{"a": 1, (mol.smiles) = 2}`, `mol.charge > 0 ? [1] : {a = null}`, `stage.a[*].v`, `format("%v %#v", {}, [])`, `zipmap(["a"], [null])`, `pow(0.1, -400)`, `<<-E` + "\n  ${1}\n E\n"} {
		f.Add([]byte(stageWith(expr)))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > maxPipelineSize {
			return // Load does not even read it
		}
		p, err := loadText("../../testdata/pipelines/valid/pipeline.hcl", src, testOptions())
		var mistakes *Errors
		if errors.As(err, &mistakes) {
			if len(mistakes.diags) == 0 || len(mistakes.diags) > maxMistakes+1 {
				t.Errorf("%d mistakes", len(mistakes.diags))
			}
			var text strings.Builder
			if err := mistakes.Print(&text, 60, true); err != nil {
				t.Error(err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range []map[string]any{cells, {}} {
			p.Check(row)
			m, err := p.Molecule(row)
			if err != nil {
				continue
			}
			_, _ = walk(m, p)
			_, _ = m.Merge(true)
		}
		if !slices.IsSorted(p.Columns) || p.Key == "" {
			t.Error("a pipeline without a key")
		}
	})
}

// FuzzOutput reads arbitrary bytes as the file of a program, by the functions with which pipelines
// read text and JSON. A value that was read can be stored and merged.
func FuzzOutput(f *testing.F) {
	f.Add([]byte(`{"nheavy": 3, "tpsa": 20.23, "list": [1, "a", null, {"b": 1e308}]}`))
	f.Add([]byte("energy -5.25 Eh\n\xff\x00\r\n"))
	f.Add([]byte(`{"nheavy": 1e400, "list": [[[[[[[[]]]]]]]]}`))
	path := filepath.Join(f.TempDir(), "out")
	p, err := loadText("../../testdata/pipelines/valid/pipeline.hcl", []byte(`stage "a" {
  command = ["true"]
  outputs = { out = "out" }
  values = {
    all    = try(jsondecode(file(output.out)), null)
    nheavy = try(jsondecode(file(output.out)).nheavy, null)
    energy = try(tonumber(regex("energy +([-0-9.]+)", file(output.out))[0]), null)
    last   = try(split("\n", file(output.out))[1], null)
    text   = file(output.out)
  }
}
merge {
  nheavy = try(tostring(stage.a.nheavy), "none")
  energy = stage.a.energy
  text   = stage.a.text
}
`), testOptions())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := p.Molecule(cells)
		if err != nil {
			t.Fatal(err)
		}
		values, err := m.Read(p.Stage("a"), 0, map[string]string{"out": path})
		if err != nil {
			return
		}
		if !json.Valid(values) {
			t.Fatalf("%s can't be stored", values)
		}
		m.Set(p.Stage("a"), []Result{{Status: StatusOK, Values: values}})
		merged, err := m.Merge(false)
		if err != nil {
			return // infinite, or no number
		}
		for column, text := range merged {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\n\r") {
				t.Errorf("%s %q can't stand in a cell", column, text)
			}
		}
	})
}
