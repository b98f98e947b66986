package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
	"grimperium/internal/tables"
	"grimperium/internal/tables/pgtest"
)

// kinds measures a CSV table, an SQLite file and a PostgreSQL table on this machine in turn. It
// measures one row merged that was claimed before, as in a batch, beside one flushed write of 4
// KiB. It measures the first read, and what a batch looks at before it begins. It measures what
// part of a batch of quick molecules is spent in the table.
func kinds(dir, program string, rounds, rows, molecules int) {
	server := measure.Must(pgtest.Start())
	defer server.Remove()
	path := filepath.Join(dir, "kinds.csv")
	writeTable(path, rows)
	text := measure.Must(csvmerge.Read(path))
	places := []string{path, filepath.Join(dir, "kinds.db"), server.URL("kinds")}
	names := []string{"CSV", "SQLite", "PostgreSQL"}
	for _, place := range places[1:] {
		begin := time.Now()
		measure.Check(tables.Create(place, text))
		fmt.Printf("\nconverted to %.40s in %.1f s", place, time.Since(begin).Seconds())
	}
	fmt.Printf("\n\n| %d rows | one row merged, ms | merged / flushed write | CSV / merged | "+
		"read, s | read and scheduled, s | pandas.read_sql, s |\n%s|\n", rows,
		strings.Repeat("|---", 7))
	flushes, merges, reads := timed(dir, places, rounds, rows)
	for n, name := range names {
		artefacts, begin := filepath.Join(dir, name+".artefacts"), time.Now()
		measure.Run(dir, program, "batch", "-limit=1", "-table="+places[n],
			"-pipeline="+pipelineFile(dir), "-artefacts="+artefacts)
		scheduled := journal.LastStart(filepath.Join(artefacts, store.JournalName)).Time
		fmt.Printf("| %s | %.2f | %.1f | %.1f | %.2f | %.2f | %s |\n", name, merges[n]*1e3,
			merges[n]/flushes, merges[0]/merges[n], reads[n], scheduled.Sub(begin).Seconds(),
			readSQL(places[n]))
	}
	fmt.Printf("\nOne flushed write of 4 KiB: %.2f ms.\n\n| %d quick molecules | wall, s | in "+
		"the table, s | share |\n|---|---|---|---|\n", flushes*1e3, molecules)
	for n, name := range names {
		wall, spent := quick(filepath.Join(dir, name), server, n, molecules)
		fmt.Printf("| %s | %.1f | %.2f | %.1f %% |\n", name, wall, spent, 100*spent/wall)
	}
}

// timed are the medians of a flushed write and of a merge into each table, and the best read.
// Twenty of a kind follow each other, and the kinds take turns.
func timed(dir string, places []string, rounds, rows int) (flush float64, merges, reads []float64) {
	opened, all := make([]batch.Table, len(places)), make([][]float64, len(places)+1)
	reads = make([]float64, len(places))
	for n, place := range places {
		best(&reads[n], func() { opened[n] = measure.Must(tables.Open(place, true)) })
	}
	file := measure.Must(os.Create(filepath.Join(dir, "flush")))
	block := make([]byte, 4096)
	merge := func(table batch.Table, k int) float64 {
		id := fmt.Sprintf("mol_%07d", k*7919%rows)
		_, _, err := table.Claim(1, []string{id})
		measure.Check(err)
		change := csvmerge.Change{ID: id, Cells: map[string]string{"status": "OK",
			"crest_time": "12.5", "batch_id": fmt.Sprint(k), "delta_1": fmt.Sprint(k, ".25")}}
		return measure.Seconds(func() { measure.Must(table.Merge([]csvmerge.Change{change})) })
	}
	flushed := func() {
		measure.Must(file.Write(block))
		measure.Check(file.Sync())
	}
	for k := range rounds * 20 * len(all) {
		n := k / 20 % len(all)
		if n == len(opened) {
			all[n] = append(all[n], measure.Seconds(flushed))
		} else {
			all[n] = append(all[n], merge(opened[n], k))
		}
	}
	for n := range all {
		slices.Sort(all[n])
		merges = append(merges, all[n][len(all[n])/2])
	}
	for _, table := range opened {
		measure.Check(table.Close())
	}
	return merges[len(places)], merges[:len(places)], reads
}

func pipelineFile(dir string) string {
	path := filepath.Join(dir, "kinds.hcl")
	measure.Write(path, quickPipeline)
	return path
}

// readSQL is the time that pandas takes to read a database, "" where it can't.
func readSQL(place string) string {
	if filepath.Ext(place) != ".db" || !hasPandas() {
		return ""
	}
	script := "import pandas, sqlite3, sys, time\nt = " +
		"time.perf_counter()\npandas.read_sql('SELECT * FROM molecules', " +
		"sqlite3.connect(sys.argv[1]))\nprint('%.2f' % (time.perf_counter() - t))"
	cmd := exec.Command("/usr/bin/python3", "-c", script, place)
	return strings.TrimSpace(string(measure.Must(cmd.Output())))
}

// watch is a table that counts the time in it.
type watch struct {
	batch.Table
	spent time.Duration
}

func (w *watch) Claim(n int, ids []string) (ours []string, asked int, err error) {
	defer w.since(time.Now())
	return w.Table.Claim(n, ids)
}

func (w *watch) Merge(changes []csvmerge.Change) (changed map[string]bool, err error) {
	defer w.since(time.Now())
	return w.Table.Merge(changes)
}

func (w *watch) since(begin time.Time) { w.spent += time.Since(begin) }

// quick is a batch of molecules that take no time, with a table of the n-th kind.
func quick(dir string, server *pgtest.Server, n, molecules int) (wall, spent float64) {
	path := filepath.Join(dir, "data/thermo_pm7.csv")
	measure.Write(filepath.Join(dir, "pipeline.hcl"), quickPipeline)
	measure.Pending(path, molecules, func(int) string { return "C" })
	place := []string{path, path + ".db", server.URL("quick")}[n]
	if n > 0 {
		measure.Check(tables.Create(place, measure.Must(csvmerge.Read(path))))
	}
	p := measure.Must(pipeline.Load(filepath.Join(dir, "pipeline.hcl"),
		pipeline.Options{Table: place, Written: batch.Written, Environ: os.Environ()}))
	p.Jobs = 2
	st := measure.Must(store.Open(p.Artefacts))
	w := &watch{Table: measure.Must(tables.Open(place, true))}
	b := measure.Must(batch.New(context.Background(), batch.Config{Pipeline: p, Source: w,
		Table: w.Rows(), Store: st, Index: st.Index(), Warn: io.Discard}))
	wall = measure.Seconds(func() { measure.Must(b.Run(context.Background())) })
	measure.Check(w.Close())
	return wall, w.spent.Seconds()
}
