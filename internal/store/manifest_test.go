package store

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestAhead has a molecule under way: its flushed manifest stays until Sync. A killed batch leaves what is ahead of it, a power cut may tear that and
// the record of what was replaced.
func TestAhead(t *testing.T) {
	s := open(t)
	start := func() *Manifest { // a result that is on the disk, and one that is not
		m := empty("m")
		check(t, os.RemoveAll(s.Path("m")))
		build(t, s, m, "a", print1, "one")
		check(t, s.Sync(m))
		build(t, s, m, "a", printN("2"), "two")
		return m
	}
	reads := func(path, print string) {
		t.Helper()
		if m, err := readManifest(path, "m"); err != nil || m.Targets["a"].Fingerprint != print {
			t.Errorf("%s: %v, not %.1s", path, err, print)
		}
	}
	whole := func(m *Manifest, print string) {
		t.Helper()
		rec, err := s.Restore(m, "a", print)
		if err != nil || rec == nil || s.Verify("m", "a", rec) != "" {
			t.Errorf("%.1s is lost: %+v, %v", print, rec, err)
		}
	}

	m := start()
	reads(s.manifestPath("m"), print1)
	if !m.Unsynced() {
		t.Error("nothing is to be flushed")
	}
	check(t, s.Sync(m))
	reads(s.manifestPath("m"), printN("2"))
	if _, err := os.Lstat(s.aheadPath("m")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Sync: %v", err)
	}

	start()
	m, err := s.Manifest("m") // after a kill
	check(t, err)
	if rec := m.Targets["a"]; rec.Fingerprint != printN("2") || s.Verify("m", "a", rec) != "" || !m.Unsynced() {
		t.Errorf("after a kill: %+v", rec)
	}
	whole(m, print1)

	for name, tear := range map[string][]string{
		"the manifest":                {s.aheadPath("m")},
		"the record":                  {s.historyDir("m", "a", print1) + ".json"},
		"the manifest and the record": {s.aheadPath("m"), s.historyDir("m", "a", print1) + ".json"},
	} {
		t.Run(name, func(t *testing.T) {
			start()
			for _, path := range tear {
				check(t, os.Truncate(path, 100))
			}
			m, err := s.Manifest("m")
			check(t, err)
			if !s.Has(m, "a", print1) {
				t.Error("the earlier result is not known")
			}
			whole(m, print1)
			m.Put("a", m.known("a", print1))
			check(t, s.Sync(m))
			reads(s.manifestPath("m"), print1)
		})
	}

	start() // the moves did not reach the disk either
	dir, past := s.TargetDir("m", "a"), s.historyDir("m", "a", print1)
	check(t, os.RemoveAll(dir))
	check(t, os.Rename(past, dir))
	check(t, os.Remove(past+".json"))
	m, err = s.Manifest("m")
	check(t, err)
	if !s.Has(m, "a", print1) {
		t.Error("the earlier result is not known in its place")
	}
	whole(m, print1)
	check(t, s.Retire(m, "a"))
	whole(m, print1)
}
