package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"grimperium/internal/packed"
)

// prune removes everything from dir that is no output and that keep doesn't mean, or that has nothing in it: most programs are silent on one of
// their streams. Of what stays it compresses what compress means; of some files it is told their compressed content.
func (s *Store) prune(dir string, outputs map[string]bool, keep, compress []string, compressed map[string][]byte) error {
	parents := map[string]bool{}
	for name := range outputs {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			parents[d] = true
		}
	}
	var folders []string // patterns too
	for _, p := range keep {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			folders = append(folders, d)
		}
	}
	var pack []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		full := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case e.IsDir() && (parents[name] || packed.Matches(folders, name)):
			return nil
		case !outputs[name] && !(e.Type().IsRegular() && packed.Matches(keep, name) && filled(e)):
			if e.Type().IsRegular() {
				if done, err := s.spare(full); done || err != nil {
					return err
				}
			}
			if err := removeAll(full); err != nil || !e.IsDir() {
				return err
			}
			return fs.SkipDir
		case packed.Matches(compress, name):
			pack = append(pack, name)
		}
		return nil
	})
	for _, name := range pack {
		full := filepath.Join(dir, filepath.FromSlash(name))
		put := packed.Pack
		if content := compressed[name]; content != nil {
			put = func(path string) error { return packed.Put(path, content) }
		}
		if err = errors.Join(err, put(full)); errors.Is(err, fs.ErrExist) {
			return &OutputError{name, fmt.Errorf("can't be stored compressed, because %s is there, too", name+packed.Suffix)}
		}
	}
	return err
}

// Stored is the name under which a target's output lies in its folder now: its own, or with .zst behind it.
func (s *Store) Stored(mol, target string, out Output) string {
	if path := s.TargetDir(mol, target) + "/" + out.File; packed.Stored(path) != path {
		return out.File + packed.Suffix
	}
	return out.File
}

func filled(e fs.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Size() > 0
}
