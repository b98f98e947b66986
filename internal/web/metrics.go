package web

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"grimperium/internal/journal"
)

// secondsBounds are the upper bounds of the histogram of target times.
var secondsBounds = []float64{0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000}

// metrics count the events since the running batch began, in the form of Prometheus.
type metrics struct {
	targets map[[2]string]int // by stage and outcome
	seconds map[string]*distribution
	rows    map[string]int // by status
	failed  float64        // Unix time of the last failure
}

type distribution struct {
	counts []int
	sum    float64
}

func newMetrics() *metrics {
	return &metrics{targets: map[[2]string]int{}, seconds: map[string]*distribution{},
		rows: map[string]int{}}
}

func (m *metrics) add(e journal.Event) {
	switch {
	case e.Event == journal.TargetEnd:
		m.targets[[2]string{e.Stage, e.Outcome}]++
		if e.Outcome == journal.Failed || e.Outcome == journal.Timeout {
			m.failed = float64(e.Time.UnixMilli()) / 1000
		}
		h := m.seconds[e.Stage]
		if h == nil {
			h = &distribution{counts: make([]int, len(secondsBounds)+1)}
			m.seconds[e.Stage] = h
		}
		at, _ := slices.BinarySearch(secondsBounds, e.Seconds)
		h.counts[at]++
		h.sum += e.Seconds
	case e.Final():
		m.rows[e.Outcome]++
	}
}

// write writes the metrics in the text format of Prometheus.
func (m *metrics) write(w io.Writer, s Status) {
	head := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP grimperium_%s %s\n# TYPE grimperium_%s %s\n", name, help, name, kind)
	}
	head("targets_total", "counter", "Targets that ended, by stage and outcome.")
	keys := slices.SortedFunc(maps.Keys(m.targets), func(a, b [2]string) int {
		return slices.Compare(a[:], b[:])
	})
	for _, k := range keys {
		fmt.Fprintf(w, "grimperium_targets_total{stage=%s,outcome=%s} %d\n",
			label(k[0]), label(k[1]), m.targets[k])
	}
	head("target_seconds", "histogram", "Wall time of a target, by stage.")
	for _, stage := range slices.Sorted(maps.Keys(m.seconds)) {
		h, n := m.seconds[stage], 0
		for i, c := range h.counts {
			n += c
			bound := "+Inf"
			if i < len(secondsBounds) {
				bound = fmt.Sprint(secondsBounds[i])
			}
			fmt.Fprintf(w, "grimperium_target_seconds_bucket{stage=%s,le=\"%s\"} %d\n",
				label(stage), bound, n)
		}
		fmt.Fprintf(w, "grimperium_target_seconds_sum{stage=%s} %g\n", label(stage), h.sum)
		fmt.Fprintf(w, "grimperium_target_seconds_count{stage=%s} %d\n", label(stage), n)
	}
	head("rows_total", "counter", "Rows of the table that were written, by status.")
	for _, status := range slices.Sorted(maps.Keys(m.rows)) {
		fmt.Fprintf(w, "grimperium_rows_total{status=%s} %d\n", label(status), m.rows[status])
	}
	head("queue", "gauge", "Molecules of the batch that have no row yet.")
	fmt.Fprintf(w, "grimperium_queue %d\n", max(0, s.Total-s.Done))
	head("under_way", "gauge", "Molecules under way.")
	fmt.Fprintf(w, "grimperium_under_way %d\n", len(s.UnderWay))
	head("last_failure_timestamp_seconds", "gauge", "When a target failed last, 0 if none did.")
	fmt.Fprintf(w, "grimperium_last_failure_timestamp_seconds %.3f\n", m.failed)
}

// label is the value of a label in quotes.
func label(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}
