package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"grimperium/internal/durable"
	"grimperium/internal/packed"
)

// crash is what a fault panics with in the place of a process that ends.
type crash struct{}

var compactions, zips int

// history is one random history of a molecule. A batch of it may end at any operation.
type history struct {
	t        *testing.T
	s        *Store
	m        *Molecule
	rnd      *rand.Rand
	done     map[string][]string // by target, the finished words, the latest last
	computed int
	label    string
	visited  [2]string // target and word of a visit that is not at its end
}

// stay are the words of a target that must be found.
func (h *history) stay(target string) []string {
	done := h.done[target]
	return done[max(0, len(done)-earlierResults):]
}

func (h *history) open() {
	m, err := h.s.Molecule("m")
	if err != nil {
		h.t.Fatalf("%s: %v", h.label, err)
	}
	if m.Damage() != "" {
		h.t.Fatalf("%s: %s", h.label, m.Damage())
	}
	h.m = m
	target, word := h.visited[0], h.visited[1]
	r, where := m.find(target, printOf(word))
	// ended after its record, and the content is there
	if where != Nowhere && m.Record(target) == r {
		h.finish(target, word)
	}
	h.visited = [2]string{}
	for target := range h.done {
		for _, word := range h.stay(target) {
			if r, where := m.find(target, printOf(word)); where == Nowhere {
				h.t.Fatalf("%s: %s of %v is lost", h.label, word, h.done[target])
			} else if string(r.Values) != fmt.Sprintf(`{"word":%q}`, word) {
				h.t.Fatalf("%s: %s has the record of %v", h.label, word, r.Values)
			}
		}
	}
	if found, _ := packed.ReadDir(h.s.Path("m")); slices.ContainsFunc(found,
		func(name string) bool { return len(name) > 12 && name != logName }) {
		h.t.Fatalf("%s: put aside as edited by hand: %v", h.label, found)
	}
}

func printOf(word string) string { return fmt.Sprintf("%064s", word) }

// visit brings a target to a word, as a batch does.
func (h *history) visit(target, word string) error {
	h.visited = [2]string{target, word}
	r, where := h.m.find(target, printOf(word))
	switch {
	case where == Here && h.m.Record(target) == r:
	case where != Nowhere:
		if err := h.m.Restore(r); err != nil {
			return err
		}
	case slices.Contains(h.stay(target), word):
		h.t.Fatalf("%s: %s is computed again", h.label, word)
	default:
		if err := h.compute(target, word); err != nil {
			return err
		}
	}
	h.finish(target, word)
	h.visited = [2]string{}
	if r := h.m.Record(target); r.Fingerprint != printOf(word) || h.m.Verify(target, r) != "" {
		h.t.Fatalf("%s: %s is not in its place: %s", h.label, word, h.m.Verify(target, r))
	}
	return nil
}

func (h *history) finish(target, word string) {
	others := slices.DeleteFunc(h.done[target], func(w string) bool { return w == word })
	h.done[target] = append(others, word)
}

func (h *history) compute(target, word string) error {
	h.computed++
	dir, err := h.s.Scratch("m/" + target)
	if err != nil {
		return err
	}
	content, outputs := word, map[string]string{"x": "x"}
	if word < "w2" { // other fingerprints, the same content
		content = "the same"
	}
	if word > "w3" { // more files, of which some are another's
		outputs["y"] = "y"
		content = "w3"
	}
	for _, file := range []string{"x", "y", "log"} {
		if err := os.WriteFile(dir+"/"+file, []byte(content), 0o666); err != nil {
			return err
		}
	}
	r := &Record{Target: target, Fingerprint: printOf(word), Outcome: OK,
		Values: fmt.Appendf(nil, `{"word":%q}`, word)}
	return h.m.Put(r, dir, Collect(dir, outputs, 1<<30), []string{"log"}, []string{"y"})
}

// step does one thing of a history.
func (h *history) step() error {
	target := []string{"a", "c/1"}[h.rnd.IntN(2)]
	word := fmt.Sprint("w", h.rnd.IntN(6))
	switch h.rnd.IntN(10) {
	case 0:
		return h.m.Append(&Record{Target: target, Fingerprint: printOf("f" + word),
			Outcome: Failed})
	case 1:
		if h.m.Record(target) == nil {
			return nil
		}
		return h.m.Drop(target)
	case 2:
		return h.m.PutRow(Row{Status: word})
	case 3: // another batch
		if h.rnd.IntN(8) == 0 {
			return h.m.Flush()
		}
		h.open()
		return nil
	case 4: // values are read again
		r, where := h.m.find(target, printOf(word))
		if where != Here || r != h.m.Record(target) {
			return nil
		}
		again := *r
		again.Reading = word
		return h.m.Append(&again)
	case 5, 6: // a visit ends well
		form := []Form{Zip, Zip, Folder, AsItWas}[h.rnd.IntN(4)]
		zip, err := h.m.Finish(form, h.m.Targets())
		if err == nil {
			err = h.s.Pack(zip)
		}
		if err == nil && zip != nil {
			zips++
			h.open()
		}
		return err
	}
	return h.visit(target, word)
}

// inMemory is a store where a flush costs nothing, if there is such a place.
func inMemory(t testing.TB) *Store {
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return open(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := Open(dir)
	check(t, err)
	return s
}

// failure is what happens at an operation.
type failure struct {
	label string
	fault func(op, path string) error
	only  string // counts this operation alone; "" for all
	ends  bool   // the process
	stays bool   // from then on
}

// run does a history with a fault at the n-th operation. fired is how many operations failed, 0 if
// there were not so many.
func run(t *testing.T, seed uint64, n int, f failure) (fired, computed int) {
	h := &history{t: t, s: inMemory(t), rnd: rand.New(rand.NewPCG(seed, 1)),
		done: map[string][]string{}, label: fmt.Sprintf("seed %d, %s at operation %d", seed,
			f.label, n)}
	var mu sync.Mutex
	count := 0
	durable.Fault = func(op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		if f.ends && (op == "sync" || op == "remove" && strings.Contains(path, "/folder.m.")) {
			return nil // in a goroutine of its own; it changes nothing here
		}
		if op == "write" && strings.HasSuffix(path, logName) {
			compactions++
		}
		if f.only != "" && op != f.only {
			return nil
		}
		if count++; count == n || f.stays && count > n {
			fired++
			return f.fault(op, path)
		}
		return nil
	}
	defer func() { durable.Fault = nil }()
	h.open()
	for range 24 {
		if h.attempt() {
			continue
		}
		if f.stays { // the disk is in order again with the next batch
			durable.Fault = nil
		}
		if err := h.s.Sweep(); err != nil {
			t.Fatal(err)
		}
		h.open()
	}
	h.open()
	return fired, h.computed
}

// attempt does one step and says whether the batch lives.
func (h *history) attempt() (lives bool) {
	defer func() {
		if x := recover(); x != nil && x != any(crash{}) {
			panic(x)
		}
	}()
	err := h.step()
	if err != nil && !errors.Is(err, syscall.EIO) {
		h.t.Fatalf("%s: %v", h.label, err)
	}
	return err == nil
}

// TestCrash ends a batch at each operation of random histories, half way through appends too, and
// has each operation fail, once and from then on. Afterwards what was finished is found, in its
// place or in the history, with its own record, and is never computed twice.
func TestCrash(t *testing.T) {
	end := func(string, string) error { panic(crash{}) }
	tear := func(string, string) error {
		return &durable.Torn{Then: func() error { panic(crash{}) }}
	}
	fail := func(op, path string) error { return fmt.Errorf("%s %s: %w", op, path, syscall.EIO) }
	histories, states, computed := 12, 0, 0
	defer func(n int) { slack = n }(slack)
	slack = -8 // so that short logs are compacted, too
	// each zip allocates a megabyte, of which a small heap makes a collection
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	if testing.Short() {
		histories = 4
	}
	once := failure{label: "an error", fault: fail}
	for seed := range uint64(histories) {
		for _, f := range []failure{
			{label: "a crash", fault: end, ends: true},
			{label: "a torn append", fault: tear, only: "append", ends: true},
			{label: "errors", fault: fail, stays: true},
		} {
			for n, fired := 1, 1; fired > 0; n++ {
				made := 0
				fired, made = run(t, seed, n, f)
				computed, states = computed+made, states+min(fired, 1)
				if fired > 1 { // else this is the history with one error
					_, made = run(t, seed, n, once)
					computed, states = computed+made, states+1
				}
			}
		}
	}
	t.Logf("%d states, %d results computed, %d logs compacted, %d zips", states, computed,
		compactions, zips)
	if compactions == 0 || zips == 0 {
		t.Error("no log was compacted, or no zip was made")
	}
}
