package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Unused is something in the artefacts folder that nothing refers to.
type Unused struct {
	Path    string // absolute
	Why     string
	Bytes   int64
	Foreign bool // no batch made it, so it is never removed
}

// Unused lists what the given molecules and stages no longer need, earlier results, files that were
// put aside, and folders that no batch made. Of a molecule that returns names it lists no results:
// the next batch may bring one of them back.
func (s *Store) Unused(table, stage, returns func(name string) bool) (out []Unused, err error) {
	last, foreign, used := "", map[string]bool{}, false // of a molecule, by names in its folder
	made := func(mol, name string) bool {
		if mol != last {
			foreign, used = s.foreign(mol)
			last = mol
		}
		return !foreign[name]
	}
	err = s.walk(func(mol, name, kind string, z Size) {
		u := Unused{Path: s.Path(mol, name), Bytes: z.Bytes}
		folder := kind == failedSize || kind == name
		known := stage(strings.TrimSuffix(name, failedMark))
		switch {
		case mol == "":
			return
		case !table(mol) && made(mol, name) && len(foreign) == 0:
			u.Path, u.Why = s.Path(mol), "the molecule is not in the table"
		case !table(mol) && !used:
			u.Path, u.Foreign = s.Path(mol), true
		case !table(mol) && name == "":
			return
		case !table(mol) && !foreign[name]:
			u.Why = "the molecule is not in the table"
		case !table(mol) || folder && !known && !made(mol, name):
			u.Foreign = true
		case name == historyName && !returns(mol):
			u.Why = "earlier results"
		case name == partsName:
			u.Why = "parts of unfinished results"
		case strings.Contains(name, editedMark):
			u.Why = "edited by hand and put aside"
		case folder && !known && !returns(mol):
			u.Why = "the stage is not in the pipeline"
		default:
			return
		}
		if u.Foreign {
			u.Why = "no batch made it, and it stays"
		}
		if last := len(out) - 1; last >= 0 && out[last].Path == u.Path {
			out[last].Bytes += u.Bytes
			return
		}
		out = append(out, u)
	})
	return out, err
}

// foreign are the names in a molecule's folder that no batch made: neither the store's own nor those
// of stages that the log has. used reports whether a batch made anything there.
func (s *Store) foreign(mol string) (names map[string]bool, used bool) {
	own := map[string]bool{logName: true, historyName: true, partsName: true}
	if m, _ := s.Molecule(mol); m != nil {
		for target := range m.last {
			stage, _, _ := strings.Cut(target, "/")
			own[stage] = true
		}
	}
	names = map[string]bool{}
	entries, _ := os.ReadDir(s.Path(mol))
	for _, e := range entries {
		name := e.Name()
		if own[name] || strings.HasSuffix(name, failedMark) || strings.Contains(name, editedMark) {
			used = true
		} else {
			names[name] = true
		}
	}
	return names, used
}

// Size is what files take.
type Size struct {
	Files int
	Bytes int64 // in the files
	Disk  int64 // bytes that the disk gives to the files and their folders, in whole blocks
}

const failedSize = "failed attempts"

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

// walk calls see for each file and folder. mol is its molecule, "" for none. name is the name in
// the molecule's folder that it lies below. kind is what Sizes calls it.
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
		folder := d.IsDir() || deeper
		kind := "put aside"
		switch {
		case strings.HasPrefix(mol, ".") || inside == "" && !folder:
			mol, kind = "", "journal, index"
		case name == "" || name == logName:
			kind = "manifests"
		case name == historyName:
			kind = "earlier results"
		case name == partsName:
			kind = "unfinished results"
		case folder && strings.HasSuffix(name, failedMark):
			kind = failedSize
		case folder:
			kind = name
		}
		z := Size{Disk: 512 * st.Blocks}
		if d.Type().IsRegular() {
			z.Files, z.Bytes = 1, st.Size
		}
		see(mol, name, kind, z)
		return nil
	})
}
