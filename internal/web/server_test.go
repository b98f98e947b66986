package web

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
			switch id {
			case "no table":
				return nil, fs.ErrNotExist
			case "mol_1":
			default:
				return nil, ErrNoMolecule
			}
			return &Detail{ID: id, Cells: map[string]string{"smiles": hostile[1]}, Why: hostile[2],
				Geometries: []Geometry{{Symbols: []string{hostile[0], "C"},
					Coords: []float64{0, 0, 0, 1, 0, 0},
					Bonds:  [][2]int{{0, 1}}}},
				Targets: []TargetDetail{{Name: "pm7", Outcome: "failed", Error: hostile[0],
					Files: map[string]string{"out": "50%#1/a b.out"},
					Values: map[string]any{"hof": -5.5, "empty": "", "gap": nil, "n": 1.23e7,
						"list": []any{-1.5, nil}, "map": map[string]any{"a": "<b>"}}}},
				Units: map[string]string{"hof": "kcal/mol", "gap": "eV"}}, nil
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
		"/molecule/no%20table":    {500, "file does not exist"},
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
	_, page, _ := s.get("/molecule/mol_1", nil)
	for _, want := range []string{`href="/artefacts/50%25%231/a%20b.out"`, "<td>-5.5 kcal/mol<",
		"<td>–<", "<td>12300000<", "<td>[-1.5,null]<", "<td>{&#34;a&#34;:&#34;&lt;b&gt;&#34;}<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a molecule lacks %s: %s", want, page)
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
	if !strings.Contains(page, "<td>-5.5 kcal/mol</td>") || strings.Contains(page, "empty") {
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
