package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/packed"
	"grimperium/internal/store"
	"grimperium/internal/web"
	"grimperium/stages"
)

// serveAddress is where mage serve listens unless -addr says otherwise.
const serveAddress = "127.0.0.1:8457"

// Serve serves the live page and the report until it is interrupted. On another address than a
// loopback one a token is required; it is printed.
func Serve(ctx context.Context, addr string, o Options) error {
	return open(ctx, o, false, func(ctx context.Context, pr *project) error {
		listener, err := net.Listen("tcp", cmp.Or(addr, serveAddress))
		if err != nil {
			return fmt.Errorf("%w; give another address by -addr=127.0.0.1:PORT", err)
		}
		live := &web.Live{Journal: pr.Store.Path(store.JournalName), Artefacts: pr.Store.Root(),
			OwnTable: pr.isOwnTable,
			Report: func(ctx context.Context) (d *web.Data, err error) {
				err = with(o, false, func(pr *project) (err error) {
					pr.leaveOut()
					if d, err = pr.gather(ctx, "", "", true); err == nil {
						d.Folders = "/artefacts/"
					}
					return err
				})
				return d, err
			},
			Detail: func(ctx context.Context, id string) (d *web.Detail, err error) {
				err = with(o, false, func(pr *project) (err error) {
					d, err = pr.detail(ctx, id)
					return err
				})
				return d, err
			}}
		at := listener.Addr().(*net.TCPAddr)
		address := "http://" + at.String() + "/"
		if name, err := os.Hostname(); err == nil && at.IP.IsUnspecified() { // 0.0.0.0 is no host
			address = fmt.Sprintf("http://%s:%d/", name, at.Port)
		}
		if !at.IP.IsLoopback() {
			live.Token = rand.Text()
			address += "?token=" + live.Token
		}
		fmt.Fprintln(os.Stderr, "Open", address, "(Ctrl-C ends it)")
		err = live.Serve(ctx, listener)
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
}

// detail is a molecule of the table as it is now.
func (pr *project) detail(ctx context.Context, id string) (*web.Detail, error) {
	row, ok := pr.Table.Lookup(id)
	if !ok || csvmerge.SafeID(id) != nil {
		return nil, web.ErrNoMolecule
	}
	pr.blank(row)
	d := &web.Detail{ID: id, Cells: map[string]string{}, Units: map[string]string{},
		Targets: []web.TargetDetail{}}
	for k, name := range pr.Table.Columns() {
		d.Cells[name] = pr.Table.Row(row)[k].Text
		d.Units[name] = stages.Unit(name)
	}
	log, err := pr.Store.Molecule(id)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range pr.Pipeline.Stages {
		names = append(names, s.Name)
	}
	present := map[string]bool{}
	for _, target := range log.Targets() {
		present[store.StageOf(target)] = true
	}
	for _, stage := range inOrder(present, names) {
		for _, target := range log.TargetsOf(stage) {
			detail := pr.targetDetail(id, log.Record(target))
			for name := range detail.Values {
				d.Units[name] = cmp.Or(stages.ValueUnit(name), d.Units[name])
			}
			d.Targets = append(d.Targets, detail)
		}
	}
	maps.DeleteFunc(d.Units, func(_, unit string) bool { return unit == "" })
	d.Targets = append(d.Targets, pr.running(id)...)
	var why strings.Builder
	if err = pr.evaluate(ctx); err == nil {
		err = pr.batch.Why(&why, id, "")
		d.Geometries = pr.geometries(row)
	}
	if err != nil { // as a missing program: the results are there all the same
		fmt.Fprintln(&why, err)
	}
	d.Why = why.String()
	return d, nil
}

// mostLog is how much of a log a page shows, in bytes from its end.
const mostLog = 4 << 10

// mostNote is the largest such log in a zip that is read, in bytes.
const mostNote = 64 << 20

// targetDetail is a record as the page shows it. The server unpacks compressed files.
func (pr *project) targetDetail(id string, rec *store.Record) web.TargetDetail {
	t := web.TargetDetail{Name: rec.Target, Outcome: rec.Outcome, Error: rec.Error,
		Started: rec.Started, Seconds: rec.Seconds, CPU: rec.CPU, Programs: rec.Programs,
		Files: map[string]string{}}
	var words []string
	for _, word := range rec.Command {
		words = append(words, batch.Quoted(word))
	}
	t.Command = strings.Join(words, " ")
	_ = json.Unmarshal(rec.Values, &t.Values) // a target may have none
	for name, out := range rec.Outputs {
		file := path.Join(id, rec.Target, out.File)
		stored := packed.Stored(filepath.Join(pr.Store.Root(), filepath.FromSlash(file)))
		if _, err := os.Stat(stored); err == nil {
			t.Files[name] = file
		}
	}
	if rec.Outcome == store.OK {
		return t
	}
	dir := pr.Store.FailedDir(id, rec.Target)
	pr.addFiles(&t, dir)
	for _, name := range []string{"failure.txt", "stderr", "stdout"} {
		text, _ := packed.ReadFile(filepath.Join(dir, name), mostNote) // there need not be one
		addLog(&t, name, text)
	}
	return t
}

// running are the targets of a molecule that run now, with the end of the file that was written
// last.
func (pr *project) running(id string) (targets []web.TargetDetail) {
	dirs := pr.Store.Running(id)
	for _, target := range slices.Sorted(maps.Keys(dirs)) {
		// A target of a molecule whose name begins with this one's has no such stage.
		if pr.Pipeline.Stage(store.StageOf(target)) == nil {
			continue
		}
		t := web.TargetDetail{Name: target, Outcome: "running", Files: map[string]string{}}
		pr.addFiles(&t, dirs[target])
		var newest fs.FileInfo
		for name := range t.Files {
			info, err := os.Lstat(filepath.Join(dirs[target], name))
			if err == nil && info.Mode().IsRegular() && info.Size() > 0 &&
				(newest == nil || info.ModTime().After(newest.ModTime())) {
				newest = info
			}
		}
		if newest != nil {
			path := filepath.Join(dirs[target], newest.Name())
			addLog(&t, newest.Name(), end(path, newest.Size()))
		}
		targets = append(targets, t)
	}
	return targets
}

// end is the end of a file of so many bytes, nothing if it can't be read.
func end(path string, size int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, _ := io.ReadAll(io.NewSectionReader(f, max(0, size-mostLog), mostLog))
	return text
}

// addFiles adds the files of a folder.
func (pr *project) addFiles(t *web.TargetDetail, dir string) {
	names, _ := packed.ReadDir(dir) // none of what never started
	for _, name := range names {
		rel, err := filepath.Rel(pr.Store.Root(), filepath.Join(dir, name))
		if err == nil && !strings.HasSuffix(name, "/") {
			t.Files[name] = filepath.ToSlash(rel)
		}
	}
}

// addLog adds the end of a log, if there is one.
func addLog(t *web.TargetDetail, name string, text []byte) {
	if text = bytes.TrimSpace(text[max(0, len(text)-mostLog):]); len(text) > 0 {
		t.Log += name + ":\n" + strings.ToValidUTF8(string(text), "\uFFFD") + "\n\n"
	}
}
