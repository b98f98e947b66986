package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 500e6, time.FixedZone("", 3600))

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func add(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// next reads all there is and returns a name per event.
func next(t testing.TB, r *Reader) string {
	t.Helper()
	var names []string
	for {
		events, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return strings.Join(names, " ")
		}
		for _, e := range events {
			names = append(names, e.Event+e.Mol)
		}
	}
}

func line(event string) string {
	return fmt.Sprintf(`{"time":"2026-03-04T11:00:00.500Z","event":%q}`+"\n", event)
}

func TestWriteLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "artefacts", "journal.jsonl")
	w := Create(path)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the journal was made before there was anything to say")
	}
	events := []Event{
		{Time: noon, Event: BatchStart, Batch: "b1", PID: 7, Host: "node", Table: "data/thermo_pm7.csv", Total: 2, Stages: []Stage{{"rdkit", "RDKit parameters"}, {"pm7", ""}}},
		{Time: noon, Event: TargetEnd, Mol: "mol_1", Stage: "pm7", Instance: 1, Instances: 3, Outcome: Failed, Seconds: 1.5, Error: "gap < 0 & \"odd\"\nline 2"},
		{Time: noon, Event: BatchEnd, Outcome: Done, Counts: map[string]int{"OK": 1, "Rerun": 1}},
	}
	for _, group := range [][]Event{events[:2], events[2:]} {
		if err := w.Write(group...); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	want := `{"time":"2026-03-04T11:00:00.500Z","event":"batch_start","batch":"b1","pid":7,"host":"node","table":"data/thermo_pm7.csv","total":2,"stages":[{"name":"rdkit","title":"RDKit parameters"},{"name":"pm7"}]}
{"time":"2026-03-04T11:00:00.500Z","event":"target_end","mol":"mol_1","stage":"pm7","instance":1,"instances":3,"outcome":"failed","seconds":1.5,"error":"gap < 0 & \"odd\"\nline 2"}
{"time":"2026-03-04T11:00:00.500Z","event":"batch_end","outcome":"done","counts":{"OK":1,"Rerun":1}}
`
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	read, err := Open(path).Next()
	if err != nil || len(read) != len(events) {
		t.Fatal(len(read), err)
	}
	for i, e := range read {
		if !e.Time.Equal(noon) {
			t.Errorf("time %v, want %v", e.Time, noon)
		}
		if e.Time = noon; !reflect.DeepEqual(e, events[i]) {
			t.Errorf("got  %+v\nwant %+v", e, events[i])
		}
	}
}

func TestWriteAfterTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	for _, torn := range []string{`{"time":"2026-`, line("row"), line("row") + `{}`, strings.TrimSuffix(line("row"), "\n")} {
		write(t, path, torn)
		w := Create(path)
		for range 2 {
			if err := w.Write(Event{Time: noon, Event: Note}); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		want := strings.TrimSuffix(torn, "\n") + "\n" + line(Note) + line(Note)
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("after %q:\n%s", torn, got)
		}
	}
}

func TestWriteConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	w, other := Create(path), Create(path)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				if err := []*Writer{w, other}[i%2].Write(Event{Event: Row, Error: strings.Repeat("x", 100*i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := strings.Count(next(t, Open(path)), Row); n != 800 {
		t.Errorf("%d whole lines of 800", n)
	}
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	err := Create(dir).Write(Event{Event: Note})
	if want := dir + ": the journal cannot be opened: is a directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := Open(dir).Next(); err == nil || !strings.HasPrefix(err.Error(), dir+": the journal cannot be read: ") {
		t.Errorf("reading a folder: %v", err)
	}
}

func TestReaderFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	r := Open(path)
	steps := []struct{ added, want string }{
		{"", ""},
		{line("a"), "a"},
		{"", ""},
		{line("b") + line("c"), "b c"},
		{`{"event":`, ""},
		{`"torn`, ""},
		{`"}`, ""},
		{"\n" + line("d")[:10], "torn"},
		{"\n" + line("e"), "e"}, // a crash; the next batch ends the torn line
		{"\n\n\x00\xff\n[1]\n{}\n\"x\"\n" + line("f"), "f"},
		{`{"event":"x","total":"many"}` + "\n" + line("g"), "g"},
		{`{"event":"new","of the future":[{}]}` + "\n", "new"},
		{strings.Repeat("x", maxLine+10), ""},
		{strings.Repeat("y", maxLine+10), ""},
		{line("z") + line("h"), "h"},
		{strings.Repeat("x", 3*maxLine) + "\n" + line("i"), "i"},
		{strings.Repeat(line("j"), 3), "j j j"},
	}
	for _, s := range steps {
		add(t, path, s.added)
		if got := next(t, r); got != s.want {
			t.Errorf("after %.40q: %q, want %q", s.added, got, s.want)
		}
	}
	write(t, path, line("new file"))
	if got := next(t, r); got != "new file" {
		t.Errorf("a shorter file: %q", got)
	}
}

func TestReaderLongJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	var b strings.Builder
	for i := range 40000 {
		fmt.Fprintf(&b, `{"time":"2026-03-04T11:00:00Z","event":"row","mol":"mol_%06d","outcome":"OK"}`+"\n", i)
	}
	write(t, path, b.String())
	if b.Len() < 2*chunk {
		t.Fatal("too short to need several parts")
	}
	seen := 0
	r := Open(path)
	for {
		events, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if want := fmt.Sprintf("mol_%06d", seen); e.Mol != want {
				t.Fatalf("got %s, want %s", e.Mol, want)
			}
			seen++
		}
	}
	if seen != 40000 {
		t.Errorf("%d events of 40000", seen)
	}
}

func TestOpenAtBatch(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	start := func(name, host string, pid int) string {
		return fmt.Sprintf(`{"event":"batch_start","mol":%q,"host":%q,"pid":%d}`+"\n", name, host, pid)
	}
	here, gone, away := start("here", host, os.Getpid()), start("gone", host, 1<<30), start("away", "another-host", 1<<30)
	rows, end := strings.Repeat(line("row"), 2), line(BatchEnd)
	many := strings.Repeat(line("row"), 2*chunk/len(line("row")))
	tests := []struct{ name, text, last, running string }{
		{"nothing", "", "", ""},
		{"no batch", rows, "row row", ""},
		{"running here", here + rows + end + here + rows, "batch_starthere row row", "batch_starthere row row"},
		{"ended", here + rows + end, "batch_starthere row row batch_end", ""},
		{"crashed", here + rows + end + gone + rows, "batch_startgone row row", ""},
		{"on another host", here + away, "batch_startaway", "batch_startaway"},
		{"torn end", here + `{"event":"batch_end`, "batch_starthere", "batch_starthere"},
		{"torn start", here + `{"event":"batch_start` + "\n" + rows, "batch_starthere row row", "batch_starthere row row"},
		{"the words in a text", here + `{"event":"note","error":"{\"event\":\"batch_start\"}"}` + "\n", "batch_starthere note", "batch_starthere note"},
		{"long damage", here + end + strings.Repeat("\x00", 2*maxLine) + "\n" + rows, "batch_starthere batch_end row row", ""},
		{"one long line", strings.Repeat("\x00", 3*maxLine), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			write(t, path, tt.text)
			for _, open := range []struct {
				f    func(string) (*Reader, error)
				want string
			}{{OpenAtLastBatch, tt.last}, {OpenAtRunningBatch, tt.running}} {
				r, err := open.f(path)
				if err != nil {
					t.Fatal(err)
				}
				if got := next(t, r); got != open.want {
					t.Errorf("got %.80q, want %q", got, open.want)
				}
			}
		})
	}
	write(t, path, here+many+here+many)
	r, err := OpenAtLastBatch(path)
	if err != nil || r.offset != int64(len(here)+len(many)) {
		t.Errorf("offset %d, %v; want %d", r.offset, err, len(here)+len(many))
	}
	os.Remove(path)
	r, err = OpenAtRunningBatch(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, rows)
	if got := next(t, r); got != "row row" {
		t.Errorf("a journal that came later: %q", got)
	}
}

// A journal gives the same events however it is cut into pieces, and a last batch is one of its lines.
func FuzzReader(f *testing.F) {
	f.Add([]byte(line("batch_start")+line("row")+line("batch_end")), uint16(7))
	f.Add([]byte(line("row")+"{\"event\":\n\n"+line("row")+"torn"), uint16(60))
	f.Add([]byte("\xff\x00\n[]\nnull\n{\"event\":\"batch_start\"}"), uint16(1))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		path := filepath.Join(dir, "journal.jsonl")
		write(t, path, string(data))
		want := next(t, Open(path))

		piece := int(cut)%(len(data)+1) + 1
		var r Reader
		var got []string
		for rest := data; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			for _, e := range r.take(rest[:min(piece, len(rest))]) {
				got = append(got, e.Event+e.Mol)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("in pieces of %d: %q, at once %q", piece, got, want)
		}
		last, err := OpenAtLastBatch(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := last.offset; at > 0 && (data[at-1] != '\n' || !bytes.Contains(data[at:], []byte("batch_"))) {
			t.Errorf("last batch at %d", at)
		}
		OpenAtEnd(path).Past(int64(cut)).Left(noon)
	})
}
