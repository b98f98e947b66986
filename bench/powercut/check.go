package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// settings are what a batch computes with.
type settings struct{ word, keep, broken string }

func (s settings) args() []string {
	return []string{"batch", "-set=word=" + s.word + ",keep=" + s.keep + ",broken=" + s.broken}
}

// truth is what an undisturbed batch in a fresh folder makes.
type truth struct {
	table   string
	targets map[string]map[string]*store.Record // by molecule and target
}

var changing = regexp.MustCompile(`(?m),OK,\d*,§|\d{4}-\d\d-\d\dT[0-9:+-]+|\d{8}-\d{6}-\d+`)

// promise is what a batch had said at some time.
type promise struct {
	op      int // from then on
	version int // the table has at least these rows
	mol     string
	target  string // this target took its time, and is not to be lost
	record  *store.Record
}

// rows of a table that say OK, with what they were computed with.
func okRows(table []byte) (map[string]settings, map[string]string, error) {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, nil, fmt.Errorf("the table: %w", err)
	}
	ok, text := map[string]settings{}, map[string]string{}
	for _, row := range rows[1:] {
		if row[3] == "OK" {
			ok[row[0]] = settings{row[7], row[8], "none"}
			text[row[0]] = strings.Join(row, "\x00")
		}
	}
	return ok, text, nil
}

// check looks at a state without running anything: the table is one that was written, no older than what the batch had said, and all
// that it says is OK is there, with a record of it. What the index would be believed about is what was written.
func (r *run) check(s *state, p int) error {
	needed := 0
	var costly []promise
	for _, pr := range r.promises {
		if pr.op <= p {
			needed = max(needed, pr.version)
			if pr.record != nil {
				costly = append(costly, pr)
			}
		}
	}
	table := s.files[tableName].data
	n := slices.IndexFunc(r.versions[needed:], func(v []byte) bool { return bytes.Equal(v, table) })
	if n < 0 {
		return fmt.Errorf("the table is none that was written, or an old one: %.60q", table)
	}
	ok, _, err := okRows(table)
	if err != nil {
		return err
	}
	for mol, set := range ok {
		want, err := r.truth(set)
		if err != nil {
			return err
		}
		for target, rec := range want.targets[mol] {
			if err := s.has(mol, target, rec); err != nil {
				return fmt.Errorf("the row of %s says OK, but %w", mol, err)
			}
		}
	}
	for mol, v := range r.trusted(s) {
		for _, name := range v.files {
			f := s.files["artefacts/"+mol+"/"+name]
			if !bytes.Equal(f.data, r.cutter.content(f.node, whole, nil)) {
				return fmt.Errorf("the index vouches for %s of %s, which is not what was written", name, mol)
			}
		}
	}
	for _, pr := range costly {
		if err := s.has(pr.mol, pr.target, pr.record); err != nil {
			return fmt.Errorf("%s of %s had been computed for long, but %w", pr.target, pr.mol, err)
		}
	}
	return nil
}

// has is an error if the state lacks a target with this fingerprint, in its place or in the history, or a record of it.
func (s *state) has(mol, target string, want *store.Record) error {
	home := "artefacts/" + mol + "/"
	past := home + ".history/" + strings.ReplaceAll(target, "/", ".") + "/" + want.Fingerprint[:16]
	var m store.Manifest
	damaged := json.Unmarshal(s.files[home+"manifest.json"].data, &m)
	rec := m.Targets[target]
	if rec == nil || rec.Fingerprint != want.Fingerprint || rec.Outcome != store.OK {
		rec = &store.Record{}
		if json.Unmarshal(s.files[past+".json"].data, rec) != nil || rec.Fingerprint != want.Fingerprint {
			if damaged != nil {
				return fmt.Errorf("there is no whole manifest")
			}
			return fmt.Errorf("there is no record of %s", target)
		}
	}
	for name, out := range want.Outputs {
		if rec.Outputs[name] != out {
			return fmt.Errorf("the record of %s has another %s", target, name)
		}
		here, before := s.files[home+target+"/"+out.File], s.files[past+"/"+out.File]
		if sum(here.data) != out.SHA256 && sum(before.data) != out.SHA256 {
			return fmt.Errorf("the file of %s is lost", target)
		}
	}
	return nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// recover runs the next batch in a state, and looks at what it computes and at what it leaves.
func (r *run) recover(s *state, p int, set settings) error {
	dir, err := os.MkdirTemp(r.dir, "state-")
	if err != nil {
		return err
	}
	if err := r.settle(s, dir); err != nil {
		return err
	}
	cmd := exec.Command(r.mage, set.args()...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the next batch: %w: %s (in %s)", err, said, dir)
	}
	if err := r.recovered(s, dir, set, set == r.phase(p).mended()); err != nil {
		return fmt.Errorf("%w (in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

// recovered is what must hold after the next batch. same is whether it computed with what the batch before the cut did: then an OK row is not written again;
// with other settings a result may come back from the history, which is written down.
func (r *run) recovered(s *state, dir string, set settings, same bool) error {
	want, err := r.truth(set)
	if err != nil {
		return err
	}
	table, err := os.ReadFile(filepath.Join(dir, tableName))
	if err != nil {
		return err
	}
	if got := changing.ReplaceAllString(string(table), "#"); got != want.table {
		return fmt.Errorf("the next batch's table is not that of an undisturbed one")
	}
	st, err := store.Open(filepath.Join(dir, "artefacts"))
	if err != nil {
		return err
	}
	for mol, targets := range want.targets {
		m, err := st.Manifest(mol)
		if err != nil {
			return err
		}
		for target, rec := range targets {
			if got := m.Targets[target]; got == nil || got.Fingerprint != rec.Fingerprint || got.Outputs["out"] != rec.Outputs["out"] {
				return fmt.Errorf("after the next batch %s of %s is recorded as another", target, mol)
			}
			if why := st.Verify(mol, target, rec); why != "" {
				return fmt.Errorf("after the next batch, %s of %s: %s", target, mol, why)
			}
		}
	}
	ok, text, err := okRows(s.files[tableName].data)
	if err != nil {
		return err
	}
	_, now, err := okRows(table)
	if err != nil {
		return err
	}
	for mol, was := range ok {
		if was != set {
			delete(ok, mol)
		} else if same && now[mol] != text[mol] {
			return fmt.Errorf("%s was OK, and its row was written again: %q became %q", mol, text[mol], now[mol])
		}
	}
	return computedAgain(filepath.Join(dir, "artefacts", store.JournalName), len(s.files["artefacts/"+store.JournalName].data), ok)
}

// computedAgain is an error if what the journal says behind an offset is of a molecule that was OK.
func computedAgain(path string, offset int, ok map[string]settings) error {
	data, err := os.ReadFile(path)
	if err != nil && len(ok) == 0 {
		return nil
	}
	for line := range bytes.Lines(data[min(offset, len(data)):]) {
		var e journal.Event
		if json.Unmarshal(line, &e) != nil || e.Event != journal.TargetEnd {
			continue
		}
		if _, was := ok[e.Mol]; was && e.Outcome == journal.OK {
			return fmt.Errorf("%s was OK, and its stage %s was computed again", e.Mol, e.Stage)
		}
	}
	return nil
}

// vouched is a line of the index: for these files, as they were when it was written.
type vouched struct {
	key   [16]byte
	row   string
	files []string
	stats []stat
}

// stat stands for inode, size and times of a file: on a real disk they are the same after a power cut if nothing was written to it since.
type stat struct{ node, size, writes int }

func (c *cutter) stat(f file) stat { return stat{f.node, len(f.data), len(c.writes[f.node])} }

// settle writes a state into a folder. What the state's index would vouch for on the real disk, where inodes and times survive, it vouches for in the
// copy too.
func (r *run) settle(s *state, dir string) error {
	for _, d := range s.dirs {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for path, f := range s.files {
		if err := os.WriteFile(filepath.Join(dir, path), f.data, 0o644); err != nil {
			return err
		}
	}
	st, err := store.Open(filepath.Join(dir, "artefacts"))
	if err != nil {
		return err
	}
	trusted := r.trusted(s)
	if len(trusted) == 0 {
		return nil
	}
	x := st.Index()
	time.Sleep(50 * time.Millisecond) // until the copies are old enough for their time stamps to be trusted
	for mol, v := range trusted {
		x.Forget(mol)
		if err := x.Note(mol, v.key, v.row, v.files, x.Digest(mol, v.files)); err != nil {
			return err
		}
	}
	return x.Close()
}

// trusted are the lines of a state's index, by molecule, that the next batch would believe on the real disk.
func (r *run) trusted(s *state) map[string]vouched {
	out := map[string]vouched{}
	for line := range bytes.Lines(s.files["artefacts/"+store.IndexName].data) {
		f := strings.Split(string(line), "\t")
		if f[0] != "mol" || len(f) < 2 {
			continue
		}
		delete(out, f[1]) // the last line counts
		v, ok := r.vouched[string(line)]
		for n, name := range v.files {
			now, there := s.files["artefacts/"+f[1]+"/"+name]
			ok = ok && there && r.cutter.stat(now) == v.stats[n]
		}
		if ok {
			out[f[1]] = v
		}
	}
	return out
}
