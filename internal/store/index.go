package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"grimperium/internal/fault"
)

// Index is a cache, artefacts/.index, that makes an up-to-date batch fast: for each molecule a key of all that it was compared with when it
// was found fresh, and a digest of its files' stats. While both are the same, nothing is evaluated, hashed or read. Deleting the file costs one
// slow start, never a result.
//
// The file is text, appended to while a batch runs and rewritten when most of its lines are superseded. A line that can't be
// read is passed over.
//
//	grimperium index 1
//	program <TAB> name <TAB> JSON of Program
//	files <TAB> number <TAB> file <TAB> ...        a list of files that many molecules share
//	mol <TAB> id <TAB> key <TAB> digest <TAB> number <TAB> what its row said, quoted; the key has that in it
type Index struct {
	s        *Store
	mu       sync.Mutex
	entries  map[string]entry
	lists    [][]string
	numbers  map[string]int
	programs map[string]Program
	lines    int // in the file, superseded ones included
	out      *os.File
	root     *os.File // the artefacts folder: from there the way to a molecule's files is shorter; nil where it was not there
	fine     func() bool
	waiting  []waiting

	ReadOnly bool // for commands that write nothing
}

type entry struct {
	key, digest [16]byte
	list        int
	row         string
}

// waiting is an entry whose files' time stamps can't be trusted yet.
type waiting struct {
	mol    string
	key    [16]byte
	row    string
	files  []string
	digest [16]byte  // of the files that were verified
	from   time.Time // when it can be trusted, if it is still the same
}

// Program is the identity of an executable, valid while the stats of the files that it was read from are the same.
type Program struct {
	Path     string   `json:"path"`
	Identity string   `json:"identity"`
	Watched  []string `json:"watched"` // files whose change asks for the identity again
	Digest   string   `json:"digest"`
}

const (
	indexHeader = "grimperium index 1"
	molFormat   = "mol\t%s\t%x\t%x\t%d\t%q\n"
)

// granularity is how recently changed a file may be whose stat is not trusted yet, because a second write within the
// clock's step would go unseen. Where time stamps have fractions of a second the step is at most a
// kernel tick of 10 ms; else it may be the 2 s of FAT.
const (
	granularity       = 20 * time.Millisecond
	coarseGranularity = 2 * time.Second
)

// Index reads the cache.
func (s *Store) Index() *Index {
	x := &Index{s: s, entries: map[string]entry{}, numbers: map[string]int{}, programs: map[string]Program{}}
	x.fine = sync.OnceValue(func() bool { return !x.ReadOnly && tellsApart(s.Path(scratchName)) })
	if root, err := os.Open(s.root); err == nil { // else it is made later
		x.root = root
	}
	data, err := os.ReadFile(s.Path(IndexName))
	if err != nil || !bytes.HasPrefix(data, []byte(indexHeader+"\n")) {
		return x
	}
	for line := range bytes.Lines(data) {
		if body, whole := bytes.CutSuffix(line, []byte("\n")); whole {
			x.line(body)
		}
	}
	return x
}

func (x *Index) line(line []byte) {
	x.lines++
	kind, rest, _ := bytes.Cut(line, []byte("\t"))
	switch string(kind) {
	case "mol":
		var f [5][]byte
		for i := range f {
			f[i], rest, _ = bytes.Cut(rest, []byte("\t"))
		}
		var e entry
		_, err1 := hex.Decode(e.key[:], limit(f[1]))
		_, err2 := hex.Decode(e.digest[:], limit(f[2]))
		var err error
		if e.list, err = strconv.Atoi(string(f[3])); err == nil && err1 == nil && err2 == nil && len(f[1]) == 32 && len(f[2]) == 32 && e.list >= 0 && e.list < len(x.lists) {
			e.row, _ = strconv.Unquote(string(f[4])) // damaged, it does not fit the key
			x.entries[string(f[0])] = e
		}
	case "files":
		parts := strings.Split(string(rest), "\t")
		if parts[0] == fmt.Sprint(len(x.lists)) {
			x.numbers[strings.Join(parts[1:], "\t")] = len(x.lists)
			x.lists = append(x.lists, parts[1:])
		}
	case "program":
		name, data, _ := bytes.Cut(rest, []byte("\t"))
		var p Program
		if json.Unmarshal(data, &p) == nil {
			x.programs[string(name)+"\t"+p.Path] = p
		}
	}
}

func limit(b []byte) []byte { return b[:min(len(b), 32)] }

// Key makes the key of a molecule from everything that it depends on.
func Key(parts ...string) (k [16]byte) {
	buf := make([]byte, 0, 512)
	for _, p := range parts {
		buf = append(binary.AppendUvarint(buf, uint64(len(p))), p...)
	}
	sum := sha256.Sum256(buf)
	copy(k[:], sum[:])
	return k
}

// Fresh says whether the molecule was found fresh with this key, and its files are untouched since.
func (x *Index) Fresh(mol string, key [16]byte) bool { return x.Known(mol, key) && x.Untouched(mol) }

// Known says whether the molecule was found fresh with this key, without a look at its files.
func (x *Index) Known(mol string, key [16]byte) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.entries[mol]
	return ok && e.key == key
}

// Row is what was noted of a molecule's row, "" for nothing. It is to be believed only if the molecule is Fresh with a key that has it in it.
func (x *Index) Row(mol string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.entries[mol].row
}

// Untouched says whether the molecule's files are those that were last verified, whatever they are compared with now.
func (x *Index) Untouched(mol string) bool {
	x.mu.Lock()
	e, ok := x.entries[mol]
	var files []string
	if ok {
		files = x.lists[e.list]
	}
	x.mu.Unlock()
	if !ok {
		return false
	}
	digest, _, err := x.digest(mol, files)
	return err == nil && digest == e.digest
}

// digest folds the stats of a molecule's files; they can be trusted from a moment on.
func (x *Index) digest(mol string, files []string) (d [16]byte, trusted time.Time, err error) {
	var newest time.Time
	buf := make([]byte, 0, 1024)
	var st unix.Stat_t
	coarse := true
	from, folder := unix.AT_FDCWD, x.s.Path(mol)
	if x.root != nil {
		from, folder = int(x.root.Fd()), mol
	}
	for _, f := range files {
		if err := unix.Fstatat(from, folder+"/"+f, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return d, newest, err
		}
		m, c := times(&st)
		for _, n := range [...]uint64{uint64(st.Mode), uint64(st.Size), uint64(m), uint64(c), uint64(st.Ino), uint64(st.Dev)} {
			buf = binary.LittleEndian.AppendUint64(buf, n)
		}
		if t := time.Unix(0, max(m, c)); t.After(newest) {
			newest = t
		}
		coarse = coarse && m%1e9 == 0 && c%1e9 == 0
	}
	sum := sha256.Sum256(buf)
	copy(d[:], sum[:])
	return d, trustedFrom(newest, coarse), nil
}

// trustedFrom is when a file's stat can be trusted: after then no second write can have left it as it is. coarse is whether the
// time stamps are of whole seconds.
func trustedFrom(newest time.Time, coarse bool) time.Time {
	if coarse {
		return newest.Add(coarseGranularity)
	}
	return newest.Add(granularity)
}

// Digest folds the stats of a molecule's files (relative to its folder): what is noted is what was seen before the files were verified. The zero value, which
// is never noted, stands for files that can't be seen.
func (x *Index) Digest(mol string, files []string) Digest {
	sum, trusted, err := x.digest(mol, files)
	if err != nil {
		return Digest{}
	}
	if x.fine() {
		trusted = time.Time{}
	}
	return Digest{sum, trusted}
}

// tellsApart says whether a file system shows a write that follows a look at the file by another change time, however soon it follows: then what was seen can be
// trusted at once. Linux does so from 6.13 on, on ext4, XFS, Btrfs and tmpfs (multigrain time stamps). Three in a row within a millisecond are no chance:
// the step of a coarse clock is no shorter.
func tellsApart(dir string) bool {
	if os.MkdirAll(dir, 0o755) != nil {
		return false
	}
	f, err := os.CreateTemp(dir, ".clock")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	for range 3 { // something may come between
		begin, last, apart := time.Now(), int64(0), true
		for range 4 {
			var st unix.Stat_t
			_, err := f.WriteAt([]byte("x"), 0)
			if err != nil || unix.Fstat(int(f.Fd()), &st) != nil {
				return false
			}
			_, changed := times(&st)
			apart, last = apart && changed != last, changed
		}
		if !apart {
			return false
		}
		if time.Since(begin) < time.Millisecond {
			return true
		}
	}
	return false
}

// Digest is the state of a molecule's files, and from when on it can be trusted.
type Digest struct {
	sum     [16]byte
	trusted time.Time
}

// Note remembers that a molecule was found fresh with this key: its files were verified after seen was taken. row is what the table says of the molecule, for
// Row. It is written when the files' time stamps can be trusted, at once or with a later one.
func (x *Index) Note(mol string, key [16]byte, row string, files []string, seen Digest) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	w := waiting{mol, key, row, files, seen.sum, seen.trusted}
	switch {
	case !now.Before(w.from): // it must not wait behind younger ones
		if err := x.addSame(w); err != nil {
			return err
		}
	case w.from.Before(now.Add(2 * coarseGranularity)): // else its clock is not ours: never
		x.waiting = append(x.waiting, w)
	}
	return x.settle(now)
}

// Renote gives a molecule, whose files are those that were noted before, a new key and row.
func (x *Index) Renote(mol string, key [16]byte, row string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.entries[mol]
	if !ok {
		return nil
	}
	return x.add(waiting{mol: mol, key: key, row: row, files: x.lists[e.list], digest: e.digest})
}

// settle writes the entries whose files are old enough.
func (x *Index) settle(now time.Time) error {
	for len(x.waiting) > 0 && !now.Before(x.waiting[0].from) {
		if err := x.addSame(x.waiting[0]); err != nil {
			return err
		}
		x.waiting = x.waiting[1:]
	}
	return nil
}

// addSame adds an entry if its files have not changed since they were verified.
func (x *Index) addSame(w waiting) error {
	if digest, _, err := x.digest(w.mol, w.files); err != nil || digest != w.digest {
		return nil
	}
	return x.add(w)
}

func (x *Index) add(w waiting) error {
	names := strings.Join(w.files, "\t")
	n, ok := x.numbers[names]
	if !ok {
		n = len(x.lists)
		x.numbers[names], x.lists = n, append(x.lists, w.files)
		if err := x.write("files\t%d\t%s\n", n, names); err != nil {
			return err
		}
	}
	e := entry{w.key, w.digest, n, w.row}
	if x.entries[w.mol] == e {
		return nil
	}
	x.entries[w.mol] = e
	return x.write(molFormat, w.mol, e.key, e.digest, e.list, e.row)
}

// write appends a line; the file is opened, and its torn end mended, with the first.
func (x *Index) write(format string, args ...any) error {
	if x.ReadOnly {
		return nil
	}
	if x.out == nil {
		if err := x.rewrite(); err != nil {
			return err
		}
		var err error
		if x.out, err = os.OpenFile(x.s.Path(IndexName), os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
			return err
		}
	}
	x.lines++
	return fault.Around("index.line", func() error {
		_, err := fmt.Fprintf(x.out, format, args...)
		return err
	})
}

// rewrite replaces the file by one with the living lines only, where that is worth it or there is no good file.
func (x *Index) rewrite() error {
	living := len(x.entries) + len(x.lists) + len(x.programs)
	if data, err := os.ReadFile(x.s.Path(IndexName)); err == nil && bytes.HasPrefix(data, []byte(indexHeader+"\n")) && bytes.HasSuffix(data, []byte("\n")) && x.lines < 3*living+100 {
		return nil
	}
	tmp := x.s.Path(scratchName) // killed, it is swept
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(x.s.Path(IndexName), renameio.WithTempDir(tmp), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, indexHeader)
	for _, key := range slices.Sorted(maps.Keys(x.programs)) {
		name, _, _ := strings.Cut(key, "\t")
		fmt.Fprint(w, programLine(name, x.programs[key]))
	}
	for n, list := range x.lists {
		fmt.Fprintf(w, "files\t%d\t%s\n", n, strings.Join(list, "\t"))
	}
	for mol, e := range x.entries {
		fmt.Fprintf(w, molFormat, mol, e.key, e.digest, e.list, e.row)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	x.lines = living
	return fault.Around("index.replace", f.CloseAtomicallyReplace)
}

func programLine(name string, p Program) string {
	data, _ := json.Marshal(p) // strings alone: it can't fail
	return fmt.Sprintf("program\t%s\t%s\n", name, data)
}

// Forget drops what is known of a molecule, because it is about to change.
func (x *Index) Forget(mol string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.entries, mol)
	x.waiting = slices.DeleteFunc(x.waiting, func(w waiting) bool { return w.mol == mol })
}

// Program returns the cached identity of the executable at path as the program of that name, while it and the files that it watches are
// untouched; "" for one that was found unusable.
func (x *Index) Program(name, path string) (identity string, ok bool) {
	x.mu.Lock()
	p, ok := x.programs[name+"\t"+path]
	x.mu.Unlock()
	if !ok {
		return "", false
	}
	d, err := watchDigest(append([]string{path}, p.Watched...))
	return p.Identity, err == nil && d == p.Digest
}

// SetProgram remembers a program's identity, "" for one that can't be used.
func (x *Index) SetProgram(name, path, identity string, watched []string) error {
	d, err := watchDigest(append([]string{path}, watched...))
	if err != nil {
		return err
	}
	p := Program{path, identity, watched, d}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.programs[name+"\t"+path] = p
	return x.write("%s", programLine(name, p))
}

func watchDigest(paths []string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return "", err
		}
		m, c := times(&st)
		fmt.Fprintf(h, "%q %x %x %x %x %x %x\n", path, st.Mode, st.Size, m, c, st.Ino, st.Dev)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// Close writes what is left. A molecule whose files are too young is left out: the next batch hashes them once more.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.settle(time.Now())
	if x.out != nil {
		if e := x.out.Close(); err == nil {
			err = e
		}
		x.out = nil
	}
	return err
}
