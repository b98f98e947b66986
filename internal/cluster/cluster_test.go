package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/cluster/slurmtest"
	"grimperium/internal/durable"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// TestMain is the main function of batches and of tasks, too. Batches are processes of their own,
// because a batch ends the children of its process that are not its programs.
func TestMain(m *testing.M) {
	beatEvery = 300 * time.Millisecond
	if skew, err := time.ParseDuration(os.Getenv(skewVariable)); err == nil {
		durable.Renew = func(path string) error {
			now := time.Now().Add(skew)
			return os.Chtimes(path, now, now)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == TaskCommand:
		err = Do(ctx, os.Args[2], load)
	case len(os.Args) == 4 && os.Args[1] == "batch":
		err = batchMain(ctx, os.Args[2], os.Args[3])
	default:
		stop()
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// skewVariable sets how far the clock of the file system is from that of the hosts.
const skewVariable = "GRIMPERIUM_TEST_SKEW"

// batchMain runs a batch in the folder of a project. The words of how are a Mode, and the wall time
// of tasks instead of the pipeline's.
func batchMain(ctx context.Context, dir, how string) error {
	pl, err := pipeline.Load(filepath.Join(dir, "pipeline.hcl"), options)
	if err != nil {
		return err
	}
	table, err := csvmerge.Read(pl.Table)
	if err != nil {
		return err
	}
	st, err := store.Open(pl.Artefacts)
	if err != nil {
		return err
	}
	claims, err := batch.Claim(pl.Table, st)
	if err != nil {
		return err
	}
	defer claims.Release()
	w := &Watcher{Pipeline: pl, Poll: time.Second, Again: os.Args[1:],
		Last: os.Getenv(LastJob) != "", Estimate: journal.Past(st.Path(store.JournalName))}
	if _, err := fmt.Sscan(how, &w.Mode, &pl.Cluster.Time); err != nil {
		return err
	}
	run, err := Find(pl.Artefacts)
	if err != nil {
		return err
	}
	c := batch.Config{Pipeline: pl, Source: table, Table: table, Store: st, Index: st.Index(),
		Claims: claims, Remote: w.Remote, Resume: run != nil, Stopped: w.Last, Warn: os.Stderr}
	if run != nil && (w.Last || w.Mode == Cancel) {
		c.Identities = run.Programs
	}
	if w.Mode == Cancel {
		if err := w.End(ctx); err != nil {
			return err
		}
	}
	b, err := batch.New(ctx, c)
	if err != nil {
		return err
	}
	_, err = b.Run(ctx)
	fmt.Println(w.Note)
	return err
}

var options = pipeline.Options{Written: batch.Written,
	Columns: func(string) ([]pipeline.Column, error) {
		return []pipeline.Column{{Name: "mol_id"}, {Name: "smiles"}}, nil
	}}

func load(s pipeline.Snapshot) (batch.Config, error) {
	p, err := s.Load(options)
	if err != nil {
		return batch.Config{}, err
	}
	st, err := store.Open(p.Artefacts)
	return batch.Config{Pipeline: p, Store: st, Warn: os.Stderr}, err
}

// project is a table m1, m2, ... with a stage of one program. The program is a script that gets the
// molecule's name as $1, and the folder of the project as $2. It appends each run to the file runs.
type project struct {
	*testing.T
	dir    string
	daemon *slurmtest.Slurm
}

const hcl = `
pipeline {
  table      = "table.csv"
  max_reruns = 2
}
program "prog" {
  path    = ["DIR/prog"]
  version = ["prog", "--version"]
}
stage "s" {
  command = ["prog", mol.mol_id, "DIR"]
  outputs = { out = "stdout" }
  values  = { x = 7 }
}
merge { x = stage.s.x }
cluster "slurm" {
  cores  = 2
  time   = "10m"
  memory = "300M"
  tasks  = 2
}
`

func newProject(t *testing.T, molecules int, script string) *project {
	dir, err := os.MkdirTemp("", "slurm") // not t.TempDir: the names of sockets must be short
	check(t, err)
	s, err := slurmtest.Start(dir)
	p := &project{T: t, dir: t.TempDir(), daemon: s}
	t.Cleanup(func() {
		if t.Failed() {
			p.show()
		}
		s.Stop()
		os.RemoveAll(dir)
	})
	check(t, err)
	t.Setenv("SLURM_CONF", s.Config())
	text := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo prog 1; exit; fi\necho $1 >> " +
		"$2/runs\n" + script
	check(t, os.WriteFile(p.path("prog"), []byte(text), 0o755))
	table := "mol_id,smiles,status,reruns,error_message,x\n"
	for n := range molecules {
		table += fmt.Sprintf("m%d,C,Pending,0,,\n", n+1)
	}
	check(t, os.WriteFile(p.path("table.csv"), []byte(table), 0o644))
	check(t, os.WriteFile(p.path("pipeline.hcl"), []byte(strings.ReplaceAll(hcl, "DIR", p.dir)),
		0o644))
	return p
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *project) path(name string) string { return filepath.Join(p.dir, name) }

// show logs what a failed test has left.
func (p *project) show() {
	files, _ := filepath.Glob(p.path("artefacts/.cluster/*/*"))
	for _, f := range append(files, p.path("artefacts/journal.jsonl"), p.path("table.csv")) {
		if data, _ := os.ReadFile(f); !strings.HasSuffix(f, programName) && len(data) < 1<<16 {
			p.Logf("== %s\n%s", f, data)
		}
	}
	p.Log(p.daemon.Log())
	out, _ := p.daemon.Run("squeue", "-t", "all")
	p.Log(out)
}

// running is a batch.
type running struct {
	*exec.Cmd
	out bytes.Buffer
}

// start starts a batch, by a command that runs its words where there is one.
func (p *project) start(mode Mode, wall time.Duration, by ...string) *running {
	p.Helper()
	words := append(by, os.Args[0], "batch", p.dir, fmt.Sprint(int(mode), " ", int64(wall)))
	r := &running{Cmd: exec.Command(words[0], words[1:]...)}
	r.Stdout, r.Stderr = &r.out, &r.out
	check(p.T, r.Start())
	p.Cleanup(func() { _ = r.Process.Kill() })
	return r
}

// wait waits for the end of a batch. failed says that its exit code is not 0.
func (p *project) wait(r *running) (output string, failed bool) {
	p.Helper()
	late := time.AfterFunc(90*time.Second, func() { _ = r.Process.Kill() })
	err := r.Wait()
	if !late.Stop() {
		p.Fatal("the batch does not end: ", r.out.String())
	}
	return r.out.String(), err != nil
}

// finish waits for the end of a batch, which must have made every row OK and left no run.
func (p *project) finish(r *running) {
	p.Helper()
	if out, failed := p.wait(r); failed {
		p.Error(out)
	}
	for id, cells := range p.rows() {
		if cells["status"] != "OK" || cells["x"] != "7" {
			p.Errorf("%s: %v", id, cells)
		}
	}
	p.gone()
}

// gone fails if a run is there.
func (p *project) gone() {
	p.Helper()
	if run, err := Find(p.path("artefacts")); run != nil || err != nil {
		p.Error("the run is still there:", run, err)
	}
}

func (p *project) rows() map[string]map[string]string {
	table, err := csvmerge.Read(p.path("table.csv"))
	check(p.T, err)
	rows := map[string]map[string]string{}
	for i := range table.Len() {
		cells := map[string]string{}
		for _, name := range []string{"status", "reruns", "error_message", "x"} {
			cells[name] = table.Cell(i, name).Text
		}
		rows[table.ID(i)] = cells
	}
	return rows
}

// runs counts how often each molecule was computed, also in vain.
func (p *project) runs() map[string]int {
	data, _ := os.ReadFile(p.path("runs"))
	n := map[string]int{}
	for _, id := range strings.Fields(string(data)) {
		n[id]++
	}
	return n
}

// twice fails if more molecules were computed again than were under way.
func (p *project) twice(most int) {
	p.Helper()
	again := 0
	for _, n := range p.runs() {
		again += n - 1
	}
	if again > most {
		p.Errorf("%d molecules were computed again, not at most %d", again, most)
	}
}

// until waits for a fact.
func (p *project) until(what string, fact func() bool) {
	p.Helper()
	for range 1200 {
		if fact() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.Fatal("in vain waited until ", what)
}

// begun waits until so many molecules were begun.
func (p *project) begun(n int) {
	p.Helper()
	p.until(fmt.Sprint(n, " molecules were begun"), func() bool { return len(p.runs()) >= n })
}

// journalHas waits for a text in the journal.
func (p *project) journalHas(text string) {
	p.Helper()
	p.until("the journal has "+text, func() bool {
		data, _ := os.ReadFile(p.path("artefacts/journal.jsonl"))
		return bytes.Contains(data, []byte(text))
	})
}

// slurm runs a command of Slurm.
func (p *project) slurm(name string, args ...string) string {
	p.Helper()
	out, err := p.daemon.Run(name, args...)
	check(p.T, err)
	return strings.TrimSpace(out)
}

// job is a running task of the batch, as 12_0.
func (p *project) job(node string) (job string) {
	p.Helper()
	p.until("a task runs on "+node, func() bool {
		out, _ := p.daemon.Run("squeue", "-h", "-r", "-t", "R", "-w", node, "-o", "%F_%K")
		job, _, _ = strings.Cut(out, "\n")
		return job != ""
	})
	return job
}
