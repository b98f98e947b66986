package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sample is the log of a molecule with some of everything, and its records.
func sample(t testing.TB, s *Store) []byte {
	t.Helper()
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "hello")
	build(t, m, "a", printN("2"), "others")
	build(t, m, "c/1", print1, "hello")
	check(t, m.Drop("c/1"))
	check(t, m.PutRow(Row{Status: "OK", Cells: map[string]string{"hof": "-57.8"}}))
	data, err := os.ReadFile(m.path(logName))
	check(t, err)
	return data
}

// records counts the records of a target.
func records(m *Molecule, target string) (n int) {
	for _, r := range m.log {
		if r.Target == target {
			n++
		}
	}
	return n
}

// Each line is JSON that other programs read, with the checksum as its last member.
func TestLogIsJSON(t *testing.T) {
	data := sample(t, open(t))
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) != 6 || !strings.HasPrefix(string(lines[0]),
		`{"format":"grimperium manifest 2","molecule":"m","sum":"`) {
		t.Fatalf("%d lines:\n%s", len(lines), data)
	}
	for _, l := range lines {
		var v map[string]any
		if err := json.Unmarshal(l, &v); err != nil || len(v["sum"].(string)) != 8 ||
			bytes.Contains(l, []byte(`\u003e`)) {
			t.Errorf("%v: %s", err, l)
		}
	}
}

// An editor or a copy has given the log other line endings.
func TestLogCRLF(t *testing.T) {
	s := open(t)
	data := sample(t, s)
	crlf := bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
	check(t, os.WriteFile(s.Path("m", logName), crlf, 0o666))
	m, err := s.Molecule("m")
	check(t, err)
	if records(m, "a") != 2 || m.row == nil || m.Damage() != "" {
		t.Errorf("%d records, row %v, %s", records(m, "a"), m.row, m.Damage())
	}
}

// A log with any byte changed, or cut anywhere, has fewer records, and never a wrong one.
func TestLogDamaged(t *testing.T) {
	s := open(t)
	whole := sample(t, s)
	path := s.Path("m", logName)
	good := map[string]bool{}
	known := func(m *Molecule) string {
		var all []string
		for _, r := range m.log {
			text, err := json.Marshal(r)
			check(t, err)
			all = append(all, string(text))
		}
		if m.row != nil {
			all = append(all, fmt.Sprint(*m.row))
		}
		for _, text := range all {
			if len(good) > 0 && !good[text] {
				return text
			}
		}
		for _, text := range all {
			good[text] = true
		}
		return ""
	}
	known(molecule(t, s, "m"))
	try := func(data []byte, label string) *Molecule {
		t.Helper()
		check(t, os.WriteFile(path, data, 0o666))
		m, err := s.Molecule("m")
		var damaged *DamagedError
		if err != nil && !errors.As(err, &damaged) || m == nil {
			t.Fatalf("%s: %v", label, err)
		}
		if wrong := known(m); wrong != "" {
			t.Fatalf("%s: a record that was never written: %s", label, wrong)
		}
		return m
	}
	for n := range whole {
		if m := try(whole[:n], fmt.Sprint("cut at ", n)); m.Damage() != "" || m.replace {
			t.Fatalf("cut at %d, as by a crash: %s", n, m.Damage())
		}
		// without the last newline
		for _, bits := range []byte{0x01, 0x20, 0x80}[:min(3, 3*(len(whole)-1-n))] {
			flipped := bytes.Clone(whole)
			flipped[n] ^= bits
			label := fmt.Sprintf("byte %d flipped by %x", n, bits)
			if m := try(flipped, label); m.Damage() == "" && !m.replace {
				t.Fatalf("%s goes unseen", label)
			}
		}
	}
	m := try(append(bytes.Clone(whole[:len(whole)-20]), make([]byte, 100)...),
		"a power cut that left zeros")
	check(t, m.PutRow(Row{Status: "OK", Cells: map[string]string{"hof": "-57.8"}}))
	if m = molecule(t, s, "m"); m.Damage() != "" || m.Row() == nil || records(m, "a") != 2 {
		t.Errorf("after zeros: %s, %+v", m.Damage(), m.Row())
	}
}

// A torn line is ended by the next one, and a line that is damaged costs no other.
func TestLogGoesOn(t *testing.T) {
	s := open(t)
	whole := sample(t, s)
	path := s.Path("m", logName)
	first := bytes.IndexByte(whole, '\n') + 1
	for _, cut := range []int{0, 5, first - 1, first, first + 7, len(whole) - 1} {
		check(t, os.WriteFile(path, whole[:cut], 0o666))
		m := molecule(t, s, "m")
		check(t, m.Append(&Record{Target: "b", Fingerprint: print1, Outcome: Failed}))
		if m = molecule(t, s, "m"); m.Record("b") == nil || m.Damage() != "" || !m.header {
			t.Errorf("cut at %d: %+v, %s, header %t", cut, m.Record("b"), m.Damage(), m.header)
		}
	}
	for _, at := range []int{3, first + 20} {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1
		check(t, os.WriteFile(path, flipped, 0o666))
		m := molecule(t, s, "m")
		check(t, m.PutRow(Row{Status: "Rerun"}))
		if m = molecule(t, s, "m"); records(m, "a") == 0 || m.Row().Status != "Rerun" ||
			!m.header ||
			!strings.HasPrefix(m.Damage(), path+": 1 of its ") {
			t.Errorf("byte %d flipped: %+v, %+v, %s", at, m.log, m.Row(), m.Damage())
		}
	}
}

// A log of another molecule or format is of no use, and is replaced.
func TestLogForeign(t *testing.T) {
	s := open(t)
	whole := string(sample(t, s))
	newer, err := seal(struct {
		Format string `json:"format"`
	}{"grimperium manifest 3"})
	check(t, err)
	for name, c := range map[string]struct{ data, want string }{
		"another molecule": {whole, `is of the molecule "m"`},
		"another format":   {string(newer), `has the format "grimperium manifest 3", not`},
		"another file":     {"hello\n", "no line of it is whole"},
	} {
		check(t, os.MkdirAll(s.Path("m2"), 0o777))
		check(t, os.WriteFile(s.Path("m2", logName), []byte(c.data), 0o666))
		m, err := s.Molecule("m2")
		var damaged *DamagedError
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), c.want) ||
			len(m.Targets()) > 0 {
			t.Fatalf("%s: %v, %v", name, err, m)
		}
		build(t, m, "a", print1, "x")
		if m = molecule(t, s, "m2"); m.Damage() != "" || m.Record("a") == nil {
			t.Errorf("%s, replaced: %s", name, m.Damage())
		}
	}
}

func TestCompaction(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	for _, c := range []string{"1", "2", "3", "4", "5"} {
		build(t, m, "a", printN(c), "result "+c)
	}
	build(t, m, "c/1", print1, "x")
	check(t, m.Drop("c/1"))
	check(t, m.Append(&Record{Target: "b", Fingerprint: print1, Outcome: Failed, Reruns: 3}))
	for n := range 60 {
		check(t, m.PutRow(Row{Status: fmt.Sprint(n)}))
	}
	before := molecule(t, s, "m")
	check(t, before.PutRow(Row{Status: "last"}))
	after := molecule(t, s, "m")
	if after.lines != 1+4+2+1+1+1 { // the first, a, c/1 and its end, b, the row before, the row
		t.Errorf("%d lines are left of %d", after.lines, m.lines)
	}
	for _, c := range []string{"2", "3", "4", "5"} {
		if _, where := after.find("a", printN(c)); where == Nowhere {
			t.Errorf("%s is lost", c)
		}
	}
	if _, where := after.find("c/1", print1); where != Past || after.Record("c/1") != nil ||
		after.Record("b").Reruns != 3 || after.Row().Status != "last" {
		t.Errorf("after: %d, %+v, %+v", where, after.Record("b"), after.Row())
	}
}

// Readers see whole records only, while others are added and the log is rewritten.
func TestReader(t *testing.T) {
	s := inMemory(t)
	results := 10000
	if testing.Short() {
		results = 500
	}
	check(t, os.MkdirAll(s.Path("m"), 0o777))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		last, reads := 0, 0
		for {
			m, err := s.Molecule("m")
			if err != nil || m.Damage() != "" {
				t.Errorf("read %d: %v, %s", reads, err, m.Damage())
				return
			}
			if r := m.Record("a"); r != nil {
				if r.Attempt < last {
					t.Errorf("read %d: result %d after %d", reads, r.Attempt, last)
				}
				last = r.Attempt
			}
			reads++
			select {
			case <-stop:
				t.Logf("%d reads", reads)
				return
			default:
			}
		}
	})
	m := molecule(t, s, "m")
	for n := 1; n <= results && !t.Failed(); n++ {
		if n%100 == 0 {
			m = molecule(t, s, "m") // another batch, which rewrites the log
		}
		dir, err := s.Scratch("m/a")
		check(t, err)
		check(t, os.WriteFile(filepath.Join(dir, "out"), []byte(fmt.Sprint(n)), 0o666))
		r := &Record{Target: "a", Fingerprint: fmt.Sprintf("%064d", n), Outcome: OK, Attempt: n,
			Description: []string{strings.Repeat("long ", 50)}}
		check(t, m.Put(r, dir, Collect(dir, map[string]string{"x": "out"}, 1<<30), nil, nil))
	}
	close(stop)
	wg.Wait()
}

func FuzzLog(f *testing.F) {
	s := inMemory(f)
	f.Add(sample(f, s))
	for _, v := range []any{
		map[string]any{"format": format, "molecule": "m"},
		&Record{Target: "../x", Fingerprint: print1},
		&Record{Target: ".", Fingerprint: print1, Outcome: OK},
		&Record{Target: ".history", Fingerprint: print1, Outcome: OK},
		&Record{Target: "a", Fingerprint: print1, Outcome: OK,
			Outputs: map[string]Output{"x": {File: "../../etc/passwd", SHA256: print1}}},
		map[string]any{"row": &Row{Status: "OK"}}, map[string]any{"dropped": "../.."},
	} {
		text, err := seal(v)
		check(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, os.WriteFile(s.Path("m", logName), data, 0o666))
		for range 2 {
			m, err := s.Molecule("m")
			if m == nil || err != nil && len(m.Targets()) > 0 {
				t.Fatalf("%v, %+v", err, m)
			}
			for _, r := range m.log {
				if !filepath.IsLocal(r.Target) || r.Target[0] == '.' {
					t.Fatalf("target %q leaves the folder", r.Target)
				}
				_ = m.Verify(r.Target, r)
				for _, out := range r.Outputs {
					if !filepath.IsLocal(out.File) {
						t.Fatalf("output %q leaves the folder", out.File)
					}
				}
			}
			before := len(m.Targets())
			check(t, m.PutRow(Row{Status: "OK"}))
			if m, err = s.Molecule("m"); err != nil || m.Row().Status != "OK" ||
				len(m.Targets()) != before {
				t.Fatalf("after a row: %v, %+v", err, m)
			}
		}
	})
}
