package cluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// staged puts shell scripts in the place of Slurm's commands. Those that are not given do nothing.
func staged(t *testing.T, scripts map[string]string) {
	dir := t.TempDir()
	for _, name := range []string{"sbatch", "squeue", "scancel"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+scripts[name]), 0o755))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// Slurm's commands get no variables that set their options.
func TestVariables(t *testing.T) {
	staged(t, map[string]string{"squeue": `env | grep -E '^(SLURM|SBATCH|SQUEUE|SCANCEL)_'`})
	for _, name := range []string{"SLURM_CONF", "SLURM_JOB_ID", "SBATCH_PARTITION",
		"SQUEUE_PARTITION", "SCANCEL_USER"} {
		t.Setenv(name, "x")
	}
	if out, err := slurm(context.Background(), "squeue"); out != "SLURM_CONF=x\n" || err != nil {
		t.Error(out, err)
	}
}

// A process that wrote its end is over, whatever Slurm says. Only one that was told to end may be
// started again by Slurm.
func TestEnded(t *testing.T) {
	r, told := &Run{ID: "run", dir: t.TempDir()}, &end{Error: string(errSignal)}
	for name, c := range map[string]struct {
		listed []slurmTask // nil: squeue gave no answer
		claim  string
		end    *end
		want   State
		alive  bool
	}{
		"no answer, works":       {nil, "p", nil, Unknown, true},
		"no answer, none began":  {nil, "", nil, Unknown, false},
		"no answer, no more":     {nil, "p", &end{Error: "no disk"}, Over, true},
		"no answer, told to end": {nil, "p", told, Over, true},
		"no answer, given up":    {nil, closed, nil, Over, true},
		"completing":             {ls("COMPLETING"), "p", &end{Error: "its time"}, Over, true},
		"requeued":               {ls("PENDING"), "p", told, Waiting, true},
		"requeued, given up":     {ls("PENDING"), closed, nil, Over, true},
		"runs":                   {ls("RUNNING"), "p", nil, Running, true},
	} {
		check(t, os.RemoveAll(r.path("000000"+claimSuffix)))
		if c.claim != "" {
			check(t, r.setClaim(0, c.claim))
		}
		path := r.path("p")
		w := &Watcher{run: r, slurmTasks: c.listed, answered: c.listed != nil, now: time.Now(),
			processes: map[string]*process{path: {path: path, end: c.end}}}
		if s := w.sight(&Chunk{}, w.now); s.State != c.want {
			t.Errorf("%s: %+v", name, s)
		}
		if w.alive(&Chunk{}) != c.alive {
			t.Errorf("%s: alive is %t", name, !c.alive)
		}
	}
}

func ls(state string) []slurmTask { return []slurmTask{{"run.0", "1_0", state, "None", "n1", 0}} }
