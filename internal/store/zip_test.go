package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// made is a molecule with a present result of two targets, and an earlier one.
func made(t testing.TB, s *Store) *Molecule {
	t.Helper()
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "one")
	build(t, m, "a", printN("2"), "two")
	build(t, m, "c/1", printN("3"), "three")
	check(t, m.PutRow(Row{Status: "OK"}))
	return m
}

// finish keeps a molecule in a form, and reads it again.
func finish(t testing.TB, m *Molecule, form Form) {
	t.Helper()
	zip, err := m.Finish(form, m.Targets())
	check(t, err)
	check(t, m.s.Pack(zip))
	if zip != nil {
		*m = *molecule(t, m.s, m.id)
	}
}

// whole is an error if a molecule lacks a result, in whatever form.
func whole(t testing.TB, s *Store) {
	t.Helper()
	m := molecule(t, s, "m")
	for _, c := range []struct {
		target, print string
		want          Where
	}{{"a", print1, Past}, {"a", printN("2"), Here}, {"c/1", printN("3"), Here}} {
		if _, where := m.find(c.target, c.print); where != c.want {
			t.Errorf("%s of %.1s is in %d, not in %d", c.target, c.print, where, c.want)
		}
	}
	if m.Row() == nil || m.Row().Status != "OK" || m.Damage() != "" {
		t.Errorf("the row %v, %s", m.Row(), m.Damage())
	}
}

func inodes(t testing.TB, s *Store) string {
	t.Helper()
	var names []string
	check(t, filepath.WalkDir(s.root, func(path string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(s.root, path); !strings.HasPrefix(rel, ".") {
			names = append(names, rel)
		}
		return err
	}))
	return strings.Join(names, " ")
}

func TestForms(t *testing.T) {
	s := open(t)
	m := made(t, s)
	folder := inodes(t, s)
	for _, c := range []struct {
		form Form
		want string
	}{{AsItWas, folder}, {Zip, "m.zip"}, {Zip, "m.zip"}, {AsItWas, "m.zip"}, {Folder, folder},
		{AsItWas, folder}} {
		finish(t, m, c.form)
		if got := inodes(t, s); got != c.want {
			t.Errorf("as %q there is %s, not %s", c.form, got, c.want)
		}
		whole(t, s)
		m = molecule(t, s, "m")
	}
	// Both are there after a crash: the folder counts, and the zip goes when the molecule is
	// finished.
	finish(t, m, Zip)
	z, err := packed.OpenZip(s.zipPath("m"))
	check(t, errors.Join(err, z.Unpack(s.Path("m")), z.Close()))
	m = molecule(t, s, "m")
	build(t, m, "c/1", printN("4"), "four")
	if _, where := molecule(t, s, "m").find("c/1", printN("4")); where != Here {
		t.Errorf("the old zip counts: %d", where)
	}
	finish(t, m, Folder)
	if s.IsZip("m") || strings.Contains(inodes(t, s), ".zip") {
		t.Error("the old zip stays")
	}
	// What is left of a folder without its log does not count.
	finish(t, m, Zip)
	check(t, os.MkdirAll(s.Path("m", "a"), 0o777))
	check(t, os.WriteFile(s.Path("m", "a", "out"), []byte("torn"), 0o666))
	m = molecule(t, s, "m")
	if why := m.Verify("a", m.Record("a")); why != "" {
		t.Error(why)
	}
	check(t, m.Unpack())
	if why := m.Verify("a", m.Record("a")); why != "" {
		t.Error(why)
	}
}

// The index believes a zip by its stamp, and opens it when that changes.
func TestIndexOfZip(t *testing.T) {
	s := open(t)
	m := made(t, s)
	targets := m.Targets()
	zip, err := m.Finish(Zip, targets)
	check(t, err)
	settled, err := s.Settle([]Packed{*zip})
	check(t, err)
	seen := settled["m"]
	if len(seen.Files) != 1 || seen.Files[0] != ".zip" {
		t.Fatalf("the index is to look at %v", seen.Files)
	}
	x := s.Index()
	check(t, x.Note("m", Entry{Key: Key("k"), Row: 7, Seen: seen}))
	e, ok := x.Entry("m")
	if !ok || !s.Untouched("m", e) {
		t.Error("a zip that was just written is not believed")
	}
	again := molecule(t, s, "m")
	if len(again.Seen(targets).Files) != 0 {
		t.Error("what was not read is vouched for")
	}
	if !again.Vouch(e) || len(again.Seen(targets).Files) != 1 || len(again.Unflushed()) > 0 {
		t.Error("what the index knows is not taken")
	}
	z, err := packed.OpenZip(s.zipPath("m"))
	check(t, errors.Join(err, z.Unpack(s.Path("m")), z.Close()))
	if s.Untouched("m", e) {
		t.Error("a zip is believed beside a folder that counts")
	}
	check(t, os.RemoveAll(s.Path("m")))
	check(t, os.Chtimes(s.zipPath("m"), time.Now(), time.Now()))
	if s.Untouched("m", e) || molecule(t, s, "m").Vouch(e) {
		t.Error("a touched zip is believed unread")
	}
	again = molecule(t, s, "m")
	for _, target := range targets {
		if why := again.Verify(target, again.Record(target)); why != "" {
			t.Error(why)
		}
	}
	if len(again.Seen(targets).Files) != 1 {
		t.Error("what was read is not vouched for")
	}
}

// A result of a stage that got another name is not in the zip, though its record is.
func TestIndexOfRenamed(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "old", print1, "one")
	r := *m.Find("new", print1, time.Now(), func(string) Use { return Gone })
	r.Target = "new"
	check(t, m.Restore(&r))
	zip, err := m.Finish(Zip, []string{"new"})
	check(t, err)
	settled, err := s.Settle([]Packed{*zip})
	check(t, err)
	x := s.Index()
	for _, seen := range []Seen{settled["m"], {}} {
		m = molecule(t, s, "m")
		if len(seen.Files) == 0 { // of a visit that changes nothing
			m.Verify("new", m.Record("new"))
			seen = m.Seen([]string{"new"})
		}
		check(t, x.Note("m", Entry{Key: Key("k"), Row: 7, Seen: seen}))
		e, _ := x.Entry("m")
		m = molecule(t, s, "m")
		m.Vouch(e)
		if m.Verify("old", m.Record("old")) == "" || m.Verify("new", m.Record("new")) != "" {
			t.Errorf("with %+v the old name has a result", e)
		}
	}
}

// What can't be kept as one file, or is not what was recorded, stays a folder.
func TestUnfit(t *testing.T) {
	for name, spoil := range map[string]func(s *Store) error{
		"edited": func(s *Store) error {
			return os.WriteFile(s.Path("m/a/out"), []byte("by hand"), 0o666)
		},
		"missing":   func(s *Store) error { return os.Remove(s.Path("m/c/1/out")) },
		"backslash": func(s *Store) error { return os.WriteFile(s.Path(`m/a/a\b`), nil, 0o666) },
		"taken":     func(s *Store) error { return os.Mkdir(s.Path("m.zip"), 0o777) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			m := made(t, s)
			check(t, spoil(s))
			finish(t, m, Zip)
			if s.IsZip("m") {
				t.Error("it was packed")
			}
			if _, err := os.Stat(s.Path("m", logName)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A folder that was changed after it was packed, and before the zip got its name, stays.
func TestChangedBeforeSettle(t *testing.T) {
	s := open(t)
	m := made(t, s)
	zip, err := m.Finish(Zip, m.Targets())
	check(t, err)
	build(t, m, "c/1", printN("8"), "later")
	check(t, s.Pack(zip))
	if _, where := molecule(t, s, "m").find("c/1", printN("8")); s.IsZip("m") || where != Here {
		t.Errorf("the later result is in %d", where)
	}
}

// A task that was believed dead goes on after another has packed the molecule, and the other way
// round. Neither loses what the other has finished.
func TestPackedByAnother(t *testing.T) {
	s := open(t)
	late := made(t, s)
	first := molecule(t, s, "m")
	finish(t, first, Zip)
	build(t, late, "d", printN("5"), "five")
	whole(t, s)
	m := molecule(t, s, "m")
	if _, where := m.find("d", printN("5")); where != Here {
		t.Errorf("the late result is in %d", where)
	}
	finish(t, late, Zip)
	whole(t, s)
	check(t, m.PutRow(Row{Status: "OK"}))
	finish(t, m, Zip)
	whole(t, s)
}

// A zip that a reader has open does not change.
func TestZipOfReader(t *testing.T) {
	s := open(t)
	m := made(t, s)
	finish(t, m, Zip)
	before, err := os.ReadFile(s.zipPath("m"))
	check(t, err)
	f, err := os.Open(s.zipPath("m"))
	check(t, err)
	defer f.Close()
	build(t, m, "a", printN("6"), "six")
	finish(t, m, Zip)
	now, err := io.ReadAll(f)
	if err != nil || string(now) != string(before) {
		t.Errorf("it changed under its reader: %v", err)
	}
	if after, err := os.ReadFile(s.zipPath("m")); err != nil || string(after) == string(before) {
		t.Errorf("the new result is not in it: %v", err)
	}
}

// A zip is used only if it is one of this molecule, whole, and leads nowhere else.
func TestForeignZip(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(t *testing.T, path string)
		damaged bool // else it is not touched
		want    string
	}{
		"cut": {func(t *testing.T, path string) { check(t, os.Truncate(path, 100)) }, true,
			"is damaged"},
		"link": {func(t *testing.T, path string) {
			check(t, errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path)))
		}, false, "move the file away"},
		"other molecule": {func(t *testing.T, path string) {
			s := open(t)
			m := molecule(t, s, "other")
			build(t, m, "a", print1, "one")
			finish(t, m, Zip)
			check(t, os.Rename(s.zipPath("other"), path))
		}, true, `is of the molecule "other"`},
		"no log": {func(t *testing.T, path string) {
			dir := t.TempDir()
			check(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o666))
			f, err := os.Create(path)
			check(t, errors.Join(err, packed.WriteZip(f, dir), f.Close()))
		}, true, "has no manifest.jsonl"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			m := made(t, s)
			finish(t, m, Zip)
			c.change(t, s.zipPath("m"))
			m, err := s.Molecule("m")
			if _, damaged := errors.AsType[*DamagedError](err); damaged != c.damaged ||
				err == nil ||
				!strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v", err)
			}
			if _, refused := errors.AsType[*FolderError](err); refused == c.damaged {
				t.Errorf("%v", err)
			}
			if !c.damaged {
				return
			}
			if m.Record("a") != nil {
				t.Error("it is served all the same")
			}
			build(t, m, "a", printN("7"), "seven")
			finish(t, m, Zip)
			if _, where := molecule(t, s, "m").find("a", printN("7")); where != Here {
				t.Errorf("what was computed again is in %d", where)
			}
		})
	}
}

// Unused lists what is in zips, and Remove takes it out of them.
func TestUnusedInZip(t *testing.T) {
	s := open(t)
	m := made(t, s)
	finish(t, m, Zip)
	other := molecule(t, s, "gone")
	build(t, other, "a", print1, "one")
	finish(t, other, Zip)
	table := func(id string) bool { return id == "m" }
	stage := func(name string) bool { return name == "a" }
	none := func(string) bool { return false }
	check(t, os.WriteFile(s.Path("mine.zip"), []byte("the user's own"), 0o644))
	unused, err := s.Unused(table, stage, none)
	check(t, err)
	var found []string
	var ours []Unused
	for _, u := range unused {
		rel, _ := filepath.Rel(s.root, u.Path)
		if u.Foreign != (rel == "mine.zip") {
			t.Errorf("%s: foreign is %t", rel, u.Foreign)
		} else if !u.Foreign {
			found = append(found, rel+" "+u.Why)
			ours = append(ours, u)
		}
	}
	packs := 0
	durable.Fault = func(op, path string) error {
		if op == "sync" && strings.Contains(path, "/packed.m.") {
			packs++
		}
		return nil
	}
	defer func() { durable.Fault = nil }()
	check(t, s.Remove(ours, func(_, name string) bool { return stage(name) }))
	durable.Fault = nil
	if packs != 1 {
		t.Errorf("the zip was packed %d times", packs)
	}
	check(t, os.Remove(s.Path("mine.zip")))
	if got := strings.Join(found, ", "); got != "gone.zip the molecule is not in the table, "+
		"m/.history earlier results, m/c the stage is not in the pipeline" {
		t.Error(got)
	}
	if got := inodes(t, s); got != "m.zip" {
		t.Errorf("there is %s", got)
	}
	unused, err = s.Unused(table, stage, none)
	if err != nil || len(unused) > 0 {
		t.Errorf("%v, %v", unused, err)
	}
	m = molecule(t, s, "m")
	if m.Record("c/1") != nil || m.Verify("a", m.Record("a")) != "" {
		t.Error("not what it should be: ", m.Targets())
	}
	sizes, err := s.Sizes()
	if z := sizes[zipSize]; err != nil || z == nil || z.Files != 1 || len(sizes) != 2 &&
		len(sizes) != 1 {
		t.Errorf("%v, %v", sizes, err)
	}
}

// What a user put into a zip stays, as it does in a folder.
func TestForeignInZip(t *testing.T) {
	s := open(t)
	for _, id := range []string{"m", "gone"} {
		m := molecule(t, s, id)
		build(t, m, "a", print1, "one")
		check(t, os.MkdirAll(s.Path(id, "mine"), 0o777))
		check(t, os.WriteFile(s.Path(id, "mine/data"), []byte("the user's own"), 0o644))
		finish(t, m, Zip)
	}
	table := func(id string) bool { return id == "m" }
	unused, err := s.Unused(table, func(name string) bool { return name == "a" },
		func(string) bool { return false })
	check(t, err)
	var found []string
	var ours []Unused
	for _, u := range unused {
		rel, _ := filepath.Rel(s.root, u.Path)
		if found = append(found, rel+": "+u.Why); !u.Foreign {
			ours = append(ours, u)
		}
	}
	if got, want := strings.Join(found, ", "), "gone/a: the molecule is not in the table, "+
		"gone/manifest.jsonl: the molecule is not in the table, gone/mine: "+stays+
		", m/mine: "+stays; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	check(t, s.Remove(ours, func(string, string) bool { return false }))
	if got := inodes(t, s); got != "gone gone/mine gone/mine/data m.zip" {
		t.Errorf("there is %s", got)
	}
}

// A command that removes from a zip is killed before each of its operations. What stays is whole,
// and the next one ends it.
func TestRemoveKilled(t *testing.T) {
	defer func() { durable.Fault = nil }()
	stage := func(_, name string) bool { return name == "a" }
	for n, fired := 1, true; fired; n++ {
		s := open(t)
		finish(t, made(t, s), Zip)
		unused := []Unused{{Path: s.Path("m", historyName)}, {Path: s.Path("m", "c")}}
		var count atomic.Int64
		durable.Fault = func(op, path string) error {
			if count.Add(1) >= int64(n) {
				return fmt.Errorf("%s %s: %w", op, path, fs.ErrInvalid)
			}
			return nil
		}
		err := s.Remove(unused, stage)
		durable.Fault = nil
		fired = count.Load() >= int64(n)
		check(t, s.Sweep())
		if r, where := molecule(t, s, "m").find("a", printN("2")); r == nil || where != Here {
			t.Fatalf("killed at %d: what stays is in %d", n, where)
		}
		if check(t, s.Remove(unused, stage)); err != nil {
			m := molecule(t, s, "m")
			finish(t, m, Zip)
		}
		if got := inodes(t, s); got != "m.zip" {
			t.Fatalf("killed at %d: there is %s", n, got)
		}
	}
}

// TestUnpackKeeps has the disk fail while a molecule is unpacked whose folder has a user's file.
// The file stays.
func TestUnpackKeeps(t *testing.T) {
	defer func() { durable.Fault = nil }()
	for at := int64(1); ; at++ {
		s, err := Open(t.TempDir())
		check(t, err)
		finish(t, made(t, s), Zip)
		check(t, os.MkdirAll(s.Path("m", "mine"), 0o755))
		check(t, os.WriteFile(s.Path("m", "mine", "notes"), []byte("text"), 0o644))
		m, n := molecule(t, s, "m"), atomic.Int64{}
		durable.Fault = func(op, path string) error {
			if n.Add(1) >= at && op != "rename" { // that comes right after the removal
				return syscall.EIO
			}
			return nil
		}
		err = m.Unpack()
		durable.Fault = nil
		check(t, s.Sweep())
		if text, err := os.ReadFile(s.Path("m", "mine", "notes")); string(text) != "text" {
			t.Errorf("operation %d: %q, %v", at, text, err)
		}
		if err == nil {
			break
		}
	}
}
