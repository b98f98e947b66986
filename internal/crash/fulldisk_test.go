package crash

import (
	"os"
	"os/exec"
	"testing"
)

// TestFullDisk gives a batch a real file system without room, and then one with room. It needs
// root, to mount a file system in memory.
func TestFullDisk(t *testing.T) {
	for _, options := range []string{"size=300k", "size=50m,nr_inodes=100"} {
		v := newVictim(t, 24)
		artefacts := v.path("artefacts")
		v.must(os.Mkdir(artefacts, 0o755))
		mount := func(options string) error {
			return exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", artefacts).Run()
		}
		if err := mount(options); err != nil {
			t.Skip("a file system can't be mounted: ", err)
		}
		t.Cleanup(func() { _ = exec.Command("umount", artefacts).Run() })
		s := settings{"0", "0", "0"}
		var l ledger
		check := func() {
			t.Helper()
			rows, err := v.checkTable()
			v.must(err)
			_, err = l.follow(v.read(journalName), s)
			v.must(err)
			v.must(v.checkResults(rows, nil))
		}
		if code := v.batch(s); code != 2 || v.reruns() > 0 {
			t.Errorf("%s: exit code %d, %d reruns: %s", options, code, v.reruns(), v.said())
		}
		check()
		v.must(mount("remount,size=50m,nr_inodes=10000"))
		v.must(v.undisturbed(s))
		check()
	}
}
