package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"grimperium/internal/durable"
)

const wall = 10 * time.Minute

// TestFaults has faults while two tasks of two cores run. Other tasks finish the molecules, nothing
// is lost, and at most what was under way is computed again.
func TestFaults(t *testing.T) {
	for _, f := range []struct {
		name  string
		twice int // molecules that may be computed again: those under way
		fault func(p *project)
	}{
		{"none", 0, func(p *project) {}},
		{"scancel", 2, func(p *project) {
			p.slurm("scancel", p.job("n2"))
			p.journalHas("it was told to end: CANCELLED")
		}},
		{"node down", 2, func(p *project) {
			p.slurm("scontrol", "update", "nodename=n2", "state=down", "reason=test")
			p.requeued()
		}},
		{"preemption with requeue", 4, func(p *project) {
			p.slurm("sbatch", "-p", "urgent", "-N2", "-n2", "-c2", "-o/dev/null", "--wrap=sleep 1")
			p.requeued()
		}},
		{"slurmctld killed", 0, func(p *project) {
			p.daemon.Kill("slurmctld")
			time.Sleep(2 * time.Second)
			check(p.T, p.daemon.StartDaemon("slurmctld"))
		}},
		{"slurmctld killed, its state lost", 4, func(p *project) {
			check(p.T, p.daemon.Forget())
			check(p.T, p.daemon.StartDaemon("slurmctld"))
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			p := newProject(t, 16, "sleep 0.5")
			done := p.start(Follow, wall)
			p.job("n1")
			p.begun(5)
			f.fault(p)
			p.finish(done)
			p.twice(f.twice)
		})
	}
}

// requeued waits until Slurm has started a task again.
func (p *project) requeued() {
	p.Helper()
	p.until("a task is requeued", func() bool {
		out, _ := p.daemon.Run("squeue", "-h", "-r", "-t", "all", "-O", "RestartCnt")
		return strings.Trim(out, "0 \n") != ""
	})
}

// Slurm sweeps tasks that are over their time every 30 s.
func TestTimeout(t *testing.T) {
	p := newProject(t, 24, "if [ -e $2/over ]; then sleep 0.1; else sleep 5; fi")
	done := p.start(Follow, wall)
	p.begun(4)
	p.slurm("scontrol", "update", "job="+p.job("n1"), "TimeLimit=0")
	p.journalHas("TIMEOUT")
	check(t, os.WriteFile(p.path("over"), nil, 0o644))
	p.finish(done)
	p.twice(2)
}

// slurmd is killed, and its job lives on. Slurm starts the job again on the other node. The old
// process sees that, and stops: no molecule is computed by both but those under way.
func TestLivesOn(t *testing.T) {
	p := newProject(t, 16, "if [ $SLURMD_NODENAME = n2 ]; then sleep 12; else sleep 0.3; fi")
	done := p.start(Follow, wall)
	p.begun(5)
	p.job("n2")
	p.daemon.Kill("n2")
	p.requeued()
	p.until("the old process stops", func() bool {
		outcomes, _ := filepath.Glob(p.path("artefacts/.cluster/*/*.outcomes"))
		return slices.ContainsFunc(outcomes, func(path string) bool {
			data, _ := os.ReadFile(path)
			return strings.Contains(string(data), string(errLost))
		})
	})
	p.finish(done)
	p.twice(2 + 1) // it has one molecule under way beyond its cores
}

// A program that takes more memory than the task has ends the task. The program is the molecule's,
// which counts a rerun. Without cgroups Slurm's word for it is FAILED.
func TestOutOfMemory(t *testing.T) {
	for _, state := range []string{"FAILED", "OUT_OF_MEMORY"} {
		t.Run(state, func(t *testing.T) {
			p := newProject(t, 8, "if [ $1 = m3 ] && ! [ -e $2/over ]; then touch $2/over\nhead -c "+
				"900000000 /dev/zero | tail -c 900000000 | sleep 4; fi\nsleep 0.3")
			p.wrap("squeue", `$REAL "$@" | sed 's/|FAILED|/|`+state+`|/'`)
			done := p.start(Follow, wall)
			p.journalHas("the task died: " + state)
			p.finish(done)
			p.twice(3)
		})
	}
}

// A molecule that kills each task is given up, and the others are finished.
func TestDeadlyMolecule(t *testing.T) {
	p := newProject(t, 6, "if [ $1 = m3 ]; then kill -9 $PPID; sleep 5; fi\nsleep 0.2")
	if out, failed := p.wait(p.start(Follow, wall)); failed {
		t.Error(out)
	}
	for id, cells := range p.rows() {
		switch {
		case id == "m3" && (cells["status"] != "Skip" || !strings.Contains(cells["error_message"],
			"the task died")):
			t.Error(cells)
		case id != "m3" && cells["status"] == "Pending":
			t.Error(id, cells)
		}
	}
}

// A molecule that no task can finish in its wall time is given up.
func TestWallTime(t *testing.T) {
	p := newProject(t, 4, "if [ $1 = m3 ]; then sleep 100; fi\nsleep 0.2")
	if out, failed := p.wait(p.start(Follow, 4*time.Second)); failed {
		t.Error(out)
	}
	for id, cells := range p.rows() {
		want := "OK"
		if id == "m3" {
			want = "Skip"
		}
		if cells["status"] != want || want == "Skip" && !strings.Contains(cells["error_message"],
			"wall time") {
			t.Error(id, cells)
		}
	}
}

// A batch that is ended, by Ctrl-C or for good, leaves its tasks, and the next one goes on with
// them.
func TestGoesOn(t *testing.T) {
	for _, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			p := newProject(t, 16, "sleep 0.5")
			first := p.start(Follow, wall)
			p.begun(3)
			check(t, first.Process.Signal(how))
			if out, _ := p.wait(first); how == syscall.SIGINT &&
				!strings.Contains(out, "The jobs go on") {
				t.Error(out)
			}
			p.begun(6)
			p.finish(p.start(Follow, wall))
			p.twice(0)
			p.oneJob()
		})
	}
}

// The clock of the file system is a minute from that of all hosts. No task that lives is given up,
// and one that is gone is.
func TestOtherClock(t *testing.T) {
	for _, skew := range []string{"-60s", "60s"} {
		t.Run(skew, func(t *testing.T) {
			t.Setenv(skewVariable, skew)
			p := newProject(t, 16, "sleep 0.5")
			done := p.start(Follow, wall)
			p.begun(5)
			p.slurm("scancel", p.job("n2"))
			p.finish(done)
			p.twice(2)
		})
	}
}

// A sign of life is as old as the clock of the file system says.
func TestSignOfLife(t *testing.T) {
	defer func(renew func(string) error) { durable.Renew = renew }(durable.Renew)
	for _, skew := range []time.Duration{-time.Minute, 0, time.Minute} {
		durable.Renew = func(path string) error {
			now := time.Now().Add(skew)
			return os.Chtimes(path, now, now)
		}
		r := &Run{dir: t.TempDir()}
		path := r.path("000000.p")
		w := &Watcher{run: r, processes: map[string]*process{path: {path: path}}, answered: true}
		check(t, r.setClaim(0, "000000.p"))
		var err error
		w.now, err = r.now()
		check(t, err)
		if s := w.sight(&Chunk{}); s.State != Unlisted || !s.Fresh {
			t.Errorf("%v: a task that lives: %+v", skew, s)
		}
		silent := time.Now().Add(skew - 2*beats*beatEvery)
		check(t, os.Chtimes(r.path("000000"+claimSuffix), silent, silent))
		if s := w.sight(&Chunk{}); s.Fresh {
			t.Errorf("%v: a task that is silent: %+v", skew, s)
		}
	}
}

// The file system has no flock: the system call fails. A second batch is refused while the first
// lives, and goes on when that is gone.
func TestNoFlock(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is needed")
	}
	noFlock := []string{"strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null",
		"-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"}
	p := newProject(t, 24, "sleep 0.5")
	first := p.start(Follow, wall, noFlock...)
	p.begun(3)
	if lock, _ := os.ReadFile(p.path("artefacts/.lock")); !strings.Contains(string(lock),
		`"no_flock":true`) {
		t.Errorf("the lock is %s", lock)
	}
	if out, failed := p.wait(p.start(Follow, wall, noFlock...)); !failed ||
		!strings.Contains(out, "another batch has it") {
		t.Error(out)
	}
	check(t, first.Process.Kill())
	p.wait(first)
	p.finish(p.start(Follow, wall, noFlock...))
	p.twice(0)
	p.oneJob()
}

// The host of the batch is gone in the middle. Another host waits until the lock is silent, and
// goes on with the same tasks.
func TestAnotherHost(t *testing.T) {
	other := []string{"unshare", "--uts", "sh", "-c", `hostname other-host && exec "$@"`, "sh"}
	if exec.Command("unshare", "--uts", "hostname", "other-host").Run() != nil {
		t.Skip("no permission to be another host")
	}
	p := newProject(t, 24, "sleep 4")
	first := p.start(Follow, wall)
	p.begun(3)
	check(t, first.Process.Kill())
	p.wait(first)
	name, err := os.Hostname()
	check(t, err)
	out, failed := p.wait(p.start(Follow, wall, other...))
	if !failed || !strings.Contains(out, "on "+name) {
		t.Error("the lock of the other host does not hold: ", out)
	}
	time.Sleep(32 * time.Second) // a holder on another host is believed for 30 s
	p.finish(p.start(Follow, wall, other...))
	p.twice(0)
	p.oneJob()
}

func TestCancel(t *testing.T) {
	p := newProject(t, 16, "sleep 0.5; test $(wc -l < $2/runs) -le 6 || sleep 60")
	first := p.start(Follow, wall)
	p.begun(6)
	check(t, first.Process.Signal(syscall.SIGINT))
	p.wait(first)
	if out, failed := p.wait(p.start(Cancel, wall)); failed {
		t.Error(out)
	}
	p.gone()
	if out := p.slurm("squeue", "-h", "-t", "R,PD"); out != "" {
		t.Error(out)
	}
	finished := 0
	for _, cells := range p.rows() {
		if cells["status"] == "OK" {
			finished++
		} else if cells["status"] != "Pending" || cells["reruns"] != "0" {
			t.Error(cells)
		}
	}
	if finished < 2 {
		t.Error(finished, "rows are merged")
	}
}

func TestHeld(t *testing.T) {
	p := newProject(t, 4, "true")
	edit(t, p, "tasks  = 2", `options = ["--hold"]`)
	done := p.start(Follow, wall)
	p.journalHas("JobHeldUser")
	p.slurm("scontrol", "release", strings.Fields(p.slurm("squeue", "-h", "-o", "%F"))[0])
	p.finish(done)
}

func edit(t *testing.T, p *project, old, new string) {
	text, err := os.ReadFile(p.path("pipeline.hcl"))
	check(t, err)
	changed := strings.Replace(string(text), old, new, 1)
	check(t, os.WriteFile(p.path("pipeline.hcl"), []byte(changed), 0o644))
}

func TestNoPartition(t *testing.T) {
	p := newProject(t, 4, "true")
	edit(t, p, "tasks  = 2", `options = ["--partition=nowhere"]`)
	out, failed := p.wait(p.start(Follow, wall))
	const want = "nothing was submitted. sbatch: error: invalid partition specified: nowhere"
	if !failed || !strings.Contains(out, want) {
		t.Error(out)
	}
	p.gone()
}

// A node with another version refuses its chunk, and the others do the work.
func TestOtherVersion(t *testing.T) {
	p := newProject(t, 16, "sleep 0.2")
	text, err := os.ReadFile(p.path("prog"))
	check(t, err)
	other := strings.Replace(string(text), "echo prog 1",
		`test "$SLURMD_NODENAME" = n2 && echo prog 2 || echo prog 1`, 1)
	check(t, os.WriteFile(p.path("prog"), []byte(other), 0o755))
	done := p.start(Follow, wall)
	p.journalHas(`node n2 has prog \"prog 2\", and the host of the batch has \"prog 1\"`)
	p.finish(done)
	p.twice(0)
}

// If all tasks fail, the batch ends and says why.
func TestNothingWorks(t *testing.T) {
	p := newProject(t, 4, "true")
	text, err := os.ReadFile(p.path("prog"))
	check(t, err)
	other := strings.Replace(string(text), "echo prog 1",
		`test "$SLURMD_NODENAME" && echo prog 2 || echo prog 1`, 1)
	check(t, os.WriteFile(p.path("prog"), []byte(other), 0o755))
	out, failed := p.wait(p.start(Follow, wall))
	if !failed || !strings.Contains(out, "3 submissions in a row finished no molecule") ||
		!strings.Contains(out, "install one version on all") {
		t.Error(out)
	}
}

// wrap puts a script before a command of Slurm, which is $REAL in it.
func (p *project) wrap(name, script string) {
	real, err := exec.LookPath(name)
	check(p.T, err)
	dir := p.path("bin")
	check(p.T, os.MkdirAll(dir, 0o755))
	check(p.T, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nREAL="+real+"\n"+script),
		0o755))
	p.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// oneJob fails if Slurm got more than one job.
func (p *project) oneJob() {
	p.Helper()
	if out := p.slurm("squeue", "-h", "-t", "all", "-o", "%F"); strings.Trim(out, "1 \n") != "" {
		p.Error("submitted twice: jobs ", out)
	}
}

// pending fails if a row is not as it was at first.
func (p *project) pending() {
	p.Helper()
	for id, cells := range p.rows() {
		if cells["status"] != "Pending" || cells["reruns"] != "0" {
			p.Error(id, cells)
		}
	}
}

// The scratch folder of a node is not there. The batch says so, and an edit counts in the same run.
func TestNoScratch(t *testing.T) {
	p := newProject(t, 4, "case $PWD in */nodes-disk/*) ;; *) exit 1 ;; esac")
	edit(t, p, "tasks  = 2", `scratch = env("NOT_SET")`)
	out, failed := p.wait(p.start(Follow, wall))
	if !failed || !strings.Contains(out, "has no scratch folder: ${NOT_SET} is not set; correct "+
		"scratch in the cluster block, or leave it out") {
		t.Error(out)
	}
	p.pending()
	edit(t, p, `env("NOT_SET")`, `"`+p.path("nodes-disk")+`"`)
	p.finish(p.start(Follow, wall))
}

// A disk that is full, or a quota, is no fault of a molecule. The batch ends and says why.
func TestFullDisk(t *testing.T) {
	for _, fault := range []string{"9:ENOSPC+", "18:EDQUOT+"} {
		t.Run(fault, func(t *testing.T) {
			p := newProject(t, 4, "true")
			p.wrap("sbatch", `test -e `+p.path("room")+` || export GRIMPERIUM_FAULT=`+fault+`
exec $REAL "$@"`)
			out, failed := p.wait(p.start(Follow, wall))
			if !failed || !strings.Contains(out, "3 submissions in a row finished no molecule") ||
				!strings.Contains(out, "no space left on device") &&
					!strings.Contains(out, "disk quota exceeded") {
				t.Error(out)
			}
			p.pending()
			check(t, os.WriteFile(p.path("room"), nil, 0o644))
			p.finish(p.start(Follow, wall))
		})
	}
}

// sbatch fails after the controller has taken the job.
func TestLostAnswer(t *testing.T) {
	p := newProject(t, 8, "sleep 0.2")
	p.wrap("sbatch", `$REAL "$@" && echo "Socket timed out on send/recv operation" >&2; exit 1`)
	p.finish(p.start(Follow, wall))
	p.twice(0)
	p.oneJob()
}

// Slurm takes no array as long as the batch would submit at first.
func TestLongArray(t *testing.T) {
	p := newProject(t, 24, "sleep 0.1")
	p.wrap("sbatch", `case "$*" in *--array=0-[01]%*) exec $REAL "$@" ;; esac
echo "sbatch: error: Batch job submission failed: Invalid job array specification" >&2; exit 1`)
	done := p.start(Follow, 5*time.Minute)
	p.journalHas("Invalid job array specification; tried again with 2 tasks")
	p.finish(done)
	p.twice(0)
}

// Ctrl-C in a terminal goes to all processes of the batch, while sbatch is at work.
func TestInterruptedSubmission(t *testing.T) {
	p := newProject(t, 8, "sleep 0.5")
	p.wrap("sbatch", `touch `+p.path("submitting")+`; sleep 1; exec $REAL "$@"`)
	first := p.start(Follow, wall, "setsid")
	p.until("sbatch runs", func() bool {
		_, err := os.Stat(p.path("submitting"))
		return err == nil
	})
	check(t, syscall.Kill(-first.Process.Pid, syscall.SIGINT))
	if out, _ := p.wait(first); !strings.Contains(out, "The jobs go on") {
		t.Error(out)
	}
	p.finish(p.start(Follow, wall))
	p.twice(0)
	p.oneJob()
}

// What a batch finds when it comes back is not what it has left: it says so, and -cancel helps.
func TestComesBack(t *testing.T) {
	p := newProject(t, 4, "test $1 = m1 || sleep 5")
	p.wait(p.start(Detach, wall))
	p.until("a molecule is finished", func() bool {
		return exec.Command("sh", "-c", "grep -q Outcome "+
			p.path("artefacts/.cluster/*/*.outcomes")).Run() == nil
	})
	text, err := os.ReadFile(p.path("prog"))
	check(t, err)
	other := strings.Replace(string(text), "echo prog 1", "echo prog 2", 1)
	check(t, os.WriteFile(p.path("prog"), []byte(other), 0o755))
	const want = `computes with prog "prog 1", and this host has "prog 2". Install that version ` +
		"again, or end that run by -cancel"
	if out, failed := p.wait(p.start(Follow, wall)); !failed || !strings.Contains(out, want) {
		t.Error(out)
	}
	if out, failed := p.wait(p.start(Cancel, wall)); failed {
		t.Error(out)
	}
	p.gone()
	if cells := p.rows()["m1"]; cells["status"] != "OK" {
		t.Error("what was finished is not merged: ", cells)
	}
	p.wait(p.start(Detach, wall))
	run, err := Find(p.path("artefacts"))
	check(t, err)
	check(t, os.Truncate(run.path("000000.json"), 100))
	out, failed := p.wait(p.start(Follow, wall))
	if !failed || !strings.Contains(out, "end its jobs with scancel, then remove ") {
		t.Error(out)
	}
}
