// Package store keeps artefacts: what targets produced, by content hash, and the manifest of each molecule that
// says what made them. A target's files arrive whole or not at all, and a failed attempt never stands where a
// result does.
//
// It decides whether recorded files are still the recorded ones. What would be made today, and whether that differs, is the scheduler's question.
package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
type Store struct{ root string }

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
	return &Store{abs}, nil
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
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// Sweep removes what targets left that were interrupted: they never happened.
func (s *Store) Sweep() error { return os.RemoveAll(s.Path(scratchName)) }

// Commit moves a target's declared files from its scratch folder into the molecule's, fills the record's outputs, and
// moves an earlier result aside. An output that is missing or no regular file is an error, and nothing is moved.
// keep are further files that stay beside the outputs.
func (s *Store) Commit(m *Manifest, target, scratch string, outputs map[string]string, keep []string, rec *Record) error {
	rec.Outputs = map[string]Output{}
	wanted := map[string]bool{}
	for name, file := range outputs {
		out, err := fingerprintFile(scratch, file)
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		rec.Outputs[name] = out
		wanted[file] = true
	}
	for _, f := range keep {
		wanted[f] = true
	}
	if err := prune(scratch, wanted); err != nil {
		return err
	}
	dst := s.TargetDir(m.Molecule, target)
	if err := s.Retire(m, target); err != nil {
		return err
	}
	if err := moveDir(scratch, dst); err != nil {
		return err
	}
	os.RemoveAll(s.FailedDir(m.Molecule, target))
	os.Remove(filepath.Dir(s.FailedDir(m.Molecule, target)))
	return nil
}

// moveDir renames a folder onto a name that is free, making the parents.
func moveDir(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
			err = os.Rename(from, to)
		}
	}
	return err
}

// Fail moves a failed attempt's whole scratch folder to where a user can read it.
func (s *Store) Fail(mol, target, scratch string) (string, error) {
	dir := s.FailedDir(mol, target)
	if err := os.RemoveAll(dir); err != nil {
		return dir, err
	}
	return dir, moveDir(scratch, dir)
}

// fingerprintFile hashes a regular file below dir, without following links.
func fingerprintFile(dir, name string) (Output, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Output{}, fmt.Errorf("%s was not written%w", name, silent{err})
	case err != nil:
		return Output{}, err
	case !info.Mode().IsRegular():
		return Output{}, fmt.Errorf("%s is no regular file (%s)", name, info.Mode().Type())
	}
	sum, err := hashFile(path)
	return Output{File: name, SHA256: sum, Size: info.Size()}, err
}

// silent carries an error for errors.Is without showing it.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

func hashFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// prune removes everything from dir that is not wanted; names are relative, with slashes.
func prune(dir string, wanted map[string]bool) error {
	parents := map[string]bool{}
	for w := range wanted {
		for d := filepath.Dir(w); d != "."; d = filepath.Dir(d) {
			parents[d] = true
		}
	}
	var walk func(rel string) error
	walk = func(rel string) error {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(rel, e.Name())
			switch {
			case e.IsDir() && parents[name]:
				err = walk(name)
			case wanted[name] && e.Type().IsRegular():
			default:
				err = os.RemoveAll(filepath.Join(dir, name))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return walk(".")
}

// Retire moves the present result of a target, if there is one, into the molecule's history.
func (s *Store) Retire(m *Manifest, target string) error {
	dir := s.TargetDir(m.Molecule, target)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	old := m.Targets[target]
	if old == nil || old.Outcome != OK || s.Verify(m.Molecule, target, old) != "" {
		return s.aside(m.Molecule, target, old)
	}
	past := s.historyDir(m.Molecule, target, old.Fingerprint)
	if err := os.RemoveAll(past); err != nil {
		return err
	}
	if err := moveDir(dir, past); err != nil {
		return err
	}
	if err := writeJSON(past+".json", old); err != nil {
		return err
	}
	return s.trim(filepath.Dir(past))
}

func (s *Store) historyDir(mol, target, fingerprint string) string {
	return s.Path(mol, historyName, strings.ReplaceAll(target, "/", "."), fingerprint[:16])
}

// trim removes the oldest earlier results beyond keepHistory.
func (s *Store) trim(dir string) error {
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
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
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

// Has says whether an earlier result of a target with this fingerprint is kept.
func (s *Store) Has(mol, target, fingerprint string) bool {
	_, err := os.Stat(s.historyDir(mol, target, fingerprint) + ".json")
	return err == nil
}

// Restore brings back the earlier result of a target that had this fingerprint; nil when there is none.
func (s *Store) Restore(m *Manifest, target, fingerprint string) (*Record, error) {
	past := s.historyDir(m.Molecule, target, fingerprint)
	rec := &Record{}
	if err := readJSON(past+".json", rec); err != nil || rec.Fingerprint != fingerprint || rec.Outcome != OK {
		return nil, nil // no result of the past is worth an error
	}
	for _, out := range rec.Outputs {
		if now, err := fingerprintFile(past, out.File); err != nil || now.SHA256 != out.SHA256 {
			return nil, nil
		}
	}
	if err := s.Retire(m, target); err != nil {
		return nil, err
	}
	dir := s.TargetDir(m.Molecule, target)
	if err := moveDir(past, dir); err != nil {
		return nil, err
	}
	os.Remove(past + ".json")
	return rec, nil
}

// aside keeps files that were edited by hand (or are of an unfinished change) out of the way of a new result, under
// a name of their own.
func (s *Store) aside(mol, target string, rec *Record) error {
	dir := s.TargetDir(mol, target)
	if rec != nil && rec.Outcome == OK {
		for _, out := range rec.Outputs {
			now, err := fingerprintFile(dir, out.File)
			if err != nil || now.SHA256 == out.SHA256 {
				continue
			}
			to := s.Path(mol, strings.ReplaceAll(target, "/", ".")+"."+filepath.Base(out.File)+".edited-"+now.SHA256[:8])
			if err := os.Rename(filepath.Join(dir, out.File), to); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// Drop removes targets that are no longer there: for_each had more instances once.
func (s *Store) Drop(m *Manifest, target string) error {
	if err := s.Retire(m, target); err != nil {
		return err
	}
	delete(m.Targets, target)
	if err := os.RemoveAll(s.FailedDir(m.Molecule, target)); err != nil {
		return err
	}
	if strings.Contains(target, "/") {
		os.Remove(filepath.Dir(s.TargetDir(m.Molecule, target))) // the last instance takes the stage's folder with it
	}
	return nil
}

// many is from how many molecules on one flush of the whole file system is cheaper than one of each file.
const many = 4

// Sync flushes the files and manifests of molecules onto the disk: afterwards a power cut can't take them.
func (s *Store) Sync(manifests ...*Manifest) error {
	if len(manifests) == 0 {
		return nil
	}
	for _, m := range manifests {
		if err := s.write(m); err != nil {
			return err
		}
	}
	if len(manifests) < many || syncAll(s.root) != nil {
		for _, m := range manifests {
			if err := s.syncOne(m); err != nil {
				return err
			}
		}
		if err := syncPath(s.root); err != nil {
			return err
		}
	}
	for _, m := range manifests {
		for _, rec := range m.Targets {
			rec.unsynced = false
		}
	}
	return nil
}

func (s *Store) syncOne(m *Manifest) error {
	paths := map[string]bool{s.manifestPath(m.Molecule): true, s.Path(m.Molecule): true}
	for target, rec := range m.Targets {
		if !rec.unsynced || rec.Outcome != OK || len(rec.Outputs) == 0 {
			continue
		}
		dir := s.TargetDir(m.Molecule, target)
		for _, out := range rec.Outputs {
			paths[filepath.Join(dir, out.File)] = true
		}
		for d := dir; len(d) > len(s.Path(m.Molecule)); d = filepath.Dir(d) {
			paths[d] = true
		}
	}
	for path := range paths {
		if err := syncPath(path); err != nil {
			return err
		}
	}
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
