package store

import (
	"os"
	"testing"
)

func TestParts(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "input")
	command := []string{"search", "pool"}
	parts := s.Parts("m", "a/2", print1, command)
	if parts.Kept("one") != nil {
		t.Error("a part before there is any")
	}
	check(t, parts.Keep("one", []byte("first\nlines\n")))
	check(t, parts.Keep("two", nil))
	if got := s.Parts("m", "a/2", print1, command).Kept("one"); string(got) != "first\nlines\n" {
		t.Errorf("kept %q", got)
	}
	if got := parts.Kept("two"); got == nil || len(got) > 0 {
		t.Errorf("an empty part came back as %q", got)
	}
	for name, other := range map[string]*Parts{
		"fingerprint": s.Parts("m", "a/2", printN("2"), command),
		"command":     s.Parts("m", "a/2", print1, []string{"search", "pool", "--levels"}),
		"target":      s.Parts("m", "b", print1, command),
		"molecule":    s.Parts("n", "a/2", print1, command),
	} {
		if other.Kept("one") != nil {
			t.Errorf("the part of another %s", name)
		}
	}
	check(t, os.WriteFile(parts.path("two"), []byte("torn"), 0o666))
	if parts.Kept("two") != nil {
		t.Error("a torn part")
	}
	build(t, m, "a/2", print1, "result")
	if _, err := os.Stat(s.Path("m", partsName)); !os.IsNotExist(err) {
		t.Errorf("the parts of a finished target: %v", err)
	}
}
