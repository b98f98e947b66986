package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPowercut is the short form: two molecules, a tenth of the states, and the next batch from a few of them.
func TestPowercut(t *testing.T) {
	var out bytes.Buffer
	if err := powercut(&out, t.TempDir(), 2, 15, 11, 1); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
}

// TestCut has a file replaced by a rename, and cuts the power before the last operation of each list.
func TestCut(t *testing.T) {
	make := func(n int, name string) op {
		return op{kind: move, node: n, from: place{dir: nowhere}, to: place{0, name}}
	}
	put := op{kind: write, node: 2, data: []byte("new")}
	replace := op{kind: move, node: 2, from: place{0, "temp"}, to: place{0, "file"}}
	file, folder := op{kind: flush, node: 2, began: 2}, op{kind: flush, node: 0, began: 4}
	for _, c := range []struct {
		name, policy string
		ops          []op
		want         []string // contents that file may have
	}{
		{"not flushed", "names, no data", []op{make(2, "temp"), put, replace}, []string{""}},
		{"not flushed", "names, zeros", []op{make(2, "temp"), put, replace}, []string{"\x00\x00\x00"}},
		{"not flushed", "only the sure, in order", []op{make(2, "temp"), put, replace}, []string{"old"}},
		{"not flushed", "chance, in order", []op{make(2, "temp"), put, replace}, []string{"old", "", "n", "ne", "new", "\x00\x00\x00"}},
		{"flushed", "names, zeros", []op{make(2, "temp"), put, file, replace}, []string{"new"}},
		{"flushed", "chance, by POSIX", []op{make(2, "temp"), put, file, replace}, []string{"old", "new"}},
		{"folder too", "only the sure, by POSIX", []op{make(2, "temp"), put, file, replace, folder}, []string{"new"}},
		{"flush begun before the write", "only the sure, in order", []op{make(2, "temp"), put, {kind: flush, node: 2, began: 1}, replace, folder}, []string{""}},
	} {
		got := map[string]int{}
		for seed := range uint64(200) {
			d := &disk{first: []node{{kids: map[string]int{"file": 1}}, {data: []byte("old")}},
				nodes: []node{{kids: map[string]int{"file": 1}}, {data: []byte("old")}, {}}}
			for _, o := range c.ops {
				d.add(o)
			}
			cut := newCutter(d)
			for cut.next() {
			}
			i := slices.IndexFunc(policies, func(p policy) bool { return p.name == c.policy })
			got[string(cut.cut(policies[i], rand.New(rand.NewPCG(seed, 0))).files["file"].data)]++
		}
		if slices.Sort(c.want); !slices.Equal(sorted(got), c.want) {
			t.Errorf("%s, %s: the file is %q, want %q", c.name, c.policy, sorted(got), c.want)
		}
	}
}
