package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The number of a command's words may depend on the molecule, the attempt and earlier results.
func TestOptionalWords(t *testing.T) {
	const src = `variable "run" { default = ["xtb", "x"] }
locals { words = ["xtb", mol.charge] }
stage "a" { values = { linear = mol.charge > 0, list = split(" ", mol.smiles) } }
stage "b" {
  command = %s
}
`
	for command, want := range map[string]string{
		`concat(["xtb"], mol.charge != 0 ? ["--chrg", mol.charge] : [])`:   "xtb --chrg 1",
		`concat(local.words, attempt > 0 ? ["--retry"] : [])`:              "xtb 1",
		`concat(var.run, length(salvaged) > 0 ? ["--restart"] : [])`:       "xtb x",
		`concat(["xtb", "1"], (stage.a.linear ? ["--linear"] : []))`:       "xtb 1 --linear",
		`compact(["xtb", mol.charge > 0 ? "--charged" : ""])`:              "xtb --charged",
		`flatten(["xtb", mol.charge > 0 ? ["--charged"] : []])`:            "xtb --charged",
		`flatten([["xtb"], [for w in stage.a.list : w if w != "b"]])`:      "xtb a c",
		`step([["xtb", "a"], ["xtb", "a", "b"]], attempt)`:                 "xtb a",
		`mol.charge > 0 ? ["xtb", "a"] : ["xtb"]`:                          "xtb a",
		`concat(["xtb"], stage.a.list)`:                                    "xtb a b c",
		`concat(["xtb"], contains(["*.x", "|"], mol.smiles) ? ["x"] : [])`: "xtb",
		`step([["xtb", "a"], ["mopac", "a", "b"]], attempt)`:               "",
		`concat(mol.charge > 0 ? ["nice"] : [], ["xtb"])`:                  "",
		`concat([mol.smiles], mol.charge > 0 ? ["nice"] : [])`:             "",
		`concat(["./x.sh"], mol.charge > 0 ? ["nice"] : [])`:               "",
		`concat(["xtb"], mol.charge > 0 ? [">", "out"] : [])`:              "",
		`stage.a.list`: "",
		`[]`:           "",
	} {
		p, err := load(t, fmt.Sprintf(src, command), testOptions())
		if err != nil || want == "" {
			if want != "" || err == nil || found(t, err)[0].summary != "Unsuitable command" {
				t.Errorf("%s: %v", command, err)
			}
			continue
		}
		m, err := p.Molecule(map[string]any{"smiles": "a b c", "charge": int64(1)})
		if err != nil {
			t.Fatal(err)
		}
		m.Set(p.Stage("a"), []Result{{Status: StatusOK,
			Values: []byte(`{"linear": true, "list": ["a", "b", "c"]}`)}})
		task, err := m.Task(p.Stage("b"), 0, 0)
		if err != nil || strings.Join(task.Argv, " ") != want ||
			!slices.Equal(task.Programs, []string{"xtb"}) {
			t.Errorf("%s: %v, %v", command, task, err)
		}
	}
}

// Of a large file the ends count.
func TestHashOfEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := map[string]bool{}
	for _, edit := range []struct{ at, size int64 }{
		{0, maxFileSize}, {1, maxFileSize + 1}, {2, maxFileSize + 2}, {maxFileSize + 1, 0}} {
		_, err = file.WriteAt([]byte("x"), edit.at)
		if edit.size > 0 {
			err = errors.Join(err, file.Truncate(edit.size))
		}
		sum, hashErr := hashOfEnds(path)
		if err != nil || hashErr != nil || seen[sum] {
			t.Errorf("%+v: %s again, %v, %v", edit, sum, err, hashErr)
		}
		seen[sum] = true
	}
	if _, err := hashOfEnds(path + "none"); err == nil {
		t.Error("no error")
	}
}
