package store

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// Unused is something in the artefacts folder that nothing refers to.
type Unused struct {
	Path    string // absolute
	Why     string
	Bytes   int64
	Foreign bool // no batch made it, and prune leaves it
}

// Unused lists what the given molecules and stages no longer need, earlier results, files that were
// put aside, and folders that no batch made. Of a molecule that returns names it lists no results:
// the next batch may bring one of them back. What lies in a zip has the path that it had in the
// molecule's folder.
func (s *Store) Unused(table, stage, returns func(name string) bool) ([]Unused, error) {
	l := &unusedList{s: s, table: table, stage: stage, returns: returns}
	err := s.walk(func(mol, name, kind string, z Size) {
		switch {
		case mol == "":
		case kind != zipSize:
			l.see(mol, name, kind, z)
		case table(mol):
			if s.IsZip(mol) { // else the folder beside it counts
				s.walkZip(mol, l.see)
			}
		default:
			l.seeZip(mol, z)
		}
	})
	return l.out, err
}

// Why something is unused.
const (
	stays      = "no batch made it, and it stays"
	notInTable = "the molecule is not in the table"
)

// unusedList is a list for Unused.
type unusedList struct {
	s                     *Store
	table, stage, returns func(name string) bool
	out                   []Unused
	mol                   string          // the last one that look was asked for
	foreign               map[string]bool // names in its folder or zip that no batch made
	touched               bool            // a batch made others
}

// look finds what no batch made in a molecule's folder or zip: neither the store's own nor what is
// of stages in the log.
func (l *unusedList) look(mol string) {
	if mol == l.mol {
		return
	}
	l.mol, l.foreign, l.touched = mol, map[string]bool{}, false
	own := map[string]bool{logName: true, historyName: true, partsName: true}
	m, _ := l.s.Molecule(mol)
	if m != nil {
		for target := range m.last {
			own[StageOf(target)] = true
		}
	}
	entries, _ := os.ReadDir(l.s.Path(mol))
	if m != nil && m.zip != nil {
		entries, _ = packed.ReadZip(l.s.Path(mol))
	}
	for _, e := range entries {
		name := e.Name()
		if own[name] || strings.HasSuffix(name, failedMark) || strings.Contains(name, editedMark) {
			l.touched = true
		} else {
			l.foreign[name] = true
		}
	}
}

// made reports whether a batch made what has this name in a molecule's folder or zip.
func (l *unusedList) made(mol, name string) bool {
	l.look(mol)
	return !l.foreign[name]
}

// seeZip looks at the zip of a molecule that is not in the table.
func (l *unusedList) seeZip(mol string, z Size) {
	u := Unused{Path: l.s.zipPath(mol), Why: notInTable, Bytes: z.Bytes}
	l.look(mol)
	switch m, _ := l.s.Molecule(mol); {
	case m == nil || len(m.last) == 0:
		u.Why, u.Foreign = stays, true
	case m.zip != nil && len(l.foreign) > 0: // the rest stays
		l.s.walkZip(mol, l.see)
		return
	}
	l.out = append(l.out, u)
}

// see looks at a file or folder, as Store.walk calls it.
func (l *unusedList) see(mol, name, kind string, z Size) {
	path, why := l.s.Path(mol, name), ""
	if l.table(mol) {
		why = l.unneeded(mol, name, kind == failedSize || kind == name)
	} else {
		path, why = l.removable(mol, name)
	}
	if why == "" {
		return
	}
	if last := len(l.out) - 1; last >= 0 && l.out[last].Path == path {
		l.out[last].Bytes += z.Bytes
		return
	}
	l.out = append(l.out, Unused{Path: path, Why: why, Bytes: z.Bytes, Foreign: why == stays})
}

// removable is the path that goes or stays of a molecule that left the table. It is the molecule's
// folder if all that is in the folder is alike, else what has this name in it. Then why is "" for
// the folder itself.
func (l *unusedList) removable(mol, name string) (path, why string) {
	path = l.s.Path(mol, name)
	switch isMade := l.made(mol, name); {
	case isMade && len(l.foreign) == 0:
		return l.s.Path(mol), notInTable
	case !l.touched:
		return l.s.Path(mol), stays
	case name == "":
		return path, ""
	case isMade:
		return path, notInTable
	}
	return path, stays
}

// unneeded is why a molecule of the table does not need what has this name, "" if it does.
func (l *unusedList) unneeded(mol, name string, isFolder bool) string {
	ofOther := isFolder && !l.stage(strings.TrimSuffix(name, failedMark))
	switch {
	case ofOther && !l.made(mol, name):
		return stays
	case name == historyName && !l.returns(mol):
		return "earlier results"
	case name == partsName:
		return "parts of unfinished results"
	case strings.Contains(name, editedMark):
		return "edited by hand and put aside"
	case ofOther && !l.returns(mol):
		return "the stage is not in the pipeline"
	}
	return ""
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

// Remove removes what Unused has found, and the records of results that keep does not mean. It
// unpacks and packs a zip once.
func (s *Store) Remove(unused []Unused, keep func(mol, stage string) bool) error {
	inside := map[string][]string{} // paths in a molecule's folder or zip
	for _, u := range unused {
		if id, _, ok := strings.Cut(u.Path[len(s.root)+1:], "/"); ok {
			inside[id] = append(inside[id], u.Path)
		} else if err := durable.Remove(u.Path); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(inside)) {
		stage := func(name string) bool { return keep(id, name) }
		if err := s.removeFrom(id, inside[id], stage); err != nil {
			return err
		}
	}
	return nil
}

// removeFrom removes paths in a molecule's folder or zip, and the records of other stages.
func (s *Store) removeFrom(id string, paths []string, stage func(name string) bool) error {
	m, err := s.Molecule(id)
	if err != nil { // a log of no use
		for _, path := range paths {
			if err := durable.Remove(path); err != nil {
				return err
			}
		}
		return nil
	}
	err = m.Forget(stage) // first: the log may be one of the paths
	for _, path := range paths {
		m.remove(path)
	}
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
