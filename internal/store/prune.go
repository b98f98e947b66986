package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// Unused is something in the artefacts folder that nothing refers to.
type Unused struct {
	Path  string // absolute
	Why   string
	Bytes int64
}

// Unused lists what the given molecules and stages no longer need: folders of molecules that no
// table has, results of stages that left the pipeline, earlier results, and files that were put
// aside.
func (s *Store) Unused(table, stage func(name string) bool) (out []Unused, err error) {
	err = s.walk(func(mol, name, kind string, z Size) {
		u := Unused{s.Path(mol, name), "", z.Bytes}
		switch {
		case mol == "":
			return
		case !table(mol):
			u.Path, u.Why = s.Path(mol), "the molecule is not in the table"
		case kind == SizeHistory:
			u.Why = "earlier results"
		case kind == SizeAside && strings.Contains(name, ".edited-"):
			u.Why = "edited by hand and put aside"
		case (kind == SizeFailed || kind == name) && !stage(strings.TrimSuffix(name, failedMark)):
			u.Why = "the stage is not in the pipeline"
		default:
			return
		}
		if last := len(out) - 1; last >= 0 && out[last].Path == u.Path {
			out[last].Bytes += u.Bytes
			return
		}
		out = append(out, u)
	})
	return out, err
}

// Remove deletes something unused.
func (s *Store) Remove(u Unused) error {
	if rel, err := filepath.Rel(s.root, u.Path); err != nil || !filepath.IsLocal(rel) || rel == "." {
		return &fs.PathError{Op: "remove", Path: u.Path, Err: fs.ErrInvalid}
	}
	return durable.Remove(u.Path)
}

// Size is what files take.
type Size struct {
	Files int
	Bytes int64 // in the files
	Disk  int64 // bytes that the disk gives to the files and their folders, in whole blocks
}

// What Sizes calls the files that are no stage's results.
const (
	SizeManifests = "manifests"
	SizeHistory   = "earlier results"
	SizeFailed    = "failed attempts"
	SizeAside     = "put aside"
	SizeShared    = "journal, index"
)

// Sizes counts the files of each stage's results, and the others by the names above. It looks at
// every file.
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

// walk calls see for each file and folder: with the molecule, "" for what belongs to none, with the
// name in the molecule's folder that it lies below, and with what Sizes calls it. What a batch
// moves away meanwhile is passed over.
func (s *Store) walk(see func(mol, name, kind string, z Size)) error {
	return filepath.WalkDir(s.root, func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || path == s.root:
			return err
		}
		mol, inside, _ := strings.Cut(path[len(s.root)+1:], "/")
		name, _, deeper := strings.Cut(inside, "/")
		folder := d.IsDir() || deeper
		kind := SizeAside
		switch {
		case strings.HasPrefix(mol, ".") || inside == "" && !folder:
			mol, kind = "", SizeShared
		case name == "" || name == logName:
			kind = SizeManifests
		case name == historyName:
			kind = SizeHistory
		case folder && strings.HasSuffix(name, failedMark):
			kind = SizeFailed
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

// TablesName is the file that names the tables whose results the artefacts folder has: a path a
// line, relative to the folder.
const TablesName = ".tables"

// tables are the tables whose results the folder has, as absolute paths, also those that are no
// longer there.
func (s *Store) tables() (tables []string, err error) {
	data, err := os.ReadFile(s.Path(TablesName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(data)) {
		path := strings.TrimSpace(line)
		if path == "" {
			continue
		}
		if !filepath.IsAbs(path) {
			path = s.Path(path)
		}
		tables = append(tables, path)
	}
	return tables, err
}

// OthersThan returns the tables besides this one whose results the folder has, also those that are
// no longer there.
func (s *Store) OthersThan(table string) ([]string, error) {
	own, err := os.Stat(table)
	if err != nil {
		return nil, err
	}
	tables, err := s.tables()
	return slices.DeleteFunc(tables, func(t string) bool {
		info, err := os.Stat(t)
		return err == nil && os.SameFile(info, own)
	}), err
}

// AddTable notes that the folder has a table's results. The list is replaced and flushed: a torn
// line would be another table for ever.
func (s *Store) AddTable(table string) error {
	table, err := filepath.Abs(table)
	if err != nil {
		return err
	}
	known, err := s.tables()
	if err != nil || slices.Contains(known, table) {
		return err
	}
	if rel, err := filepath.Rel(s.root, table); err == nil {
		table = rel
	}
	data, err := os.ReadFile(s.Path(TablesName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.replace(s.Path(TablesName), append(data, table+"\n"...))
}
