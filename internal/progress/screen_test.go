package progress

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grimperium/internal/journal"
)

func put(t *testing.T, path string, events ...journal.Event) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, "%s\n", b)
	}
}

// watched is what Watch writes to a file when it is told to stop.
func watched(t *testing.T, journalPath string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	(&Screen{Out: out}).Watch(ctx, journalPath)
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWatchPlain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	begin := batchStart(12)
	put(t, path, batchStart(1), row(0, "old", "OK", ""), over,
		begin, start(0, "mol_1", "rdkit"), start(1, "mol_2", "rdkit"),
		timed(row(3.2, "mol_1", "OK", ""), 3.2), row(4, "mol_2", "Rerun",
			"mol_2/pm7: MOPAC\n\x1b[1mfailed"),
		timed(row(5, "mol_3", "OK", ""), 125), retried(row(6, "mol_5", "Rerun", "no")),
		retried(row(6, "mol_6", "Rerun", "no")),
		row(6, "mol_4", "OK", ""), start(7, "mol_5", "rdkit"), start(7, "mol_6", "rdkit"),
		row(8, "mol_5", "OK", ""), journal.Event{Event: journal.Stopping},
		journal.Event{Event: journal.Interrupted})
	want := "[ 1/12] mol_1  OK  3.2s\n[ 2/12] mol_2  Rerun  pm7: MOPAC [1mfailed\n[ 3/12] mol_3  " +
		"OK  2m5s\n[ 4/12] mol_4  OK\n2 failed, trying again with other settings\n[ 5/12] mol_5  " +
		"OK\nstopping: no new target starts, 1 under way\ninterrupted, ending programs\n"

	if got := watched(t, path); got != want {
		t.Errorf("stopped:\n%s\nwant\n%s", got, want)
	}
	put(t, path, over)
	if got := watched(t, path); got != want {
		t.Errorf("ended:\n%s\nwant\n%s", got, want)
	}
}

// Watch follows a batch and returns when it ends, without being told to stop.
func TestWatchToTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	put(t, path, batchStart(2), row(1, "mol_1", "OK", ""))
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	done := make(chan struct{})
	go func() {
		(&Screen{Out: out}).Watch(context.Background(), path)
		close(done)
	}()
	text := func() string {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for text() == "" {
		time.Sleep(5 * time.Millisecond)
	}
	put(t, path, row(2, "mol_2", "Skip", "no"), over)
	<-done
	if got, want := text(), "[1/2] mol_1  OK\n[2/2] mol_2  Skip  no\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is written while a batch is shown stands above the frame, whole, and stays.
func TestScreenWrite(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	put(t, path, batchStart(2), row(1, "mol_1", "OK", ""))
	s := &Screen{Out: out}
	say := func(text string) {
		if _, err := s.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	text := func() string {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	say("before\n")
	done := make(chan struct{})
	go func() {
		s.Watch(context.Background(), path)
		close(done)
	}()
	for !strings.Contains(text(), "mol_1") {
		time.Sleep(5 * time.Millisecond)
	}
	say("Warning: of two\nlines\n")
	for !strings.Contains(text(), "lines") {
		time.Sleep(5 * time.Millisecond)
	}
	put(t, path, over)
	<-done
	say("after\n")
	got, want := text(), "before\n[1/2] mol_1  OK\nWarning: of two\nlines\nafter\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var b strings.Builder
	d := &display{out: &b, size: func() (int, int, error) { return 20, 24, nil }}
	d.draw([]string{"Warning: longer than the terminal is wide"}, noon)
	if want := "\r\x1b[2KWarning: longer than the terminal is wide\n\x1b[?7l\x1b[?7h"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
