package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

const print1 = "1111111111111111111111111111111111111111111111111111111111111111"

func printN(c string) string { return strings.Repeat(c, 64) }

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "artefacts"))
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func molecule(t testing.TB, s *Store, id string) *Molecule {
	t.Helper()
	m, err := s.Molecule(id)
	check(t, err)
	return m
}

// try puts a target with the one output out into a molecule.
func try(m *Molecule, target, print, content string) error {
	dir, err := m.s.Scratch(m.id + "/" + target)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"out": content, "litter": "", "more": "of no use"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	r := &Record{Target: target, Fingerprint: print, Outcome: OK,
		Description: []string{"command = a > b"}}
	return m.Put(r, dir, Collect(dir, map[string]string{"text": "out"}), nil, nil)
}

func build(t testing.TB, m *Molecule, target, print, content string) {
	t.Helper()
	check(t, try(m, target, print, content))
}

// Where says where the files of a result are.
type Where int

const (
	Nowhere Where = iota
	Here          // in the target's place
	Past          // among the earlier results
)

// find is Find with the place of what it finds.
func (m *Molecule) find(target, fingerprint string) (*Record, Where) {
	switch r := m.newest(target, fingerprint); {
	case r == nil:
		return nil, Nowhere
	case r.found == m.place(target):
		return r, Here
	default:
		return r, Past
	}
}

func list(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

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
			c := Collect(dir, map[string]string{"text": "out"})
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

func TestTidy(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	dir, err := s.Scratch("m/a")
	check(t, err)
	check(t, os.MkdirAll(filepath.Join(dir, "sub", "deep"), 0o777))
	for name, text := range map[string]string{
		"a.out": "the output", "a.log": "some words", "empty.log": "", "a.tmp": "x",
		"sub/b.out": "more", "sub/deep/c": "y", "sub/k": "z",
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	c := Collect(dir, map[string]string{"a": "a.out", "b": "sub/b.out"})
	check(t, m.Put(&Record{Target: "a", Fingerprint: print1, Outcome: OK}, dir, c,
		[]string{"*.log", "sub/k"}, []string{"a.*"}))
	if got := list(t, s.TargetDir("m", "a")) + "; " +
		list(t, s.TargetDir("m", "a/sub")); got != "a.log.zst a.out.zst sub; b.out k" {
		t.Errorf("kept: %s", got)
	}
	m = molecule(t, s, "m")
	if r, where := m.find("a", print1); where != Here ||
		stored(s.TargetDir("m", "a"), "a.out") != "a.out.zst" {
		t.Errorf("found: %+v, %d", r, where)
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
	check(t, os.WriteFile(filepath.Join(r.found, "out"), []byte("result x"), 0o666))
	if r, where := molecule(t, s, "m").find("a", printN("4")); r != nil || where != Nowhere {
		t.Errorf("a damaged earlier result: %+v", r)
	}
}

func TestVerify(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "hello")
	path := filepath.Join(s.TargetDir("m", "a"), "out")
	check(t, os.WriteFile(path, []byte("hellO"), 0o666))
	if why := m.Verify("a", m.Record("a")); why != "output text (out) was changed by another hand" {
		t.Error(why)
	}
	build(t, m, "a", print1, "hello") // the next result puts the edited file aside
	found, err := filepath.Glob(s.Path("m", "a.out.edited-*"))
	check(t, err)
	if len(found) != 1 {
		t.Errorf("the edited file is at %v", found)
	}
	check(t, os.Remove(path))
	if why := m.Verify("a", m.Record("a")); why != "output text (out) is missing" {
		t.Error(why)
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

// A renamed stage keeps its results, the present one and the earlier ones.
func TestRenamedStage(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "old/1", print1, "one")
	build(t, m, "old/1", printN("2"), "two")
	gone := func(stage string) bool { return stage == "old" }
	find := func(print string, gone func(string) bool) *Record {
		return m.Find("new/1", print, time.Now(), gone)
	}
	if find(printN("3"), gone) != nil || find(printN("2"),
		func(string) bool { return false }) != nil {
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
	if got := strings.Join(m.Instances("c"), " "); got != "c/1 c/10" {
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

func TestUnflushed(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	if got := m.Unflushed(); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	build(t, m, "b/1", print1, "one")
	want := []string{".", "m", "m/b", "m/b/1", "m/b/1/out", "m/manifest.jsonl"}
	same := func() {
		t.Helper()
		var got []string
		for _, path := range m.Unflushed() {
			rel, err := filepath.Rel(s.root, path)
			check(t, err)
			got = append(got, rel)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("unflushed: %v, want %v", got, want)
		}
	}
	same()
	check(t, m.Flush())
	if got := m.Unflushed(); got != nil {
		t.Errorf("after Flush: %v", got)
	}
	check(t, m.Append(&Record{Target: "a", Fingerprint: print1, Outcome: Failed}))
	want = []string{".", "m", "m/manifest.jsonl"}
	same()
	m = molecule(t, s, "m") // perhaps of a batch that was killed
	want = []string{".", "m", "m/b", "m/b/1", "m/b/1/out", "m/manifest.jsonl"}
	same()
	check(t, durable.Sync(append(m.Unflushed(), s.Path("gone"))...))
	check(t, durable.Sync(slices.Repeat(m.Unflushed(), 150)...))
}

func TestFolderError(t *testing.T) {
	s := open(t)
	var refused *FolderError
	build(t, molecule(t, s, "m"), "a", print1, "one")
	check(t, os.Symlink("a", s.Path("m", "b")))
	if _, err := s.Molecule("m"); !errors.As(err, &refused) ||
		!strings.Contains(err.Error(), "m/b: is a symbolic link") {
		t.Errorf("a link in the folder: %v", err)
	}
	check(t, os.Symlink("m", s.Path("m2")))
	if _, err := s.Molecule("m2"); !errors.As(err, &refused) {
		t.Errorf("a link as the folder: %v", err)
	}
	check(t, os.WriteFile(s.Path("m3"), nil, 0o666))
	if _, err := s.Molecule("m3"); !errors.As(err, &refused) ||
		!strings.Contains(err.Error(), "no folder") {
		t.Errorf("a file as the folder: %v", err)
	}
	check(t, os.MkdirAll(s.Path("m4", logName), 0o777))
	if _, err := s.Molecule("m4"); !errors.As(err, &refused) {
		t.Errorf("a folder as the log: %v", err)
	}
}

func TestUnused(t *testing.T) {
	s := open(t)
	for _, mol := range []string{"here", "gone"} {
		m := molecule(t, s, mol)
		build(t, m, "a", print1, "1")
		build(t, m, "a", printN("2"), "2")
		build(t, m, "old/1", print1, "1")
	}
	mixed := molecule(t, s, "mixed")
	build(t, mixed, "a", print1, "1")
	for _, dir := range []string{"here/extra", "mine/deep", "mixed/extra"} {
		check(t, os.MkdirAll(s.Path(dir), 0o777))
		check(t, os.WriteFile(s.Path(dir, "notes.txt"), []byte("mine"), 0o666))
	}
	is := func(names ...string) func(string) bool {
		return func(name string) bool { return slices.Contains(names, name) }
	}
	const foreign = ": no batch made it, and it stays"
	want := []string{"gone: the molecule is not in the table", "here/extra" + foreign,
		"mine" + foreign,
		"mixed/a: the molecule is not in the table", "mixed/extra" + foreign,
		"mixed/manifest.jsonl: the molecule is not in the table"}
	all := slices.Concat(want[:1], []string{"here/.history: earlier results"}, want[1:2],
		[]string{"here/old: the stage is not in the pipeline"}, want[2:])
	for _, c := range []struct {
		returns func(string) bool
		want    []string
	}{{is("here"), want}, {is(), all}} {
		unused, err := s.Unused(is("here"), is("a"), c.returns)
		check(t, err)
		var got []string
		for _, u := range unused {
			rel, _ := filepath.Rel(s.root, u.Path)
			got = append(got, rel+": "+u.Why)
			if u.Foreign != strings.HasSuffix(u.Why, "it stays") {
				t.Errorf("%s: foreign %v", rel, u.Foreign)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("unused:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	check(t, errors.Join(durable.Remove(s.Path("gone")), durable.Remove(s.Path("mixed")),
		durable.Remove(s.Path("mine")), durable.Remove(s.Path("here", ".history")),
		durable.Remove(s.Path("here", "old"))))
	sizes, err := s.Sizes()
	if err != nil || sizes["a"].Files != 1 || sizes["manifests"].Files != 1 {
		t.Errorf("sizes: %v, %v", sizes, err)
	}
}

func TestSweep(t *testing.T) {
	s := open(t)
	old := time.Now().Add(-31 * 24 * time.Hour)
	for name, stays := range map[string]bool{
		filepath.Base(s.own): false, hostname + "-4194305": false, hostname + "-1": true,
		"other-1": true, "other-2": false, "m1.pm7": true,
	} {
		dir := s.Path(scratchName, name)
		check(t, os.MkdirAll(filepath.Join(dir, "in"), 0o777))
		if name == "other-2" {
			check(t, os.Chtimes(filepath.Join(dir, "in"), old, old))
			check(t, os.Chtimes(dir, old, old))
		}
		check(t, s.Sweep())
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"m.a.1", "m.a.1.2", "m.a.1.3"} {
		dir, err := s.Scratch("m/a/1")
		check(t, err)
		if filepath.Base(dir) != name || list(t, dir) != "" {
			t.Errorf("%s: %s", dir, list(t, dir))
		}
		check(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o666))
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

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		leave func(path string) error
		want  string // of the error
	}{
		"file":    {func(p string) error { return os.WriteFile(p, []byte("x"), 0o666) }, ""},
		"missing": {func(string) error { return nil }, "output o: missing was not written"},
		"link":    {func(p string) error { return os.Symlink("file", p) }, "a symbolic link"},
		"folder":  {func(p string) error { return os.Mkdir(p, 0o777) }, "a folder"},
		"pipe":    {func(p string) error { return unix.Mkfifo(p, 0o666) }, "a named pipe"},
	} {
		check(t, c.leave(filepath.Join(dir, name)))
		err := Collect(dir, map[string]string{"a": "never", "o": name}).Err
		if name == "missing" || name == "file" {
			err = Collect(dir, map[string]string{"o": name}).Err
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, os.ErrNotExist) != (name == "missing") {
			t.Errorf("%s: missing? %v", name, err)
		}
		sum, err := Hash(strings.NewReader("x"))
		check(t, err)
		if SameContent(filepath.Join(dir, name), sum) != (name == "file") {
			t.Errorf("%s: the same content?", name)
		}
	}
}

// A program hides what it leaves, from this process and from others of the group.
func TestShare(t *testing.T) {
	above := t.TempDir()
	check(t, os.Chmod(above, 0o775))
	dir, others := filepath.Join(above, "m.a"), filepath.Join(above, "others")
	check(t, os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o777))
	files := map[string][2]os.FileMode{ // before and after, in octal
		"none": {0, 0o664}, "own": {0o600, 0o664}, "run": {0o700, 0o764}, "sub/deep/x": {0, 0o664}}
	for name, modes := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
		check(t, os.Chmod(filepath.Join(dir, name), modes[0]))
	}
	check(t, os.WriteFile(others, nil, 0o666))
	check(t, os.Chmod(others, 0o600))
	check(t, os.Link(others, filepath.Join(dir, "linked")))
	check(t, os.Symlink(others, filepath.Join(dir, "link")))
	for _, name := range []string{"sub/deep", "sub", ""} {
		check(t, os.Chmod(filepath.Join(dir, name), 0))
		files[name] = [2]os.FileMode{0, 0o775}
	}
	files["../others"] = [2]os.FileMode{0o600, 0o600}
	Share(dir)
	for name, modes := range files {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if info.Mode().Perm() != modes[1] {
			t.Errorf("%q has the mode %v, want %v", name, info.Mode(), modes[1])
		}
	}
}

// Other users of the machine may not write there, those of the group may.
func TestOursAlone(t *testing.T) {
	s := open(t)
	check(t, os.Mkdir(s.Root(), 0o777))
	for mode, alone := range map[os.FileMode]bool{0o755: true, 0o775: true, 0o777: false,
		os.ModeSticky | 0o777: true} {
		check(t, os.Chmod(s.Root(), mode))
		if err := s.OursAlone(); (err == nil) != alone {
			t.Errorf("%v: %v", mode, err)
		}
	}
}
