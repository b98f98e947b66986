package cluster

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
)

// staged puts shell scripts in the place of Slurm's commands. Those that are not given do nothing.
func staged(t *testing.T, scripts map[string]string) {
	dir := t.TempDir()
	for _, name := range []string{"sbatch", "squeue", "scancel"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+scripts[name]), 0o755))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// waiting is an squeue that lists three tasks of each array that it is asked for.
const waiting = `for name in $(echo ${4#--name=} | tr , ' '); do
	case $name in *.merge) continue ;; esac
	for n in 0 1 2; do echo "$name|7|$n|PENDING|None|"; done
done`

// watcher is a Watcher of a project in a folder, which asks Slurm without a pause.
func watcher(dir string, mode Mode, c pipeline.Cluster) *Watcher {
	c.Time = cmp.Or(c.Time, time.Hour)
	return &Watcher{Poll: time.Millisecond, Mode: mode, Again: []string{"batch"},
		Pipeline: &pipeline.Pipeline{Artefacts: dir, MaxReruns: 3, Cluster: &c}}
}

// remote has molecules computed, and returns what became of them.
func remote(w *Watcher, ids ...string) ([]batch.Outcome, error) {
	return limited(w, math.MaxInt, ids...)
}

func limited(w *Watcher, limit int, ids ...string) (outs []batch.Outcome, err error) {
	j := batch.Job{Limit: limit, Stopping: func() bool { return false },
		Merged: func(batch.Outcome) bool { return false },
		Log:    func(...journal.Event) error { return nil }}
	for _, id := range ids {
		j.Rows = append(j.Rows, batch.Row{ID: id})
	}
	for some, err := range w.Remote(context.Background(), j) {
		if outs = append(outs, some...); err != nil {
			return outs, err
		}
	}
	return outs, nil
}

// If neither sbatch nor squeue answers, the tasks may be there: the run stays. Only an array that
// Slurm refused is shortened.
func TestNotKnown(t *testing.T) {
	long := pipeline.Cluster{Cores: 1, Tasks: 1, Time: 2 * time.Minute}
	for name, c := range map[string]struct {
		sbatch, squeue, want string
		kept                 bool
	}{
		"no answer at all": {"echo timed out >&2; exit 1", "exit 1", "it is not known", true},
		"refused":          {"echo no >&2; exit 1", "", "nothing was submitted. sbatch: no", false},
		"accepted": {`case $* in *--array*) exit 1 ;; esac; echo 8`,
			waiting, "", true},
	} {
		staged(t, map[string]string{"sbatch": c.sbatch, "squeue": c.squeue})
		w := watcher(t.TempDir(), Detach, long)
		_, err := remote(w, "m1", "m2", "m3")
		if c.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Error(name, err)
		}
		run, err := Find(w.Pipeline.Artefacts)
		check(t, err)
		if (run != nil) != c.kept {
			t.Errorf("%s: the run is there: %t", name, !c.kept)
		}
		if run != nil {
			if chunks, err := run.chunks(); len(chunks) != 3 || err != nil {
				t.Error(name, len(chunks), err)
			}
		}
	}
}

// If squeue fails, the files say whether the tasks have ended.
func TestEnd(t *testing.T) {
	staged(t, map[string]string{"sbatch": "echo 7", "squeue": waiting})
	w := watcher(t.TempDir(), Detach, pipeline.Cluster{Tasks: 9})
	_, err := remote(w, "m1")
	check(t, err)
	staged(t, map[string]string{"squeue": "exit 1"})
	check(t, w.End(context.Background())) // none began
	check(t, w.run.setClaim(0, "000000.p"))
	check(t, os.WriteFile(w.run.path("000000.p.outcomes"), []byte(`{"Start":{}}`+"\n"), 0o644))
	now, err := w.run.now()
	check(t, err)
	if !w.works(w.plan.chunks[0], now) {
		t.Error("a task that works is not seen")
	}
	check(t, os.WriteFile(w.run.path("000000.p.outcomes"), []byte(`{"Start":{}}`+"\n"+
		`{"End":{"Error":"it was told to end"}}`+"\n"), 0o644))
	check(t, w.End(context.Background()))
}

// If all tasks fail, the last jobs of -detach come to an end, and leave out the node.
func TestLastJobs(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	staged(t, map[string]string{"sbatch": `echo "$*" >> ` + calls + `; echo 7
for word; do script=$first first=$word; done
case $* in *--array*) ;; *) exit ;; esac
name=$(printf %06d "$first") dir=${script%/*}
echo "$name.p" > $dir/$name.claim
echo '{"Start":{"Node":"n1"}}
{"End":{"Error":"no disk","Failed":true}}' > $dir/$name.p.outcomes`})
	dir := t.TempDir()
	var err error
	for n := 0; err == nil && n < 10; n++ {
		w := watcher(dir, Detach, pipeline.Cluster{Tasks: 9})
		w.Last = n > 0
		_, err = remote(w, "m1")
	}
	if err == nil || !strings.Contains(err.Error(), "3 submissions in a row finished no molecule; "+
		"the last task: no disk") {
		t.Error(err)
	}
	text, err := os.ReadFile(calls)
	check(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 6 || !strings.Contains(lines[4], "--array") ||
		!strings.Contains(lines[4], "--exclude=n1") {
		t.Error(string(text))
	}
}

// The last job of -detach is small, where the tasks may run. If Slurm takes no such job, the batch
// says that the tasks run.
func TestLastJob(t *testing.T) {
	for _, c := range [][3]string{{"", "1h", ""}, {"900M", "1m", "--mem=900M"},
		{"32G", "2h", "--mem=4G"}, {"1T", "1h", "--mem=4G"}} {
		staged(t, map[string]string{"squeue": waiting,
			"sbatch": `case $* in *--array*) echo 7 ;; *) echo "$*" >&2; exit 1 ;; esac`})
		wall, err := time.ParseDuration(c[1])
		check(t, err)
		w := watcher(t.TempDir(), Detach, pipeline.Cluster{Tasks: 9, Memory: c[0], Time: wall,
			Options: []string{"--partition=p", "--exclusive", "--exclusive=user"}})
		_, err = remote(w, "m1")
		want := fmt.Sprintf("--time=%d %s", min(int(wall.Minutes()), 60), c[2])
		if err == nil || !strings.Contains(err.Error(), "the tasks run, but no last job merges") ||
			!strings.Contains(err.Error(), strings.TrimSpace(want)) ||
			!strings.Contains(err.Error(), "--partition=p --job-name") ||
			c[2] == "" && strings.Contains(err.Error(), "--mem") {
			t.Error(c, err)
		}
		if run, err := Find(w.Pipeline.Artefacts); run == nil || err != nil {
			t.Error("the run is gone: ", err)
		}
	}
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
		if s := w.sight(&Chunk{}); s.State != c.want {
			t.Errorf("%s: %+v", name, s)
		}
		if w.alive(&Chunk{}) != c.alive {
			t.Errorf("%s: alive is %t", name, !c.alive)
		}
	}
}

func ls(state string) []slurmTask { return []slurmTask{{"run.0", "1_0", state, "None", "n1", 0}} }

// The words for sbatch.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options, excluded []string
		want              string
	}{
		{nil, nil, ""},
		{[]string{"--exclude=a[1-2]"}, nil, "--exclude=a[1-2]"},
		{nil, []string{"n1", "n2"}, "--exclude=n1,n2"},
		{[]string{"--exclude=a[1-2]"}, []string{"n1"}, "--exclude=a[1-2],n1"},
	} {
		w := watcher(t.TempDir(), Follow, pipeline.Cluster{Options: c.options})
		w.newPlan()
		w.plan.Excluded = c.excluded
		got := ""
		// of two the last one counts
		for _, word := range w.options(*w.Pipeline.Cluster, "run.0", 1) {
			if strings.HasPrefix(word, "--exclude=") {
				got = word
			}
		}
		if got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

// Slurm reads % and \ in the name of an output.
func TestOutput(t *testing.T) {
	for name, want := range map[string]string{"a%jb": "a%%jb/artefacts/.cluster/grimperium-",
		`a\b`: "no output to a path with"} {
		staged(t, map[string]string{"sbatch": `echo "$@" >&2; exit 1`})
		dir := filepath.Join(t.TempDir(), name, "artefacts")
		if _, err := remote(watcher(dir, Follow, pipeline.Cluster{Tasks: 1}), "m1"); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Error(name, err)
		}
		if run, err := Find(dir); run != nil || err != nil {
			t.Error(name, run, err)
		}
	}
}

// What Slurm says of a task that is over is in the cause.
func TestCause(t *testing.T) {
	for reason, want := range map[string]string{"None": "FAILED (job 1_0)", "": "FAILED (job 1_0)",
		"JobLaunchFailure": "FAILED, JobLaunchFailure (job 1_0)"} {
		w := &Watcher{run: &Run{ID: "run", dir: t.TempDir()}, answered: true,
			slurmTasks: []slurmTask{{"run.0", "1_0", "FAILED", reason, "n1", 0}}, now: time.Now()}
		if s := w.sight(&Chunk{}); s.Cause != want {
			t.Error(s.Cause)
		}
	}
}

// A batch that goes on with a run sends no more molecules than its limit, with those of the run.
func TestLimit(t *testing.T) {
	staged(t, map[string]string{"sbatch": "echo 7", "squeue": waiting})
	dir := t.TempDir()
	for _, c := range []struct {
		limit int
		ids   []string // with something to do
		want  int      // molecules of the run
	}{{2, []string{"m1", "m2"}, 2}, {2, []string{"m2", "m3"}, 2},
		{3, []string{"m2", "m3", "m4"}, 3}, {math.MaxInt, []string{"m2", "m4", "m5"}, 5}} {
		if _, err := limited(watcher(dir, Detach, pipeline.Cluster{Tasks: 9}), c.limit,
			c.ids...); err != nil {
			t.Error(err)
		}
		run, err := Find(dir)
		check(t, err)
		chunks, err := run.chunks()
		check(t, err)
		molecules := map[string]bool{}
		for _, chunk := range chunks {
			for _, piece := range chunk.Pieces {
				molecules[piece.Row.ID] = true
			}
		}
		if len(molecules) != c.want {
			t.Errorf("%v: %v", c, molecules)
		}
	}
}
