package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"golang.org/x/sys/unix"

	"grimperium/internal/journal"
	"grimperium/internal/packed"
)

// served is a Live of a test with its journal.
type served struct {
	t       *testing.T
	address string
	journal journal.Writer
	live    *Live
	stop    func()
}

// serve starts a server on a free port, with an artefacts folder of its own.
func serve(t *testing.T, token, addr string) *served {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "artefacts")
	for path, text := range map[string]string{"artefacts/mol_1/pm7/pm7.out": "<script>",
		"artefacts/mol_1/pm7/pm7.aux": "unpacked", "artefacts/mol_1/pm7/index.html": "<p>page",
		"out.aux": "secret", "secret": "secret"} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, ".aux") {
			if err := packed.Pack(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := packed.CreateZip(filepath.Join(dir, "mol_2.zip"),
		filepath.Join(dir, "mol_1")); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": "../secret", "out.aux.zst": "../out.aux.zst"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := &served{t: t, journal: journal.Writer{Path: filepath.Join(dir, "journal.jsonl"),
		Batch: "b1"}}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := os.ReadFile(filepath.Join(dir, "mol_1/pm7/pm7.aux.zst"))
	if err == nil {
		damaged = damaged[:len(damaged)-2]
		err = os.WriteFile(filepath.Join(dir, "damaged.zst"), damaged, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.live = &Live{Journal: s.journal.Path, Artefacts: dir, Token: token,
		Report: func(context.Context) (*Data, error) { return made(30), nil },
		Detail: func(_ context.Context, id string) (*Detail, error) {
			if id != "mol_1" {
				return nil, fs.ErrNotExist
			}
			return &Detail{ID: id, Cells: map[string]string{"smiles": hostile[1]}, Why: hostile[2],
				Geometries: []Geometry{{Symbols: []string{hostile[0], "C"},
					Coords: []float64{0, 0, 0, 1, 0, 0},
					Bonds:  [][2]int{{0, 1}}}},
				Targets: []TargetDetail{{Name: "pm7", Outcome: "failed", Error: hostile[0],
					Values: map[string]any{"hof": -5.5, "empty": ""}}}}, nil
		}}
	s.start(addr)
	return s
}

// start listens at an address until the test ends or stop is called.
func (s *served) start(addr string) {
	s.t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.live.Serve(ctx, listener)
	}()
	s.stop = func() { cancel(); <-done }
	s.t.Cleanup(s.stop)
}

// get returns the status and the text of an answer.
func (s *served) get(path string, change func(*http.Request)) (int, string, http.Header) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.address+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

func (s *served) write(events ...journal.Event) {
	s.t.Helper()
	if err := s.journal.Write(events...); err != nil {
		s.t.Fatal(err)
	}
}

var batchEvents = []journal.Event{
	{Event: journal.BatchStart, Total: 2, Jobs: 2, PID: os.Getpid(),
		Stages: []journal.Stage{{Name: "pm7"}}},
	{Event: journal.TargetStart, Mol: "mol_1", Stage: "pm7", Size: []float64{2}},
	{Event: journal.TargetEnd, Mol: "mol_1", Stage: "pm7", Outcome: journal.OK, Seconds: 2},
	{Event: journal.Row, Mol: "mol_1", Outcome: "OK", Seconds: 2,
		Shown:  []string{"-5.00 kcal/mol", "1 conformer"},
		Values: map[string]string{"most_stable_hof": "-5"}},
	{Event: journal.TargetStart, Mol: "mol_2", Stage: "pm7"},
	{Event: journal.TargetEnd, Mol: "mol_2", Stage: "pm7", Outcome: journal.Failed, Seconds: 1},
	{Event: journal.Row, Mol: "mol_2", Outcome: "Skip",
		Values: map[string]string{"error_message": hostile[1]}},
	{Event: journal.BatchEnd, Outcome: journal.Done},
}

// TestServer asks for everything that a server answers.
func TestServer(t *testing.T) {
	s := serve(t, "", "127.0.0.1:0")
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/": {200, "Under way"}, "/live.js": {200, "EventSource"},
		"/page.css": {200, "color-scheme"},
		"/report":   {200, "29 of 30 molecules"}, "/molecule/mol_1": {200, "&lt;script&gt;"},
		"/molecule/none":          {404, "no such molecule"},
		"/api/v1/molecules/mol_1": {200, `"outcome":"failed"`},
		"/api/v1/molecules/none":  {404, ""}, "/api/v1/molecules?limit=2&offset=28": {200,
			`"mol_000030"`},
		"/api/v1/molecules?limit=x": {400, "limit is a number"},
		"/api/v1/status":            {200, `"batch":""`},
		"/api/v1/batch/none/status": {404, "not the last"}, "/api/v1/openapi.json": {200, "3.1.0"},
		"/metrics": {200, "grimperium_queue 0"}, "/artefacts/mol_1/pm7/pm7.out": {200, "<script>"},
		"/artefacts/mol_1/pm7/pm7.aux":     {200, "unpacked"},
		"/artefacts/mol_1/pm7/pm7.aux.zst": {200, "unpacked"},
		"/artefacts/mol_1/pm7/":            {200, "pm7.aux.zst"}, "/artefacts/out.aux": {404, ""},
		"/artefacts/mol_2/pm7/pm7.out": {200, "<script>"}, "/artefacts/mol_2/": {200, "pm7/"},
		"/artefacts/mol_2/pm7/pm7.aux":              {200, "unpacked"},
		"/artefacts/mol_2/pm7/":                     {200, "pm7.aux.zst"},
		"/artefacts/mol_2/none":                     {404, ""},
		"/artefacts/mol_2/pm7/%2e%2e/%2e%2e/secret": {404, ""},
		"/artefacts/mol_2":                          {302, ""},
		"/artefacts/mol_1/pm7/index.html":           {200, "<p>page"},
		"/artefacts/damaged":                        {500, "is damaged"},
		"/artefacts/link":                           {404, ""},
		"/artefacts/pipe":                           {404, ""},
		"/artefacts/%2e%2e/secret":                  {404, ""}, "/secret": {404, ""},
	} {
		code, text, head := s.get(path, nil)
		if code != want.code || !strings.Contains(text, want.text) ||
			strings.Contains(text, "secret\n") {
			t.Errorf("%s: %d %.200q, want %d with %q", path, code, text, want.code, want.text)
		}
		if head.Get("X-Content-Type-Options") != "nosniff" ||
			head.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: headers %v", path, head)
		}
		file := strings.HasPrefix(path, "/artefacts/") && !strings.HasSuffix(path, "/")
		if file && code == 200 && !strings.HasPrefix(head.Get("Content-Type"), "text/plain") {
			t.Errorf("%s is served as %s", path, head.Get("Content-Type"))
		}
	}
	if code, _, _ := s.get("/", func(r *http.Request) { r.Host = "evil.example" }); code != 421 {
		t.Errorf("another host: %d", code)
	}
	if code, _, _ := s.get("/", func(r *http.Request) { r.Method = http.MethodPost }); code != 405 {
		t.Errorf("POST: %d", code)
	}
}

// TestLargeFile gets a file that is stored compressed and larger than a server should hold.
func TestLargeFile(t *testing.T) {
	s := serve(t, "", "127.0.0.1:0")
	path := filepath.Join(s.live.Artefacts, "mol_1", "large")
	if err := os.WriteFile(path, make([]byte, 80<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := packed.Pack(path); err != nil {
		t.Fatal(err)
	}
	if code, text, _ := s.get("/artefacts/mol_1/large", nil); code != 200 || len(text) != 80<<20 {
		t.Errorf("%d with %d bytes", code, len(text))
	}
}

// TestEmptyValues leaves values that are empty out of the page of a molecule.
func TestEmptyValues(t *testing.T) {
	_, page, _ := serve(t, "", "127.0.0.1:0").get("/molecule/mol_1", nil)
	if !strings.Contains(page, "<td>-5.5</td>") || strings.Contains(page, "empty") {
		t.Error(page)
	}
}

func TestToken(t *testing.T) {
	s := serve(t, "word", "127.0.0.1:0")
	for name, test := range map[string]struct {
		change func(*http.Request)
		code   int
	}{
		"none":   {nil, 401},
		"wrong":  {func(r *http.Request) { r.URL.RawQuery = "token=wor" }, 401},
		"query":  {func(r *http.Request) { r.URL.RawQuery = "token=word" }, 200},
		"bearer": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer word") }, 200},
		"cookie": {func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "grimperium" + r.URL.Port(), Value: "word"})
		}, 200},
		"cookie of another server": {func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "grimperium", Value: "word"})
		}, 401},
	} {
		if code, _, _ := s.get("/api/v1/status", test.change); code != test.code {
			t.Errorf("%s: %d", name, code)
		}
	}
}

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

// TestMetrics asks twice in a batch, and once in the next: each batch is counted by itself.
func TestMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	status := Status{Total: 9, Done: 2, UnderWay: make([]Active, 3)}
	m := newMetrics(path, func() Status { return status })
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
	m := newMetrics("", func() Status { return Status{} })
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
	watcher := newWatcher(w.Path)
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
		watcher := newWatcher(path)
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
	watcher := newWatcher(path)
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
	watch := newWatcher(path)
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
