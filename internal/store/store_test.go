package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

const print1 = "1111111111111111111111111111111111111111111111111111111111111111"

func printN(c string) string { return strings.Repeat(c, 64) }

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "artefacts"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// make builds a target with one output and records it.
func build(t *testing.T, s *Store, m *Manifest, target, print, content string) {
	t.Helper()
	dir, err := s.Scratch(m.Molecule, target)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "out"), []byte(content), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "litter"), nil, 0o644))
	rec := &Record{Fingerprint: print, Outcome: OK}
	check(t, s.Commit(m, target, dir, Collect(dir, map[string]string{"text": "out"}, nil), nil, nil, rec))
	m.Put(target, rec)
	check(t, s.Save(m))
}

func TestCommitArrivesWhole(t *testing.T) {
	s := open(t)
	m := empty("mol_1")
	build(t, s, m, "pm7/2", print1, "hello")
	names := list(t, s.TargetDir("mol_1", "pm7/2"))
	if got := strings.Join(names, " "); got != "out" {
		t.Errorf("the folder has %q, want only the output", got)
	}
	if out := m.Targets["pm7/2"].Outputs["text"]; out.Size != 5 || out.SHA256[:8] != "2cf24dba" {
		t.Errorf("recorded as %+v", out)
	}
	check(t, s.Sync(m))
	back, err := s.Manifest("mol_1")
	check(t, err)
	if s.Verify("mol_1", "pm7/2", back.Targets["pm7/2"]) != "" {
		t.Error("what was just committed is not what is recorded")
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What a program left is refused unless it is a regular file inside of the folder; then nothing is moved.
func TestCommitRefuses(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"missing": func(string) error { return nil },
		"link":    func(p string) error { return os.Symlink("/etc/passwd", p) },
		"folder":  func(p string) error { return os.Mkdir(p, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			m := empty("mol_1")
			build(t, s, m, "a", print1, "earlier")
			dir, err := s.Scratch("mol_1", "a")
			check(t, err)
			check(t, make(filepath.Join(dir, "out")))
			err = s.Commit(m, "a", dir, Collect(dir, map[string]string{"text": "out"}, nil), nil, nil, &Record{Fingerprint: printN("2")})
			if err == nil || !strings.HasPrefix(err.Error(), "output text: out ") {
				t.Errorf("error %v", err)
			}
			if s.Verify("mol_1", "a", m.Targets["a"]) != "" {
				t.Error("the earlier result was touched")
			}
		})
	}
}

func TestHistory(t *testing.T) {
	s := open(t)
	m := empty("mol_1")
	for _, c := range []string{"1", "2", "3", "4", "5"} {
		build(t, s, m, "a", printN(c), "result "+c)
	}
	if s.Has(m, "a", printN("1")) {
		t.Errorf("more than %d earlier results are kept", keepHistory)
	}
	rec, err := s.Restore(m, "a", printN("2")) // the oldest: what is there now must not push it out
	check(t, err)
	if rec == nil || rec.Fingerprint != printN("2") {
		t.Fatalf("restored %+v", rec)
	}
	m.Put("a", rec)
	if why := s.Verify("mol_1", "a", rec); why != "" {
		t.Error(why)
	}
	if !s.Has(m, "a", printN("3")) || !s.Has(m, "a", printN("5")) {
		t.Error("what was there before the restore is lost")
	}

	// A damaged earlier result is none.
	check(t, os.WriteFile(filepath.Join(s.historyDir("mol_1", "a", printN("4")), "out"), []byte("x"), 0o644))
	if rec, err := s.Restore(m, "a", printN("4")); rec != nil || err != nil {
		t.Errorf("restored %+v, %v", rec, err)
	}
}

func TestVerify(t *testing.T) {
	s := open(t)
	m := empty("mol_1")
	build(t, s, m, "a", print1, "hello")
	path := filepath.Join(s.TargetDir("mol_1", "a"), "out")
	check(t, os.WriteFile(path, []byte("hellO"), 0o644))
	if why := s.Verify("mol_1", "a", m.Targets["a"]); why != "output text (out) was changed by another hand" {
		t.Error(why)
	}
	// The next result puts the edited file aside.
	build(t, s, m, "a", print1, "hello")
	found, err := filepath.Glob(s.Path("mol_1", "a.out.edited-*"))
	check(t, err)
	if len(found) != 1 {
		t.Errorf("the edited file is at %v", found)
	}
	check(t, os.Remove(path))
	if why := s.Verify("mol_1", "a", m.Targets["a"]); why != "output text (out) is missing" {
		t.Error(why)
	}
}

func TestManifestDamaged(t *testing.T) {
	s := open(t)
	m := empty("mol_1")
	build(t, s, m, "a", print1, "hello")
	whole, err := os.ReadFile(s.manifestPath("mol_1"))
	check(t, err)
	for n := range whole {
		check(t, os.WriteFile(s.manifestPath("mol_1"), whole[:n], 0o644))
		got, err := s.Manifest("mol_1")
		var damaged *DamagedError
		if err == nil && n < len(whole)-1 || err != nil && !errors.As(err, &damaged) || got == nil {
			t.Fatalf("cut at byte %d: %v", n, err)
		}
	}
	for n := range whole {
		for _, bits := range []byte{0x01, 0x20} { // of a digit another one, of a letter one of the other case
			flipped := bytes.Clone(whole)
			flipped[n] ^= bits
			check(t, os.WriteFile(s.manifestPath("mol_1"), flipped, 0o644))
			got, err := s.Manifest("mol_1")
			var damaged *DamagedError
			if err != nil && !errors.As(err, &damaged) || err == nil && !reflect.DeepEqual(got.Targets["a"].Outputs, m.Targets["a"].Outputs) {
				t.Fatalf("byte %d flipped by %x: %+v, %v", n, bits, got, err)
			}
			if err == nil && n < bytes.Index(whole, []byte(sealMark)) {
				t.Fatalf("byte %d flipped by %x goes unseen", n, bits)
			}
		}
	}
	unsealed, _, _ := bytes.Cut(whole, []byte(sealMark))
	check(t, os.WriteFile(s.manifestPath("mol_1"), append(bytes.Clone(unsealed), '}'), 0o644))
	if old, err := s.Manifest("mol_1"); err != nil || len(old.Targets) != 1 {
		t.Errorf("a manifest of an earlier version, without a seal: %v", err)
	}
	check(t, os.Mkdir(s.Path("mol_2"), 0o755))
	check(t, os.WriteFile(s.manifestPath("mol_2"), whole, 0o644))
	if _, err := s.Manifest("mol_2"); err == nil || !strings.Contains(err.Error(), `is of the molecule "mol_1"`) {
		t.Errorf("another molecule's manifest: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":"grimperium manifest 1","molecule":"m","targets":{"a":{"fingerprint":"` + print1 + `","outcome":"ok","outputs":{"x":{"file":"../../etc/passwd","sha256":"","size":1}}}}}`))
	f.Add([]byte(`{"format":"grimperium manifest 1","molecule":"m","targets":{"../x":null}}`))
	f.Add([]byte(`{}`))
	m := empty("m")
	m.Targets["a/1"] = &Record{Fingerprint: print1, Outcome: OK, Values: map[string]any{"hof": -57.8}}
	whole, err := m.encode()
	check(f, err)
	f.Add(whole)
	s := &Store{root: f.TempDir()}
	if err := os.Mkdir(s.Path("m"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, os.WriteFile(s.manifestPath("m"), data, 0o644))
		m, err := s.Manifest("m")
		if m == nil {
			t.Fatal("no manifest at all")
		}
		if err != nil && len(m.Targets) > 0 {
			t.Fatal("a damaged manifest has targets")
		}
		for target, r := range m.Targets {
			if !filepath.IsLocal(target) {
				t.Fatalf("target %q leaves the folder", target)
			}
			_ = s.Verify("m", target, r)
			for _, out := range r.Outputs {
				if !filepath.IsLocal(out.File) {
					t.Fatalf("output %q leaves the folder", out.File)
				}
			}
		}
	})
}

func TestUnused(t *testing.T) {
	s := open(t)
	for _, mol := range []string{"here", "gone"} {
		m := empty(mol)
		build(t, s, m, "a", print1, "1")
		build(t, s, m, "a", printN("2"), "2")
		build(t, s, m, "old/1", print1, "1")
	}
	unused, err := s.Unused(func(id string) bool { return id == "here" }, func(name string) bool { return name == "a" })
	check(t, err)
	var got []string
	for _, u := range unused {
		rel, _ := filepath.Rel(s.root, u.Path)
		got = append(got, rel+": "+u.Why)
		check(t, s.Remove(u))
	}
	want := "gone: the molecule is not in the table\nhere/.history: earlier results\nhere/old: the stage is not in the pipeline"
	if strings.Join(got, "\n") != want {
		t.Errorf("unused:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
	m, err := s.Manifest("here")
	check(t, err)
	if !m.Forget(func(name string) bool { return name == "a" }) || len(m.Targets) != 1 || m.Forget(func(string) bool { return true }) {
		t.Errorf("after Forget: %v", m.Targets)
	}
	if err := s.Remove(Unused{Path: filepath.Dir(s.root)}); err == nil {
		t.Error("something outside of the artefacts was removed")
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := TakeLock(path, "table.csv")
	check(t, err)
	var locked *LockedError
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) || locked.Holder.PID != 0 {
		t.Errorf("before it is announced: %v", err)
	}
	check(t, l.Announce())
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) || locked.Holder.PID != os.Getpid() {
		t.Errorf("afterwards: %v", err)
	}
	check(t, l.Release())
	l, err = TakeLock(path, "table.csv")
	check(t, err)
	check(t, os.WriteFile(path, []byte(`{"pid":4194305,"host":"`+locked.Holder.Host+`"}`), 0o644)) // beyond the largest pid
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) || locked.Holder.PID != 0 {
		t.Errorf("what a crashed holder left is believed: %v", err)
	}
	check(t, l.Release())
	check(t, os.Remove(path))
	check(t, os.Symlink("/etc/passwd", path))
	if _, err := TakeLock(path, "table.csv"); err == nil {
		t.Error("a link was followed")
	}
}

func TestLockElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	foreign := []byte(`{"pid":1,"host":"another.host","command":"mage batch"}`)
	check(t, os.WriteFile(path, foreign, 0o644))
	var locked *LockedError
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) || locked.Holder.Host != "another.host" {
		t.Errorf("a holder on another host, heard of just now: %v", err)
	}
	long := time.Now().Add(-2 * believed)
	check(t, os.Chtimes(path, long, long))
	l, err := TakeLock(path, "table.csv")
	if err != nil {
		t.Fatalf("a holder on another host, not heard of for long: %v", err)
	}
	check(t, os.WriteFile(path, foreign, 0o644)) // it began in the same moment
	if err := l.Announce(); !errors.As(err, &locked) {
		t.Errorf("announced over another's name: %v", err)
	}
	check(t, os.WriteFile(path, nil, 0o644))
	check(t, l.Announce())
	check(t, l.Lost())
	check(t, os.Rename(path, path+".old"))
	if err := l.Lost(); err == nil {
		t.Error("the file is gone, the lock not lost")
	}
	check(t, l.Release())
	if data, err := os.ReadFile(path + ".old"); err != nil || len(data) > 0 {
		t.Errorf("a lock that was given up has a holder: %q, %v", data, err)
	}
}

// TestKilledInHistory has a batch end between any two steps of bringing an earlier result back: the next one still finds it.
func TestKilledInHistory(t *testing.T) {
	s := open(t)
	m := empty("m")
	build(t, s, m, "a", print1, "one")
	check(t, s.Save(m))
	build(t, s, m, "a", printN("2"), "two")
	check(t, s.Save(m))
	got, err := s.Restore(m, "a", print1) // moved; killed before the manifest says so
	if err != nil || got == nil {
		t.Fatalf("restored: %v, %v", got, err)
	}
	m, err = s.Manifest("m")
	check(t, err)
	if !s.Has(m, "a", print1) {
		t.Fatal("the earlier result is not known any more")
	}
	got, err = s.Restore(m, "a", print1)
	if err != nil || got == nil || s.Verify("m", "a", got) != "" {
		t.Fatalf("restored again: %v, %v", got, err)
	}
	m.Put("a", got)
	check(t, s.Save(m))
	check(t, s.Sync(m))
	if s.Has(m, "a", print1) {
		t.Error("its record stays in the history")
	}
	if got, err := s.Restore(m, "a", printN("2")); err != nil || got == nil {
		t.Errorf("what it took the place of: %v, %v", got, err)
	}
}

// TestKilledInHistoryAndTakenBack has a batch end while an earlier result is brought back, and the edit that asked for it taken back: neither is lost.
func TestKilledInHistoryAndTakenBack(t *testing.T) {
	s := open(t)
	m := empty("m")
	build(t, s, m, "a", print1, "one")
	build(t, s, m, "a", printN("2"), "two")
	if got, err := s.Restore(m, "a", print1); err != nil || got == nil { // killed before the manifest says so
		t.Fatalf("restored: %v, %v", got, err)
	}
	for _, print := range []string{printN("2"), print1, printN("2")} {
		m, err := s.Manifest("m")
		check(t, err)
		got, err := s.Restore(m, "a", print)
		if err != nil || got == nil || s.Verify("m", "a", got) != "" {
			t.Fatalf("%.1s restored: %v, %v", print, got, err)
		}
		m.Put("a", got)
		check(t, s.Save(m))
	}
	if aside, _ := filepath.Glob(s.Path("m", "*.edited-*")); len(aside) > 0 {
		t.Errorf("taken for edited by hand: %q", aside)
	}
}

// FuzzHolder puts foreign bytes into a lock file that nobody holds: it is taken, or another host's holder is believed, and named on one line of printable text.
func FuzzHolder(f *testing.F) {
	f.Add([]byte(`{"pid":12,"host":"another.host","since":"2026-11-23T10:00:00Z","command":"mage batch"}`))
	f.Add([]byte(`{"pid":-1,"host":"a\u001b[31m\nb","since":"9999-12-31T23:59:59Z","command":"\u0000"}`))
	f.Add([]byte(`{"pid":1e3`))
	path := filepath.Join(f.TempDir(), "lock")
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, os.WriteFile(path, data, 0o644))
		l, err := TakeLock(path, "table.csv")
		var locked *LockedError
		switch {
		case err == nil:
			check(t, l.Release())
		case !errors.As(err, &locked) || locked.Holder.Host == "":
			t.Fatal(err)
		case strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }):
			t.Fatalf("%q", err)
		}
	})
}

// Nobody holds a lock that nobody has written into, or whose holder is gone.
func TestAlive(t *testing.T) {
	host, _ := os.Hostname()
	for _, c := range []struct {
		holder Holder
		want   bool
	}{
		{Holder{}, false},
		{Holder{PID: os.Getpid(), Host: host}, true},
		{Holder{PID: 1 << 22, Host: host}, false}, // beyond the highest that Linux gives
		{Holder{PID: 1 << 22, Host: "another"}, true},
	} {
		if got := alive(c.holder); got != c.want {
			t.Errorf("%+v: %t", c.holder, got)
		}
	}
}
