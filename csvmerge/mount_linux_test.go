package csvmerge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A table that is a mount point, as docker -v makes one, is refused also behind a link.
func TestMountPoint(t *testing.T) {
	path, host := place(t, head+"b,C,\n"), place(t, head+"b,C,\n")
	if err := unix.Mount(host, path, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("can't mount: %v", err)
	}
	defer func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	}()
	link := filepath.Join(t.TempDir(), "link.csv")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		table := mustRead(t, name)
		if err := Sweep(name); err == nil || !strings.Contains(err.Error(),
			"mount its folder instead") {
			t.Errorf("%s: error %v", name, err)
		}
		if written, err := merge(table, done); written || err == nil {
			t.Errorf("%s: written %v, error %v", name, written, err)
		}
	}
	onlyTable(t, filepath.Dir(path), "t.csv")
}
