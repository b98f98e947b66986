package runner

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain is also the batch of TestGuard: a process that runs one command and can be killed.
func TestMain(m *testing.M) {
	if script := os.Getenv("RUNNER_TEST_SCRIPT"); script != "" {
		_, err := Run(context.Background(), Command{Path: "/bin/sh", Args: []string{"-c", script},
			Env: os.Environ()})
		fmt.Fprintln(os.Stderr, "ended:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// alive says whether a process is there and not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return !strings.HasPrefix(rest, " Z")
}

// pids reads the process ids that a script has written to its folder, one file each.
func pids(t testing.TB, dir string, names ...string) []int {
	t.Helper()
	var out []int
	for _, name := range names {
		pid, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, name))))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

// deaf is a script that writes its pid to a file, ignores SIGTERM and never ends.
func deaf(name string) string {
	return fmt.Sprintf(
		`sh -c "trap '' TERM HUP INT; echo \$\$ > %[1]s.tmp; mv %[1]s.tmp %[1]s; while :; do sleep 1; done"`, name)
}

// bothThere waits for the two.
const bothThere = "\nwhile ! [ -e in ] || ! [ -e out ]; do sleep 0.01; done"

// What a program leaves behind is killed when it ends, in its group (in) and out of it (out), and
// collected.
func TestLeftovers(t *testing.T) {
	tests := []struct{ name, script string }{
		{"both", deaf("in") + " & setsid " + deaf("out") + " &" + bothThere},
		{"grandchild of a child that is gone", "(" + deaf("in") + " & setsid " + deaf("out") +
			" &)" + bothThere},
		{"out of the group, with a child", deaf("in") +
			` & setsid sh -c 'setsid sh -c "echo \$\$ > o; mv o out; sleep 1000" & wait' &` +
			bothThere},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, interrupt := range []bool{false, true} {
				c := sh(t, tt.script)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if interrupt {
					c.Args[1] += "; touch ready; sleep 1000"
					go func() {
						waitUntil(t, "the script", func() bool {
							_, err := os.Stat(c.Dir + "/ready")
							return err == nil
						})
						cancel()
					}()
				}
				r := mustRun(t, ctx, c)
				if (r.Stop == Interrupted) != interrupt || r.OK() == interrupt {
					t.Errorf("interrupted %v: %v", interrupt, r)
				}
				for _, pid := range pids(t, c.Dir, "in", "out") {
					if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
						t.Errorf("interrupted %v: process %d is still there", interrupt, pid)
					}
				}
			}
		})
	}
}

// TestLeftoversOfQuickCommands starts processes that leave the group just when the command ends.
// They are found while they become another program and show no environment. They are found when
// their parent is killed with the group.
func TestLeftoversOfQuickCommands(t *testing.T) {
	w := startScript(t, t.Context()) // no command is alone: orphans are found by their marks
	defer w.Close()
	for _, script := range []string{
		"setsid sleep 1000 & echo $! > pid; exit 0",
		"sh -c 'setsid sleep 1000 & echo $! > pid.tmp; mv pid.tmp pid; wait' & while ! [ -e pid " +
			"]; do :; done; exit 0",
	} {
		for range 100 {
			c := sh(t, script)
			mustRun(t, context.Background(), c)
			if pid := pids(t, c.Dir, "pid")[0]; alive(pid) {
				t.Fatalf("process %d has outlived its command: %s", pid, script)
			}
		}
	}
}

// A command that ends kills no other command's processes, be they in a group of their own or
// orphans.
func TestLeftoversOfOthers(t *testing.T) {
	slow := sh(t, "("+deaf("in")+" & setsid "+deaf("out")+" &)"+bothThere+"; touch ready; while "+
		"! [ -e end ]; do sleep 0.01; done")
	var group sync.WaitGroup
	group.Go(func() {
		if r := mustRun(t, context.Background(), slow); !r.OK() {
			t.Error(r)
		}
	})
	waitUntil(t, "the slow command", func() bool {
		_, err := os.Stat(slow.Dir + "/ready")
		return err == nil
	})
	for range 8 {
		group.Go(func() {
			for range 5 {
				mustRun(t, context.Background(),
					sh(t, "sleep 100 & setsid sleep 100 & setsid true; exit 0"))
			}
		})
	}
	for range 5 {
		mustRun(t, context.Background(), sh(t, "setsid sleep 100 & exit 0"))
	}
	left := pids(t, slow.Dir, "in", "out")
	for _, pid := range left {
		if !alive(pid) {
			t.Errorf("process %d of the slow command was killed by another", pid)
		}
	}
	if err := os.WriteFile(slow.Dir+"/end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	for _, pid := range left {
		if alive(pid) {
			t.Errorf("process %d has outlived its command", pid)
		}
	}
}

// bare is a command without a mark, in a session of its own, that writes its pid to a file.
func bare(name string) string {
	return fmt.Sprintf(`env -i setsid %s & while ! [ -e %s ]; do sleep 0.01; done`, deaf(name),
		name)
}

// An orphan without the mark is killed when its program ends, if no other is under way.
func TestUnmarkedOrphan(t *testing.T) {
	for _, script := range []string{
		bare("pid"),
		`env -i setsid sh -c 'env -i setsid sh -c "echo \$\$ > p; mv p pid; sleep 1000" & wait' &
while ! [ -e pid ]; do sleep 0.01; done`,
	} {
		c := sh(t, script)
		mustRun(t, context.Background(), c)
		if pid := pids(t, c.Dir, "pid")[0]; alive(pid) {
			t.Errorf("process %d has outlived its command: %s", pid, script)
		}
	}
}

// Orphans without the mark live while any program is under way, and no longer.
func TestUnmarkedOrphansOfMany(t *testing.T) {
	slow := sh(t, "while ! [ -e end ]; do sleep 0.01; done")
	var group sync.WaitGroup
	group.Go(func() { mustRun(t, context.Background(), slow) })
	quick := sh(t, bare("pid"))
	waitUntil(t, "the slow command", func() bool {
		_, err := os.Stat(slow.Stdout)
		return err == nil
	})
	time.Sleep(100 * time.Millisecond)
	mustRun(t, context.Background(), quick)
	pid := pids(t, quick.Dir, "pid")[0]
	if !alive(pid) {
		t.Errorf("process %d was killed, which may belong to the slow command", pid)
	}
	if err := os.WriteFile(slow.Dir+"/end", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if alive(pid) {
		t.Errorf("process %d has outlived all commands", pid)
	}
	var dirs []string
	for range 20 { // they end together
		dirs = dirs[:0]
		for range 3 {
			c := sh(t, bare("pid"))
			dirs = append(dirs, c.Dir)
			group.Go(func() { mustRun(t, context.Background(), c) })
		}
		group.Wait()
		for _, dir := range dirs {
			if pid := pids(t, dir, "pid")[0]; alive(pid) {
				t.Fatalf("process %d has outlived all commands", pid)
			}
		}
	}
}

// TestOrphansLeaveOthersAlone checks that commands of other packages are not collected.
func TestOrphansLeaveOthersAlone(t *testing.T) {
	other := exec.Command("/bin/true")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		mustRun(t, context.Background(), sh(t, "exit 0"))
	}
	if err := other.Wait(); err != nil {
		t.Errorf("a child of os/exec: %v", err)
	}
}

// A batch that is killed with SIGKILL takes everything with it: its programs, what they have
// started, its guard.
func TestGuard(t *testing.T) {
	dir := t.TempDir()
	batch := exec.Command(os.Args[0])
	batch.Dir = dir
	batch.Env = append(os.Environ(),
		"RUNNER_TEST_SCRIPT=echo $$ > leader; "+deaf("in")+" & setsid "+deaf("out")+
			" & sleep 0.5; wait; sleep 1000")
	if err := batch.Start(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"leader", "in", "out"} {
		waitUntil(t, name, func() bool {
			b, _ := os.ReadFile(filepath.Join(dir, name))
			return len(b) > 0
		})
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", batch.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	watched := pids(t, dir, "leader", "in", "out")
	for word := range strings.FieldsSeq(string(children)) { // the guard, perhaps
		pid, _ := strconv.Atoi(word)
		watched = append(watched, pid)
	}
	if err := batch.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Wait(); err == nil {
		t.Error("the batch ended before it was killed")
	}
	for _, pid := range watched {
		waitUntil(t, fmt.Sprintf("the end of process %d", pid), func() bool { return !alive(pid) })
	}
}

func TestEnviron(t *testing.T) {
	sleep := exec.Command("/bin/sleep", "100")
	sleep.Env = []string{"A=1", markName + "=b.12.", "X" + markName + "=c.1."}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sleep.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = sleep.Wait()
	}()
	waitUntil(t, "the environment", func() bool { return environ(sleep.Process.Pid) != "\x00" })
	want := "\x00A=1\x00" + markName + "=b.12.\x00X" + markName + "=c.1.\x00"
	if got := environ(sleep.Process.Pid); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := environ(1 << 30); got != "\x00" {
		t.Errorf("%q of a process that is not there", got)
	}
}

func TestThreadCPU(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, begin := ThreadCPU(), time.Now()
	for time.Since(begin) < 30*time.Millisecond { // computes
	}
	computed := ThreadCPU()
	time.Sleep(30 * time.Millisecond)
	if slept := ThreadCPU() - computed; computed <= before || slept >= computed-before {
		t.Errorf("%v of computing, %v of sleeping", computed-before, slept)
	}
}
