package web

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"grimperium/internal/journal"
)

// TestMetrics asks twice in a batch, and once in the next: each batch is counted by itself.
func TestMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	status := Status{Total: 9, Done: 2, UnderWay: make([]Active, 3)}
	m := newMetrics(path, nil, func() Status { return status })
	failure := time.Date(2026, 11, 28, 12, 0, 0, 5e8, time.UTC)
	first := slices.Clone(batchEvents)
	first[5].Time = failure
	for _, step := range []struct {
		batch        string
		events       []journal.Event
		wanted, gone string
	}{
		{"b1", first[:4], `rows_total{status="OK"} 1`, `rows_total{status="Skip"}`},
		{"b1", first[4:], `rows_total{status="Skip"} 1`, "last_failure_timestamp_seconds 0"},
		{"b1", nil, "last_failure_timestamp_seconds 1.7958672005e+09", `rows_total{status="OK"} 2`},
		{"b2", batchEvents[:3], `targets_total{outcome="ok",stage="pm7"} 1`, "rows_total{"},
		{"b2", nil, "last_failure_timestamp_seconds 0", `outcome="failed"`},
		{"b2", nil, "queue 7", "queue 9"},
		{"b2", nil, "under_way 3", "under_way 0"},
	} {
		if err := (journal.Writer{Path: path, Batch: step.batch}).Write(
			step.events...); err != nil {
			t.Fatal(err)
		}
		answer := httptest.NewRecorder()
		m.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		text := answer.Body.String()
		if !strings.Contains(text, "\ngrimperium_"+step.wanted+"\n") ||
			strings.Contains(text, "grimperium_"+step.gone) {
			t.Errorf("%+v: %s", step, text)
		}
	}
}

// TestMetricNames holds the metrics to the conventions of Prometheus.
func TestMetricNames(t *testing.T) {
	m := newMetrics("", nil, func() Status { return Status{} })
	for _, e := range batchEvents {
		m.add(e)
	}
	answer := httptest.NewRecorder()
	m.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	problems, err := promlint.New(answer.Body).Lint()
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
