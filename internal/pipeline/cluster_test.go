package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const clustered = `
variable "words" { default = ["a", "b \"$${x}\""] }
variable "n" { default = 3 }
stage "s" {
  file "in.txt" { source = "in.txt" }
  command = concat(["cat", "in.txt", tostring(var.n)], var.words, [mol.smiles])
  outputs = { out = "stdout" }
}
cluster "slurm" {
  cores   = 16
  time    = "90m"
  memory  = "32G"
  tasks   = 7
  scratch = env("TMPDIR")
  options = ["--partition=main", "--exclusive"]
}
`

// A snapshot gives the same pipeline although the file, its sources and the environment are others
// by then. The cluster block is no part of the key.
func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("in.txt", "one")
	write("pipeline.hcl", clustered)
	o := Options{Columns: func(string) ([]Column, error) {
		return []Column{{"smiles", false}, {"charge", true}}, nil
	}}
	load := func(o Options) *Pipeline {
		t.Helper()
		p, err := Load(filepath.Join(dir, "pipeline.hcl"), o)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	o.Set = `n = 4, words = ["c"]`
	p := load(o)
	c := p.Cluster
	if c.Cores != 16 || c.Time != 90*time.Minute || c.Memory != "32G" || c.Tasks != 7 ||
		len(c.Options) != 2 {
		t.Errorf("%+v", c)
	}
	t.Setenv("TMPDIR", "/local/x")
	if c.NodeScratch() != "/local/x" {
		t.Error(c.NodeScratch())
	}
	write("pipeline.hcl", strings.Replace(clustered, "cores   = 16", "cores   = 8 # of 16", 1))
	if load(o).Key != p.Key {
		t.Error("an edit of the cluster block changes the key")
	}
	s := p.Snapshot()
	write("in.txt", "two")
	write("pipeline.hcl", "nonsense")
	q, err := s.Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if q.Key != p.Key || q.Artefacts != p.Artefacts || q.Variables[0].Text() != `["c"]` {
		t.Error(q.Key == p.Key, q.Artefacts, q.Variables[0].Text())
	}
	s.Key = "other"
	if _, err := s.Load(Options{}); err == nil {
		t.Error("another key is no error")
	}
}
