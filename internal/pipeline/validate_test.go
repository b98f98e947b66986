package pipeline

import (
	"slices"
	"testing"
)

const asking = `variable "level" { default = "high" }
locals { name = "${mol.mol_id}!" }
stage "a" {
  file "x.txt" { content = "for ${mol.smiles}" }
  env      = { LEVEL = var.level }
  worker   = ["prog", "--serve"]
  command  = ["prog", mol.smiles, attempt]
  validate = ["prog", "--check", mol.smiles, local.name, var.level, mol.nheavy]
}
stage "b" { command = ["prog", stage.a.status] }
`

func TestQuestion(t *testing.T) {
	p := mustLoad(t, asking, testOptions())
	if !p.Stage("a").Validates() || p.Stage("b").Validates() {
		t.Error("stage a has validate, stage b has not")
	}
	m, err := p.Molecule(map[string]any{"mol_id": "m", "smiles": "CO", "nheavy": int64(2)})
	if err != nil {
		t.Fatal(err)
	}
	q, err := m.Question(p.Stage("a"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"prog", "--check", "CO", "m!", "high", "2"}; !slices.Equal(q.Argv, want) {
		t.Errorf("asks %q, want %q", q.Argv, want)
	}
	if len(q.Files) != 0 || !slices.Equal(q.Env, []string{"LEVEL=high"}) {
		t.Errorf("files %v, environment %q", q.Files, q.Env)
	}
	// What is asked is no part of the task: its words are the command's, so that an edit of
	// validate makes nothing stale.
	task, err := m.Task(p.Stage("a"), 0, 0)
	if err != nil || !slices.Equal(task.Argv, []string{"prog", "CO", "0"}) {
		t.Errorf("the task's words are %q, %v", task.Argv, err)
	}
	m, err = p.Molecule(map[string]any{"mol_id": "m", "smiles": "CO"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Question(p.Stage("a")); err == nil {
		t.Error("a word without a value is no question")
	}
}
