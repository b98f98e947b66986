package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The faults at an operation: the process is killed before it, or half way through an append; the
// disk fails once, or from then on.
var faults = []string{"", ":torn", ":ENOSPC", ":EIO+"}

var diskErrors = regexp.MustCompile("no space left on device|input/output error")

// scenario is a batch that is disturbed again and again, at each of its operations.
type scenario struct {
	name    string
	prepare func(o *operations) error
	edit    func(s *settings, n int) // before the n-th disturbed batch
	extra   string                   // settings of the disturbed batch alone
	forms   []string                 // in which molecules are kept, in turns
	exit    int                      // of the batch, if nothing disturbs it
}

var scenarios = []scenario{
	{name: "from nothing", prepare: func(o *operations) error {
		o.reset()
		o.ledger = ledger{}
		return nil
	}},
	{name: "everything is stale", edit: func(s *settings, n int) { s.word = fmt.Sprint(n) }},
	{name: "the last stage is stale", edit: func(s *settings, n int) { s.last = fmt.Sprint(n) }},
	{name: "an edit is taken back", edit: func(s *settings, n int) { s.word = fmt.Sprint(n % 2) }},
	{name: "values are read again", edit: func(s *settings, n int) { s.tag = fmt.Sprint(n) }},
	{name: "a target fails", edit: func(s *settings, n int) { s.word = fmt.Sprint(n) },
		extra: ",broken=m0001", exit: 1},
	{name: "a result was edited", prepare: func(o *operations) error {
		o.forget(mol(1))
		o.damaged = map[string]bool{mol(1): true}
		return os.WriteFile(o.path("artefacts/m0001/a/a.txt"), []byte("edited\n"), 0o644)
	}},
	{name: "from nothing, as zips", forms: []string{"zip"}, prepare: func(o *operations) error {
		o.reset()
		o.ledger = ledger{}
		return nil
	}},
	{name: "an edit is taken back in zips", forms: []string{"zip"},
		edit: func(s *settings, n int) { s.word = fmt.Sprint(n % 2) }},
	{name: "the form changes", forms: []string{"zip", "folder"}, edit: func(*settings, int) {}},
	{name: "the index is lost", prepare: func(o *operations) error {
		return os.Remove(o.path("artefacts/.index"))
	}},
}

// TestOperations disturbs the N-th durable operation of a batch, for N = 1, 2, … until the batch
// has fewer. The next batch must do the rest and nothing else, and give the same table.
func TestOperations(t *testing.T) {
	rows := 2
	if *full {
		rows = 3
	}
	v := newVictim(t, rows)
	zero := settings{"0", "0", "0"}
	v.must(v.undisturbed(zero))
	table := comparable(v.read(tableName))
	for i, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			o := &operations{victim: newVictim(t, rows), scenario: sc, table: table, now: zero}
			if o.prepare == nil {
				for o.runs = range 2 {
					o.edit(&o.now, o.runs)
					o.must(o.undisturbed(o.now))
					o.must(o.check())
				}
			} else {
				o.must(o.undisturbed(zero))
				o.must(o.check())
			}
			n := o.sweep(i + int(*seed%4))
			t.Logf("%d operations, %d disturbed batches, %d results", n, o.runs, len(o.finished))
		})
	}
}

type operations struct {
	*victim
	scenario
	ledger
	now     settings
	table   string          // with settings of zero
	damaged map[string]bool // molecules with an edited result
	runs    int
}

// sweep returns how many operations the batch has.
func (o *operations) sweep(first int) int {
	for n := 1; ; n++ {
		kinds := faults
		if !*full {
			kinds = faults[(first+n)%len(faults):][:1]
		}
		for _, kind := range kinds {
			passed, err := o.disturb(fmt.Sprint(n, kind))
			if err != nil {
				o.t.Fatalf("the fault %d%s: %v\n%s", n, kind, err, o.said())
			}
			if passed && !strings.Contains(kind, ":E") { // an error may have been got over
				return n - 1
			}
		}
	}
}

// disturb runs a batch with a fault and one without; passed is whether the first ended as if there
// had been none.
func (o *operations) disturb(fault string) (passed bool, err error) {
	o.runs++
	if o.prepare != nil {
		o.must(o.prepare(o))
	}
	if o.edit != nil {
		o.edit(&o.now, o.runs)
	}
	if len(o.forms) > 0 {
		o.keepAs(o.forms[o.runs%len(o.forms)])
	}
	before := o.reruns()
	o.victim.extra = o.scenario.extra
	code := o.batch(o.now, variable+"="+fault)
	o.victim.extra = ""
	if err := o.check(); err != nil {
		return false, err
	}
	switch {
	case code == o.exit:
		passed = true
	case !strings.Contains(fault, ":E"):
		if code != -1 {
			return false, fmt.Errorf("the batch ended with %d", code)
		}
	case code != 2 || !diskErrors.MatchString(o.said()):
		return false, fmt.Errorf("the batch ended with %d", code)
	case o.reruns() > before+o.exit:
		return false, fmt.Errorf("a rerun was counted")
	}
	return passed, o.finish()
}

// finish runs the next batch.
func (o *operations) finish() error {
	if err := o.undisturbed(o.now); err != nil {
		return err
	}
	if err := o.kept(); err != nil {
		return err
	}
	o.damaged = nil
	if err := o.check(); err != nil {
		return err
	}
	s := o.now
	want := strings.ReplaceAll(o.table, "-0.50,0 0,0,0,0,",
		fmt.Sprintf("-0.50,%s %s,%s,%s,%s,", s.word, s.tag, s.word, s.last, s.tag))
	if got := comparable(o.read(tableName)); got != want {
		return fmt.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	return o.litter()
}

// kept is an error if a molecule is not in the form that the pipeline says.
func (o *operations) kept() error {
	if len(o.forms) == 0 {
		return nil
	}
	found, err := filepath.Glob(o.path("artefacts/m*"))
	for _, path := range found {
		wantZip := o.forms[o.runs%len(o.forms)] == "zip"
		if strings.HasSuffix(path, ".zip") != wantZip {
			err = errors.Join(err, fmt.Errorf("%s is there", path))
		}
	}
	if len(found) != o.rows {
		err = errors.Join(err, fmt.Errorf("the artefacts are %v", found))
	}
	return err
}

func (o *operations) check() error {
	if err := o.survivors(); err != nil {
		return err
	}
	rows, err := o.checkTable()
	if err != nil {
		return err
	}
	if _, err := o.follow(o.read(journalName), o.now); err != nil {
		return err
	}
	return o.checkResults(rows, o.damaged)
}
