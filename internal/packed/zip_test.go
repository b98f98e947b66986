package packed

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// folder makes a molecule's folder.
func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mol")
	for name, text := range map[string]string{"manifest.jsonl": "{}\n", "pm7/1/pm7.out": "HEAT\n",
		"a/é [1].txt": "é\n", "empty": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), []byte(text))
	}
	put(t, filepath.Join(dir, "pm7/1/pm7.aux"), []byte(strings.Repeat("0.1 0.2\n", 1000)))
	if err := Pack(filepath.Join(dir, "pm7/1/pm7.aux")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeZip(t *testing.T, dir string) {
	t.Helper()
	var b bytes.Buffer
	if err := WriteZip(&b, dir); err != nil {
		t.Fatal(err)
	}
	put(t, dir+ZipSuffix, b.Bytes())
}

// A folder that is one file reads as if it were there, and comes out of it as it was.
func TestZip(t *testing.T) {
	dir := folder(t)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	writeZip(t, dir)
	aside := dir + ".aside"
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"pm7/1/pm7.out": "HEAT\n", "a/é [1].txt": "é\n",
		"empty": "", "pm7/1/pm7.aux": strings.Repeat("0.1 0.2\n", 1000)} {
		path := filepath.Join(dir, name)
		if got, err := ReadFile(path, 8000); err != nil || string(got) != want {
			t.Errorf("%s: %.20q, %v", name, got, err)
		}
		if got := Stored(path); got != dir+ZipSuffix {
			t.Errorf("%s is stored in %s", name, got)
		}
	}
	for _, name := range []string{"link", "none", "pm7", "pm7/1/pm7.out/x"} {
		if _, err := ReadFile(filepath.Join(dir, name), 8000); !errors.Is(err, fs.ErrNotExist) &&
			name != "pm7" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for sub, want := range map[string]string{"": "a/ empty manifest.jsonl pm7/",
		"pm7/1": "pm7.aux.zst pm7.out"} {
		names, err := ReadDir(filepath.Join(dir, sub))
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%q has %q, %v", sub, got, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "pm7/1/pm7.out"), 4); err == nil {
		t.Error("more than the limit was read")
	}
	z, err := OpenZip(dir + ZipSuffix)
	if err == nil {
		err = errors.Join(z.Unpack(dir), z.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(aside, "link"))
	if out, err := exec.Command("diff", "-r", aside, dir).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if unzip, err := exec.LookPath("unzip"); err == nil {
		if out, err := exec.Command(unzip, "-tq", dir+ZipSuffix).CombinedOutput(); err != nil {
			t.Errorf("unzip: %v\n%s", err, out)
		}
	}
}

// entry is one of a zip that no WriteZip made.
type entry struct {
	name, text string
	mode       fs.FileMode
}

func foreign(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		to, err := w.CreateHeader(h)
		if err == nil && !strings.HasSuffix(e.name, "/") {
			_, err = to.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestForeignZip opens what no WriteZip made. Nothing of it leaves the folder or fills the memory.
func TestForeignZip(t *testing.T) {
	good := foreign(t, entry{name: "manifest.jsonl", text: "{}\n"}, entry{name: "a/", text: ""},
		entry{name: "a/out", text: strings.Repeat("x", 100)})
	end := len(good) - 22
	change := func(at int, bytes ...byte) []byte {
		out := append([]byte{}, good...)
		copy(out[at:], bytes)
		return out
	}
	var many []entry
	for n := range maxEntries + 1 {
		many = append(many, entry{name: strings.Repeat("x", 1+n%5) + string(rune('0'+n))})
	}
	huge := append([]byte{}, good...) // says of its last entry that it unpacks to 5 GB in all
	at := bytes.LastIndex(huge, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(huge[at+24:], 0xfffffffe)
	for name, c := range map[string]struct {
		data    []byte
		refused bool
		want    string // "" is no error
	}{
		"good": {good, false, ""},
		"above": {foreign(t, entry{name: "../evil"}), true,
			`its entry "../evil" is no name of a file`},
		"hidden above": {foreign(t, entry{name: "a/../../evil"}), true, "is no name of a file"},
		"absolute":     {foreign(t, entry{name: "/etc/passwd"}), true, "is no name of a file"},
		"backslash":    {foreign(t, entry{name: `..\evil`}), true, "is no name of a file"},
		"zero":         {foreign(t, entry{name: "a\x00b"}), true, "is no name of a file"},
		"dot":          {foreign(t, entry{name: "."}), true, "is no name of a file"},
		"link": {foreign(t, entry{"out", "/etc/passwd", fs.ModeSymlink | 0o777}), true,
			"is no regular file"},
		"link folder": {foreign(t, entry{"out/", "", fs.ModeSymlink | 0o777}), true,
			"is no regular file"},
		"pipe": {foreign(t, entry{"out", "", fs.ModeNamedPipe | 0o666}), true,
			"is no regular file"},
		"twice": {foreign(t, entry{name: "a"}, entry{name: "a"}), true,
			`it has two entries "a"`},
		"file, folder": {foreign(t, entry{name: "a"}, entry{name: "a/b"}), true,
			"is a file and a folder"},
		"many":          {foreign(t, many...), true, "has more in it than the files of a molecule"},
		"huge":          {huge, true, ""},
		"long list":     {change(end+12, 0, 0, 0xff, 0xff), true, "has more in it"},
		"other offset":  {change(end+16, 0xff, 0xff, 0xff, 0xff), false, "is damaged"},
		"more entries":  {change(end+8, 9, 0, 9, 0), false, "is damaged"},
		"no end":        {good[:len(good)-1], false, "is damaged"},
		"empty":         {nil, false, "is damaged"},
		"another thing": {bytes.Repeat([]byte("text "), 100), false, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mol"+ZipSuffix)
			put(t, path, c.data)
			z, err := OpenZip(path)
			_, refused := errors.AsType[*RefusedError](err)
			switch {
			case name == "huge": // two entries of 4 GB are refused, one is read with a limit
				if err == nil {
					_, err = ReadFile(filepath.Join(filepath.Dir(path), "mol/a/out"), 1000)
				}
				if err == nil {
					t.Error("a wrong size was not noticed")
				}
			case c.want == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil || refused != c.refused || !strings.Contains(err.Error(), c.want) ||
				!strings.HasPrefix(err.Error(), path+": "):
				t.Errorf("%v", err)
			}
			if z != nil {
				z.Close()
			}
		})
	}
}

// A byte that is another one is noticed where it is read; the other files come out.
func TestDamagedEntry(t *testing.T) {
	dir := folder(t)
	writeZip(t, dir)
	data, err := os.ReadFile(dir + ZipSuffix)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		if at, err := f.DataOffset(); f.Name == "pm7/1/pm7.out" && err == nil {
			data[at+2] ^= 0x40
		}
	}
	put(t, dir+ZipSuffix, data)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(filepath.Join(dir, "pm7/1/pm7.out"), 8000); err == nil ||
		!strings.Contains(err.Error(), "is damaged") {
		t.Errorf("%v", err)
	}
	z, err := OpenZip(dir + ZipSuffix)
	if err == nil {
		err = errors.Join(z.Unpack(dir), z.Close())
	}
	_, there := os.Stat(filepath.Join(dir, "pm7/1/pm7.out"))
	_, other := os.Stat(filepath.Join(dir, "pm7/1/pm7.aux.zst"))
	if err != nil || !os.IsNotExist(there) || other != nil {
		t.Errorf("%v, %v, %v", err, there, other)
	}
}

// A file that a pipe, a link or a folder stands for is no zip.
func TestNoZip(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mol"+ZipSuffix)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenZip(path); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := ReadFile(filepath.Join(dir, "mol/x"), 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	link := filepath.Join(dir, "other"+ZipSuffix)
	put(t, filepath.Join(dir, "real"), foreign(t, entry{name: "x", text: "secret"}))
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadFile(filepath.Join(dir, "other/x"), 9); err == nil {
		t.Errorf("read through a link: %q", data)
	}
}

func FuzzOpenZip(f *testing.F) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	to, err := w.Create("a/b")
	if err == nil {
		_, err = to.Write([]byte("text"))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "mol.zip"), data)
		z, err := OpenZip(filepath.Join(dir, "mol.zip"))
		if err != nil {
			return
		}
		defer z.Close()
		if err := z.Unpack(filepath.Join(dir, "in", "mol")); err != nil {
			return
		}
		if entries, err := os.ReadDir(filepath.Join(dir, "in")); err != nil || len(entries) != 1 {
			t.Errorf("something is outside of the folder: %v, %v", entries, err)
		}
	})
}
