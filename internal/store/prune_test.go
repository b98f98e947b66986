package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"grimperium/internal/durable"
)

func TestUnused(t *testing.T) {
	s := open(t)
	for _, mol := range []string{"here", "gone"} {
		m := molecule(t, s, mol)
		build(t, m, "a", print1, "1")
		build(t, m, "a", printN("2"), "2")
		build(t, m, "old/1", print1, "1")
	}
	mixed := molecule(t, s, "mixed")
	build(t, mixed, "a", print1, "1")
	for _, dir := range []string{"here/extra", "mine/deep", "mixed/extra"} {
		check(t, os.MkdirAll(s.Path(dir), 0o777))
		check(t, os.WriteFile(s.Path(dir, "notes.txt"), []byte("mine"), 0o666))
	}
	is := func(names ...string) func(string) bool {
		return func(name string) bool { return slices.Contains(names, name) }
	}
	const foreign = ": no batch made it, and it stays"
	want := []string{"gone: the molecule is not in the table", "here/extra" + foreign,
		"mine" + foreign,
		"mixed/a: the molecule is not in the table", "mixed/extra" + foreign,
		"mixed/manifest.jsonl: the molecule is not in the table"}
	all := slices.Concat(want[:1], []string{"here/.history: earlier results"}, want[1:2],
		[]string{"here/old: the stage is not in the pipeline"}, want[2:])
	for _, c := range []struct {
		returns func(string) bool
		want    []string
	}{{is("here"), want}, {is(), all}} {
		unused, err := s.Unused(is("here"), is("a"), c.returns)
		check(t, err)
		var got []string
		for _, u := range unused {
			rel, _ := filepath.Rel(s.root, u.Path)
			got = append(got, rel+": "+u.Why)
			if u.Foreign != strings.HasSuffix(u.Why, "it stays") {
				t.Errorf("%s: foreign %v", rel, u.Foreign)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("unused:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	check(t, errors.Join(durable.Remove(s.Path("gone")), durable.Remove(s.Path("mixed")),
		durable.Remove(s.Path("mine")), durable.Remove(s.Path("here", ".history")),
		durable.Remove(s.Path("here", "old"))))
	sizes, err := s.Sizes()
	if err != nil || sizes["a"].Files != 1 || sizes["manifests"].Files != 1 {
		t.Errorf("sizes: %v, %v", sizes, err)
	}
}
