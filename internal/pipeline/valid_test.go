package pipeline

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
)

// fiveStages is a pipeline of the usual five stages.
const fiveStages = "../../testdata/pipelines/valid/five_stages.hcl"

func TestValid(t *testing.T) {
	files, err := filepath.Glob("../../testdata/pipelines/valid/*.hcl")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		p, err := Load(file, testOptions())
		if err != nil {
			t.Errorf("%s: %v", file, found(t, err))
			continue
		}
		m, err := p.Molecule(cells)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if _, err := walk(m, p); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// cells are a row of the table.
var cells = map[string]any{"mol_id": "mol_00001", "smiles": "CCO", "charge": int64(0),
	"multiplicity": int64(1), "H298_cbs": -56.12}

// walk does what a batch does for a molecule that is up to date: every target is described, and the
// row merged.
func walk(m *Molecule, p *Pipeline) (map[string]string, error) {
	for _, s := range p.Stages {
		on, err := m.Enabled(s)
		if err != nil || !on {
			if err != nil {
				return nil, err
			}
			continue
		}
		n, err := m.Instances(s)
		if err != nil {
			return nil, err
		}
		var results []Result
		for i := range n {
			if _, err := m.Task(s, i, 0); err != nil {
				return nil, err
			}
			m.Reading(s, i)
			r := Result{Status: StatusOK, Seconds: 1.5, Outputs: map[string]Input{}}
			paths := map[string]string{}
			for name, file := range s.Outputs {
				paths[name] = "/art/mol_00001/" + s.Instance(i) + "/" + file
				r.Outputs[name] = Input{Path: paths[name], SHA256: "hash of " + file}
			}
			if kept := recorded[s.Name]; kept != "" {
				r.Values = []byte(kept)
			} else if r.Values, err = m.Read(s, i, paths); err != nil {
				return nil, err
			}
			results = append(results, r)
		}
		m.Set(s, results)
	}
	return m.Merge(false)
}

// recorded are the values of stages as their records have them, where the test does not read them.
var recorded = map[string]string{
	"rdkit":  `{"nheavy": 3, "nrotbonds": 1, "tpsa": 20.2, "aromaticrings": 0, "pool_size": 30}`,
	"search": `{"count": 3, "energy": -5.25}`,
	"pm7":    `{"hof": -17.5, "gradient_norm": null, "method": "PM7"}`,
	"final":  `{"most_stable_hof": -17.5, "spread": 0}`,
}

func TestFiveStages(t *testing.T) {
	p, err := Load(fiveStages, testOptions())
	if err != nil {
		t.Fatal(found(t, err))
	}
	m, err := p.Molecule(cells)
	if err != nil {
		t.Fatal(err)
	}
	if bad, _ := p.Check(cells); len(bad) > 0 {
		t.Error(bad)
	}
	got, err := walk(m, p)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"nheavy": "3", "crest_status": "SUCCESS",
		"crest_conformers_generated": "3", "crest_time": "1.5", "mopac_status": "OK",
		"mopac_time": "4.5",
		"delta_1":    "38.62", "delta_2": "38.62", "delta_3": "38.62", "most_stable_hof": "-17.5"}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
	task, err := m.Task(p.Stage("preopt"), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"xtb", "in/geometry.xyz", "--opt", "--gfn", "2", "--chrg", "0", "--uhf",
		"0"}; !slices.Equal(task.Argv, want) {
		t.Errorf("got %q, want %q", task.Argv, want)
	}
	if len(task.Inputs) != 1 || task.Inputs[0].SHA256 != "hash of geometry.xyz" ||
		task.Timeout.Minutes() != 20 {
		t.Errorf("got %+v", task)
	}
}
