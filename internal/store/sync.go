package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"grimperium/internal/fault"
	"grimperium/internal/packed"
)

// Make makes the artefacts folder, so that a power cut can't take it with all that is in it.
func (s *Store) Make() error {
	if _, err := os.Stat(s.Path(JournalName)); err == nil { // which is begun after this
		return nil
	}
	if err := os.MkdirAll(s.root, 0o755); err != nil {
		return err
	}
	if err := syncPath(filepath.Dir(s.root)); !errors.Is(err, fs.ErrPermission) { // a folder that may be written but not read
		return err
	}
	return nil
}

// many is from how many molecules on one flush of the whole file system is cheaper than one of each file.
const many = 4

// Sync flushes the files and manifests of molecules onto the disk: afterwards a power cut can't take them.
func (s *Store) Sync(manifests ...*Manifest) error {
	if len(manifests) == 0 {
		return nil
	}
	paths, folders := map[string]bool{}, map[string]bool{} // true: may be gone
	for _, m := range manifests {
		if err := s.recordBefore(m); err != nil {
			return err
		}
		if m.changed {
			if err := s.write(m); err != nil {
				return err
			}
		}
		s.unflushed(m, paths)
	}
	if err := s.flush(paths, len(manifests)); err != nil {
		return err
	}
	for _, m := range manifests {
		if !m.ahead {
			continue
		}
		if err := fault.Around("store.replace", func() error { return os.Rename(s.aheadPath(m.Molecule), s.manifestPath(m.Molecule)) }); err != nil {
			return err
		}
		folders[s.Path(m.Molecule)] = false
	}
	if err := s.flush(folders, len(folders)); err != nil {
		return err
	}
	for _, m := range manifests {
		if err := s.forget(m); err != nil {
			return err
		}
		m.Vouched()
		m.kept, m.ahead, m.before, m.history = true, false, nil, nil
	}
	return nil
}

// flush flushes files and folders of so many molecules.
func (s *Store) flush(paths map[string]bool, molecules int) error {
	if molecules >= many && fault.Around("store.flushAll", func() error { return syncAll(s.root) }) == nil {
		return nil
	}
	return syncEach(paths)
}

// syncEach flushes files and folders all at once: the file system then writes its own journal once or twice, not for each of them.
func syncEach(paths map[string]bool) error {
	var group errgroup.Group
	group.SetLimit(32)
	for path, gone := range paths {
		group.Go(func() error {
			if err := syncPath(path); err != nil && !(gone && errors.Is(err, fs.ErrNotExist)) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

// unflushed adds what of a molecule must be flushed: files and the folders that name them.
func (s *Store) unflushed(m *Manifest, paths map[string]bool) {
	if m.ahead { // its folder follows
		paths[s.aheadPath(m.Molecule)] = false
	} else {
		paths[s.manifestPath(m.Molecule)], paths[s.Path(m.Molecule)], paths[s.root] = false, false, false
	}
	for _, path := range m.history {
		paths[path] = true // there are only so many earlier results
	}
	for target, rec := range m.Targets {
		if !rec.unsynced || rec.Outcome != OK || len(rec.Outputs) == 0 {
			continue
		}
		dir := s.TargetDir(m.Molecule, target)
		for _, out := range rec.Outputs {
			paths[packed.Stored(filepath.Join(dir, out.File))] = rec.read
		}
		for d := dir; len(d) > len(s.Path(m.Molecule)); d = filepath.Dir(d) {
			paths[d] = rec.read
		}
	}
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return fault.Around("store.flush", f.Sync)
}
