// Package store keeps artefacts/: the results of targets, and for each molecule a log that says
// what made them.
//
// The log, artefacts/MOL/manifest.jsonl, is the truth. It grows by a line for each result, which is
// written before its files arrive. A folder belongs to the newest record whose files it has by
// content. So no finished result is ever without a record, and nothing has to be repaired after a
// crash. docs/format.md specifies every file.
//
// A Store is safe for concurrent use; a Molecule and an Index have one owner. A *FolderError and a
// *DamagedError concern one molecule, an *OutputError one attempt of a target. Every other error
// is the disk's.
package store

import (
	"cmp"
	"errors"
	"fmt"
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
	TablesName  = ".tables" // the tables whose results the folder has: a path a line
	scratchName = ".scratch"
	historyName = ".history"
	partsName   = ".parts"
	failedMark  = ".failed"
	editedMark  = ".edited-" // in the name of a file that was put aside

	// interruptedName is a file that says which fingerprint an interrupted attempt had.
	interruptedName = "interrupted.txt"
)

// Store is an artefacts folder.
type Store struct {
	root string
	own  string   // the scratch folder of this process
	fast string   // the same, on a disk of this host alone; "": own
	dir  *os.File // root, opened by Index
}

var hostname, _ = os.Hostname()

// LinkError says that a folder can't be there: it is, or lies below, a link to what is not there.
type LinkError struct{ Place, Target string }

func (e *LinkError) Error() string {
	return fmt.Sprintf("%s: is a link to %s, and no such folder is there; mount its disk, make "+
		"the folder, or correct the link", e.Place, e.Target)
}

// checkLinks looks for a link to nothing in a path.
func checkLinks(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	target, err := os.Readlink(path)
	switch {
	case err == nil:
		return &LinkError{path, target}
	case filepath.Dir(path) == path:
		return nil
	}
	return checkLinks(filepath.Dir(path))
}

// Open returns the store in a folder, which AddTable makes. A *LinkError says that it can't.
func Open(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if real, linkErr := filepath.EvalSymlinks(abs); linkErr == nil {
		abs = real // the folder itself may be a link; nothing below it may
	} else if err == nil {
		err = checkLinks(abs)
	}
	if info, statErr := os.Stat(abs); statErr == nil && !info.IsDir() {
		err = fmt.Errorf("%s: is not a folder", root)
	}
	own := fmt.Sprintf("%s-%d", hostname, os.Getpid())
	return &Store{root: abs, own: filepath.Join(abs, scratchName, own)}, err
}

// Root is the absolute path of the artefacts folder.
func (s *Store) Root() string { return s.root }

// Path joins a name in the artefacts folder.
func (s *Store) Path(name ...string) string {
	return filepath.Join(append([]string{s.root}, name...)...)
}

// TargetDir is the folder of a target's files: artefacts/MOL/pm7/2 for "pm7/2".
func (s *Store) TargetDir(mol, target string) string { return s.Path(mol, target) }

// StageOf is the stage of a target: "pm7" of "pm7/2".
func StageOf(target string) string {
	stage, _, _ := strings.Cut(target, "/")
	return stage
}

// FailedDir is the folder of a target's last failed attempt: artefacts/MOL/pm7.failed/2.
func (s *Store) FailedDir(mol, target string) string {
	stage, instance, _ := strings.Cut(target, "/")
	return s.Path(mol, stage+failedMark, instance)
}

// UseScratch has Scratch make its folders below dir, on a disk of this host alone. own is then for
// small files that take a name in artefacts/.
func (s *Store) UseScratch(dir string) {
	s.fast = filepath.Join(dir, "grimperium", filepath.Base(s.own))
}

// Scratch makes a fresh empty folder of this process. The name may have slashes.
func (s *Store) Scratch(name string) (string, error) {
	own := cmp.Or(s.fast, s.own)
	err := os.MkdirAll(own, 0o777)
	path := filepath.Join(own, flat(name))
	dir := path
	for n := 2; err == nil; n++ {
		if err = os.Mkdir(dir, 0o777); !errors.Is(err, fs.ErrExist) {
			break
		}
		dir, err = fmt.Sprintf("%s.%d", path, n), nil
	}
	return dir, err
}

// Running are the scratch folders of a molecule's targets that run now, in any process, by target.
// Those that UseScratch put elsewhere are not known.
func (s *Store) Running(mol string) map[string]string {
	dirs := map[string]string{}
	processes, _ := os.ReadDir(s.Path(scratchName)) // none where nothing runs
	for _, p := range processes {
		process := s.Path(scratchName, p.Name())
		if abandoned(process) {
			continue
		}
		names, _ := os.ReadDir(process)
		for _, name := range names {
			if target, ok := strings.CutPrefix(name.Name(), mol+"."); ok {
				dirs[strings.Replace(target, ".", "/", 1)] = filepath.Join(process, name.Name())
			}
		}
	}
	return dirs
}

// fresh is a path in the scratch folder.
func (s *Store) fresh(name string) string {
	return filepath.Join(s.own, fmt.Sprintf("%s.%d", name, time.Now().UnixNano()))
}

// Sweep removes scratch folders of this process, of those of this host that are gone, and of other
// hosts after 30 days. What can't be removed stays. The lock must be held.
func (s *Store) Sweep() error {
	err := s.sweep(s.Path(scratchName))
	if s.fast != "" {
		err = cmp.Or(err, s.sweep(filepath.Dir(s.fast)))
	}
	return err
}

func (s *Store) sweep(scratch string) error {
	entries, err := os.ReadDir(scratch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		dir := filepath.Join(scratch, e.Name())
		if dir == s.own || dir == s.fast || abandoned(dir) {
			_ = durable.Remove(dir)
		}
	}
	durable.RemoveEmpty(scratch)
	return err
}

func abandoned(dir string) bool {
	text, own := strings.CutPrefix(filepath.Base(dir), hostname+"-")
	if pid, err := strconv.Atoi(text); err == nil && own {
		return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	}
	info, err := os.Stat(dir)
	return err == nil && time.Since(info.ModTime()) > 30*24*time.Hour
}

// replace puts a file in place. Sweep finds a temporary file that is left.
func (s *Store) replace(path string, data []byte) error {
	return durable.WriteFile(durable.File{Path: path, Temp: s.own, Write: durable.Bytes(data)})
}

// OursAlone is an error if every user may rename what is in the artefacts folder. A file system
// that shows each folder with such a mode, as FAT, is none.
func (s *Store) OursAlone() error {
	open := func(dir string) bool {
		info, err := os.Stat(dir)
		return err == nil && info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
	}
	if !open(s.root) {
		return nil
	}
	if err := os.MkdirAll(s.own, 0o777); err != nil || open(s.own) {
		return err
	}
	return fmt.Errorf("%s: every user of this machine may write there, and could put other "+
		"results in the place of yours; forbid it: chmod o-w %[1]s", s.root)
}

// IsURL reports whether a table is on a server. Else it is the path of a file.
func IsURL(table string) bool { return strings.Contains(table, "://") }

func (s *Store) tables() ([]string, error) {
	data, err := durable.ReadFile(s.Path(TablesName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	tables := strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' || r == '\r' })
	for n, path := range tables {
		if !filepath.IsAbs(path) && !IsURL(path) {
			tables[n] = s.Path(path)
		}
	}
	return tables, err
}

// OthersThan returns the other tables whose results the folder has, also those that are gone.
func (s *Store) OthersThan(table string) ([]string, error) {
	own, statErr := os.Stat(table)
	if IsURL(table) {
		statErr = nil
	}
	tables, err := s.tables()
	return slices.DeleteFunc(tables, func(t string) bool {
		info, err := os.Stat(t)
		return t == table || err == nil && os.SameFile(info, own)
	}), cmp.Or(statErr, err)
}

// AddTable notes that the folder has a table's results, and flushes the name of the folder itself.
func (s *Store) AddTable(table string) error {
	var err error
	if !IsURL(table) {
		table, err = filepath.Abs(table)
	}
	tables, readErr := s.tables()
	if err = cmp.Or(err, readErr); err != nil || slices.Contains(tables, table) {
		return err
	}
	var lines []byte
	for _, path := range append(tables, table) {
		if rel, err := filepath.Rel(s.root, path); err == nil { // not of a URL
			path = rel
		}
		lines = fmt.Appendln(lines, path)
	}
	return cmp.Or(s.replace(s.Path(TablesName), lines), durable.Sync(filepath.Dir(s.root)))
}
