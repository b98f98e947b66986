package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// Form is how a finished molecule is kept.
type Form string

const (
	AsItWas Form = ""       // the form that it had
	Folder  Form = "folder" // artefacts/MOL/
	Zip     Form = "zip"    // one file, artefacts/MOL.zip
)

// errUnfit says that a folder can't be kept as one file.
var errUnfit = errors.New("not all outputs are the recorded ones")

// mostLog is the largest log of a molecule that is read from a zip, in bytes.
const mostLog = 256 << 20

// zipped is a molecule that is kept as one file. Where there is a folder with a log, too, the
// folder counts: a crash came between making one and removing the other.
type zipped struct {
	path  string
	stamp stamp
	sums  map[string]string // by name: SHA-256 of contents that were read
}

func (s *Store) zipPath(id string) string { return s.Path(id + packed.ZipSuffix) }

// IsZip says whether a molecule is kept as one file.
func (s *Store) IsZip(id string) bool {
	_, folder := stampOf(s.Path(id, logName))
	_, zip := stampOf(s.zipPath(id))
	return folder != nil && zip == nil
}

// openZip reads the log of a molecule that is kept as one file. With fs.ErrNotExist there is none.
func (s *Store) openZip(id string) (*zipped, []byte, error) {
	z := &zipped{path: s.zipPath(id), sums: map[string]string{}}
	var err error
	if z.stamp, err = stampOf(z.path); err != nil {
		return nil, nil, err
	}
	data, err := z.read(logName, mostLog)
	if errors.Is(err, fs.ErrNotExist) {
		if _, gone := stampOf(z.path); gone != nil {
			return nil, nil, gone
		}
		err = fmt.Errorf("%s: has no %s", z.path, logName)
	}
	_, disk := errors.AsType[*fs.PathError](err)
	_, refused := errors.AsType[*packed.RefusedError](err)
	switch {
	case err == nil:
		return z, data, nil
	case disk || refused:
		return nil, nil, &FolderError{fmt.Errorf("%w; mend that, or move the file away to have the "+
			"molecule computed anew", err)}
	}
	return nil, nil, &DamagedError{fmt.Errorf("%w; the molecule is computed anew", err)}
}

func (z *zipped) open(name string, limit int64) (r io.ReadCloser, done func(), err error) {
	file, err := packed.OpenZip(z.path)
	if err != nil {
		return nil, nil, err
	}
	if r, err = file.Content(name, limit); err != nil {
		file.Close()
		return nil, nil, err
	}
	return r, func() { _ = errors.Join(r.Close(), file.Close()) }, nil
}

func (z *zipped) read(name string, limit int64) ([]byte, error) {
	r, done, err := z.open(name, limit)
	if err != nil {
		return nil, err
	}
	defer done()
	return io.ReadAll(r)
}

// sum is the SHA-256 of a content, which is read once.
func (z *zipped) sum(name string, size int64) (string, error) {
	if sum := z.sums[name]; sum != "" {
		return sum, nil
	}
	r, done, err := z.open(name, size)
	if err != nil {
		return "", err
	}
	defer done()
	sum, err := Hash(r)
	if err == nil {
		z.sums[name] = sum
	}
	return sum, err
}

// inside is the name in the zip of a path in the molecule's folder.
func (m *Molecule) inside(path string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path, m.path()+"/")
	return name, ok && m.zip != nil
}

// Unpack makes a folder of a molecule that is kept as one file. All that changes a molecule does.
func (m *Molecule) Unpack() error {
	if m.zip == nil || m.err != nil {
		return m.err
	}
	z, dir := m.zip, m.s.fresh("unpacked")
	m.zip = nil
	m.do(func() error {
		file, err := packed.OpenZip(z.path)
		if err == nil {
			err = errors.Join(file.Unpack(dir), file.Close())
		}
		return err
	}, func() error {
		return durable.Sync(below(dir)...)
	})
	m.remove(m.path()) // what is left of a folder without its log
	m.rename(dir, m.path())
	m.do(func() error { return durable.Sync(m.s.root) }, func() error {
		a, err := stampOf(m.path(logName))
		m.hashes[a] = logName
		return err
	})
	m.remove(z.path)
	clear(m.dirty)
	return m.err
}

// Finish keeps a finished molecule in a form. It stays a folder if it can't be a zip, or if an
// output of these targets is not the recorded one.
func (m *Molecule) Finish(form Form, targets []string) error {
	if m.err != nil {
		return m.err
	}
	if form == Zip || form == AsItWas && m.wasZip {
		if m.zip == nil {
			m.pack(targets)
		}
		return m.err
	}
	if err := m.Unpack(); err != nil || !m.wasZip {
		return err
	}
	m.remove(m.s.zipPath(m.id)) // of which the folder is a newer state
	return m.err
}

// pack puts a zip in the place of the folder: first the zip gets its name, then the folder goes.
func (m *Molecule) pack(targets []string) {
	z := &zipped{path: m.s.zipPath(m.id), sums: map[string]string{}}
	if info, err := os.Lstat(z.path); err == nil && !info.Mode().IsRegular() {
		return
	}
	if _, err := os.Lstat(m.path(logName)); err != nil {
		return // nothing was ever recorded
	}
	err := durable.WriteFile(durable.File{Path: z.path, Temp: m.s.own,
		Write: func(to io.Writer) error { return packed.WriteZip(to, m.path()) },
		Ready: func(temp *os.File) error {
			return m.compare(&zipped{path: temp.Name(), sums: z.sums}, targets)
		}})
	if _, refused := errors.AsType[*packed.RefusedError](err); refused || errors.Is(err, errUnfit) {
		return
	}
	aside := m.s.fresh("packed")
	m.do(func() error { return err })
	m.rename(m.path(), aside)
	m.do(func() error { return durable.Sync(m.s.root, filepath.Dir(aside)) })
	if m.err == nil {
		_ = durable.Remove(aside) // what is in use over NFS is swept later
	}
	m.do(func() (err error) {
		z.stamp, err = stampOf(z.path)
		return err
	})
	if m.err == nil {
		m.zip, m.wasZip = z, true
		clear(m.dirty)
	}
}

// compare reads the outputs of targets in a zip. errUnfit says that one is not what was recorded.
func (m *Molecule) compare(z *zipped, targets []string) error {
	for _, out := range m.outputs(targets) {
		sum, err := z.sum(out.File, out.Size)
		if _, disk := errors.AsType[*fs.PathError](err); disk && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || sum != out.SHA256 {
			return errUnfit
		}
	}
	return nil
}

// below are the paths of a folder and of all that is in it.
func below(dir string) (paths []string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}
