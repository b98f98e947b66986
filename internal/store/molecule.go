package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"grimperium/internal/packed"
)

// Molecule is a molecule's folder and its log. One goroutine uses it.
type Molecule struct {
	s       *Store
	id      string
	log     []*Record            // and dropped targets, oldest first
	records map[string][]*Record // the same by target
	row     *Row

	lines   int   // of the log when it was read, superseded ones included
	damaged int   // lines that were passed over
	header  bool  // the log has its first line
	replace bool  // most of the log is superseded, or all is of no use
	stamp   stamp // of the log as it is known here
	flushed bool  // a power cut can't take anything of the molecule

	earlier []string // folders in the history that a power cut could take
	history bool     // the folders of the history that are there can't be taken
}

// Molecule reads a molecule's log. A folder that can't be worked in is a *FolderError. A log of no
// use is a *DamagedError, together with a molecule that has no results.
func (s *Store) Molecule(id string) (*Molecule, error) {
	if err := s.refuse(id); err != nil {
		return nil, &FolderError{err}
	}
	m := &Molecule{s: s, id: id, records: map[string][]*Record{}, flushed: true}
	var data []byte
	var err error
	if m.stamp, err = stampOf(m.path(logName)); errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		data, err = os.ReadFile(m.path(logName))
	}
	if err != nil {
		return nil, &FolderError{fmt.Errorf("%s: can't be read: %w; mend that, or move it away "+
			"to have the molecule computed anew", m.path(logName), errors.Unwrap(err))}
	}
	// A batch that was killed may have left the molecule before it was flushed.
	m.flushed, m.earlier = false, []string{m.path(historyName)}
	if err := m.read(data); err != nil {
		m = &Molecule{s: s, id: id, records: map[string][]*Record{}, replace: true}
		return m, &DamagedError{fmt.Errorf("%s: can't be read, so that the molecule is computed anew: %w",
			m.path(logName), err)}
	}
	return m, nil
}

// refuse is an error if a molecule's folder or something in it is a symbolic link, or the folder
// or the log is another kind of file. What a batch moves and removes behind a link would be
// someone else's.
func (s *Store) refuse(id string) error {
	const link = "%s: is a symbolic link, which a batch does not follow; remove it, or put the " +
		"folder itself there (the whole artefacts folder may be a link)"
	info, err := os.Lstat(s.Path(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf(link, s.Path(id))
	case !info.IsDir():
		return fmt.Errorf("%s: is no folder; move the file away", s.Path(id))
	}
	entries, err := os.ReadDir(s.Path(id))
	for _, e := range entries {
		switch path := s.Path(id, e.Name()); {
		case e.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf(link, path)
		case e.Name() == logName && !e.Type().IsRegular():
			return fmt.Errorf("%s: is no file; move it away to have the molecule computed anew", path)
		}
	}
	return err
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
	return fmt.Sprintf("%s: %d of its %d lines are damaged and were passed over; "+
		"what they recorded is computed anew", m.path(logName), m.damaged, m.lines)
}

// Record is the newest record of a target, nil if there is none or the target was dropped.
func (m *Molecule) Record(target string) *Record {
	all := m.records[target]
	if len(all) == 0 || all[len(all)-1].Outcome == dropped {
		return nil
	}
	return all[len(all)-1]
}

// Targets are the targets that have a record, sorted by name.
func (m *Molecule) Targets() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.records)), func(target string) bool {
		return m.Record(target) == nil
	})
}

// Instances are the targets of a stage with for_each that have a record, in numeric order.
func (m *Molecule) Instances(stage string) []string {
	out := slices.DeleteFunc(m.Targets(), func(target string) bool {
		return !strings.HasPrefix(target, stage+"/")
	})
	slices.SortStableFunc(out, func(a, b string) int { return len(a) - len(b) })
	return out
}

// Row is what the molecule's row was given last, nil if it was given nothing.
func (m *Molecule) Row() *Row { return m.row }

// Find finds a successful result with this fingerprint whose files are there by content: the newest
// of the target, or else one of another. That is a result of a stage that is gone because it was
// renamed, an earlier result of any, and, if the target is to be what it was not before, also the
// present result of another from before since. It returns nil if there is none. Restore brings the
// result back.
func (m *Molecule) Find(
	target, fingerprint string, since time.Time, gone func(stage string) bool) *Record {
	if r := m.newest(target, fingerprint); r != nil {
		r.shared = false
		return r
	}
	for _, other := range slices.Sorted(maps.Keys(m.records)) {
		r := m.newest(other, fingerprint)
		if other == target || r == nil {
			continue
		}
		stage, _, _ := strings.Cut(other, "/")
		r.shared = r.found == m.place(other) && m.Record(other) != nil && !gone(stage)
		if !r.shared || m.Record(target) != nil && r.Started.Before(since) {
			return r
		}
	}
	return nil
}

func (m *Molecule) newest(target, fingerprint string) *Record {
	for _, r := range slices.Backward(m.records[target]) {
		if r.Outcome != OK || r.Fingerprint != fingerprint {
			continue
		}
		if r.found = m.locate(r, target); r.found != "" {
			return r
		}
	}
	return nil
}

// locate is the folder that has a record's files: the target's place, or one in its history; "" if
// there is none. The folder of another result with more files may have them, too.
func (m *Molecule) locate(r *Record, target string) string {
	past := m.historyDir(target)
	dirs := []string{m.place(target), filepath.Join(past, r.contentID())}
	if len(r.Outputs) == 0 {
		return dirs[0]
	}
	entries, _ := os.ReadDir(past)
	for _, e := range entries {
		dirs = append(dirs, filepath.Join(past, e.Name()))
	}
	for _, dir := range dirs {
		if verify(dir, r) == "" {
			return dir
		}
	}
	return ""
}

func (m *Molecule) historyDir(target string) string {
	return m.path(historyName, strings.ReplaceAll(target, "/", "."))
}

// Verify says why the files in a target's place are not those of a record, "" if they are. A file
// is read only if it is not as it was when it was last verified.
func (m *Molecule) Verify(target string, r *Record) string {
	return verify(m.place(target), r)
}

// verify compares the files in a folder with a record and notes which files have been verified.
func verify(dir string, r *Record) string {
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		out := r.Outputs[name]
		now, err := hashAgain(dir, out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Sprintf("output %s (%s) is missing", name, out.File)
		case err != nil:
			return fmt.Sprintf("output %s can't be read: %v", name, err)
		case now.SHA256 != out.SHA256:
			return fmt.Sprintf("output %s (%s) was changed by another hand", name, out.File)
		}
		r.Outputs[name] = now
	}
	return ""
}

// Unflushed are the files and folders of which a power cut could take something, as absolute paths.
func (m *Molecule) Unflushed() []string {
	if m.flushed {
		return nil
	}
	paths := map[string]bool{m.path(logName): true, m.path(): true, m.s.root: true}
	for _, target := range m.Targets() {
		r := m.Record(target)
		if r.flushed || r.Outcome != OK {
			continue
		}
		for _, out := range r.Outputs {
			path := packed.Stored(filepath.Join(m.place(target), out.File))
			for ; len(path) > len(m.path()); path = filepath.Dir(path) {
				paths[path] = true
			}
		}
	}
	for _, dir := range m.earlier {
		gone := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				paths[path] = true
			}
			return err
		})
		for ; gone == nil && len(dir) > len(m.path()); dir = filepath.Dir(dir) {
			paths[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// Flush flushes the molecule onto the disk.
func (m *Molecule) Flush() error {
	if err := m.s.Flush(m.Unflushed(), 1); err != nil {
		return err
	}
	m.settle()
	return nil
}

// settle notes that all is on the disk.
func (m *Molecule) settle() {
	m.flushed, m.earlier, m.history = true, nil, true
	for _, target := range m.Targets() {
		m.Record(target).flushed = true
	}
}
