// Package store keeps artefacts: what targets produced, by content hash, and the manifest of each molecule that
// says what made them. A target's files arrive whole or not at all, and a failed attempt never stands where a
// result does.
//
// It decides whether recorded files are still the recorded ones. What would be made today, and whether that differs, is the scheduler's question.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/fault"
	"grimperium/internal/packed"
)

// Names in the artefacts folder.
const (
	JournalName = "journal.jsonl"
	LockName    = ".lock"
	IndexName   = ".index"
	scratchName = ".scratch"
	historyName = ".history"
	failedMark  = ".failed"
)

// keepHistory is how many earlier results of one target are kept, so that an edit that is taken back costs nothing.
const keepHistory = 3

// Store is an artefacts folder.
type Store struct {
	root   string
	puts   atomic.Int64 // temporary names that were given so far
	spares spares
}

// Open returns the store in a folder, which is made with the first target.
func Open(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real // the folder itself may be a link; nothing below it may
	}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: is not a folder", root)
	}
	return &Store{root: abs}, nil
}

// Root is the absolute path of the artefacts folder.
func (s *Store) Root() string { return s.root }

// Path joins a name in the artefacts folder.
func (s *Store) Path(name ...string) string {
	return filepath.Join(append([]string{s.root}, name...)...)
}

// TargetDir is where a target's files lie: "pm7/2" in artefacts/MOL/pm7/2.
func (s *Store) TargetDir(mol, target string) string {
	return s.Path(mol, filepath.FromSlash(target))
}

// FailedDir is where a target's last failed attempt lies: artefacts/MOL/pm7.failed/2.
func (s *Store) FailedDir(mol, target string) string {
	stage, instance, _ := strings.Cut(target, "/")
	return s.Path(mol, stage+failedMark, instance)
}

// Scratch makes a fresh folder for a target to run in.
func (s *Store) Scratch(mol, target string) (string, error) {
	dir := s.Path(scratchName, mol+"."+strings.ReplaceAll(target, "/", "."))
	return dir, fault.Around("store.scratch", func() error {
		if err := removeAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(s.Path(scratchName), 0o755); err != nil {
			return err
		}
		return os.Mkdir(dir, 0o755) // an error if someone put a link there meanwhile
	})
}

// Sweep removes what targets left that were interrupted: they never happened.
func (s *Store) Sweep() error {
	s.spares.clear()
	return fault.Around("store.sweep", func() error { return removeAll(s.Path(scratchName)) })
}

// removeAll is os.RemoveAll, also of folders that a program left without the permission to look into them. It follows no link.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700) // called before the folder is read
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// Commit moves a target's declared files from its scratch folder into the molecule's, fills the record's outputs, and
// moves an earlier result aside. An output that is missing or no regular file is an error, and nothing is moved.
// keep are patterns of further files that stay beside the outputs, and compress those of the files that are stored compressed.
func (s *Store) Commit(m *Manifest, target, scratch string, found *Collected, keep, compress []string, rec *Record) error {
	if found.err != nil {
		return found.err
	}
	rec.Outputs = found.outputs
	wanted := map[string]bool{}
	for _, out := range found.outputs {
		wanted[out.File] = true
	}
	if err := s.prune(scratch, wanted, keep, compress, found.compressed); err != nil {
		return err
	}
	dst := s.TargetDir(m.Molecule, target)
	if err := s.Retire(m, target); err != nil {
		return err
	}
	if err := moveDir("store.move", scratch, dst); err != nil {
		return err
	}
	failed := s.FailedDir(m.Molecule, target)
	if _, err := os.Lstat(failed); err == nil {
		removeAll(failed)
		os.Remove(filepath.Dir(failed)) // with the last instance's
	}
	return nil
}

// moveDir renames a folder onto a name that is free, or a file, making the parents.
func moveDir(step, from, to string) error {
	return fault.Around(step, func() error {
		err := os.Rename(from, to)
		if errors.Is(err, fs.ErrNotExist) {
			if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
				err = os.Rename(from, to)
			}
		}
		return err
	})
}

// moveInto is moveDir for a file that may take another's place, neither of them flushed. The two are exchanged, and the old one is spare: a rename over a
// file makes ext4 write the new one to the disk at once (mount option auto_da_alloc), which is for those who never flush and costs more than all else here.
func (s *Store) moveInto(step, from, to string) error {
	err := fault.Around(step, func() error { return swap(from, to) })
	switch {
	case err == nil:
		s.spares.keep(&s.spares.written, from)
		return nil
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL):
		return moveDir(step, from, to)
	}
	return err
}

// Fail moves a failed attempt's whole scratch folder to where a user can read it.
func (s *Store) Fail(mol, target, scratch string) (string, error) {
	dir := s.FailedDir(mol, target)
	if err := removeAll(dir); err != nil {
		return dir, err
	}
	return dir, moveDir("store.move", scratch, dir)
}

// Retire moves the present result of a target, if there is one, into the molecule's history.
func (s *Store) Retire(m *Manifest, target string) error { return s.retire(m, target, "") }

// retire keeps the earlier result with the fingerprint spared, which is about to be brought back, besides those that it keeps.
func (s *Store) retire(m *Manifest, target, spared string) error {
	dir := s.TargetDir(m.Molecule, target)
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return os.Remove(dir) // the link, not what it names
	}
	for _, old := range []*Record{m.Targets[target], m.before[target]} {
		if old == nil || old.Outcome != OK || s.Verify(m.Molecule, target, old) != "" {
			continue
		}
		past := s.historyDir(m.Molecule, target, old.Fingerprint)
		if err := removeAll(past); err != nil {
			return err
		}
		if err := s.writeRecord(m, past+".json", old); err != nil { // first: killed in between, the result is where it was, or found by its record
			return err
		}
		if err := moveDir("store.move", dir, past); err != nil {
			return err
		}
		return s.trim(filepath.Dir(past), spared)
	}
	if past := s.stranded(m.Molecule, target); past != "" {
		return moveDir("store.move", dir, past)
	}
	return s.aside(m.Molecule, target, m.Targets[target])
}

// stranded is where in the history the files belong that stand as a target's result, when a batch was killed after it had brought them back and before
// the manifest said so; "" when they are no earlier result.
func (s *Store) stranded(mol, target string) string {
	dir := s.Path(mol, historyName, strings.ReplaceAll(target, "/", "."))
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		past, isRecord := strings.CutSuffix(filepath.Join(dir, e.Name()), ".json")
		if _, err := os.Lstat(past); !isRecord || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		rec := &Record{}
		if readJSON(past+".json", rec) == nil && rec.Outcome == OK && s.Verify(mol, target, rec) == "" {
			return past
		}
	}
	return ""
}

func (s *Store) historyDir(mol, target, fingerprint string) string {
	return s.Path(mol, historyName, strings.ReplaceAll(target, "/", "."), fingerprint[:16])
}

// trim removes the oldest earlier results beyond keepHistory, not counting one that is spared.
func (s *Store) trim(dir, spared string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type past struct {
		name string
		when time.Time
	}
	var all []past
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && name != spared {
			if info, err := e.Info(); err == nil {
				all = append(all, past{name, info.ModTime()})
			}
		}
	}
	slices.SortFunc(all, func(a, b past) int { return b.when.Compare(a.when) })
	for i := keepHistory; i < len(all); i++ {
		os.Remove(filepath.Join(dir, all[i].name+".json"))
		if err := os.RemoveAll(filepath.Join(dir, all[i].name)); err != nil {
			return err
		}
	}
	return nil
}

// Has says whether an earlier result of a target with this fingerprint is kept; Restore may find it damaged.
func (s *Store) Has(m *Manifest, target, fingerprint string) bool {
	past := s.historyDir(m.Molecule, target, fingerprint)
	if _, err := os.Lstat(past + ".json"); err == nil {
		return true
	}
	rec := m.known(target, fingerprint)
	if rec == nil {
		return false
	}
	if _, err := os.Lstat(past); err == nil {
		return true
	}
	return rec != m.Targets[target] && s.Verify(m.Molecule, target, rec) == ""
}

// known is the record of a result as a manifest has it, which may be all that a power cut has left of an earlier one; nil if there is none.
func (m *Manifest) known(target, fingerprint string) *Record {
	for _, rec := range []*Record{m.Targets[target], m.before[target]} {
		if rec != nil && rec.Fingerprint == fingerprint && rec.Outcome == OK {
			return rec
		}
	}
	return nil
}

// recordBefore writes the records of results that a killed batch has replaced, where a power cut has torn them: the manifest that has them, too, is about to go.
func (s *Store) recordBefore(m *Manifest) error {
	for target, rec := range m.before {
		if now := m.Targets[target]; rec.Outcome != OK || now != nil && now.Fingerprint == rec.Fingerprint {
			continue
		}
		past := s.historyDir(m.Molecule, target, rec.Fingerprint)
		if readJSON(past+".json", &Record{}) == nil || !s.Has(m, target, rec.Fingerprint) {
			continue
		}
		if err := s.writeRecord(m, past+".json", rec); err != nil {
			return err
		}
	}
	return nil
}

// Restore brings back the earlier result of a target that had this fingerprint; nil when there is none.
func (s *Store) Restore(m *Manifest, target, fingerprint string) (*Record, error) {
	past := s.historyDir(m.Molecule, target, fingerprint)
	rec := &Record{}
	if err := readJSON(past+".json", rec); err != nil || rec.Fingerprint != fingerprint || rec.Outcome != OK {
		known := m.known(target, fingerprint)
		if known == nil {
			return nil, nil // no result of the past is worth an error
		}
		again := *known
		rec = &again
	}
	dir := s.TargetDir(m.Molecule, target)
	rec.past = past
	if _, err := os.Lstat(past); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); err != nil || s.Verify(m.Molecule, target, rec) != "" {
			return nil, nil
		}
		return rec, nil // a batch was killed after it had brought the files back
	}
	for _, out := range rec.Outputs {
		if now, err := same(past, out); err != nil || now.SHA256 != out.SHA256 {
			return nil, nil
		}
	}
	if err := s.retire(m, target, filepath.Base(past)); err != nil { // what is there now must not push it out
		return nil, err
	}
	if err := moveDir("store.move", past, dir); err != nil {
		return nil, err
	}
	return rec, nil
}

// aside keeps files that were edited by hand (or are of an unfinished change) out of the way of a new result, under
// a name of their own.
func (s *Store) aside(mol, target string, rec *Record) error {
	dir := s.TargetDir(mol, target)
	if rec != nil && rec.Outcome == OK {
		for _, out := range rec.Outputs {
			if now, err := same(dir, out); err == nil && now.SHA256 == out.SHA256 {
				continue
			}
			file := filepath.Base(packed.Stored(filepath.Join(dir, out.File)))
			now, err := fingerprintFile(dir, filepath.Join(filepath.Dir(out.File), file))
			if err != nil {
				continue
			}
			to := s.Path(mol, strings.ReplaceAll(target, "/", ".")+"."+file+".edited-"+now.SHA256[:8])
			err = fault.Around("store.aside", func() error { return os.Rename(filepath.Join(dir, filepath.Dir(out.File), file), to) })
			if err != nil {
				return err
			}
		}
	}
	return fault.Around("store.clear", func() error { return removeAll(dir) })
}

// Drop removes targets that are no longer there: for_each had more instances once.
func (s *Store) Drop(m *Manifest, target string) error {
	if err := s.Retire(m, target); err != nil {
		return err
	}
	delete(m.Targets, target)
	m.changed = true
	if err := os.RemoveAll(s.FailedDir(m.Molecule, target)); err != nil {
		return err
	}
	if strings.Contains(target, "/") {
		os.Remove(filepath.Dir(s.TargetDir(m.Molecule, target))) // the last instance takes the stage's folder with it
	}
	return nil
}
