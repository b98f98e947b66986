package packed

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPackUnpack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pm7.out")
	text := []byte(strings.Repeat("FINAL HEAT OF FORMATION = -57.85914 KCAL/MOL\n", 1000))
	put(t, path, text)
	if Stored(path) != path {
		t.Error("a plain file is stored under another name")
	}
	if err := Pack(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) || Stored(path) != path+Suffix {
		t.Errorf("after Pack: %v, stored as %s", err, Stored(path))
	}
	if info, err := os.Stat(path + Suffix); err != nil || info.Size() > 500 {
		t.Errorf("%v, %v", info, err)
	}
	if got, err := ReadFile(path, int64(len(text))); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	to := path + ".new"
	for _, stored := range []string{"compressed", "plain"} {
		if err := Unpack(path, to, int64(len(text))); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", stored, len(got), err)
		}
		if err := Unpack(path, to, int64(len(text))); !os.IsExist(err) {
			t.Errorf("%s: unpacked over another file: %v", stored, err)
		}
		if stored == "compressed" {
			if err := os.Remove(path + Suffix); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(to, path); stored == "compressed" && err != nil {
			t.Fatal(err)
		}
	}
	put(t, path+Suffix, nil)
	if err := Pack(path); err == nil {
		t.Error("packed over another file")
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
		t.Errorf("a plain file goes before a compressed one: %d bytes, %v", len(got), err)
	}
}

// TestForeign reads what no Pack wrote: each is an error that names the file, and none fills the
// memory.
func TestForeign(t *testing.T) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := w.EncodeAll(bytes.Repeat([]byte("good\n"), 100), nil)
	bomb := w.EncodeAll(make([]byte, 64<<20), nil)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"torn": {good[:len(good)-6], "is damaged"},
		"flipped": {append(append([]byte{}, good[:len(good)-1]...), good[len(good)-1]^1),
			"is damaged"},
		"other": {[]byte("plain text"), "is damaged"},
		"bomb":  {bomb, "unpacks to more than it should"},
		// asks for a window of 2^41 bytes
		"wide frame": {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00}, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			put(t, path+Suffix, c.data)
			if data, err := ReadFile(path, 1<<20); err == nil ||
				!strings.Contains(err.Error(), path+Suffix) ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%d bytes, %v", len(data), err)
			}
			if err := Unpack(path, path+".new", 1<<20); err == nil {
				t.Error("unpacked")
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none"), 1); !os.IsNotExist(err) ||
		strings.Contains(err.Error(), Suffix) {
		t.Errorf("a file that isn't there: %v", err)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"stdout", "stdout", true}, {"stdout", "stdout2", false}, {"*.log", "xtb.log", true},
		{"*.log", "sub/xtb.log", false},
		{"sub/*", "sub/xtb.log", true}, {"a[1].out", "a[1].out", true},
		{"a[1].out", "a1.out", true}, {"[", "x", false},
	} {
		if got := Matches([]string{"never", c.pattern}, c.name); got != c.want {
			t.Errorf("Matches(%q, %q) = %t", c.pattern, c.name, got)
		}
	}
}

// The error of a full disk has its text once.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	path := filepath.Join(t.TempDir(), "out")
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	if err := os.WriteFile(path, noise, 0o644); err != nil {
		t.Fatal(err)
	}
	err = Compress(full, path)
	if err == nil || strings.Count(err.Error(), "no space left") != 1 {
		t.Error(err)
	}
}
