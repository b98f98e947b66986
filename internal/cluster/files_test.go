package cluster

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
)

// A run is found, and a folder that one has left is removed, whatever the name of the project.
func TestFind(t *testing.T) {
	for _, name := range []string{"plain", "a[1]", `b\c`, "*?"} {
		artefacts := filepath.Join(t.TempDir(), name)
		if run, err := Find(artefacts); run != nil || err != nil {
			t.Error(name, run, err)
		}
		old := filepath.Join(artefacts, Folder, "grimperium-1")
		check(t, os.MkdirAll(old, 0o755))
		check(t, os.WriteFile(filepath.Join(artefacts, Folder, mergeLog), nil, 0o644))
		r := &Run{Format: formatName, ID: "grimperium-2",
			dir: filepath.Join(artefacts, Folder, "grimperium-2")}
		check(t, os.Mkdir(r.dir, 0o755))
		check(t, writeJSON(r.path(runName), r))
		if run, err := Find(artefacts); run == nil || run.ID != r.ID {
			t.Error(name, run, err)
		}
		sweep(artefacts)
		if dirs, err := folders(artefacts); err != nil || len(dirs) != 1 {
			t.Error(name, dirs, err)
		}
	}
}

// A row keeps the types of its cells, and all digits of a whole number.
func TestChunkFile(t *testing.T) {
	dir := t.TempDir()
	row := batch.Row{ID: "m1", Cells: map[string]any{"smiles": "C",
		"charge":   int64(-9007199254740993),
		"H298_cbs": -17.5, "empty": nil}, Status: csvmerge.Pending, Size: []float64{1, 2},
		Key: [16]byte{1, 2}}
	c := &Chunk{Number: 3, Cores: 2, Wall: time.Hour, Pieces: []Piece{{row, 1.5}}}
	path := filepath.Join(dir, "000003.json")
	check(t, writeJSON(path, c))
	got, err := readChunk(path)
	check(t, err)
	if !reflect.DeepEqual(got.Pieces, c.Pieces) || got.Wall != c.Wall {
		t.Errorf("%+v", got)
	}
}

// Lines that are torn or foreign are passed over, and no line is read twice.
func FuzzOutcomes(f *testing.F) {
	good, err := json.Marshal(line{Outcome: &batch.Outcome{Row: batch.Row{ID: "m1"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("{\"End\":{\"Error\":\"x\"}}\n"), 3)
	f.Add([]byte("{\"Outcome\":{\"Row\":{\"Cells\":{\"a\":1e999}}}}\n"), 10)
	f.Add([]byte("\x00\xff\n\n{"), 2)
	f.Fuzz(func(t *testing.T, foreign []byte, cut int) {
		p := &process{path: filepath.Join(t.TempDir(), "000000.p")}
		text := append(append([]byte("\n"), good...), '\n')
		text = append(append([]byte{}, foreign...), text...)
		cut = min(max(cut, 0), len(text))
		seen := 0
		for _, part := range [][]byte{text[:cut], text[cut:]} {
			file, err := os.OpenFile(p.path+outcomeSuffix, os.O_CREATE|os.O_APPEND|os.O_WRONLY,
				0o666)
			check(t, err)
			_, err = file.Write(part)
			check(t, err)
			check(t, file.Close())
			check(t, p.read(func(out batch.Outcome) {
				if out.Row.ID == "m1" {
					seen++
				}
			}))
		}
		check(t, p.read(func(batch.Outcome) { t.Error("read twice") }))
		if seen < 1 {
			t.Error("the good line was not read")
		}
	})
}

// A task that starts after its chunk was given up computes nothing.
func TestClosed(t *testing.T) {
	r := &Run{Format: formatName, dir: t.TempDir()}
	check(t, writeJSON(r.path(runName), r))
	check(t, writeJSON(r.path("000000.json"), &Chunk{Pieces: []Piece{{batch.Row{ID: "m1"}, 1}}}))
	check(t, r.setClaim(0, closed))
	check(t, Do(t.Context(), r.path("000000.json"), func(pipeline.Snapshot) (batch.Config, error) {
		t.Error("the task goes on")
		return batch.Config{}, errLost
	}))
	if who, _, err := r.claim(0); who != closed || err != nil {
		t.Error(who, err)
	}
}

// The clock of this host does not count: a claim is as old as the file system says.
func TestClock(t *testing.T) {
	r := &Run{dir: t.TempDir()}
	check(t, r.setClaim(1, "p"))
	now, err := r.now()
	check(t, err)
	who, beat, err := r.claim(1)
	if age := now.Sub(beat); err != nil || who != "p" || age < 0 || age > beats*beatEvery {
		t.Error(who, age, err)
	}
	if who, _, err := r.claim(2); who != "" || err != nil {
		t.Error(who, err)
	}
}

// Slurm's reasons for which a task waits: those that a person should know, and those that pass.
func TestStuck(t *testing.T) {
	for reason, want := range map[string]bool{"JobHeldUser": true, "PartitionDown": true,
		"launch failed requeued held": true, "AssocGrpCPUMinutesLimit": true,
		"QOSMaxWallDurationPerJobLimit": true, "DependencyNeverSatisfied": true,
		"Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority " +
			"partitions": true,
		"None": false, "Priority": false, "Resources": false, "Dependency": false,
		"JobArrayTaskLimit": false, "QOSMaxJobsPerUserLimit": false, "BeginTime": false,
		"AssocGrpCpuLimit": false, "ReqNodeNotAvail, UnavailableNodes:n1": true} {
		if stuck(reason) != want {
			t.Errorf("%s: %t", reason, !want)
		}
	}
}
