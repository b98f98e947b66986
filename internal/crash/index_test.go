package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"grimperium/internal/packed"
	"grimperium/internal/store"
)

// indexed knows which files the index vouches for. On a real disk inodes and times survive a power
// cut; the copies of a state have others. So the index of a copy gets the entries of those
// molecules whose files are the vouched ones in the model.
type indexed struct {
	disk    *disk
	dir     string // an artefacts folder to read an index in
	stats   map[string][]stat
	entries map[string]map[string]store.Entry // by content of an index, by molecule
	settled int                               // entries that the index of a copy was given
}

// stat stands for inode, size and times of a file.
type stat struct{ node, size, writes int }

func newIndexed(d *disk, dir string) indexed {
	return indexed{disk: d, dir: dir, stats: map[string][]stat{},
		entries: map[string]map[string]store.Entry{}}
}

// read returns the entries of an index.
func (x *indexed) read(index []byte) map[string]store.Entry {
	if entries, ok := x.entries[string(index)]; ok {
		return entries
	}
	entries := map[string]store.Entry{}
	x.entries[string(index)] = entries
	st, err := store.Open(x.dir)
	if err == nil {
		err = os.WriteFile(st.Path(store.IndexName), index, 0o644)
	}
	if err != nil {
		panic(err)
	}
	in := st.Index()
	for n := range 100 {
		if e, ok := in.Entry(mol(n)); ok {
			entries[mol(n)] = e
		}
	}
	return entries
}

func vouched(mol string, e store.Entry) string { return fmt.Sprintf("%s %x", mol, e.Digest) }

// wrote takes note of the files that the index has just vouched for.
func (x *indexed) wrote() {
	for mol, e := range x.read(x.disk.content("artefacts/" + store.IndexName)) {
		name := vouched(mol, e)
		if x.stats[name] != nil {
			continue
		}
		stats := []stat{}
		for _, file := range e.Files {
			n := x.disk.lookup("artefacts/" + mol + file)
			writes := 0
			for _, o := range x.disk.ops {
				if o.node == n && o.kind == write {
					writes++
				}
			}
			stats = append(stats, stat{n, len(x.disk.content("artefacts/" + mol + file)), writes})
		}
		x.stats[name] = stats
	}
}

// trusted are the entries that the next batch would believe on the real disk.
func (x *indexed) trusted(s *state, c *cutter) map[string]store.Entry {
	out := map[string]store.Entry{}
	for mol, e := range x.read(s.read("artefacts/" + store.IndexName)) {
		stats, ok := x.stats[vouched(mol, e)]
		for n, name := range e.Files {
			f, there := s.files["artefacts/"+mol+name]
			ok = ok && there && stats[n] == stat{f.node, len(f.data), len(c.writes[f.node])}
		}
		if ok {
			out[mol] = e
		}
	}
	return out
}

// check is an error if the index vouches for a file that is not what was written.
func (x *indexed) check(s *state, c *cutter) error {
	for mol, e := range x.trusted(s, c) {
		for _, name := range e.Files {
			f := s.files["artefacts/"+mol+name]
			if !bytes.Equal(f.data, c.survivor(f.node, whole, nil)) {
				return fmt.Errorf("the index vouches for what was not written: %s of %s", name, mol)
			}
		}
	}
	return nil
}

// settle has the index of a copy vouch for what the index of the state vouches for.
func (x *indexed) settle(s *state, c *cutter, artefacts string) error {
	trusted := x.trusted(s, c)
	if len(trusted) == 0 {
		return nil
	}
	st, err := store.Open(artefacts)
	if err != nil {
		return err
	}
	in := st.Index()
	time.Sleep(50 * time.Millisecond) // until the stamps of the copies can be believed
	for id, e := range trusted {
		m, err := st.Molecule(id)
		if err != nil {
			return err
		}
		if !m.IsZip() && e.Files[0] == packed.ZipSuffix {
			continue // the entry is of the zip that the folder was made of, and the folder counts
		}
		for _, target := range m.Targets() {
			if why := m.Verify(target, m.Record(target)); why != "" {
				return fmt.Errorf("%s of %s: %s", target, id, why)
			}
		}
		x.settled++
		e.Seen = m.Seen(m.Targets())
		if err := in.Note(id, e); err != nil {
			return err
		}
	}
	if err := in.Close(); err != nil {
		return err
	}
	own := fmt.Sprintf("*-%d", os.Getpid()) // the test goes on, so that no batch would remove it
	paths, err := filepath.Glob(filepath.Join(artefacts, ".scratch", own))
	for _, path := range paths {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
