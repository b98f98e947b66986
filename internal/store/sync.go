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
	for _, m := range manifests {
		if m.changed {
			if err := s.replace(m); err != nil {
				return err
			}
		}
	}
	if len(manifests) < many || fault.Around("store.flushAll", func() error { return syncAll(s.root) }) != nil {
		if err := s.syncEach(manifests); err != nil {
			return err
		}
	}
	for _, m := range manifests {
		m.Vouched()
		m.kept = true
	}
	return nil
}

// syncEach flushes the files of manifests, all at once: the file system then writes its own journal once or twice, not for each of them.
func (s *Store) syncEach(manifests []*Manifest) error {
	paths := map[string]bool{s.root: false} // true: may be gone
	for _, m := range manifests {
		s.unflushed(m, paths)
	}
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
	paths[s.manifestPath(m.Molecule)], paths[s.Path(m.Molecule)] = false, false
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
