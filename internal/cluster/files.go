package cluster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/durable"
	"grimperium/internal/pipeline"
)

// Folder is the folder of runs in artefacts/.
const Folder = ".cluster"

// The files of a run. Those of a chunk begin with its number.
const (
	runName     = "run.json"
	programName = "grimperium" // the program that the tasks run, a copy of this one
	scriptName  = "task.sh"
	mergeName   = "merge.sh"
	mergeLog    = "merge.log" // beside the runs
	idPrefix    = "grimperium-"
	formatName  = "grimperium cluster 1"

	chunkSuffix   = ".json"
	claimSuffix   = ".claim"    // the process that has the chunk; its time stamp is a sign of life
	outcomeSuffix = ".outcomes" // of a process: lines of JSON
	journalSuffix = ".journal"  // of a process
	closed        = "closed"    // in a claim: the work is in other chunks now
)

// Run is a job that was given to a cluster, artefacts/.cluster/ID. It is plain data.
type Run struct {
	Format   string
	ID       string // unique: the jobs' names begin with it
	Batch    string
	Created  time.Time
	Host     string
	Pipeline pipeline.Snapshot
	Programs map[string]string

	dir string
}

// Find returns the run that is under way in an artefacts folder, nil for none.
func Find(artefacts string) (*Run, error) {
	dirs, err := folders(artefacts)
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, runName)); !errors.Is(err, fs.ErrNotExist) {
			return readRun(dir)
		}
	}
	return nil, err
}

// folders are the folders of runs in artefacts/.cluster.
func folders(artefacts string) (dirs []string, err error) {
	entries, err := os.ReadDir(filepath.Join(artefacts, Folder))
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), idPrefix) {
			dirs = append(dirs, filepath.Join(artefacts, Folder, e.Name()))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return dirs, err
}

func readRun(dir string) (*Run, error) {
	r := &Run{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, runName))
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err == nil && r.Format != formatName {
		err = fmt.Errorf("has the format %q, not %q", r.Format, formatName)
	}
	if err != nil {
		err = fmt.Errorf("%s: the cluster run can't be read: %w; end its jobs with scancel, then "+
			"remove the folder", dir, err)
	}
	return r, err
}

func (r *Run) path(name string) string { return filepath.Join(r.dir, name) }

// remove removes the run, its description last. Over NFS a file that is open, such as the program
// itself, stays for a while; the next run removes it.
func (r *Run) remove() error {
	entries, err := os.ReadDir(r.dir)
	for _, e := range entries {
		if e.Name() != runName {
			err = cmp.Or(err, durable.Remove(r.path(e.Name())))
		}
	}
	err = cmp.Or(err, durable.Remove(r.path(runName)))
	durable.RemoveEmpty(r.dir)
	durable.RemoveEmpty(filepath.Dir(r.dir))
	return err
}

// sweep removes what earlier runs have left.
func sweep(artefacts string) {
	dirs, _ := folders(artefacts)
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, runName)); errors.Is(err, fs.ErrNotExist) {
			_ = durable.Remove(dir)
		}
	}
}

func writeJSON(path string, v any) error {
	return durable.WriteFile(durable.File{Path: path, Write: func(w io.Writer) error {
		return json.NewEncoder(w).Encode(v)
	}})
}

func writeText(path, text string) error {
	return durable.WriteFile(durable.File{Path: path, Write: durable.Bytes([]byte(text))})
}

func chunkName(number int) string { return fmt.Sprintf("%06d", number) }

// numberOf is the chunk that a file belongs to.
func numberOf(name string) (number int, ok bool) {
	text, _, _ := strings.Cut(name, ".")
	number, err := strconv.Atoi(text)
	return number, err == nil && len(text) == 6
}

// submission is the unique name of the job that has a chunk.
func (r *Run) submission(first int) string { return fmt.Sprintf("%s.%d", r.ID, first) }

// merging is the unique name of the job that goes on with the run when its tasks have ended.
func (r *Run) merging() string { return r.ID + ".merge" }

func readChunk(path string) (*Chunk, error) {
	data, err := os.ReadFile(path)
	c := &Chunk{}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		err = d.Decode(c)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the chunk can't be read: %w", path, err)
	}
	for _, piece := range c.Pieces {
		numbers(piece.Row.Cells)
	}
	return c, nil
}

// numbers gives the cells of a row the types that they have in a table.
func numbers(cells map[string]any) {
	for name, v := range cells {
		if n, ok := v.(json.Number); ok {
			if i, err := n.Int64(); err == nil {
				cells[name] = i
			} else {
				cells[name], _ = n.Float64()
			}
		}
	}
}

// line is a line of a process's outcomes.
type line struct {
	Start   *start         `json:",omitempty"`
	Outcome *batch.Outcome `json:",omitempty"`
	End     *end           `json:",omitempty"`
}

type start struct {
	Node, Job string
	Cores     int
	Time      time.Time
}

type end struct {
	Time    time.Time
	Error   string // why it ended early, "" where its work is done
	Refused bool   // the programs of the node are others
	Failed  bool   // something went wrong
	// Late are the molecules that had most of the wall time and were not finished, with the targets
	// under way.
	Late map[string]string
}

// process is what is known of a process that worked on a chunk.
type process struct {
	chunk  int
	path   string // without a suffix
	offset int64  // of the next line
	start  start
	worked bool // it has an outcome
	end    *end
	beat   time.Time // when the file grew last, by the clock of the file system
}

// read gives the outcomes that came since the last call. A line that can't be read is passed over.
func (p *process) read(take func(batch.Outcome)) error {
	f, err := os.Open(p.path + outcomeSuffix)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == p.offset {
		return err
	}
	p.beat = info.ModTime()
	data, err := io.ReadAll(io.NewSectionReader(f, p.offset, info.Size()-p.offset))
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	p.offset += int64(len(data))
	for text := range bytes.Lines(data) {
		var l line
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		switch {
		case d.Decode(&l) != nil:
		case l.Start != nil:
			p.start = *l.Start
		case l.End != nil:
			p.end = l.End
		case l.Outcome != nil:
			p.worked = true
			numbers(l.Outcome.Row.Cells)
			take(*l.Outcome)
		}
	}
	return err
}

// processes adds the processes that have worked on chunks, by path, to the known ones.
func (r *Run) processes(known map[string]*process) error {
	entries, err := os.ReadDir(r.dir)
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), outcomeSuffix)
		number, isChunk := numberOf(name)
		if path := r.path(name); ok && isChunk && known[path] == nil {
			known[path] = &process{chunk: number, path: path}
		}
	}
	return err
}

// chunks reads all chunks, by number.
func (r *Run) chunks() (out []*Chunk, err error) {
	entries, err := os.ReadDir(r.dir)
	for _, e := range entries {
		if _, ok := numberOf(e.Name()); ok && strings.HasSuffix(e.Name(), chunkSuffix) &&
			err == nil {
			var c *Chunk
			if c, err = readChunk(r.path(e.Name())); err == nil {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b *Chunk) int { return a.Number - b.Number })
	if err != nil {
		err = fmt.Errorf("%w; end its jobs with scancel, then remove %s: what is finished stays",
			err, batch.ShownPath(r.dir))
	}
	return out, err
}

// now is the time by the clock of the file system, which may be another than this host's.
func (r *Run) now() (time.Time, error) { return durable.Now(r.dir) }

// claim is who has a chunk, and when that process gave a sign of life last.
func (r *Run) claim(number int) (who string, beat time.Time, err error) {
	path := r.path(chunkName(number) + claimSuffix)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", time.Time{}, nil
	}
	data, readErr := os.ReadFile(path)
	if err = cmp.Or(err, readErr); err != nil {
		return "", time.Time{}, err
	}
	return strings.TrimSpace(string(data)), info.ModTime(), nil
}

func (r *Run) setClaim(number int, who string) error {
	path := r.path(chunkName(number) + claimSuffix)
	if err := writeText(path, who+"\n"); err != nil {
		return err
	}
	return durable.Renew(path)
}
