package web

import (
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"grimperium/internal/journal"
)

// metrics count the events since the last batch began, for Prometheus. They read the journal when
// they are asked: a batch that nobody measures costs nothing. It takes 3 s for the first time at
// 100,000 molecules, and no time afterwards.
type metrics struct {
	mu       sync.Mutex // of the reader
	reader   *journal.Reader
	registry *prometheus.Registry
	targets  *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	rows     *prometheus.CounterVec
	failed   prometheus.Gauge
}

// newMetrics returns the metrics of our table's batches in a journal. now is the status.
func newMetrics(path string, ownTable func(table string) bool, now func() Status) *metrics {
	m := &metrics{
		reader:   journal.Open(path),
		registry: prometheus.NewRegistry(),
		targets: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "grimperium_targets_total",
			Help: "Targets that ended, by stage and outcome."}, []string{"stage", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grimperium_target_seconds", Help: "Wall time of a target, by stage.",
			Buckets: []float64{0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000}},
			[]string{"stage"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "grimperium_rows_total",
			Help: "Rows of the table that were written, by status."}, []string{"status"}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "grimperium_last_failure_timestamp_seconds",
			Help: "When a target failed last, 0 if none did."}),
	}
	m.reader.OwnTable = ownTable
	gauge := func(name, help string, value func(Status) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(now())) })
	}
	m.registry.MustRegister(m.targets, m.seconds, m.rows, m.failed,
		gauge("grimperium_queue", "Molecules of the batch that have no row yet.",
			func(s Status) int { return max(0, s.Total-s.Done) }),
		gauge("grimperium_under_way", "Molecules under way.",
			func(s Status) int { return len(s.UnderWay) }))
	return m
}

// ServeHTTP answers in the format of Prometheus.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reader.Each(m.add); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

func (m *metrics) add(e journal.Event) {
	switch {
	case e.Event == journal.BatchStart:
		m.targets.Reset()
		m.seconds.Reset()
		m.rows.Reset()
		m.failed.Set(0)
	case e.Event == journal.TargetEnd:
		m.targets.WithLabelValues(e.Stage, e.Outcome).Inc()
		m.seconds.WithLabelValues(e.Stage).Observe(e.Seconds)
		if e.Outcome == journal.Failed || e.Outcome == journal.Timeout {
			m.failed.Set(float64(e.Time.UnixMilli()) / 1000)
		}
	case e.Final():
		m.rows.WithLabelValues(e.Outcome).Inc()
	}
}
