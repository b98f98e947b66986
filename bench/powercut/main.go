// Powercut records what real batches and their programs do to the disk, by strace, makes the states in which a disk may be after a power cut at each
// of these operations, and checks in each that nothing finished is lost; from a sample of them it runs the next batch. docs/reliability.md says what is
// supposed of a disk.
//
//	go run ./bench/powercut -molecules 3 -states 500
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash/maphash"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/internal/fault"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

func main() {
	log.SetFlags(0)
	molecules := flag.Int("molecules", 3, "rows of the table")
	states := flag.Int("states", 500, "states from which the next batch is run; 0: all that differ, beside a rename or a flush")
	every := flag.Int("every", 1, "only every so many-th state is looked at")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is left to chance")
	flag.Parse()
	dir, err := os.MkdirTemp("", "grimperium-powercut-")
	if err == nil {
		err = powercut(os.Stdout, dir, *molecules, *states, *every, *seed)
	}
	if err != nil {
		log.Fatalf("%v (what is left is in %s)", err, dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		log.Fatal(err)
	}
}

const (
	tableName = "data/table.csv"
	pipeline  = `pipeline {
  table      = "data/table.csv"
  max_reruns = 1000
  jobs       = 3
}
variable "word" { default = "0" }
variable "keep" { default = "mode" }
variable "broken" { default = "none" }
stage "a" {
  command = ["sh", "-c", "printf '%%s\\n' z \"$0\" \"$1\" b; test \"$2\" != m0000 || sleep $(cat %s)", mol.smiles, var.word, mol.mol_id]
  outputs = { out = "stdout" }
}
stage "b" {
  command = ["sort", mol.mol_id == var.broken ? "--broken" : "--", stage.a.out]
  outputs = { out = "stdout" }
  values  = { text = split("\n", file(output.out))[0] }
}
stage "c" {
  for_each = ["x", "y"]
  command  = ["cp", "--no-preserve=${var.keep}", stage.b.out, "copy"]
  outputs  = { out = "copy" }
}
merge {
  text = stage.b.text
  keep = var.keep
}
`
)

// phase is one recorded batch.
type phase struct {
	name string
	settings
	pause string // how long stage a of one molecule takes, in seconds: what took more than one is flushed at once
	fault string
	exit  int
	first int // its first operation
}

var phases = []phase{
	{name: "from nothing, ended before the first row", settings: settings{"0", "mode", "none"}, pause: "0", fault: fault.Before("csvmerge.write") + ":1:EIO+", exit: 2},
	{name: "what the first left, and the others", settings: settings{"0", "mode", "none"}, pause: "0"},
	{name: "every stage stale", settings: settings{"1", "mode", "none"}, pause: "1.1"},
	{name: "the last stage stale", settings: settings{"1", "links", "none"}, pause: "0"},
	{name: "taken back", settings: settings{"0", "mode", "none"}, pause: "0"},
	{name: "a failure", settings: settings{"2", "mode", "m0001"}, pause: "0", exit: 1},
	{name: "the failure mended", settings: settings{"2", "mode", "none"}, pause: "0"},
}

// run is one recording, and what is found in its states.
type run struct {
	dir, mage string
	rows      int
	phases    []phase
	cutter    *cutter
	truths    map[settings]*truth
	versions  [][]byte // of the table
	promises  []promise
	vouched   map[string]vouched // by line of the index
	lists     map[string][]string
}

func powercut(out io.Writer, dir string, molecules, states, every int, seed uint64) error {
	r := &run{dir: dir, mage: filepath.Join(dir, "mage"), rows: molecules, phases: slices.Clone(phases), truths: map[settings]*truth{},
		vouched: map[string]vouched{}, lists: map[string][]string{}}
	if err := compile(r.mage); err != nil {
		return err
	}
	d, err := r.record()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d molecules, %d batches, %d operations; seed %d\n", molecules, len(phases), len(d.ops), seed)
	found := map[string]int{}
	var distinct []sample
	all := 0
	seen := map[uint64]bool{}
	hashSeed := maphash.MakeSeed()
	err = r.each(d, seed, func(at sample, cut func() *state) error {
		if all++; all%every != 0 {
			return nil
		}
		s := cut()
		if h := s.hash(hashSeed); !seen[h] {
			seen[h] = true
			if err := r.check(s, at.p); err != nil {
				r.report(out, found, at, err)
			}
			if at.near(d) {
				distinct = append(distinct, at)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d states, %d of them different, were checked\n", all/every, len(seen))
	rnd := rand.New(rand.NewPCG(seed, 0))
	rnd.Shuffle(len(distinct), func(i, j int) { distinct[i], distinct[j] = distinct[j], distinct[i] })
	if states > 0 {
		distinct = distinct[:min(states, len(distinct))]
	}
	chosen := map[sample]bool{}
	for _, at := range distinct {
		chosen[at] = true
	}
	err = r.each(d, seed, func(at sample, cut func() *state) error {
		if chosen[at] {
			if err := r.recover(cut(), at.p, r.next(at.p, rnd)); err != nil {
				r.report(out, found, at, err)
			}
		}
		return nil
	})
	fmt.Fprintf(out, "%d next batches were run\n", len(distinct))
	if len(found) > 0 {
		for _, text := range sorted(found) {
			fmt.Fprintf(out, "%5d × %s\n", found[text], text)
		}
		return fmt.Errorf("promises were broken")
	}
	fmt.Fprintln(out, "Nothing finished was lost or made twice.")
	return err
}

// compile makes the command. It is tried again: mage writes its main function into the module's folder, where another mage may be at it.
func compile(mage string) (err error) {
	for range 5 {
		build := exec.Command("go", "tool", "mage", "-f", "-compile", mage)
		var root []byte
		if root, err = exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output(); err != nil {
			return err
		}
		build.Dir = strings.TrimSpace(string(root))
		if err = build.Run(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the command can't be compiled: %w", err)
}

// sample names a state: a policy before an operation.
type sample struct{ p, policy int }

// near says whether the cut comes just after a rename, a removal or a flush.
func (at sample) near(d *disk) bool { return at.p > 0 && d.ops[at.p-1].kind != write }

// each makes all states.
func (r *run) each(d *disk, seed uint64, visit func(at sample, cut func() *state) error) error {
	r.cutter = newCutter(d)
	for more := true; more; more = r.cutter.next() {
		for n, pol := range policies {
			at := sample{r.cutter.p, n}
			cut := func() *state { return r.cutter.cut(pol, rand.New(rand.NewPCG(seed, uint64(at.p*len(policies)+n)))) }
			if err := visit(at, cut); err != nil {
				return err
			}
		}
	}
	return nil
}

// report counts what was found by its kind, and prints the first of each.
func (r *run) report(out io.Writer, found map[string]int, at sample, err error) {
	kind, _, _ := strings.Cut(err.Error(), ": ")
	if found[kind]++; found[kind] == 1 {
		fmt.Fprintf(out, "before operation %d (%s), %s: %v\n", at.p, r.phase(at.p).name, policies[at.policy].name, err)
	}
}

func (r *run) phase(p int) phase {
	for _, ph := range slices.Backward(r.phases) {
		if ph.first <= p {
			return ph
		}
	}
	return r.phases[0]
}

// next is what the batch after a cut computes with: the same, with every failure mended, or what came before.
func (r *run) next(p int, rnd *rand.Rand) settings {
	if rnd.IntN(3) == 0 {
		p = max(r.phase(p).first-1, 0)
	}
	return r.phase(p).mended()
}

func (ph phase) mended() settings { return settings{ph.word, ph.keep, "none"} }

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

// project makes a fresh project.
func (r *run) project(name string) (string, error) {
	dir := filepath.Join(r.dir, name)
	var table strings.Builder
	table.WriteString("\ufeffmol_id,note,smiles,status,reruns,mark,H298_cbs,text,keep\r\n")
	for n := range r.rows {
		fmt.Fprintf(&table, "m%04d,\"a, \"\"b\"\"\r\n é %d\",C%s,Pending,,§,-0.50,,\r\n", n, n, strings.Repeat("C", n))
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, tableName), []byte(table.String()), 0o644); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "pipeline.hcl"), fmt.Appendf(nil, pipeline, filepath.Join(r.dir, "pause")), 0o644)
}

func (r *run) pause(seconds string) error {
	return os.WriteFile(filepath.Join(r.dir, "pause"), []byte(seconds), 0o644)
}

// record runs the phases.
func (r *run) record() (*disk, error) {
	dir, err := r.project("recorded")
	if err != nil {
		return nil, err
	}
	rec, err := newRecorder(dir)
	if err != nil {
		return nil, err
	}
	r.versions = [][]byte{rec.nodes[rec.lookup(tableName)].data}
	for n, ph := range r.phases {
		r.phases[n].first = len(rec.ops)
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // batches are told apart by the second in which they began
		rec.written = func(path string) { r.wrote(rec.disk, path, ph.settings) }
		if err := r.pause(ph.pause); err != nil {
			return nil, err
		}
		cmd := exec.Command(r.mage, ph.args()...)
		cmd.Env = append(os.Environ(), fault.Variable+"="+ph.fault)
		if err := rec.record(cmd); err != nil {
			return nil, fmt.Errorf("%s: %w", ph.name, err)
		}
		if code := cmd.ProcessState.ExitCode(); code != ph.exit {
			return nil, fmt.Errorf("%s: the batch ended with %d, not %d", ph.name, code, ph.exit)
		}
	}
	return rec.disk, r.pause("0")
}

// wrote takes note of what a write to the journal or the index promises.
func (r *run) wrote(d *disk, path string, set settings) {
	data := d.ops[len(d.ops)-1].data
	if now := d.nodes[d.lookup(tableName)].data; !bytes.Equal(now, r.versions[len(r.versions)-1]) {
		r.versions = append(r.versions, now)
	}
	switch {
	case path == "artefacts/"+store.JournalName:
		r.promised(d, data, set)
	case strings.HasPrefix(path, "artefacts/."):
		for line := range bytes.Lines(data) {
			r.indexed(d, strings.TrimSuffix(string(line), "\n"))
		}
	}
}

func (r *run) promised(d *disk, line []byte, set settings) {
	var e journal.Event
	if json.Unmarshal(line, &e) != nil {
		return
	}
	pr := promise{op: len(d.ops), version: len(r.versions) - 1, mol: e.Mol, target: e.Stage}
	switch {
	case e.Event == journal.Row:
		r.promises = append(r.promises, pr)
	case e.Event == journal.TargetEnd && e.Outcome == journal.OK && e.Seconds > 1:
		var m store.Manifest
		if json.Unmarshal(d.nodes[d.lookup("artefacts/"+e.Mol+"/manifest.json")].data, &m) == nil {
			pr.version, pr.record = 0, m.Targets[e.Stage]
			r.promises = append(r.promises, pr)
		}
	}
}

func (r *run) indexed(d *disk, line string) {
	f := strings.Split(line, "\t")
	switch {
	case f[0] == "files" && len(f) > 2:
		r.lists[f[1]] = f[2:]
	case f[0] == "mol" && len(f) == 6:
		v := vouched{files: r.lists[f[4]]}
		key, err := hex.DecodeString(f[2])
		if err != nil || copy(v.key[:], key) != len(v.key) {
			return
		}
		if v.row, err = strconv.Unquote(f[len(f)-1]); err != nil {
			return
		}
		for _, name := range v.files {
			n := d.lookup("artefacts/" + f[1] + "/" + name)
			writes := 0
			for _, o := range d.ops {
				if o.node == n && (o.kind == write || o.kind == cut) {
					writes++
				}
			}
			v.stats = append(v.stats, stat{n, len(d.nodes[n].data), writes})
		}
		r.vouched[line+"\n"] = v
	}
}

// truth is what an undisturbed batch makes with these settings.
func (r *run) truth(set settings) (*truth, error) {
	if t := r.truths[set]; t != nil {
		return t, nil
	}
	dir, err := r.project("undisturbed" + strconv.Itoa(len(r.truths)))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(r.mage, set.args()...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("an undisturbed batch: %w: %s", err, said)
	}
	table, err := os.ReadFile(filepath.Join(dir, tableName))
	if err != nil {
		return nil, err
	}
	t := &truth{table: changing.ReplaceAllString(string(table), "#"), targets: map[string]map[string]*store.Record{}}
	st, err := store.Open(filepath.Join(dir, "artefacts"))
	if err != nil {
		return nil, err
	}
	for n := range r.rows {
		m, err := st.Manifest(fmt.Sprintf("m%04d", n))
		if err != nil {
			return nil, err
		}
		t.targets[m.Molecule] = m.Targets
	}
	r.truths[set] = t
	return t, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
