package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// Molecule is a molecule's folder, or the zip in its place, and its log. One goroutine uses it.
type Molecule struct {
	s    *Store
	id   string
	log  []*Record          // and dropped targets, oldest first
	last map[string]*Record // the newest of each target
	row  *Row
	zip  *zipped // nil while the molecule is a folder

	lines   int             // of the log when it was read, superseded ones included
	damaged int             // lines that were passed over
	header  bool            // the log has its first line
	replace bool            // most of the log is superseded, or all is of no use
	wasZip  bool            // there is a zip of it, perhaps an old one
	hashes  hashes          // of the files; the log's is its name
	dirty   map[string]bool // files and folders of which a power cut could take something
	err     error           // the first of the disk
}

// FolderError says that a batch can't work in a molecule's folder.
type FolderError struct{ error }

// DamagedError says that a molecule's log can't be used.
type DamagedError struct{ error }

// OutputError says that a program did not leave what it should have. The disk is not at fault.
type OutputError struct{ error }

// Molecule reads a molecule's log, in its folder or its zip. A folder that can't be worked in is a
// *FolderError. A log of no use is a *DamagedError, together with a molecule that has no results.
func (s *Store) Molecule(id string) (*Molecule, error) {
	if err := s.refuse(id); err != nil {
		return nil, ofFolder(err, err)
	}
	m, data, err := s.open(id)
	if errors.Is(err, fs.ErrNotExist) {
		m, data, err = s.open(id) // a batch may just have made the one of the other
	}
	if errors.Is(err, fs.ErrNotExist) {
		return s.empty(id), nil
	}
	if err == nil {
		if err = m.read(data); err != nil {
			err = &DamagedError{fmt.Errorf("%s: can't be read, so the molecule is computed again: "+
				"%w", s.Path(id, logName), err)}
		}
	}
	if _, damaged := errors.AsType[*DamagedError](err); damaged {
		was := m.wasZip
		m = s.empty(id)
		m.replace, m.wasZip = true, was
	}
	return m, err
}

// Writable is a *FolderError if this process may not write into the molecule's folder: what it
// computes could not be kept. The error of the folder of all molecules is another.
func (m *Molecule) Writable() error {
	if _, missing := os.Lstat(m.path()); missing != nil {
		if err := unix.Access(m.s.root, unix.W_OK|unix.X_OK); errors.Is(err, fs.ErrPermission) {
			return &fs.PathError{Op: "write", Path: m.s.root, Err: err}
		}
	}
	for _, dir := range []string{m.path(), m.path(historyName)} {
		if errors.Is(unix.Access(dir, unix.W_OK|unix.X_OK), fs.ErrPermission) {
			return &FolderError{fmt.Errorf("%s: permission denied; make the folder writable, or "+
				"move it away to have the molecule computed again", dir)}
		}
	}
	return nil
}

// ofFolder is a *FolderError with an explanation of an error, or the error itself if it passes.
func ofFolder(err, explained error) error {
	if durable.Passing(err) {
		return err
	}
	return &FolderError{explained}
}

// open reads the log of a folder, or that of a zip. With fs.ErrNotExist there is neither.
func (s *Store) open(id string) (m *Molecule, data []byte, err error) {
	m, path := s.empty(id), s.Path(id, logName)
	_, noZip := stampOf(s.zipPath(id))
	m.wasZip = noZip == nil
	a, err := stampOf(path)
	if errors.Is(err, fs.ErrNotExist) {
		m.zip, data, err = s.openZip(id)
		m.dirty[s.zipPath(id)] = true
		return m, data, err
	}
	if data, err = os.ReadFile(path); err != nil {
		return nil, nil, ofFolder(err, fmt.Errorf("%s: can't be read: %w; make it readable, or "+
			"move it away to have the molecule computed again", path, errors.Unwrap(err)))
	}
	m.hashes[a], m.dirty[m.path()] = logName, true // a batch may have been killed
	return m, data, nil
}

func (s *Store) empty(id string) *Molecule {
	return &Molecule{s: s, id: id, last: map[string]*Record{}, hashes: hashes{},
		dirty: map[string]bool{}}
}

// refuse is an error about a link, behind which all is someone else's, or another kind of file.
func (s *Store) refuse(id string) error {
	entries, listErr := os.ReadDir(s.Path(id))
	names := []string{""}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, name := range names {
		path := s.Path(id, name)
		switch info, err := os.Lstat(path); {
		case errors.Is(err, fs.ErrNotExist):
			listErr = nil // no such molecule, or moved by a batch meanwhile
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s: is a symbolic link, which a batch does not follow; remove it, "+
				"or put the folder itself there (the whole artefacts folder may be a link)", path)
		case name == "" && !info.IsDir():
			return fmt.Errorf("%s: is no folder; move the file away", path)
		case name == logName && !info.Mode().IsRegular():
			return fmt.Errorf("%s: is no file; move it away to have the molecule computed again",
				path)
		}
	}
	return listErr
}

func (m *Molecule) path(name ...string) string {
	return m.s.Path(append([]string{m.id}, name...)...)
}

func (m *Molecule) place(target string) string { return m.s.TargetDir(m.id, target) }

// ID is the molecule's name.
func (m *Molecule) ID() string { return m.id }

// Damage is a sentence about lines of the log that were passed over, "" if there are none.
func (m *Molecule) Damage() string {
	if m.damaged == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d of its %d lines are damaged and were passed over; what they "+
		"recorded is computed again", m.path(logName), m.damaged, m.lines)
}

// Record is the newest record of a target, nil if there is none or the target was dropped.
func (m *Molecule) Record(target string) *Record {
	if r := m.last[target]; r != nil && r.Outcome != dropped {
		return r
	}
	return nil
}

// Targets are the targets that have a record, sorted by name.
func (m *Molecule) Targets() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.last)), func(target string) bool {
		return m.Record(target) == nil
	})
}

// TargetsOf are the targets of a stage that have a record, in numeric order.
func (m *Molecule) TargetsOf(stage string) []string {
	out := slices.DeleteFunc(m.Targets(), func(target string) bool {
		return StageOf(target) != stage
	})
	slices.SortStableFunc(out, func(a, b string) int { return len(a) - len(b) })
	return out
}

// Row is what the molecule's row was given last, nil if it was given nothing.
func (m *Molecule) Row() *Row { return m.row }

// Use says what the pipeline does with the result that another target has now.
type Use int

const (
	Gone    Use = iota // its stage is not in the pipeline: the result may be moved
	Free               // it has another result now, or none: this one may be copied
	Claimed            // it has this very result
)

// Find finds a successful result with this fingerprint whose files are there, for Restore, nil if
// there is none. The newest one of the target comes first, then those of other targets. The present
// result of a target that claims it is found only if it is from before since and if this target had
// a result. Targets that repeat a calculation thus have a result each.
func (m *Molecule) Find(target, fingerprint string, since time.Time,
	use func(other string) Use) *Record {
	others := slices.Sorted(maps.Keys(m.last))
	for _, other := range append([]string{target}, others...) {
		r := m.newest(other, fingerprint)
		if r == nil {
			continue
		}
		used := Gone
		if other != target && m.Record(other) != nil {
			used = use(other)
		}
		r.shared = used != Gone
		present := used == Claimed && r.Found == m.place(other)
		if !present || m.Record(target) != nil && r.Started.Before(since) {
			return r
		}
	}
	return nil
}

func (m *Molecule) newest(target, fingerprint string) *Record {
	for _, r := range slices.Backward(m.log) {
		if r.Target == target && r.Outcome == OK && r.Fingerprint == fingerprint {
			if r.Found = m.locate(r); r.Found != "" {
				return r
			}
		}
	}
	return nil
}

func flat(target string) string { return strings.ReplaceAll(target, "/", ".") }

func (m *Molecule) historyDir(target string) string { return m.path(historyName, flat(target)) }

func (m *Molecule) past(target string) (dirs []string) {
	names, _ := packed.ReadDir(m.historyDir(target)) // there need not be one
	for _, name := range names {
		dirs = append(dirs, filepath.Join(m.historyDir(target), name))
	}
	return dirs
}

// locate is a folder of the target that has a record's files, perhaps with others; "" for none.
func (m *Molecule) locate(r *Record) string {
	for _, dir := range append([]string{m.place(r.Target)}, m.past(r.Target)...) {
		if m.verify(dir, r) == "" {
			return dir
		}
	}
	return ""
}

// Verify says why the files in a target's place are not those of a record, "" if they are.
func (m *Molecule) Verify(target string, r *Record) string {
	return m.verify(m.place(target), r)
}

func (m *Molecule) verify(dir string, r *Record) string {
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		out := r.Outputs[name]
		sum, err := m.sum(dir, out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Sprintf("output %s (%s) is missing", name, out.File)
		case errors.Is(err, fs.ErrPermission): // what is there may be right
			err = &FolderError{fmt.Errorf("%w; make it readable, or remove it to have it computed "+
				"again", err)}
			fallthrough
		case durable.Passing(err):
			m.err = cmp.Or(m.err, err)
			fallthrough
		case err != nil:
			return fmt.Sprintf("output %s can't be read: %v", name, err)
		case sum != out.SHA256:
			return fmt.Sprintf("output %s (%s) was changed by another hand", name, out.File)
		}
	}
	return ""
}

// sum is the SHA-256 of an output in a folder, which may be one of the molecule's zip.
func (m *Molecule) sum(dir string, out Output) (string, error) {
	name, isHere := strings.CutPrefix(filepath.Join(dir, out.File), m.path()+"/")
	if isHere && m.zip != nil {
		return m.zip.sum(name, out.Size)
	}
	return m.hashes.of(dir, out)
}

// Unflushed are the files and folders of which a power cut could take something, as absolute paths.
func (m *Molecule) Unflushed() []string {
	paths := map[string]bool{}
	for dir := range m.dirty {
		for _, path := range durable.Below(dir) {
			paths[path] = true
		}
		for paths[dir] = true; len(dir) > len(m.s.root); paths[dir] = true {
			dir = filepath.Dir(dir)
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// Flush flushes the molecule onto the disk.
func (m *Molecule) Flush() error {
	if m.err == nil {
		m.err = durable.Sync(m.Unflushed()...)
	}
	if m.err == nil {
		clear(m.dirty)
	}
	return m.err
}
