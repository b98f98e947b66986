package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// Index is a cache, artefacts/.index, that makes an up-to-date batch fast. It has a key and a
// digest of each molecule. The key is of all that the molecule was compared with when it was found
// up to date. The digest is of the stamps of its files. While both are the same, nothing is
// evaluated, hashed or read. The file is replaced at the end of a batch, and now and then while one
// runs; a damaged one is not read. One goroutine uses an Index; Program and SetProgram are for all.
type Index struct {
	ReadOnly bool // for commands that write nothing

	s    *Store
	next time.Time // when Note writes the file

	mu      sync.Mutex // of the two below
	changed bool
	content struct {
		Molecules map[string]Entry
		Programs  map[string]program // by name and path
	}
}

// Entry is what the index knows of a molecule.
type Entry struct {
	Key           [16]byte
	Row, Molecule uint64 // hashes of what the row says: of its results, and of what molecule it is
	Seen
}

// program is the identity of an executable, and the files it was read from.
type program struct {
	Identity string
	Seen
}

// Seen is what files were like. The zero value stands for files that are not the verified ones.
type Seen struct {
	Files  []string // of a molecule: ".zip", or "/NAME" in its folder, the log first
	Digest string   // of their stamps
	Whole  bool     // of a zip: the outputs in all records are the verified ones
}

// stamp is what the system says of a file. The same stamp means the same content, after
// durable.Touch. The device is not in it: another host may give another number.
type stamp struct {
	Mode                    uint32
	Size, Mtime, Ctime, Ino int64 // bytes, nanoseconds, number
}

func newStamp(st unix.Stat_t) stamp {
	return stamp{uint32(st.Mode), st.Size, st.Mtim.Nano(), st.Ctim.Nano(), int64(st.Ino)}
}

// look takes the stamps of files. It follows links: an executable often is one.
func look(from *os.File, dir string, files []string) ([]stamp, error) {
	stamps := make([]stamp, len(files))
	for n, f := range files {
		st, err := fstatat(int(from.Fd()), dir+f, 0)
		if err != nil {
			return nil, err
		}
		stamps[n] = newStamp(st)
	}
	return stamps, nil
}

// at is where the files of a molecule are. From an open folder the way to them is shorter.
func (s *Store) at(mol string) (from *os.File, dir string) {
	if s.dir == nil {
		return nil, s.Path(mol)
	}
	return s.dir, mol
}

func (s Seen) unchanged(from *os.File, dir string) bool {
	stamps, err := look(from, dir, s.Files)
	return err == nil && digest(stamps) == s.Digest
}

func digest(stamps []stamp) string {
	var b []byte
	for _, a := range stamps {
		for _, n := range [...]int64{int64(a.Mode), a.Size, a.Mtime, a.Ctime, a.Ino} {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
	}
	return fmt.Sprintf("%x", Key(string(b)))
}

// Key makes one key of everything that a molecule depends on.
func Key(parts ...string) [16]byte {
	buf := make([]byte, 0, 512)
	for _, p := range parts {
		buf = append(binary.AppendUvarint(buf, uint64(len(p))), p...)
	}
	sum := sha256.Sum256(buf)
	return [16]byte(sum[:16])
}

const saveEvery = 10 * time.Second // at least, while a batch runs

// NoIndex is a cache that knows nothing and is not written.
func (s *Store) NoIndex() *Index {
	x := &Index{s: s, next: time.Now().Add(saveEvery), ReadOnly: true}
	x.content.Molecules, x.content.Programs = map[string]Entry{}, map[string]program{}
	return x
}

// Index reads the cache.
func (s *Store) Index() *Index {
	x := s.NoIndex()
	x.ReadOnly = false
	s.dir, _ = os.Open(s.root) // nil if the folder is made later
	data, _ := durable.ReadFile(s.Path(IndexName))
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	if string(first) == indexHeader(rest) {
		_ = gob.NewDecoder(bytes.NewReader(rest)).Decode(&x.content)
	}
	return x
}

func indexHeader(rest []byte) string {
	return fmt.Sprintf("grimperium index 6 %08x", crc32.ChecksumIEEE(rest))
}

// Close writes the file if it has changed.
func (x *Index) Close() (err error) {
	x.mu.Lock()
	file := bytes.NewBufferString(indexHeader(nil) + "\n")
	changed, begin, first := x.changed && !x.ReadOnly, time.Now(), file.Len()
	if changed {
		err = gob.NewEncoder(file).Encode(x.content)
	}
	x.changed = false
	x.mu.Unlock()
	if err != nil || !changed {
		return err
	}
	if info, err := os.Lstat(x.s.Path(IndexName)); err == nil && info.IsDir() {
		return nil // it is only a cache
	}
	copy(file.Bytes(), indexHeader(file.Bytes()[first:]))
	temp := x.s.fresh("index") // not flushed: a power cut costs a slow start
	err = cmp.Or(os.MkdirAll(x.s.own, 0o777), os.WriteFile(temp, file.Bytes(), 0o666))
	if err == nil {
		err = durable.Rename(temp, x.s.Path(IndexName))
	}
	x.next = time.Now().Add(max(saveEvery, 50*time.Since(begin)))
	return err
}

// Entry is what is known of a molecule.
func (x *Index) Entry(mol string) (Entry, bool) {
	e, ok := x.content.Molecules[mol]
	return e, ok
}

// Note remembers that a molecule was found up to date. It passes over files that have changed
// since, or are too young for their next write to be seen.
func (x *Index) Note(mol string, e Entry) error {
	from, dir := x.s.at(mol)
	stamps, err := look(from, dir, e.Files)
	young := func(a stamp) bool { // FAT has whole seconds, of which each second one
		return a.Mtime%1e9 == 0 && time.Since(time.Unix(0, a.Mtime)) < 2*time.Second
	}
	if err != nil || digest(stamps) != e.Digest || slices.ContainsFunc(stamps, young) {
		return nil
	}
	x.mu.Lock()
	x.content.Molecules[mol], x.changed = e, true
	x.mu.Unlock()
	if time.Now().Before(x.next) {
		return nil
	}
	return x.Close()
}

// Program returns what SetProgram was told, while the executable and what it watches are untouched.
func (x *Index) Program(name, path string) (identity string, ok bool) {
	x.mu.Lock()
	p, ok := x.content.Programs[name+" "+path]
	x.mu.Unlock()
	return p.Identity, ok && p.unchanged(nil, "")
}

// SetProgram remembers the identity of the executable at path, "" for one that can't be used.
func (x *Index) SetProgram(name, path, identity string, watched []string) error {
	files := append([]string{path}, watched...)
	stamps, err := look(nil, "", files)
	p := program{identity, Seen{Files: files, Digest: digest(stamps)}}
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.content.Programs[name+" "+path]
	if err == nil && (was.Identity != p.Identity || was.Digest != p.Digest) {
		x.content.Programs[name+" "+path], x.changed = p, true
	}
	return err
}

// Untouched says whether a molecule's files are those that were last verified. A folder with a log
// goes before an untouched zip.
func (s *Store) Untouched(mol string, e Entry) bool {
	from, dir := s.at(mol)
	if len(e.Files) == 1 && e.Files[0] == packed.ZipSuffix {
		if _, gone := look(from, dir, []string{"/" + logName}); gone == nil {
			return false
		}
	}
	return e.unchanged(from, dir)
}

// outputs are those of the successful ones of these targets, by their names in the folder.
func (m *Molecule) outputs(targets []string) (outputs []Output) {
	for _, target := range targets {
		r := m.Record(target)
		if r == nil || r.Outcome != OK {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
			out := r.Outputs[name]
			out.File = target + "/" + out.File
			outputs = append(outputs, out)
		}
	}
	return outputs
}

// files are the log and the outputs of these targets as the index has them, with their hashes.
func (m *Molecule) files(targets []string) (files, sums []string) {
	files, sums = []string{"/" + logName}, []string{logName}
	for _, out := range m.outputs(targets) {
		files, sums = append(files, "/"+stored(m.path(), out.File)), append(sums, out.SHA256)
	}
	return files, sums
}

// Seen looks at the log and at the outputs of the successful ones of these targets.
func (m *Molecule) Seen(targets []string) Seen {
	if z := m.zip; z != nil {
		now, err := stampOf(z.path)
		unverified := func(out Output) bool { return z.sums[out.File] != out.SHA256 }
		if err != nil || now != z.stamp || slices.ContainsFunc(m.outputs(targets), unverified) {
			return Seen{}
		}
		return zipSeen(now, m.whole(targets))
	}
	files, sums := m.files(targets)
	stamps, err := look(nil, m.path(), files)
	for n, a := range stamps {
		if m.hashes[a] != sums[n] {
			return Seen{}
		}
	}
	if err != nil {
		return Seen{}
	}
	return Seen{Files: files, Digest: digest(stamps)}
}

// whole reports whether these targets have all recorded outputs. A stage that left the pipeline,
// or got another name, still has its records.
func (m *Molecule) whole(targets []string) bool {
	return len(m.outputs(targets)) == len(m.outputs(m.Targets()))
}

func zipSeen(a stamp, whole bool) Seen {
	return Seen{[]string{packed.ZipSuffix}, digest([]stamp{a}), whole}
}

// Vouch says whether the files are as the index has them. Then they are verified, and on the disk.
func (m *Molecule) Vouch(e Entry) bool {
	stamps, err := look(nil, m.path(), e.Files)
	if err != nil || len(stamps) == 0 || digest(stamps) != e.Digest {
		return false
	}
	switch {
	case m.zip != nil && stamps[0] == m.zip.stamp && e.Whole:
		for _, out := range m.outputs(m.Targets()) {
			m.zip.sums[out.File] = out.SHA256
		}
	case m.zip == nil && m.hashes[stamps[0]] == logName:
		files, sums := m.files(m.Targets())
		for n, f := range e.Files {
			if i := slices.Index(files, f); i >= 0 {
				m.hashes[stamps[n]] = sums[i]
			}
		}
	default:
		return false
	}
	clear(m.dirty)
	return true
}
