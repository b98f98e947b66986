package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
	"grimperium/internal/tables"
	"grimperium/internal/tables/pgtest"
)

// kind is a kind of table, with what was measured of one. Times are in seconds.
type kind struct {
	name, place, quick string // the places of two tables
	table              batch.Table
	read               float64
	merges             []float64
}

// kinds measures a CSV table, an SQLite file and a PostgreSQL table on this machine in turn. It
// measures one row merged that was claimed before, as in a batch, beside one flushed write of 4
// KiB. It measures the first read, and what a batch looks at before it begins. It measures what
// part of a batch of quick molecules is spent in the table.
func kinds(top measure.Project, rounds, rows, molecules int) {
	server := measure.Must(pgtest.Start())
	defer server.Remove()
	all := []*kind{{name: "CSV", place: top.Path("kinds.csv"), quick: top.Path("quick.csv")},
		{name: "SQLite", place: top.Path("kinds.db"), quick: top.Path("quick.db")},
		{name: "PostgreSQL", place: server.URL("kinds"), quick: server.URL("quick")}}
	measure.Write(all[0].place, measure.HalfDone(rows))
	text := measure.Must(csvmerge.Read(all[0].place))
	for _, k := range all {
		if k.place != text.Path() {
			took := measure.Time(func() { measure.Check(tables.Create(k.place, text)) })
			fmt.Printf("converted to %s in %.1f s\n", k.name, took.Wall)
		}
		k.read = measure.Time(func() { k.table = measure.Must(tables.Open(k.place, true)) }).Wall
	}
	flush := measure.Median(merged(top, all, rounds, rows))
	measure.Head(fmt.Sprint(rows, " rows"), "one row merged, ms", "merged / flushed write",
		"CSV / merged", "read, s", "read and scheduled, s", "pandas.read_sql, s")
	for _, k := range all {
		measure.Check(k.table.Close())
		p := top.New(k.name, quickPipeline, "")
		cost := measure.Run(p.Dir, p.Program, "batch", "-limit=1", "-table="+k.place,
			"-artefacts="+p.Path("artefacts"))
		readSQL := ""
		if k.name == "SQLite" {
			readSQL = fmt.Sprintf("%.2f", pandas(k.place, "").Wall)
		}
		merge := measure.Median(k.merges)
		fmt.Printf("| %s | %.2f | %.1f | %.1f | %.2f | %.2f | %s |\n", k.name, merge*1e3,
			merge/flush, measure.Median(all[0].merges)/merge, k.read,
			p.Started().Sub(cost.Began).Seconds(), readSQL)
	}
	fmt.Printf("\nOne flushed write of 4 KiB: %.2f ms.\n", flush*1e3)
	measure.Head(fmt.Sprint(molecules, " quick molecules"), "wall, s", "in the table, s", "share")
	measure.Write(all[0].quick, measure.Pending(molecules))
	methane := measure.Must(csvmerge.Read(all[0].quick))
	for _, k := range all {
		if k.quick != methane.Path() {
			measure.Check(tables.Create(k.quick, methane))
		}
		wall, spent := k.batch(top)
		fmt.Printf("| %s | %.1f | %.2f | %.1f %% |\n", k.name, wall, spent, 100*spent/wall)
	}
}

// merged measures merges into each table, and returns the times of flushed writes, in seconds.
// Twenty of a kind follow each other, and the kinds take turns.
func merged(top measure.Project, all []*kind, rounds, rows int) (flushes []float64) {
	file := measure.Must(os.Create(top.Path("flush")))
	for round := range rounds {
		for _, kind := range all {
			for k := range 20 {
				kind.merges = append(kind.merges, merge(kind.table, 20*round+k, rows).Wall)
			}
		}
		for range 20 {
			took := measure.Time(func() {
				measure.Must(file.Write(make([]byte, 4096)))
				measure.Check(file.Sync())
			})
			flushes = append(flushes, took.Wall)
		}
	}
	return flushes
}

// merge merges the k-th row that is to change.
func merge(table batch.Table, k, rows int) measure.Cost {
	id := measure.ID(k * 7919 % rows)
	_, _, err := table.Claim(1, []string{id})
	measure.Check(err)
	change := csvmerge.Change{ID: id, Cells: map[string]string{"status": "OK",
		"crest_time": "12.5", "batch_id": fmt.Sprint(k), "delta_1": fmt.Sprint(k, ".25")}}
	return measure.Time(func() {
		if changed := measure.Must(table.Merge([]csvmerge.Change{change})); len(changed) == 0 {
			log.Fatal("nothing was written")
		}
	})
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

// batch computes molecules that take no time. It returns seconds, those in the table apart.
func (k *kind) batch(top measure.Project) (wall, spent float64) {
	p := measure.Must(pipeline.Load(top.Path(k.name+"/pipeline.hcl"),
		pipeline.Options{Table: k.quick, Written: batch.Written, Environ: os.Environ()}))
	p.Jobs, p.Artefacts = 2, top.Path(k.name+"/quick")
	st := measure.Must(store.Open(p.Artefacts))
	w := &watch{Table: measure.Must(tables.Open(k.quick, true))}
	b := measure.Must(batch.New(context.Background(), batch.Config{Pipeline: p, Source: w,
		Table: w.Rows(), Store: st, Index: st.Index(), Warn: io.Discard}))
	wall = measure.Time(func() { measure.Must(b.Run(context.Background())) }).Wall
	measure.Check(w.Close())
	return wall, w.spent.Seconds()
}
