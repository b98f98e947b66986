package store

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// Unused is something in the artefacts folder that nothing refers to.
type Unused struct {
	Path  string // absolute
	Why   string
	Bytes int64
}

// Unused lists what the given molecules and stages no longer need, earlier results, and files that
// were put aside. What lies in a zip has the path that it had in the molecule's folder.
func (s *Store) Unused(table, stage func(name string) bool) (out []Unused, err error) {
	see := func(mol, name, kind string, z Size) {
		u := Unused{s.Path(mol, name), "", z.Bytes}
		switch {
		case !table(mol):
			u.Path, u.Why = s.Path(mol), "the molecule is not in the table"
		case name == historyName:
			u.Why = "earlier results"
		case name == partsName:
			u.Why = "parts of unfinished results"
		case strings.Contains(name, ".edited-"):
			u.Why = "edited by hand and put aside"
		case (kind == failedSize || kind == name) && !stage(strings.TrimSuffix(name, failedMark)):
			u.Why = "the stage is not in the pipeline"
		default:
			return
		}
		if last := len(out) - 1; last >= 0 && out[last].Path == u.Path {
			out[last].Bytes += u.Bytes
			return
		}
		out = append(out, u)
	}
	err = s.walk(func(mol, name, kind string, z Size) {
		switch {
		case mol != "" && kind == zipSize && !table(mol):
			out = append(out, Unused{s.zipPath(mol), "the molecule is not in the table", z.Bytes})
		case mol != "" && kind == zipSize:
			s.walkZip(mol, see)
		case mol != "":
			see(mol, name, kind, z)
		}
	})
	return out, err
}

// walkZip is walk for the files in a molecule's zip. One that can't be read has none.
func (s *Store) walkZip(mol string, see func(mol, name, kind string, z Size)) {
	file, err := packed.OpenZip(s.zipPath(mol))
	if err != nil {
		return
	}
	defer file.Close()
	for _, f := range file.File {
		name, _, folder := strings.Cut(f.Name, "/")
		see(mol, name, kindOf(name, folder), Size{Bytes: int64(f.CompressedSize64)})
	}
}

// Remove removes what Unused has found, and the records of stages that are gone.
func (s *Store) Remove(u Unused, stage func(name string) bool) error {
	id, _, inside := strings.Cut(u.Path[len(s.root)+1:], "/")
	m, err := s.Molecule(id)
	if !inside || err != nil {
		return durable.Remove(u.Path)
	}
	m.remove(u.Path)
	err = m.Forget(stage)
	zip, finishErr := m.Finish(AsItWas, m.Targets())
	return cmp.Or(err, finishErr, m.Flush(), s.Pack(zip))
}

// Size is what files take.
type Size struct {
	Files int
	Bytes int64 // in the files
	Disk  int64 // bytes that the disk gives to the files and their folders, in whole blocks
}

const (
	failedSize = "failed attempts"
	zipSize    = "zip files" // of finished molecules
)

// Sizes counts the files of each stage's results, and the others by what they are.
func (s *Store) Sizes() (map[string]*Size, error) {
	out := map[string]*Size{}
	err := s.walk(func(_, _, kind string, z Size) {
		if out[kind] == nil {
			out[kind] = &Size{}
		}
		out[kind].Files += z.Files
		out[kind].Bytes += z.Bytes
		out[kind].Disk += z.Disk
	})
	return out, err
}

// walk calls see for each file and folder: with the molecule, "" for none, with the name in the
// molecule's folder that it lies below, and with what Sizes calls it.
func (s *Store) walk(see func(mol, name, kind string, z Size)) error {
	return filepath.WalkDir(s.root, func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || path == s.root {
			return err
		}
		mol, inside, _ := strings.Cut(path[len(s.root)+1:], "/")
		name, _, deeper := strings.Cut(inside, "/")
		kind := kindOf(name, d.IsDir() || deeper)
		stem, isZip := strings.CutSuffix(mol, packed.ZipSuffix)
		switch {
		case strings.HasPrefix(mol, ".") || inside == "" && !d.IsDir() && !isZip:
			mol, kind = "", "journal, index"
		case inside == "" && !d.IsDir():
			mol, kind = stem, zipSize
		}
		z := Size{Disk: 512 * st.Blocks}
		if d.Type().IsRegular() {
			z.Files, z.Bytes = 1, st.Size
		}
		see(mol, name, kind, z)
		return nil
	})
}

// kindOf is what Sizes calls what lies below a name in a molecule's folder.
func kindOf(name string, folder bool) string {
	switch {
	case name == "" || name == logName:
		return "manifests"
	case name == historyName:
		return "earlier results"
	case name == partsName:
		return "unfinished results"
	case folder && strings.HasSuffix(name, failedMark):
		return failedSize
	case folder:
		return name
	}
	return "put aside"
}
