package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// Index is a cache, artefacts/.index, that makes an up-to-date batch fast. For each molecule it
// has a key of all that the molecule was compared with when it was found up to date, and a digest
// of its files' stamps. While both are the same, nothing is evaluated, hashed or read. Deleting
// the file costs one slow start, never a result. One goroutine uses it; Program and SetProgram are
// for all.
//
// The file is text. Each line ends with a checksum; a line that is not whole is passed over. The
// last line of a molecule or program counts.
//
//	grimperium index 3
//	mol <TAB> id <TAB> key, digest and hash of the row <TAB> file <TAB> ...
//	program <TAB> name and path <TAB> JSON of its identity
type Index struct {
	s       *Store
	replace bool // the file has damaged lines, or most of its lines are superseded
	fine    bool // time stamps tell writes apart
	written time.Time

	mu      sync.Mutex        // of the two below
	values  map[string]string // the ends of lines by the first two fields
	pending []byte            // lines that are not written yet

	ReadOnly bool // for commands that write nothing
}

// Entry is what the index knows of a molecule.
type Entry struct {
	Key    [16]byte
	Row    uint64   // a hash
	Digest [16]byte // of the stamps of the files
	Files  []string // names in the molecule's folder
}

// program is the identity of an executable, valid while the files it was read from are the same.
type program struct {
	Identity string   `json:"identity"`
	Watched  []string `json:"watched"` // a change of one of these files asks for the identity again
	Digest   string   `json:"digest"`
}

const indexHeader = "grimperium index 3\n"

// Index reads the cache.
func (s *Store) Index() *Index {
	x := &Index{s: s, values: map[string]string{}}
	if dir, err := os.Open(s.root); err == nil { // else the folder is made later
		s.dir, x.fine = dir, durable.FineStamps(s.root)
	}
	data, _ := os.ReadFile(s.Path(IndexName))
	body, ok := strings.CutPrefix(string(data), indexHeader)
	lines := 0
	for line := range strings.Lines(body) {
		lines++
		text := line[:max(0, len(line)-len("\t00000000\n"))]
		sum, err := strconv.ParseUint(strings.Trim(line[len(text):], "\t\n"), 16, 32)
		kind := strings.IndexByte(text, '\t') + 1
		name := kind + strings.IndexByte(text[kind:], '\t')
		if err == nil && name > kind && uint32(sum) == crc32.ChecksumIEEE([]byte(text)) {
			x.values[text[:name]] = text[name+1:]
		} else {
			ok = false
		}
	}
	x.replace = !ok || lines > 3*len(x.values)+100
	return x
}

// checked ends a line with its checksum.
func checked(text string) string {
	return fmt.Sprintf("%s\t%08x\n", text, crc32.ChecksumIEEE([]byte(text)))
}

func (x *Index) get(name string) (value string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	value, ok = x.values[name]
	return value, ok
}

// put changes a value, and says how many bytes are to be written.
func (x *Index) put(name, value string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.values[name] != value {
		x.values[name] = value
		x.pending = append(x.pending, checked(name+"\t"+value)...)
	}
	return len(x.pending)
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

// Entry is what is known of a molecule.
func (x *Index) Entry(mol string) (Entry, bool) {
	value, _ := x.get("mol\t" + mol)
	hashes, files, _ := strings.Cut(value, "\t")
	b, err := hex.DecodeString(hashes)
	if err != nil || len(b) != 40 {
		return Entry{}, false
	}
	return Entry{[16]byte(b), binary.BigEndian.Uint64(b[32:]), [16]byte(b[16:]),
		strings.Split(files, "\t")}, true
}

// Untouched says whether a molecule's files are those that were last verified. Any number of
// goroutines may call it.
func (s *Store) Untouched(mol string, e Entry) bool {
	_, now := s.look(mol, e.Files)
	return len(now.Files) > 0 && now.Digest == e.Digest
}

// look takes the stamps of files in a molecule's folder. If one is missing, Seen is zero.
func (s *Store) look(mol string, files []string) ([]stamp, Seen) {
	stamps := make([]stamp, len(files))
	from, folder := unix.AT_FDCWD, s.root+"/"+mol+"/"
	if s.dir != nil {
		from, folder = int(s.dir.Fd()), mol+"/"
	}
	var st unix.Stat_t
	for n, f := range files {
		if unix.Fstatat(from, folder+f, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			return nil, Seen{}
		}
		stamps[n] = newStamp(&st)
	}
	seen := Seen{Files: files}
	seen.Digest, seen.Newest = digest(stamps)
	return stamps, seen
}

// Vouch says whether the molecule's files are as the index has them. Then they are verified, and on
// the disk.
func (m *Molecule) Vouch(e Entry) bool {
	stamps, now := m.s.look(m.id, e.Files)
	verified := map[string]stamp{}
	for n, a := range stamps {
		verified[e.Files[n]] = a
	}
	if len(stamps) == 0 || now.Digest != e.Digest || verified[logName] != m.stamp {
		return false
	}
	for _, target := range m.Targets() {
		outputs := m.Record(target).Outputs
		for name, out := range outputs {
			out.stamp = verified[target+"/"+stored(m.place(target), out.File)]
			outputs[name] = out
		}
	}
	m.settle()
	return true
}

// Seen is what a molecule's files were like at the end of a visit. The zero value stands for files
// that are not the verified ones.
type Seen struct {
	Files  []string
	Digest [16]byte
	Newest time.Time // when the last of the files was written
}

// Seen looks at the log and at the outputs of the successful ones of these targets.
func (m *Molecule) Seen(targets []string) Seen {
	files, verified := []string{logName}, []stamp{m.stamp}
	for _, target := range targets {
		r := m.Record(target)
		if r == nil || r.Outcome != OK {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
			files = append(files, target+"/"+stored(m.place(target), r.Outputs[name].File))
			verified = append(verified, r.Outputs[name].stamp)
		}
	}
	stamps, seen := m.s.look(m.id, files)
	if !slices.Equal(stamps, verified) {
		return Seen{}
	}
	return seen
}

// clockStep is more than a kernel tick, within which a second write of a file may go unseen.
const clockStep = 12 * time.Millisecond

// settled says whether files are older than a step of the clock, which is 2 s on FAT, where time
// stamps are whole seconds.
func settled(newest, now time.Time) bool {
	if newest.Nanosecond() == 0 {
		return now.Sub(newest) > 2*time.Second
	}
	return now.Sub(newest) > clockStep
}

// Wait waits until a look at files can be believed that were written at this time.
func (x *Index) Wait(newest time.Time) {
	if !x.fine {
		time.Sleep(min(time.Until(newest.Add(clockStep)), clockStep))
	}
}

// Note remembers that a molecule was found up to date with this key and row. It looks again, and
// passes over files that have changed or are too young: the caller has waited, or the next batch
// looks at the molecule once more.
func (x *Index) Note(mol string, key [16]byte, row uint64, seen Seen) error {
	_, now := x.s.look(mol, seen.Files)
	if len(now.Files) == 0 || now.Digest != seen.Digest || !x.fine && !settled(now.Newest, time.Now()) {
		return nil
	}
	return x.note(mol, Entry{key, row, seen.Digest, seen.Files})
}

// Forget drops what is known of a molecule, because it is about to change.
func (x *Index) Forget(mol string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.values, "mol\t"+mol)
}

func (x *Index) note(mol string, e Entry) error {
	files := strings.Join(e.Files, "\t")
	bytes := x.put("mol\t"+mol, fmt.Sprintf("%x%x%016x\t%s", e.Key, e.Digest, e.Row, files))
	if bytes < 32<<10 && time.Since(x.written) < time.Second {
		return nil
	}
	return x.Close()
}

// Close writes what is not written yet. The first time it replaces the file if most of the lines
// are superseded or some are damaged.
func (x *Index) Close() error {
	x.mu.Lock()
	lines := x.pending
	x.pending = nil
	if x.replace && len(lines) > 0 {
		lines = []byte(indexHeader)
		for name, value := range x.values {
			lines = append(lines, checked(name+"\t"+value)...)
		}
	}
	x.mu.Unlock()
	if x.ReadOnly || len(lines) == 0 {
		return nil
	}
	x.written = time.Now()
	if !x.replace {
		return durable.Append(x.s.Path(IndexName), lines)
	}
	err := x.s.replace(x.s.Path(IndexName), lines)
	x.replace = err != nil
	return err
}

// Program returns the cached identity of the executable at path as the program of that name, while
// it and the files that it watches are untouched; "" for one that was found unusable.
func (x *Index) Program(name, path string) (identity string, ok bool) {
	value, _ := x.get(programName(name, path))
	var p program
	if json.Unmarshal([]byte(value), &p) != nil {
		return "", false
	}
	d, err := watchDigest(path, p.Watched)
	return p.Identity, err == nil && d == p.Digest
}

// SetProgram remembers a program's identity, "" for one that can't be used.
func (x *Index) SetProgram(name, path, identity string, watched []string) error {
	d, err := watchDigest(path, watched)
	if err != nil {
		return err
	}
	value, err := json.Marshal(program{identity, watched, d})
	x.put(programName(name, path), string(value))
	return err
}

func programName(name, path string) string { return fmt.Sprintf("program\t%q", name+" "+path) }

// watchDigest follows links: an executable often is one.
func watchDigest(path string, watched []string) (string, error) {
	stamps := make([]stamp, 1+len(watched))
	for n, path := range append([]string{path}, watched...) {
		var err error
		if stamps[n], err = stampBy(unix.Stat, path); err != nil {
			return "", err
		}
	}
	d, _ := digest(stamps)
	return hex.EncodeToString(d[:]), nil
}
