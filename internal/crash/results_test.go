package crash

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// record is a line of a molecule's log, as far as the tests read it.
type record struct {
	Format, Molecule             string // of the first line
	Target, Fingerprint, Outcome string
	Outputs                      map[string]struct {
		File   string
		SHA256 string
	}
}

// parseLog reads a log as docs/format.md says. torn are the complete lines that no reader can use.
func parseLog(log []byte) (records []record, torn []string) {
	for line := range bytes.Lines(log) {
		text, complete := bytes.CutSuffix(line, []byte("\n"))
		at := bytes.LastIndex(text, []byte(`,"sum":"`))
		var r record
		switch {
		case !complete || len(text) == 0:
		case at < 0, json.Unmarshal(text, &r) != nil,
			fmt.Sprintf(`,"sum":"%08x"}`, crc32.ChecksumIEEE(text[:at])) != string(text[at:]):
			torn = append(torn, string(text))
		default:
			records = append(records, r)
		}
	}
	return records, torn
}

// logs are those that were parsed already: the states of a disk have the same ones again and again.
type logs struct {
	sync.Mutex
	records map[string][]record
}

var known = logs{records: map[string][]record{}}

func (l *logs) parse(log []byte) []record {
	l.Lock()
	defer l.Unlock()
	records, ok := l.records[string(log)]
	if !ok {
		records, _ = parseLog(log)
		l.records[string(log)] = records
	}
	return records
}

// files are the files of a project by their paths.
type files interface {
	read(path string) []byte      // nil if missing
	below(folder string) []string // the paths of all files in a folder
}

func (v *victim) below(folder string) []string {
	var out []string
	_ = filepath.WalkDir(v.path(folder), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(v.dir, path)
			out = append(out, rel)
		}
		return nil
	})
	return out
}

// unzipped are the files of a project in which molecules may be zips.
type unzipped struct{ files }

// zipOf is the zip that has what lies below a path, nil for none: then a folder has it.
func (u unzipped) zipOf(path string) (z *zip.Reader, home string) {
	parts := strings.SplitN(path, "/", 3)
	home = strings.Join(parts[:2], "/")
	data := u.files.read(home + ".zip")
	if data == nil || u.files.read(home+"/manifest.jsonl") != nil {
		return nil, home
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		panic(fmt.Sprintf("%s.zip: %v", home, err))
	}
	return z, home
}

func (u unzipped) read(path string) []byte {
	z, home := u.zipOf(path)
	if z == nil {
		return u.files.read(path)
	}
	data, _ := fs.ReadFile(z, path[len(home)+1:]) // nil if missing
	return data
}

func (u unzipped) below(folder string) (out []string) {
	z, home := u.zipOf(folder)
	if z == nil {
		return u.files.below(folder)
	}
	for _, f := range z.File {
		if path := home + "/" + f.Name; strings.HasPrefix(path, folder+"/") {
			out = append(out, path)
		}
	}
	return out
}

// result is what a target must have come to. An empty fingerprint is any.
type result struct{ fingerprint, content string }

// targets are those with files of the victim's pipeline.
var targets = []string{"a", "b", "c/1", "c/2"}

// wanted is the content that a target makes of a molecule.
func wanted(n int, target string, s settings) string {
	lines := []string{"z", smiles(n), s.word, "b"}
	if target != "a" {
		slices.Sort(lines)
	}
	return strings.Join(lines, "\n") + "\n"
}

// has is an error if a molecule lacks a result, in its place or among its earlier results, or a
// record of it.
func has(f files, mol, target string, want result) error {
	f = unzipped{f}
	home := "artefacts/" + mol + "/"
	hash := sha256.Sum256([]byte(want.content))
	sum := hex.EncodeToString(hash[:])
	records := known.parse(f.read(home + "manifest.jsonl"))
	recorded := slices.ContainsFunc(records, func(r record) bool {
		return r.Target == target && r.Outcome == "ok" && r.Outputs["out"].SHA256 == sum &&
			(want.fingerprint == "" || want.fingerprint == r.Fingerprint)
	})
	if !recorded {
		return fmt.Errorf("%s of %s has no record", target, mol)
	}
	past := home + ".history/" + strings.ReplaceAll(target, "/", ".")
	for _, folder := range []string{home + target, past} {
		for _, path := range f.below(folder) {
			if string(unpacked(path, f.read(path))) == want.content {
				return nil
			}
		}
	}
	return fmt.Errorf("the file of %s of %s is lost", target, mol)
}

// checkResults is an error if a row says OK and lacks a result. Damaged molecules are passed over.
func (v *victim) checkResults(rows [][]string, damaged map[string]bool) error {
	for n, row := range rows[1:] {
		if row[statusColumn] != "OK" || damaged[row[0]] {
			continue
		}
		for _, target := range targets {
			want := result{content: wanted(n, target, of(row))}
			if err := has(v, row[0], target, want); err != nil {
				return fmt.Errorf("the row of %s says OK, but %w", row[0], err)
			}
		}
	}
	return nil
}

var decoder, _ = zstd.NewReader(nil)

func unpacked(path string, data []byte) []byte {
	if strings.HasSuffix(path, ".zst") {
		data, _ = decoder.DecodeAll(data, nil)
	}
	return data
}

// event is a line of the journal.
type event struct {
	Event, Mol, Stage, Outcome string
	Instance                   int
	Seconds                    float64
}

func (e event) target() string {
	if e.Instance > 0 {
		return fmt.Sprintf("%s/%d", e.Stage, e.Instance)
	}
	return e.Stage
}

// computed says whether the event is the good end of a program.
func (e event) computed() bool {
	return e.Event == "target_end" && e.Outcome == "ok" && slices.Contains(targets, e.target())
}

// ledger says which targets ended well, and finds one that was computed twice.
type ledger struct {
	offset   int
	finished map[string]bool // by molecule, target and what the target depends on
}

// follow reads the new events of the journal, all of batches with these settings, and returns the
// molecules whose row was written.
func (l *ledger) follow(journal []byte, s settings) (rows []string, err error) {
	if l.finished == nil || len(journal) < l.offset {
		*l = ledger{finished: map[string]bool{}}
	}
	text := journal[l.offset:]
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	l.offset += len(text)
	for line := range bytes.Lines(text) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		if e.Event == "row" {
			rows = append(rows, e.Mol)
		}
		if !e.computed() {
			continue
		}
		name := e.Mol + "/" + e.target() + " " + s.word
		if e.Stage == "c" {
			name += " " + s.last
		}
		if l.finished[name] {
			return rows, fmt.Errorf("%s was computed twice", name)
		}
		l.finished[name] = true
	}
	return rows, nil
}

// forget takes the results of a molecule out, because a test has destroyed one.
func (l *ledger) forget(mol string) {
	for name := range l.finished {
		if strings.HasPrefix(name, mol+"/") {
			delete(l.finished, name)
		}
	}
}
