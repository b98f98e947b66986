package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzLoad reads arbitrary bytes as pipeline.hcl. Whatever is accepted is evaluated for a molecule, too.
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
	for _, expr := range []string{`{for k, v in {a = 1} : k => v...}`, `[for x in [1, "a", null] : x if x != 1]`, `"%{for x in [1]}${x}%{else}%{endfor}"`, `try(null.a, [][0], 1)`,
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
			m, err := p.Molecule(row)
			if err != nil {
				continue
			}
			m.Check()
			_, _ = walk(m, p)
			_, _ = m.Merge(true)
		}
		if !slices.IsSorted(p.Columns) || p.Key == "" {
			t.Error("a pipeline without a key")
		}
	})
}
