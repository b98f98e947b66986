package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func hello(w io.Writer) error {
	_, err := io.WriteString(w, "hello")
	return err
}

// What is no file of a user is not replaced: root could lose /dev/null.
func TestWriteFileReplacesFilesOnly(t *testing.T) {
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir} {
		err := WriteFile(File{Path: path, Write: hello})
		if err == nil || !strings.Contains(err.Error(), path+": is no regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for range 2 {
		if err := WriteFile(File{Path: file, Write: hello}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A named pipe in the place of a file has nobody wait, and takes no line.
func TestOpensFilesOnly(t *testing.T) {
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir} {
		_, err := ReadFile(path)
		if err == nil || err.Error() != "open "+path+": is no regular file; remove it" {
			t.Errorf("%v", err)
		}
		err = Append(path, []byte("line\n"))
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
		if IsUnchangeable(path) {
			t.Errorf("%s is unchangeable", path)
		}
	}
	for range 2 {
		if err := Append(file, []byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ReadFile(file); err != nil || string(got) != "line\nline\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// A folder on another file system arrives whole, and goes.
func TestWriteFileKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give a file away")
	}
	path := filepath.Join(t.TempDir(), "f")
	err := errors.Join(os.WriteFile(path, []byte("old"), 0o666), os.Chown(path, 1234, 1235),
		os.Chmod(path, 0o664), WriteFile(File{Path: path, Write: Bytes([]byte("new"))}))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid != 1234 || st.Gid != 1235 || info.Mode().Perm() != 0o664 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
}

func TestCopyOver(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	if err := os.MkdirAll(from+"/sub", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(File{Path: from + "/sub/file", Write: hello}); err != nil {
		t.Fatal(err)
	}
	if err := copyOver(from, to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to + "/sub/file"); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Lstat(from); !os.IsNotExist(err) {
		t.Errorf("the old folder: %v", err)
	}
}

func TestTempName(t *testing.T) {
	for name, want := range map[string]bool{".t123": true, ".t": false, ".t1x": false, "t1": false,
		".u1": false, ".t.lock": false} {
		if got := TempName(name, "t"); got != want {
			t.Errorf("TempName(%q) = %v", name, got)
		}
	}
}

// An error names the file, not the temporary one.
func TestWriteFileNamesFile(t *testing.T) {
	const path = "/proc/report.html"
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("no /proc")
	}
	err := WriteFile(File{Path: path, Write: hello})
	if err == nil || !strings.Contains(err.Error(), " "+path+": ") {
		t.Errorf("%v", err)
	}
}
