package journal

import (
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
	for _, e := range all(t, r) {
		names = append(names, e.Event+e.Mol)
	}
	return strings.Join(names, " ")
}

func all(t testing.TB, r *Reader) (events []Event) {
	t.Helper()
	if err := r.Each(func(e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	return events
}

func line(event string) string {
	return fmt.Sprintf(`{"time":"2026-03-04T11:00:00.500Z","event":%q}`+"\n", event)
}

func TestWriteLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	w := Writer{Path: path, Batch: "b1", Host: "node"}
	events := []Event{
		{Time: noon, Event: BatchStart, PID: 7, Table: "data/thermo_pm7.csv", Total: 2, Work: 13,
			Jobs: 2, Stages: []Stage{{"rdkit", "RDKit parameters"}, {"pm7", ""}}},
		{Time: noon, Event: TargetEnd, Mol: "mol_1", Stage: "pm7", Instance: 1, Instances: 3,
			Outcome: Failed, Seconds: 1.5, Error: "gap < 0 & \"odd\"\nline 2"},
		{Time: noon, Event: Row, Mol: "mol_1", Size: []float64{5, 1}, Outcome: "Rerun",
			Values: map[string]string{"hof": "1.5"}, Retry: true},
		{Time: noon, Event: BatchEnd, Outcome: Done, Counts: map[string]int{"OK": 1, "Rerun": 1}},
	}
	for _, group := range [][]Event{events[:2], events[2:]} {
		if err := w.Write(group...); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"time":"2026-03-04T11:00:00.500Z","event":"batch_start","batch":"b1","host":"node","pid":7,"table":"data/thermo_pm7.csv","total":2,"work":13,"jobs":2,"stages":[{"name":"rdkit","title":"RDKit parameters"},{"name":"pm7"}]}
{"time":"2026-03-04T11:00:00.500Z","event":"target_end","batch":"b1","host":"node","mol":"mol_1","stage":"pm7","instance":1,"instances":3,"outcome":"failed","seconds":1.5,"error":"gap < 0 & \"odd\"\nline 2"}
{"time":"2026-03-04T11:00:00.500Z","event":"row","batch":"b1","host":"node","mol":"mol_1","size":[5,1],"outcome":"Rerun","retry":true,"values":{"hof":"1.5"}}
{"time":"2026-03-04T11:00:00.500Z","event":"batch_end","batch":"b1","host":"node","outcome":"done","counts":{"OK":1,"Rerun":1}}
`
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	read := all(t, Open(path))
	if len(read) != len(events) {
		t.Fatal(len(read))
	}
	for i, e := range read {
		if !e.Time.Equal(noon) {
			t.Errorf("time %v, want %v", e.Time, noon)
		}
		want := events[i]
		want.Batch, want.Host = "b1", "node"
		if e.Time = noon; !reflect.DeepEqual(e, want) {
			t.Errorf("got  %+v\nwant %+v", e, want)
		}
	}
}

func TestWriteAfterTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	for _, torn := range []string{`{"time":"2026-`, line("row"), line("row") + `{}`,
		strings.TrimSuffix(line("row"), "\n")} {
		write(t, path, torn)
		for range 2 {
			if err := (Writer{Path: path}).Write(Event{Time: noon, Event: Note}); err != nil {
				t.Fatal(err)
			}
		}
		want := strings.TrimSuffix(torn, "\n") + "\n" + line(Note) + line(Note)
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("after %q:\n%s", torn, got)
		}
	}
}

func TestWriteConcurrently(t *testing.T) {
	w := Writer{Path: filepath.Join(t.TempDir(), "journal.jsonl")}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				if err := w.Write(Event{Event: Row,
					Error: strings.Repeat("x", 100*i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := strings.Count(next(t, Open(w.Path)), Row); n != 800 {
		t.Errorf("%d whole lines of 800", n)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("elsewhere", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "the journal cannot be written: open " + dir +
			": is a directory",
		link: link +
			": the journal cannot be opened: it is a symbolic link, which a batch does not " +
			"follow; remove it",
		filepath.Join(dir, "a/b"): "the journal cannot be written: open " + dir +
			"/a/b: no such file or directory",
	} {
		if err := (Writer{Path: path}).Write(Event{Event: Note}); err == nil ||
			err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, last := Last(dir)
	next := Open(dir).Each(func(Event) {})
	for _, err := range []error{last, next} {
		if err == nil || err.Error() != "the journal cannot be read: open "+dir+
			": is no regular file; remove it" {
			t.Errorf("reading a folder: %v", err)
		}
	}
}

// long is the line of an event with a cell of a megabyte.
func long(event string) string {
	return strings.TrimSuffix(line(event), "}\n") + `,"values":{"x":"` +
		strings.Repeat("x", 4*buffer) + "\"}}\n"
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
		{"", ""},
		{long("k") + line("l"), "k l"},
		{"", ""},
		{long("m")[:2*buffer], ""},
		{long("m")[2*buffer:], "m"},
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
		fmt.Fprintf(&b,
			`{"time":"2026-03-04T11:00:00Z","event":"row","mol":"mol_%06d","outcome":"OK"}`+"\n", i)
	}
	write(t, path, b.String())
	if b.Len() < 2*buffer {
		t.Fatal("too short to need several parts")
	}
	seen := 0
	for _, e := range all(t, Open(path)) {
		if want := fmt.Sprintf("mol_%06d", seen); e.Mol != want {
			t.Fatalf("got %s, want %s", e.Mol, want)
		}
		seen++
	}
	if seen != 40000 {
		t.Errorf("%d events of 40000", seen)
	}
}

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	start := func(name string) string {
		return fmt.Sprintf(`{"event":"batch_start","mol":%q}`+"\n", name)
	}
	here, other := start("here"), start("next")
	rows, end := strings.Repeat(line("row"), 2), line(BatchEnd)
	many := strings.Repeat(line("row"), 8*maxLine/len(line("row")))
	tests := []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"no batch", rows, ""},
		{"running", here + rows + end + here + rows, "batch_starthere row row"},
		{"ended", here + rows + end + rows, "batch_end row row"},
		{"after one that died", here + rows + other, "batch_startnext"},
		{"torn end", here + `{"event":"batch_end`, "batch_starthere"},
		{"end without its line break", here + strings.TrimSuffix(end, "\n"), "batch_starthere"},
		{"torn start", here + `{"event":"batch_start` + "\n" + rows, "batch_starthere row row"},
		{"the words in a text", here + `{"event":"note","error":"{\"event\":\"batch_start\"}"}` +
			"\n", "batch_starthere note"},
		{"long damage", here + end + strings.Repeat("\x00", 8*maxLine) + "\n" + rows,
			"batch_end row row"},
		{"one long line", strings.Repeat("\x00", 12*maxLine), ""},
		{"far away", here + many + other + many, "batch_startnext " +
			strings.TrimSpace(strings.Repeat("row ", strings.Count(many, "\n")))},
	}
	for _, tt := range tests {
		write(t, path, tt.text)
		e, at, err := find(path, "batch_")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if e.Event != "" {
			got = next(t, &Reader{path: path, offset: at})
		}
		if got != tt.want {
			t.Errorf("%s: got %.80q, want %.80q", tt.name, got, tt.want)
		}
	}
	os.Remove(path)
	if e, _, err := find(path, "batch_"); err != nil || e.Event != "" {
		t.Error(e, err)
	}
}

func TestLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	event := func(batch, kind, mol, stage string, instance int) string {
		return fmt.Sprintf(
			`{"time":"2026-03-04T11:00:00Z","event":%q,"batch":%q,"mol":%q,"stage":%q,`+
				`"instance":%d}`+"\n", kind, batch, mol, stage, instance)
	}
	begin, stop := event("2", BatchStart, "", "", 0), event("2", BatchEnd, "", "", 0)
	old := event("1", BatchStart, "", "", 0) + event("1", TargetStart, "old", "a", 0)
	aStart, aEnd, row := event("2", TargetStart, "m", "a", 0), event("2", TargetEnd, "m", "a",
		0), event("2", Row, "m", "", 0)
	p1, p2, p1End := event("2", TargetStart, "n", "p", 1), event("2", TargetStart, "n", "p",
		2), event("2", TargetEnd, "n", "p", 1)
	many := strings.Repeat(event("2", Note, "", "", 0), maxLine/50)
	for _, tt := range []struct {
		name, text string
		want       LastBatch
	}{
		{"nothing", "", LastBatch{Ended: true}},
		{"no event", "x\n\ny", LastBatch{Ended: true}},
		{"ended", old + begin + aStart + stop, LastBatch{ID: "2", Ended: true}},
		{"ended, and a note", old + begin + aStart + stop + event("2", Note, "", "", 0),
			LastBatch{ID: "2", Ended: true}},
		{"torn end", begin + aStart + strings.TrimSuffix(stop, "\n"),
			LastBatch{ID: "2", Open: map[string]string{"m": "a"}}},
		{"just begun", old + begin, LastBatch{ID: "2"}},
		{"died in a target", old + begin + aStart + many,
			LastBatch{ID: "2", Open: map[string]string{"m": "a"}}},
		{"between targets", begin + aStart + aEnd, LastBatch{ID: "2"}},
		{"in the same one again", begin + aStart + aEnd + row + aStart,
			LastBatch{ID: "2", Open: map[string]string{"m": "a"},
				Rows: map[string]bool{"m": true}}},
		{"a row without an end of its target", begin + aStart + row,
			LastBatch{ID: "2", Rows: map[string]bool{"m": true}}},
		{"instances", begin + aStart + p1 + p1End + p2,
			LastBatch{ID: "2", Open: map[string]string{"m": "a", "n": "p/2"}}},
		{"interrupted", begin + aStart + event("2", Interrupted, "", "", 0),
			LastBatch{ID: "2", Interrupted: true, Open: map[string]string{"m": "a"}}},
	} {
		write(t, path, tt.text)
		if tt.want.Open == nil {
			tt.want.Open = map[string]string{}
		}
		if tt.want.Rows == nil {
			tt.want.Rows = map[string]bool{}
		}
		if got, err := Last(path); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	os.Remove(path)
	if got, err := Last(path); err != nil || !got.Ended || got.ID != "" {
		t.Errorf("no file: %+v, %v", got, err)
	}
}

// A journal gives the same events however it grows; what find finds is the event at that place.
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
		write(t, path, "")
		r := Open(path)
		var got []string
		for rest := data; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			add(t, path, string(rest[:min(piece, len(rest))]))
			if names := next(t, r); names != "" {
				got = append(got, names)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("in pieces of %d: %q, at once %q", piece, got, want)
		}
		e, at, err := find(path, "batch_")
		if r := Open(path); e.Event != "" {
			r.offset = at
			if events := all(t, r); !reflect.DeepEqual(events[0], e) {
				t.Errorf("at %d: %+v, found: %+v", at, events[0], e)
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
}
