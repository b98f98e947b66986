package journal

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDamaged flips bits of every byte of a small journal, and cuts the journal at every byte.
// Whole lines are still read, and nothing fails. What is written afterwards is a line of its own.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	for _, e := range []Event{{Event: BatchStart, PID: 1 << 30},
		{Event: TargetStart, Mol: "m", Stage: "a"},
		{Event: TargetEnd, Mol: "m", Stage: "a", Outcome: OK},
		{Event: Row, Mol: "m", Outcome: "OK"}, {Event: BatchEnd, Outcome: Done}} {
		if err := (Writer{whole, "1", "h"}).Write(e); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "damaged")
	try := func(what string, at int, damaged []byte, least int) {
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Last(path); err != nil {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
		Past(path)
		if err := (Writer{Path: path}).Write(Event{Event: Note, Error: "afterwards"}); err != nil {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
		events := all(t, Open(path))
		if len(events) < least+1 || events[len(events)-1].Error != "afterwards" {
			t.Fatalf("%s at %d: %d events", what, at, len(events))
		}
	}
	for n := range data {
		lines := 0
		for _, c := range data[:n] {
			if c == '\n' {
				lines++
			}
		}
		try("cut", n, data[:n], lines)
		for _, flip := range []byte{0x01, 0x20, 0xff} {
			damaged := append([]byte(nil), data...)
			damaged[n] ^= flip
			least := 3 // two lines that are glued are lost, and one that is cut in two
			try("flipped", n, damaged, least)
		}
	}
}
