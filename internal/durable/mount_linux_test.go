package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is mounted in a folder survives its removal: it is another's.
func TestRemoveMount(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	inside := filepath.Join(dir, "a", "mnt")
	file := filepath.Join(other, "file")
	err := errors.Join(os.MkdirAll(inside, 0o777), os.WriteFile(file, nil, 0o666))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(other, inside, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("can't mount: %v", err)
	}
	if err := Remove(filepath.Join(dir, "a")); !errors.Is(err, unix.EBUSY) {
		t.Errorf("error %v", err)
	}
	if err := unix.Unmount(inside, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if err := Remove(filepath.Join(dir, "a")); err != nil {
		t.Error(err)
	}
}
