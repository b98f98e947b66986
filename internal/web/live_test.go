package web

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"grimperium/internal/journal"
)

// TestEvents follows a batch by server-sent events from the first to the last molecule.
func TestEvents(t *testing.T) {
	s := serve(t, "", "127.0.0.1:0")
	answer, err := http.Get(s.address + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	all, news := fields{}, fields{}
	next := func() (status Status) {
		t.Helper()
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			clear(news)
			if err := json.Unmarshal([]byte(text), &news); err != nil {
				t.Fatal(err)
			}
			maps.Copy(all, news)
			whole, err := json.Marshal(all)
			if err == nil {
				err = json.Unmarshal(whole, &status)
			}
			if err != nil {
				t.Fatal(err)
			}
			return status
		}
		t.Fatal("the stream ended", lines.Err())
		return status
	}
	if status := next(); status.Running || status.Batch != "" || news["results"] == nil {
		t.Errorf("before the batch: %+v", status)
	}
	s.write(batchEvents[:2]...)
	status := next()
	if !status.Running || status.Total != 2 || status.UnderWay[0].ID != "mol_1" ||
		news["results"] != nil {
		t.Errorf("the first target: %+v", status)
	}
	s.write(batchEvents[2:]...)
	for status.Running {
		status = next()
	}
	if status.Done != 2 || status.Failed != 1 || status.Failures[0].Error != hostile[1] ||
		status.Results[0].Values["most_stable_hof"] != "-5" {
		t.Errorf("the end: %+v", status)
	}
	_, text, _ := s.get("/metrics", nil)
	for _, want := range []string{`targets_total{outcome="failed",stage="pm7"} 1`,
		`rows_total{status="OK"} 1`,
		`target_seconds_bucket{stage="pm7",le="3"} 2`, `target_seconds_sum{stage="pm7"} 3`,
		"queue 0"} {
		if !strings.Contains(text, "grimperium_"+want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

// TestQuiet looks at a journal without new events: there is nothing to tell. What is told are the
// fields that differ.
func TestQuiet(t *testing.T) {
	w := journal.Writer{Path: filepath.Join(t.TempDir(), "journal.jsonl"), Batch: "b1"}
	events := slices.Clone(batchEvents[:4])
	for i := range events {
		events[i].Time = time.Now().Add(time.Duration(i) * time.Second)
	}
	if err := w.Write(events[:2]...); err != nil {
		t.Fatal(err)
	}
	watcher := newWatcher(w.Path, nil)
	if err := watcher.begin(); err != nil {
		t.Fatal(err)
	}
	c, _, err := watcher.listen()
	if err != nil {
		t.Fatal(err)
	}
	first := <-c
	for range 3 {
		if err := watcher.look(); err != nil {
			t.Fatal(err)
		}
	}
	if len(c) != 0 {
		t.Errorf("told without an event: %s", (<-c).since(first))
	}
	if err := w.Write(events[2:]...); err != nil {
		t.Fatal(err)
	}
	if err := watcher.look(); err != nil {
		t.Fatal(err)
	}
	news := slices.Sorted(maps.Keys((<-c).since(first)))
	if got := strings.Join(news, " "); got != "done last_event results under_way" {
		t.Errorf("told: %s", got)
	}
	old, now := fields{"ended": []byte("1"), "done": []byte("2")}, fields{"done": []byte("2")}
	if got := now.since(old); len(got) != 1 || string(got["ended"]) != "null" {
		t.Errorf("a field that is gone: %s", got)
	}
}

// TestLastBatch starts a server after a batch, and after one whose process died.
func TestLastBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	w := journal.Writer{Path: path, Batch: "b1", Host: host}
	for _, events := range [][]journal.Event{batchEvents, batchEvents[:3]} {
		events[0].PID = 1 << 30
		if err := w.Write(events...); err != nil {
			t.Fatal(err)
		}
		watcher := newWatcher(path, nil)
		if err := watcher.begin(); err != nil {
			t.Fatal(err)
		}
		if s := watcher.status; s.Batch != w.Batch || s.Running || s.Ended.IsZero() ||
			len(s.UnderWay) > 0 {
			t.Errorf("%+v", s)
		}
		w.Batch = "b2"
	}
}

// TestMiddle starts a server in the middle of a batch whose start is far from the journal's end.
// The batch's process dies meanwhile.
func TestMiddle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	w := journal.Writer{Path: path, Batch: "b1", Host: host}
	target := journal.Event{Event: journal.TargetStart, Mol: "mol_1", Stage: "pm7", Instances: 3}
	events := []journal.Event{{Event: journal.BatchStart, Total: 900, Jobs: 2, PID: os.Getpid()}}
	for n := range 800 {
		events = append(events, journal.Event{Event: journal.Row, Mol: fmt.Sprint("before_", n),
			Outcome: "OK", Error: strings.Repeat("x", 100)})
	}
	for target.Instance = range 3 {
		events = append(events, target)
	}
	if err := w.Write(events...); err != nil {
		t.Fatal(err)
	}
	watcher := newWatcher(path, nil)
	if err := watcher.begin(); err != nil {
		t.Fatal(err)
	}
	s := watcher.status
	if !s.Running || s.Done != 800 || s.Jobs != 2 || len(s.Results) != lastEnded ||
		len(s.UnderWay) != 1 {
		t.Fatalf("%+v", s)
	}
	if m := s.UnderWay[0]; m.ID != "mol_1" || m.Targets != 3 || m.Finished != 1 ||
		m.Since.IsZero() {
		t.Errorf("%+v", m)
	}
	watcher.start.PID = 1 << 30
	if err := watcher.look(); err != nil {
		t.Fatal(err)
	}
	if s := watcher.status; s.Running || !s.Ended.Equal(s.LastEvent) || len(s.UnderWay) > 0 {
		t.Errorf("after its death: %+v", s)
	}
}

// TestOtherTable has another table's batch in the journal, before the first look and after it.
func TestOtherTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	write := func(batch, table string) {
		t.Helper()
		err := journal.Writer{Path: path, Batch: batch}.Write(
			journal.Event{Event: journal.BatchStart, Table: table, Total: 3},
			journal.Event{Event: journal.TargetEnd, Mol: "m", Stage: "pm7", Outcome: journal.OK},
			journal.Event{Event: journal.Row, Mol: "m", Outcome: "OK"})
		if err != nil {
			t.Fatal(err)
		}
	}
	ownTable := func(table string) bool { return table == "t.csv" }
	w := newWatcher(path, ownTable)
	m := newMetrics(path, ownTable, w.now)
	look := w.begin
	write("b1", "t.csv")
	for _, other := range []string{"b2", "b3"} {
		write(other, "other.csv")
		if err := look(); err != nil {
			t.Fatal(err)
		}
		if s := w.now(); s.Batch != "b1" || s.Done != 1 || len(s.Results) != 1 {
			t.Errorf("after %s: %+v", other, s)
		}
		answer := httptest.NewRecorder()
		m.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, want := range []string{`rows_total{status="OK"} 1`, "queue 2"} {
			if !strings.Contains(answer.Body.String(), "grimperium_"+want) {
				t.Errorf("after %s: no %s in %s", other, want, answer.Body)
			}
		}
		look = w.look
	}
}

// TestBrowserLive watches a batch in Chromium. The server is ended and started meanwhile.
func TestBrowserLive(t *testing.T) {
	b := open(t)
	s := serve(t, "", "127.0.0.1:0")
	b.local = s.address
	b.do(chromedp.Navigate(s.address + "/"))
	sentence := `document.getElementById("sentence").textContent`
	b.becomes(sentence, "No batch has run yet. This page shows the next one.")
	events := batchEvents
	events[0].PID = os.Getpid()
	s.write(events[:2]...)
	b.becomes(`document.querySelector("#active a")?.textContent`, "mol_1")
	s.write(events[2:]...)
	ended := "2 of 2 molecules done, 1 failed. The batch has ended."
	b.becomes(sentence, ended)
	s.stop()
	b.becomes(sentence, "The server does not answer. The page connects again by itself.")
	s.start(strings.TrimPrefix(s.address, "http://"))
	b.becomes(sentence, ended)
	b.is(`document.querySelector("#failures td:last-child").textContent`, hostile[1])
	b.do(chromedp.Navigate(s.address + "/molecule/mol_1"))
	b.becomes(`document.querySelectorAll("#space canvas").length`, "1")
	b.is(`document.querySelector("pre").textContent`, hostile[2])
	b.do(chromedp.Navigate(s.address+"/report"),
		chromedp.WaitReady(chromedp.CSS("html[data-usable]")))
	b.is(`document.getElementById("shown").textContent`, "30 of 30 molecules")
	b.quiet()
}

// TestBrowserLiveFocus keeps the focus on a molecule while others finish. The first answers are
// errors, because too many pages watch.
func TestBrowserLiveFocus(t *testing.T) {
	b := open(t)
	s := serve(t, "", "127.0.0.1:0")
	b.local = s.address
	s.get("/api/v1/status", nil)
	var ends []func()
	for range mostWaiting {
		_, end, err := s.live.watch.listen()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	events := slices.Clone(batchEvents)
	events[0].PID, events[0].Total = os.Getpid(), 9
	s.write(events[:4]...)
	b.do(chromedp.Navigate(s.address + "/"))
	sentence := `document.getElementById("sentence").textContent`
	b.becomes(sentence, "The server does not answer. The page connects again by itself.")
	for _, end := range ends {
		end()
	}
	b.becomes(sentence, "1 of 9 molecules done.")
	b.is(`document.getElementById("sentence").ariaLive`, "off")
	b.is(`document.querySelector("#results td:nth-child(3)").textContent`, "−5.00 kcal/mol · 1 conformer")
	b.value(`document.querySelector("#results a").focus()`)
	events[3].Mol = "mol_3"
	s.write(events[3:7]...)
	b.becomes(`[...document.querySelectorAll("tbody th")].map(e => e.textContent).join()`,
		"mol_2,mol_3,mol_1")
	b.is(`document.activeElement.textContent`, "mol_1")
	b.quiet()
}

// BenchmarkWatch is what the server does for a molecule of a batch, with ten pages that watch.
func BenchmarkWatch(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal.jsonl")
	w := journal.Writer{Path: path, Batch: "b1"}
	if err := w.Write(journal.Event{Event: journal.BatchStart, Total: 1 << 20,
		PID: os.Getpid()}); err != nil {
		b.Fatal(err)
	}
	watch := newWatcher(path, nil)
	if err := watch.begin(); err != nil {
		b.Fatal(err)
	}
	for range 10 {
		if _, _, err := watch.listen(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := w.Write(batchEvents[1:4]...); err != nil {
			b.Fatal(err)
		}
		if err := watch.look(); err != nil {
			b.Fatal(err)
		}
	}
}
