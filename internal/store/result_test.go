package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPutArrivesWhole(t *testing.T) {
	s := open(t)
	build(t, molecule(t, s, "mol_1"), "pm7/2", print1, "hello")
	if got := list(t, s.TargetDir("mol_1", "pm7/2")); got != "out" {
		t.Errorf("the folder has %q, not only the output", got)
	}
	m := molecule(t, s, "mol_1")
	r, where := m.find("pm7/2", print1)
	if where != Here || m.Record("pm7/2") != r || m.Verify("pm7/2", r) != "" {
		t.Errorf("what was just put there is not found: %+v, %d", r, where)
	}
	if out := r.Outputs["text"]; out.Size != 5 || out.SHA256[:8] != "2cf24dba" {
		t.Errorf("recorded as %+v", out)
	}
	if got := list(t, s.Path("mol_1")); got != "manifest.jsonl pm7" {
		t.Errorf("the molecule's folder has %q", got)
	}
}

// What a program left is refused unless it is a regular file in the folder; then nothing is moved.
func TestPutRefuses(t *testing.T) {
	for name, leave := range map[string]func(path string) error{
		"missing": func(string) error { return nil },
		"link":    func(p string) error { return os.Symlink("/etc/passwd", p) },
		"folder":  func(p string) error { return os.Mkdir(p, 0o777) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			m := molecule(t, s, "mol_1")
			build(t, m, "a", print1, "earlier")
			dir, err := s.Scratch("mol_1/a")
			check(t, err)
			check(t, leave(filepath.Join(dir, "out")))
			c := Collect(dir, map[string]string{"text": "out"}, 1<<30)
			err = m.Put(&Record{Target: "a", Fingerprint: printN("2"), Outcome: OK}, dir, c, nil,
				nil)
			var refused *OutputError
			if !errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "output text: out ") {
				t.Errorf("error %v", err)
			}
			if r, where := molecule(t, s, "mol_1").find("a", print1); where != Here || r != nil &&
				r.Fingerprint != print1 {
				t.Error("the earlier result was touched")
			}
		})
	}
}

func TestHistory(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	for _, c := range []string{"1", "2", "3", "4", "5"} {
		build(t, m, "a", printN(c), "result "+c)
	}
	if _, where := m.find("a", printN("1")); where != Nowhere {
		t.Errorf("more than %d earlier results are kept", earlierResults)
	}
	m = molecule(t, s, "m")
	r, where := m.find("a", printN("2")) // the oldest: what is there now must not push it out
	if where != Past {
		t.Fatalf("found %+v, %d", r, where)
	}
	check(t, m.Restore(r))
	for _, m := range []*Molecule{m, molecule(t, s, "m")} {
		if now := m.Record("a"); now.Fingerprint != printN("2") || m.Verify("a", now) != "" {
			t.Errorf("restored: %+v", now)
		}
		for _, c := range []string{"3", "4", "5"} {
			if _, where := m.find("a", printN(c)); where != Past {
				t.Errorf("%s is lost", c)
			}
		}
	}
	r, _ = m.find("a", printN("4"))
	check(t, os.WriteFile(filepath.Join(r.Found, "out"), []byte("result x"), 0o666))
	if r, where := molecule(t, s, "m").find("a", printN("4")); r != nil || where != Nowhere {
		t.Errorf("a damaged earlier result: %+v", r)
	}
}

// A renamed stage keeps its results, the present one and the earlier ones.
func TestRenamedStage(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "old/1", print1, "one")
	build(t, m, "old/1", printN("2"), "two")
	gone := func(string) Use { return Gone }
	find := func(print string, use func(string) Use) *Record {
		return m.Find("new/1", print, time.Now(), use)
	}
	if find(printN("3"), gone) != nil || find(printN("2"),
		func(string) Use { return Claimed }) != nil {
		t.Error("found what is not there")
	}
	for _, print := range []string{printN("2"), print1, printN("2")} {
		r, where := m.find("new/1", print)
		if where == Nowhere {
			found := *find(print, gone)
			found.Target = "new/1"
			r = &found
		}
		check(t, m.Restore(r))
		m = molecule(t, s, "m")
		if r, where := m.find("new/1", print); where != Here ||
			m.Record("new/1").Fingerprint != r.Fingerprint {
			t.Errorf("%.1s: %+v, %d", print, r, where)
		}
	}
	if got := list(t, s.Path("m")); got != ".history manifest.jsonl new" {
		t.Errorf("the folder has %s", got)
	}
}

// A stage that gets for_each, and loses it again, keeps the results of both kinds.
func TestInstances(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "c", print1, "one")
	build(t, m, "c/1", print1, "first")
	build(t, m, "c/2", print1, "second")
	for target, want := range map[string]Where{"c": Past, "c/1": Here, "c/2": Here} {
		if _, where := m.find(target, print1); where != want {
			t.Errorf("%s: %d", target, where)
		}
	}
	r, _ := m.find("c", print1)
	check(t, m.Restore(r))
	for target, want := range map[string]Where{"c": Here, "c/1": Past, "c/2": Past} {
		if _, where := m.find(target, print1); where != want {
			t.Errorf("%s, restored: %d", target, where)
		}
	}
}

func TestFailures(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "one")
	for n, c := range []struct {
		print string
		where Where
	}{{print1, Here}, {printN("2"), Past}, {printN("2"), Past}} {
		dir, err := s.Scratch("m/a")
		check(t, err)
		check(t, os.WriteFile(filepath.Join(dir, "words"), []byte("failed"), 0o666))
		check(t, m.Fail("a", dir))
		check(t, m.Append(&Record{Target: "a", Fingerprint: c.print, Outcome: Failed, Reruns: n +
			1}))
		m = molecule(t, s, "m")
		if _, where := m.find("a", print1); where != c.where || m.Record("a").Reruns != n+1 {
			t.Errorf("after failure %d: %d, %+v", n, where, m.Record("a"))
		}
		if got := list(t, s.FailedDir("m", "a")); got != "words" {
			t.Errorf("the failed attempt has %q", got)
		}
	}
	build(t, m, "a", printN("2"), "two")
	if got := list(t, s.Path("m")); got != ".history a manifest.jsonl" {
		t.Errorf("after a success: %s", got)
	}
}

func TestDropAndForget(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	for _, target := range []string{"c/10", "c/9", "c/1", "a"} {
		build(t, m, target, print1, "one")
	}
	check(t, m.Drop("c/9"))
	check(t, m.PutRow(Row{Status: "OK", Reruns: 1, Cells: map[string]string{"x": "1"}}))
	m = molecule(t, s, "m")
	if got := strings.Join(m.TargetsOf("c"), " "); got != "c/1 c/10" {
		t.Errorf("instances %s", got)
	}
	if _, where := m.find("c/9", print1); where != Past || m.Record("c/9") != nil {
		t.Errorf("after Drop: %d", where)
	}
	if r := m.Row(); r == nil || r.Status != "OK" || r.Cells["x"] != "1" {
		t.Errorf("row %+v", r)
	}
	check(t, m.Forget(func(stage string) bool { return stage == "a" }))
	if got := molecule(t, s, "m").Targets(); len(got) != 1 {
		t.Errorf("after Forget: %v", got)
	}
}

func TestInterrupted(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	dir, err := s.Scratch("m/a")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "restart"), []byte("x"), 0o666))
	check(t, m.KeepInterrupted("a", dir, []string{"restart"}, print1))
	if !m.Interrupted("a", print1) || m.Interrupted("a", printN("2")) {
		t.Error("the note is wrong")
	}
	if got := list(t, s.FailedDir("m", "a")); got != "interrupted.txt restart" {
		t.Errorf("kept: %s", got)
	}
}

func BenchmarkPut(b *testing.B) {
	s := inMemory(b)
	var m *Molecule
	for n := range b.N {
		if n%4 == 0 {
			m = molecule(b, s, fmt.Sprint("m", n))
		}
		build(b, m, fmt.Sprint("t", n%4), print1, "hello")
	}
}

// This process can open no more files: nothing is known of the results then, and nothing is done.
func TestNoMoreFiles(t *testing.T) {
	s := open(t)
	build(t, molecule(t, s, "m"), "a", print1, "hello")
	m := molecule(t, s, "m")
	var limit unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}))
	why := m.Verify("a", m.Record("a"))
	_, err := s.Molecule("m")
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	if refused := new(*FolderError); !errors.Is(err, unix.EMFILE) || errors.As(err, refused) {
		t.Errorf("the log: %v", err)
	}
	if err := m.Unpack(); why == "" || !errors.Is(err, unix.EMFILE) {
		t.Errorf("the result: %q, %v", why, err)
	}
	if m = molecule(t, s, "m"); m.Verify("a", m.Record("a")) != "" {
		t.Error("the result is gone")
	}
}
