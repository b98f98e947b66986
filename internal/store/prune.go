package store

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// Unused is something in the artefacts folder that nothing refers to.
type Unused struct {
	Path  string // absolute
	Why   string
	Bytes int64
}

// Unused lists what the given molecules and stages no longer need: folders of molecules that left the table, results of stages that left the
// pipeline, earlier results kept for an edit that is taken back, and files that were edited by hand and put aside.
func (s *Store) Unused(molecule func(id string) bool, stage func(name string) bool) ([]Unused, error) {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		if os.IsNotExist(err) {
			err = nil
		}
		return nil, err
	}
	var out []Unused
	add := func(path, why string) error {
		var size Size
		err := size.add(path)
		out = append(out, Unused{path, why, size.Bytes})
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !molecule(e.Name()) {
			if err := add(s.Path(e.Name()), "the molecule is not in the table"); err != nil {
				return nil, err
			}
			continue
		}
		inside, err := os.ReadDir(s.Path(e.Name()))
		if err != nil {
			return nil, err
		}
		for _, f := range inside {
			name, failed := strings.CutSuffix(f.Name(), failedMark)
			why := ""
			switch {
			case f.Name() == historyName:
				why = "earlier results"
			case strings.Contains(f.Name(), ".edited-"):
				why = "edited by hand and put aside"
			case f.IsDir() && !stage(name):
				why = "the stage is not in the pipeline"
			case failed:
				continue // the last failed attempt is for reading
			}
			if why != "" {
				if err := add(s.Path(e.Name(), f.Name()), why); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// Remove deletes something unused, and the records of a stage that left the pipeline.
func (s *Store) Remove(u Unused) error {
	if rel, err := filepath.Rel(s.root, u.Path); err != nil || !filepath.IsLocal(rel) || rel == "." {
		return &fs.PathError{Op: "remove", Path: u.Path, Err: fs.ErrInvalid}
	}
	return os.RemoveAll(u.Path)
}

// Forget drops the records of targets whose stage is not in the pipeline any more, and says whether there were some.
func (m *Manifest) Forget(stage func(name string) bool) bool {
	before := len(m.Targets)
	maps.DeleteFunc(m.Targets, func(target string, _ *Record) bool {
		name, _, _ := strings.Cut(target, "/")
		return !stage(name)
	})
	m.changed = m.changed || len(m.Targets) != before
	return len(m.Targets) != before
}
