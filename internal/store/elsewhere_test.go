package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Two stages that change their names change their results. A present result of another is copied,
// and not that of the same batch.
func TestSwappedStages(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "one")
	build(t, m, "b", printN("2"), "two")
	stays := func(string) Use { return Claimed }
	if m.Find("b", print1, time.Time{}, stays) != nil {
		t.Error("found what was just made")
	}
	for _, c := range []struct{ target, print string }{{"b", print1}, {"a", printN("2")}} {
		r, where := m.find(c.target, c.print)
		if where == Nowhere {
			found := *m.Find(c.target, c.print, time.Now(), stays)
			found.Target = c.target
			r = &found
		}
		check(t, m.Restore(r))
	}
	m = molecule(t, s, "m")
	for target, want := range map[string]string{"a": "two", "b": "one"} {
		data, err := os.ReadFile(filepath.Join(s.TargetDir("m", target), "out"))
		if err != nil || string(data) != want || m.Verify(target, m.Record(target)) != "" {
			t.Errorf("%s has %q, %v", target, data, err)
		}
	}
}

// What was made by a program that is not the recorded one never was.
func TestVoid(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "a", print1, "one")
	build(t, m, "a", printN("2"), "two")
	check(t, m.Void("a", printN("2")))
	for range 2 {
		if _, where := m.find("a", printN("2")); where != Nowhere || m.Record("a") != nil {
			t.Errorf("the voided result is there: %d", where)
		}
		if _, where := m.find("a", print1); where != Past {
			t.Errorf("the earlier result: %d", where)
		}
		m = molecule(t, s, "m")
	}
}

// A stage that got for_each drops the target that it had without it, not those within its folder.
func TestDropAround(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	build(t, m, "c", print1, "one")
	build(t, m, "c/1", print1, "first")
	check(t, m.Drop("c"))
	for target, want := range map[string]Where{"c": Past, "c/1": Here} {
		if _, where := m.find(target, print1); where != want {
			t.Errorf("%s: %d", target, where)
		}
	}
}

// TestEarlierOfOther takes an earlier result of a target that is still there for another one: the
// first keeps it.
func TestEarlierOfOther(t *testing.T) {
	m := molecule(t, open(t), "m1")
	build(t, m, "c/2", printN("0"), "zero")
	build(t, m, "c/1", print1, "one")
	build(t, m, "c/1", printN("2"), "two")
	stays := func(string) Use { return Claimed }
	r := *m.Find("c/2", print1, time.Now(), stays)
	r.Target = "c/2"
	check(t, m.Restore(&r))
	for _, target := range []string{"c/1", "c/2"} {
		if r := m.newest(target, print1); r == nil {
			t.Errorf("%s has lost its result", target)
		}
	}
}
