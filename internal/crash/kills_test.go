package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// torture kills batches at random instants, while the settings are edited and taken back.
type torture struct {
	*victim
	ledger
	rnd     *rand.Rand
	now     settings
	words   int             // pairs of words so far
	back    bool            // to earlier settings: a row may be OK from then, with something to do
	ok      map[string]bool // molecules whose row said OK in this phase
	damaged map[string]bool // molecules that have lost a result, until their row is written
	died    bool            // a batch was killed, and none has ended well since
	landed  int             // kills that hit a running batch
	span    time.Duration   // signals come within it; it follows the time that batches take
	count   map[string]int
}

// TestKills ends with a batch that nobody disturbs, and compares the table with that of a project
// in which nothing ever happened.
func TestKills(t *testing.T) {
	rows := 24
	if *kills >= 500 {
		rows = 150
	}
	v := &torture{victim: newVictim(t, rows), rnd: rand.New(rand.NewPCG(*seed, 1)),
		now: settings{"0", "0", "0"}, span: 400 * time.Millisecond, ok: map[string]bool{},
		damaged: map[string]bool{}, count: map[string]int{}}
	defer func() { t.Logf("-seed=%d: %v, %d results", *seed, v.count, len(v.finished)) }()
	v.newPhase()
	for n := 0; v.landed < *kills; n++ {
		if len(v.ok) == rows || v.rnd.IntN(6) == 0 {
			v.newPhase()
		}
		if v.rnd.IntN(4) == 0 {
			v.damage()
		}
		v.disturb()
		if err := v.check(); err != nil {
			t.Fatalf("round %d: %v\n%s", n, err, v.said())
		}
		if n > 10**kills {
			t.Fatalf("of %d signals only %d reached a batch", n, v.landed)
		}
	}
	v.end()
}

// end runs the last batches.
func (v *torture) end() {
	t := v.t
	t.Helper()
	v.must(v.undisturbed(v.now))
	v.must(v.check())
	v.must(v.undisturbed(v.now))
	v.must(v.check())
	v.must(v.litter())
	if events := v.read(journalName); len(events) != v.offset {
		t.Error("the journal has a torn end")
	}
	if !strings.Contains(v.said(), "up to date") {
		t.Errorf("after all was done, something was done again: %s", v.said())
	}
	quiet := newVictim(t, v.rows)
	v.must(quiet.undisturbed(v.now))
	got, want := comparable(v.read(tableName)), comparable(quiet.read(tableName))
	if got != want {
		t.Errorf("the table is not that of an undisturbed batch:\n%s\nwant:\n%s", got, want)
	}
}

// newPhase edits a setting, or takes an edit back. A pair of words has four results of stage c, as
// many as a target keeps.
func (v *torture) newPhase() {
	switch v.rnd.IntN(5) {
	case 0:
		v.now.tag = fmt.Sprint(v.rnd.IntN(3))
		v.back = true
	case 1:
		v.now.last = fmt.Sprint(v.rnd.IntN(2))
		v.back = true
	case 2:
		v.now.word = fmt.Sprint(2*v.words + v.rnd.IntN(2))
		v.back = true
	default:
		v.words++
		v.now.word = fmt.Sprint(2*v.words + v.rnd.IntN(2))
		v.back = false
	}
	clear(v.ok)
	v.count["settings"]++
}

// damage edits a result by hand, or loses the index.
func (v *torture) damage() {
	v.count["damages"]++
	if v.rnd.IntN(3) == 0 {
		_ = os.Remove(v.path("artefacts/.index"))
		return
	}
	id := mol(v.rnd.IntN(v.rows))
	if os.WriteFile(v.path("artefacts/"+id+"/a/a.txt"), []byte("edited\n"), 0o644) != nil {
		return
	}
	v.must(os.RemoveAll(v.path("artefacts/" + id + "/.history"))) // it is to be computed again
	delete(v.ok, id)
	v.damaged[id] = true
	v.forget(id)
}

// disturb runs a batch and does something to it at a random instant.
func (v *torture) disturb() {
	how := []string{"SIGKILL", "SIGKILL", "SIGKILL", "SIGKILL to the group", "programs killed",
		"SIGTERM", "program vanishes"}[v.rnd.IntN(7)]
	before := v.reruns()
	begin, cmd := time.Now(), v.start(v.now)
	var took time.Duration
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		took = time.Since(begin)
		done <- err
	}()
	time.Sleep(time.Duration(v.rnd.Int64N(int64(v.span))))
	v.attack(how, cmd)
	var err error
	select {
	case err = <-done:
	case <-time.After(20 * time.Second):
		v.t.Fatalf("after %s the batch did not end", how)
	}
	if how == "program vanishes" {
		v.must(os.Rename(filepath.Join(v.bin, "gone"), filepath.Join(v.bin, "tool")))
	}
	code := cmd.ProcessState.ExitCode()
	switch {
	case err == nil:
		how = "ended before"
		v.span = max(v.span-(v.span-took)/2, 10*time.Millisecond)
	case how == "SIGTERM" && code != 130 && code != -1, // -1: before it could listen
		how == "program vanishes" && code != 2:
		v.t.Fatalf("after %s the batch ended with %d: %s", how, code, v.said())
	default:
		v.landed++
		v.span += v.span / 8
	}
	if now := v.reruns(); !v.died && how != "programs killed" && code > 0 && now > before {
		v.t.Fatalf("after %s the table has %d reruns, %d before: %s", how, now, before, v.said())
	}
	// The next batch that comes so far counts a rerun of the molecules in which this one died.
	v.died = code < 0 || v.died && err != nil
	v.count[how]++
}

func (v *torture) attack(how string, cmd *exec.Cmd) {
	pid := cmd.Process.Pid
	switch how {
	case "SIGKILL":
		_ = syscall.Kill(pid, syscall.SIGKILL)
	case "SIGKILL to the group":
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	case "programs killed":
		for range 3 {
			for _, program := range v.programs() {
				_ = syscall.Kill(program, syscall.SIGKILL)
			}
			time.Sleep(5 * time.Millisecond)
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
	case "SIGTERM":
		_ = syscall.Kill(pid, syscall.SIGTERM)
	case "program vanishes":
		v.must(os.Rename(filepath.Join(v.bin, "tool"), filepath.Join(v.bin, "gone")))
	}
}

// reruns are the rows that a failure was counted in.
func (v *victim) reruns() (n int) {
	rows, err := parseTable(v.read(tableName))
	v.must(err)
	for _, row := range rows[1:] {
		if row[statusColumn] == "Rerun" || row[statusColumn] == "Skip" {
			n++
		}
	}
	return n
}

// check is what must hold whatever happened.
func (v *torture) check() error {
	if err := v.survivors(); err != nil {
		return err
	}
	rows, err := v.checkTable()
	if err != nil {
		return err
	}
	written, err := v.follow(v.read(journalName), v.now)
	if err != nil {
		return err
	}
	for _, id := range written {
		delete(v.damaged, id)
	}
	for _, row := range rows[1:] {
		switch id, ok := row[0], row[statusColumn] == "OK"; {
		case v.damaged[id]:
		case ok && of(row) == v.now && !v.back:
			v.ok[id] = true
		case v.ok[id]:
			return fmt.Errorf("%s was OK and is %s", id, row[statusColumn])
		}
	}
	return v.checkResults(rows, v.damaged)
}
