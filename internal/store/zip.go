package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

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
	a, err := stampOf(s.zipPath(id))
	if err != nil {
		return nil, nil, err
	}
	z := &zipped{s.zipPath(id), a, map[string]string{}}
	var data []byte
	r, err := packed.OpenIn(z.path, logName, mostLog)
	if err == nil {
		defer r.Close()
		data, err = io.ReadAll(r)
	}
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
		return nil, nil, ofFolder(err, fmt.Errorf("%w; correct that, or move the file away to "+
			"have the molecule computed again", err))
	}
	return nil, nil, &DamagedError{fmt.Errorf("%w; the molecule is computed again", err)}
}

// sum is the SHA-256 of a content, which is read once.
func (z *zipped) sum(name string, size int64) (string, error) {
	if sum := z.sums[name]; sum != "" {
		return sum, nil
	}
	sum, err := hashOf(packed.OpenIn(z.path, name, size))
	if err == nil {
		z.sums[name] = sum
	}
	return sum, err
}

// Unpack makes a folder of a molecule that is kept as one file. All that changes a molecule does.
func (m *Molecule) Unpack() error {
	if m.zip == nil || m.err != nil {
		return m.err
	}
	z, dir := m.zip, m.s.fresh("unpacked."+m.id)
	m.zip = nil
	m.do(func() error {
		file, err := packed.OpenZip(z.path)
		if err == nil {
			err = errors.Join(file.Unpack(dir), file.Close())
		}
		return err
	}, func() error {
		return cmp.Or(addOthers(dir, m.path()), durable.Sync(durable.Below(dir)...))
	})
	m.remove(m.path())
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

// addOthers gives a folder the files of another one, if that is there, which it does not have: a
// user's own.
func addOthers(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		place := filepath.Join(to, strings.TrimPrefix(path, from))
		if _, missing := os.Lstat(place); err == nil && d.Type().IsRegular() && missing != nil {
			err = durable.Copy(place, path)
		}
		return err
	})
}

// Packed is the zip of a finished molecule that Settle gives its name. It is plain data.
type Packed struct {
	ID   string
	Temp string // path
	Seen Seen   // the folder's files; Whole is of the zip
}

// IsZip says whether the molecule was read from a zip and not changed since.
func (m *Molecule) IsZip() bool { return m.zip != nil }

// BecomesZip says whether Finish keeps the molecule as one file.
func (m *Molecule) BecomesZip(form Form) bool { return form == Zip || form == AsItWas && m.wasZip }

// Finish keeps a finished molecule in a form. The zip that it makes waits for Settle; nil is none.
// A molecule stays a folder if it can't be a zip, or an output of the targets was changed.
func (m *Molecule) Finish(form Form, targets []string) (*Packed, error) {
	switch {
	case m.err != nil:
		return nil, m.err
	case m.BecomesZip(form):
		if m.zip == nil {
			return m.pack(targets)
		}
	case m.Unpack() == nil && m.wasZip:
		m.remove(m.s.zipPath(m.id)) // of which the folder is a newer state
		m.wasZip = false
	}
	return nil, m.err
}

func (m *Molecule) pack(targets []string) (*Packed, error) {
	for _, target := range targets {
		if r := m.Record(target); r != nil && r.Outcome == OK && m.Verify(target, r) != "" {
			return nil, nil
		}
	}
	p := &Packed{m.id, m.s.fresh("packed." + m.id), m.Seen(targets)}
	p.Seen.Whole = m.whole(targets)
	info, err := os.Lstat(m.s.zipPath(m.id))
	if err == nil && !info.Mode().IsRegular() || len(p.Seen.Files) == 0 {
		return nil, nil
	}
	m.do(func() error { return os.MkdirAll(m.s.own, 0o777) }, func() error {
		err := packed.CreateZip(p.Temp, m.path())
		if err == nil {
			err = m.compare(&zipped{path: p.Temp, sums: map[string]string{}}, targets)
		}
		_, refused := errors.AsType[*packed.RefusedError](err)
		if refused || errors.Is(err, errUnfit) {
			p, err = nil, nil
		}
		return err
	})
	return p, m.err
}

// Settle puts zips that were flushed in the place of their folders: first each gets its name, then
// the folders go. A folder that was changed meanwhile stays. seen are the new zips by molecule.
func (s *Store) Settle(zips []Packed) (seen map[string]Seen, err error) {
	seen = map[string]Seen{}
	changed := []string{s.root}
	var asides []string
	for _, p := range zips {
		if !s.Untouched(p.ID, Entry{Seen: p.Seen}) {
			changed = append(changed, durable.Below(s.Path(p.ID))...)
			continue
		}
		if err := durable.Rename(p.Temp, s.zipPath(p.ID)); err != nil {
			return nil, err
		}
		seen[p.ID] = Seen{Whole: p.Seen.Whole}
	}
	if err := durable.Sync(changed...); err != nil || len(seen) == 0 {
		return seen, err
	}
	for id := range seen {
		a, err := stampOf(s.zipPath(id))
		aside := s.fresh("folder." + id)
		if err = cmp.Or(err, durable.Rename(s.Path(id), aside)); err != nil {
			return nil, err
		}
		seen[id] = zipSeen(a, seen[id].Whole)
		asides = append(asides, aside)
	}
	if err := durable.Sync(s.root, s.own); err != nil {
		return nil, err
	}
	var group errgroup.Group
	group.SetLimit(16) // over a network each removal waits for an answer
	for _, aside := range asides {
		group.Go(func() error {
			_ = durable.Remove(aside) // what is in use over NFS is swept later
			return nil
		})
	}
	return seen, group.Wait()
}

// Pack flushes and settles one zip, nil for none.
func (s *Store) Pack(p *Packed) error {
	if p == nil {
		return nil
	}
	err := durable.Sync(p.Temp)
	if err == nil {
		_, err = s.Settle([]Packed{*p})
	}
	return err
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
