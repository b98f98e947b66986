package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// phase is one recorded batch.
type phase struct {
	name string
	settings
	extra string // m0000 pauses in stage a: what took more than a second is flushed at once
	disk  bool   // the disk fails before the first row is written
	exit  int
	first int // its first operation
}

var phases = []phase{
	{name: "from nothing, until the disk fails", settings: settings{"0", "0", "0"}, disk: true,
		exit: 2},
	{name: "what the first left, and the rest", settings: settings{"0", "0", "0"}},
	{name: "everything is stale", settings: settings{"1", "0", "0"}, extra: ",pause=1.1"},
	{name: "the last stage is stale", settings: settings{"1", "1", "0"}},
	{name: "values are read again", settings: settings{"1", "1", "1"}},
	{name: "the edits are taken back", settings: settings{"0", "0", "0"}},
	{name: "a target fails", settings: settings{"2", "0", "0"}, extra: ",broken=m0001", exit: 1},
	{name: "the failure is corrected", settings: settings{"2", "0", "0"}},
}

// promise is what a batch had written in the journal.
type promise struct {
	op      int // from this operation on
	version int // the table is at least this version
	mol     string
	target  string // of a target that took its time; it is not to be lost
	result
}

// truth is what an undisturbed batch in a fresh project makes.
type truth struct {
	table   string
	targets map[string]map[string]result // by molecule and target
}

// cuts are one recording and what is found in its states.
type cuts struct {
	*victim
	phases   []phase
	cutter   *cutter
	truths   map[settings]*truth
	versions [][]byte // of the table
	promises []promise
	index    indexed
	found    map[string]int
}

// sample names a state: a policy before an operation.
type sample struct{ p, policy int }

// TestPowerCut records batches by strace, and makes the states in which a disk may be after a power
// cut at each of their operations. It checks every state. From a sample of them it runs the next
// batch.
func TestPowerCut(t *testing.T) {
	if _, err := os.Stat("/usr/bin/strace"); err != nil {
		t.Skip("strace is needed")
	}
	t.Run("folders", func(t *testing.T) { powerCut(t, newVictim(t, 3), phases, *states) })
	t.Run("zips", func(t *testing.T) {
		v := newVictim(t, 2)
		v.keepAs("zip")
		powerCut(t, v, slices.Delete(slices.Clone(phases), 3, 5), *states/3)
	})
}

func powerCut(t *testing.T, v *victim, phases []phase, states int) {
	r := &cuts{victim: v, phases: slices.Clone(phases), truths: map[settings]*truth{},
		found: map[string]int{}}
	d := r.record()
	all, near := r.checkStates(d)
	rnd := rand.New(rand.NewPCG(*seed, 0))
	rnd.Shuffle(len(near), func(i, j int) { near[i], near[j] = near[j], near[i] })
	chosen := map[sample]bool{}
	for _, at := range near[:min(states, len(near))] {
		chosen[at] = true
	}
	r.each(d, func(at sample, cut func() *state) {
		if chosen[at] {
			r.report(at, r.recover(cut(), at.p, r.next(at.p, rnd)))
		}
	})
	t.Logf("-seed=%d: %d operations, %d different states, %d next batches, which trusted %d "+
		"entries of the index", *seed, len(d.ops), all, len(chosen), r.index.settled)
	for _, text := range sorted(r.found) {
		t.Errorf("%5d × %s", r.found[text], text)
	}
}

// checkStates returns how many states differ, and those just after a rename, a removal or a flush.
func (r *cuts) checkStates(d *disk) (all int, near []sample) {
	seen := map[uint64]bool{}
	hashSeed := maphash.MakeSeed()
	r.each(d, func(at sample, cut func() *state) {
		s := cut()
		if h := s.hash(hashSeed); !seen[h] {
			seen[h] = true
			r.report(at, r.check(s, at.p))
			if at.p > 0 && d.ops[at.p-1].kind != write {
				near = append(near, at)
			}
		}
	})
	return len(seen), near
}

// each makes all states.
func (r *cuts) each(d *disk, visit func(at sample, cut func() *state)) {
	r.cutter = newCutter(d)
	for more := true; more; more = r.cutter.next() {
		for n, pol := range policies {
			at := sample{r.cutter.p, n}
			visit(at, func() *state {
				rnd := rand.New(rand.NewPCG(*seed, uint64(at.p*len(policies)+n)))
				return r.cutter.cut(pol, rnd)
			})
		}
	}
}

// report counts errors by their kind, and prints the first of each.
func (r *cuts) report(at sample, err error) {
	if err == nil {
		return
	}
	kind, _, _ := strings.Cut(err.Error(), ": ")
	if r.found[kind]++; r.found[kind] == 1 {
		r.t.Logf("before operation %d (%s), %s: %v", at.p, r.phase(at.p).name,
			policies[at.policy].name, err)
	}
}

func (r *cuts) phase(p int) phase {
	for _, ph := range slices.Backward(r.phases) {
		if ph.first <= p {
			return ph
		}
	}
	return r.phases[0]
}

// next is what the batch after a cut computes with: the same as the batch before, or what came
// before that.
func (r *cuts) next(p int, rnd *rand.Rand) settings {
	if rnd.IntN(3) == 0 {
		p = max(r.phase(p).first-1, 0)
	}
	return r.phase(p).settings
}

func (s *state) hash(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, path := range sorted(s.files) {
		f := s.files[path]
		fmt.Fprintf(&h, "%s %d %d\n", path, f.node, len(f.data))
		h.Write(f.data)
	}
	return h.Sum64()
}

// record runs the phases.
func (r *cuts) record() *disk {
	fault := r.beforeTheFirstRow()
	r.reset()
	rec, err := newRecorder(r.dir)
	r.must(err)
	r.index = newIndexed(rec.disk, r.t.TempDir())
	r.versions = [][]byte{rec.content(tableName)}
	for n, ph := range r.phases {
		r.phases[n].first = len(rec.ops)
		// Batches are told apart by the second in which they began.
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		rec.written = func(path string) { r.wrote(rec.disk, path, ph.settings) }
		r.extra = ph.extra
		env := variable + "="
		if ph.disk {
			env += fault
		}
		cmd := r.command(ph.settings, env)
		if err := rec.record(cmd); err != nil {
			r.t.Fatalf("%s: %v", ph.name, err)
		}
		if code := cmd.ProcessState.ExitCode(); code != ph.exit {
			r.t.Fatalf("%s: the batch ended with %d, not %d", ph.name, code, ph.exit)
		}
	}
	r.extra = ""
	return rec.disk
}

// beforeTheFirstRow is a fault by which the disk fails just before a row is written.
func (r *cuts) beforeTheFirstRow() string {
	for n := 4; ; n += 4 {
		r.reset()
		r.batch(r.phases[0].settings, fmt.Sprintf("%s=%d:EIO+", variable, n))
		if bytes.Contains(r.read(tableName), []byte(",OK,")) {
			return fmt.Sprintf("%d:EIO+", n-4)
		}
	}
}

// wrote takes note of what a write to the journal or the index promises.
func (r *cuts) wrote(d *disk, path string, s settings) {
	if now := d.content(tableName); !bytes.Equal(now, r.versions[len(r.versions)-1]) {
		r.versions = append(r.versions, now)
	}
	switch {
	case path == journalName:
		r.promised(d, d.ops[len(d.ops)-1].data, s)
	case strings.HasPrefix(path, "artefacts/."):
		r.index.wrote()
	}
}

func (r *cuts) promised(d *disk, lines []byte, s settings) {
	for line := range bytes.Lines(lines) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		pr := promise{op: len(d.ops), version: len(r.versions) - 1, mol: e.Mol, target: e.target()}
		switch {
		case e.Event == "row":
			pr.target = ""
			r.promises = append(r.promises, pr)
		case e.computed() && e.Seconds > 1:
			records, _ := parseLog(d.content("artefacts/" + e.Mol +
				"/manifest.jsonl")) // not yet a zip
			for _, rec := range records {
				if rec.Target == pr.target {
					pr.fingerprint = rec.Fingerprint
				}
			}
			pr.version, pr.content = 0, wanted(0, pr.target, s)
			r.promises = append(r.promises, pr)
		}
	}
}

// truth is what an undisturbed batch makes with these settings.
func (r *cuts) truth(s settings) *truth {
	if t := r.truths[s]; t != nil {
		return t
	}
	v := newVictim(r.t, r.rows)
	r.must(v.undisturbed(s))
	t := &truth{table: comparable(v.read(tableName)), targets: map[string]map[string]result{}}
	for n := range r.rows {
		t.targets[mol(n)] = map[string]result{}
		records, _ := parseLog(v.read("artefacts/" + mol(n) + "/manifest.jsonl"))
		for _, rec := range records {
			if slices.Contains(targets, rec.Target) {
				t.targets[mol(n)][rec.Target] = result{rec.Fingerprint, wanted(n, rec.Target, s)}
			}
		}
	}
	r.truths[s] = t
	return t
}

// okRows are the rows of a table that say OK, by molecule.
func okRows(table []byte) (map[string][]string, error) {
	rows, err := parseTable(table)
	if err != nil {
		return nil, err
	}
	ok := map[string][]string{}
	for _, row := range rows[1:] {
		if row[statusColumn] == "OK" {
			ok[row[0]] = row
		}
	}
	return ok, nil
}

// check looks at a state without running anything. The table is one that was written, and no older
// than the journal had said. Each OK row has its results. The index vouches for what was written.
func (r *cuts) check(s *state, p int) error {
	needed := 0
	for _, pr := range r.promises {
		if pr.op > p {
			break
		}
		needed = max(needed, pr.version)
		if pr.target == "" {
			continue
		}
		if err := has(s, pr.mol, pr.target, pr.result); err != nil {
			return fmt.Errorf("a costly target was lost: %w", err)
		}
	}
	table := s.read(tableName)
	written := func(version []byte) bool { return bytes.Equal(version, table) }
	if !slices.ContainsFunc(r.versions[needed:], written) {
		return fmt.Errorf("the table is none that was written, or an old one: %.60q", table)
	}
	ok, err := okRows(table)
	if err != nil {
		return err
	}
	for mol, row := range ok {
		for target, want := range r.truth(of(row)).targets[mol] {
			if err := has(s, mol, target, want); err != nil {
				return fmt.Errorf("a row says OK: %w", err)
			}
		}
	}
	return r.index.check(s, r.cutter)
}

// recover runs the next batch in a state, and looks at what it computes and at what it leaves.
func (r *cuts) recover(s *state, p int, set settings) error {
	v := &victim{t: r.t, dir: filepath.Join(r.bin, "state"), bin: r.bin}
	r.must(os.RemoveAll(v.dir))
	r.must(os.Mkdir(v.dir, 0o755))
	for _, d := range s.dirs {
		r.must(os.Mkdir(v.path(d), 0o755))
	}
	for path, f := range s.files {
		v.put(path, string(f.data))
	}
	if err := r.index.settle(s, r.cutter, v.path("artefacts")); err != nil {
		return fmt.Errorf("the index can't be settled: %w", err)
	}
	if err := v.undisturbed(set); err != nil {
		return err
	}
	return r.recovered(v, s, set, set == r.phase(p).settings)
}

// recovered is what must hold after the next batch. same is whether the batch computed with what
// the batch before the cut did: then a row that was OK is not written again.
func (r *cuts) recovered(v *victim, s *state, set settings, same bool) error {
	want := r.truth(set)
	table := v.read(tableName)
	if got := comparable(table); got != want.table {
		return fmt.Errorf("the table of the next batch is not that of an undisturbed one: %s", got)
	}
	for mol, targets := range want.targets {
		for target, result := range targets {
			if err := has(v, mol, target, result); err != nil {
				return fmt.Errorf("after the next batch: %w", err)
			}
		}
	}
	before, err := okRows(s.read(tableName))
	if err != nil {
		return err
	}
	now, err := okRows(table)
	if err != nil {
		return err
	}
	for mol, row := range before {
		if of(row) != set {
			delete(before, mol)
		} else if same && !slices.Equal(now[mol], row) {
			return fmt.Errorf("a row that was OK is written again: %q became %q", row, now[mol])
		}
	}
	journal := v.read(journalName)
	for line := range bytes.Lines(journal[min(len(s.read(journalName)), len(journal)):]) {
		var e event
		if json.Unmarshal(line, &e) == nil && e.computed() && before[e.Mol] != nil {
			return fmt.Errorf("what was OK is computed again: %s of %s", e.target(), e.Mol)
		}
	}
	return v.litter()
}
