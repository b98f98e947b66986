// Package store keeps artefacts/: the results of targets, and for each molecule a log that says
// what made them.
//
// The log, artefacts/MOL/manifest.jsonl, is the truth. It only grows, by a line for each result.
// The line of a result is written before its files arrive. A folder belongs to the newest record
// whose files it has by content. So no finished result is ever without a record, and nothing has
// to be repaired after a crash. docs/format.md specifies every file.
//
// A Store is safe for concurrent use; a Molecule and an Index have one owner. A *FolderError and a
// *DamagedError concern one molecule, an *OutputError one attempt of a target. Every other error
// is the disk's.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// Names in the artefacts folder.
const (
	JournalName = "journal.jsonl"
	LockName    = ".lock"
	IndexName   = ".index"
	StopName    = ".stop"
	scratchName = ".scratch"
	stuckName   = "stuck" // below .scratch: folders that could not be removed
	historyName = ".history"
	failedMark  = ".failed"
)

// Store is an artefacts folder.
type Store struct {
	root string
	own  string   // the scratch folder of this process
	dir  *os.File // root, from where the way to a file is shorter; nil: not opened
}

// Open returns the store in a folder. Make makes the folder.
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
	own := fmt.Sprintf("%s-%d", hostname, os.Getpid())
	return &Store{root: abs, own: filepath.Join(abs, scratchName, own)}, nil
}

var hostname, _ = os.Hostname()

// Root is the absolute path of the artefacts folder.
func (s *Store) Root() string { return s.root }

// Path joins a name in the artefacts folder.
func (s *Store) Path(name ...string) string {
	return filepath.Join(append([]string{s.root}, name...)...)
}

// Make makes the artefacts folder, so that a power cut can't take it with all that is in it.
func (s *Store) Make() error {
	if _, err := os.Stat(s.Path(JournalName)); err == nil { // the journal is begun after this
		return nil
	}
	if err := os.MkdirAll(s.root, 0o777); err != nil {
		return err
	}
	return durable.Sync(filepath.Dir(s.root))
}

// TargetDir is the folder of a target's files: artefacts/MOL/pm7/2 for "pm7/2".
func (s *Store) TargetDir(mol, target string) string { return s.Path(mol, target) }

// FailedDir is the folder of a target's last failed attempt: artefacts/MOL/pm7.failed/2.
func (s *Store) FailedDir(mol, target string) string {
	stage, instance, _ := strings.Cut(target, "/")
	return s.Path(mol, stage+failedMark, instance)
}

// Scratch makes a fresh empty folder of this process. The name may have slashes.
func (s *Store) Scratch(name string) (string, error) {
	if err := os.MkdirAll(s.own, 0o777); err != nil {
		return "", err
	}
	path := filepath.Join(s.own, strings.ReplaceAll(name, "/", "."))
	dir := path
	for n := 2; ; n++ {
		err := os.Mkdir(dir, 0o777)
		if errors.Is(err, fs.ErrExist) {
			err = cmp.Or(s.Discard(dir), os.Mkdir(dir, 0o777))
		}
		if !errors.Is(err, fs.ErrExist) || n == 100 {
			return dir, err
		}
		dir = fmt.Sprintf("%s.%d", path, n) // a folder of that name can't be removed
	}
}

// Discard removes a scratch folder. A folder that is in use (a mount, files open over NFS) is moved
// below .scratch/stuck, or stays; that is no error.
func (s *Store) Discard(dir string) error {
	err := durable.Remove(dir)
	if err == nil {
		return nil
	}
	stuck := fmt.Sprintf("%s.%d", filepath.Base(dir), time.Now().UnixNano())
	if durable.Rename(dir, s.Path(scratchName, stuckName, stuck)) == nil || inUse(err) {
		return nil
	}
	return err
}

// inUse says whether an error is that something can't be removed now, though the disk is in order.
func inUse(err error) bool {
	busy := errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY)
	return busy || errors.Is(err, fs.ErrPermission)
}

// Sweep removes scratch folders of this process, of processes of this host that are gone, and of
// other hosts if nobody wrote there for a day. What can't be removed stays. The lock must be held.
func (s *Store) Sweep() error {
	entries, err := os.ReadDir(s.Path(scratchName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		dir := s.Path(scratchName, e.Name())
		switch {
		case e.Name() == stuckName:
			stuck, _ := os.ReadDir(dir)
			for _, e := range stuck {
				_ = durable.Remove(filepath.Join(dir, e.Name()))
			}
			durable.RemoveEmpty(dir)
		case dir == s.own || abandoned(dir):
			_ = durable.Remove(dir)
		}
	}
	durable.RemoveEmpty(s.Path(scratchName))
	return err
}

// abandoned says whether the process of a scratch folder is gone.
func abandoned(dir string) bool {
	text, own := strings.CutPrefix(filepath.Base(dir), hostname+"-")
	if pid, err := strconv.Atoi(text); err == nil && own {
		return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	}
	old := time.Now().Add(-24 * time.Hour)
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if info, statErr := os.Lstat(path); statErr != nil || info.ModTime().After(old) {
			return errors.New("in use")
		}
		return err
	}) == nil
}

// Flush flushes files and folders of so many molecules. A path that is gone is no error.
func (s *Store) Flush(paths []string, molecules int) error {
	const many = 50 // from here on one flush of the whole file system is quicker
	if molecules >= many && durable.SyncAll(s.root) == nil {
		return nil
	}
	return durable.Sync(slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	})...)
}

// replace puts a file in place. The temporary file is in this process's scratch folder, to be
// swept.
func (s *Store) replace(path string, data []byte) error {
	if err := os.MkdirAll(s.own, 0o777); err != nil {
		return err
	}
	return durable.WriteFile(durable.File{Path: path, Temp: s.own, Write: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}})
}

// OursAlone is an error if every user of the machine may rename and remove what is in the
// artefacts folder, and so put other results in the place of these. A file system that shows each
// folder that way (FAT, shared folders of virtual machines) is known by a new folder's mode. The
// lock must be held.
func (s *Store) OursAlone() error {
	open := func(dir string) bool {
		info, err := os.Stat(dir)
		return err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
	}
	if !open(s.root) {
		return nil
	}
	probe, err := s.Scratch("mode")
	if err != nil {
		return err
	}
	every := open(probe)
	if err := s.Discard(probe); err != nil || every {
		return err
	}
	return fmt.Errorf("%s: every user of this machine may write there, and could put other results "+
		"in the place of yours; forbid it: chmod o-w %[1]s", s.root)
}
